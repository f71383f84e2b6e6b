//! Verification while both generations, and the log, go on.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::Verifier;
use super::{COUNTER, LADDER, Side, World, key, set};
use crate::fault::{FaultKind, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowDelta, RowKey, StoreKind};
use crate::store::{
    BasePages, Batch, Claimed, ComparePage, Cursor, CutOver, CutOverOutcome, FoldRows, Generation,
    Move, Outcome, PageToken, PointRead, Pointer, Verdict, ViewStore,
};

/// Which partitions feed a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feeding {
    /// One each.
    Home,
    /// Any, and rows are never deleted.
    Shared,
}

/// A store that lets the world go on before it answers.
struct Racing {
    world: World,
    sides: Vec<Side>,
    partitions: i32,
    feeding: Feeding,
    deletes: bool,
    random: Mutex<StdRng>,
    /// What the second generation is taken to be copied from.
    base: Mutex<Option<BasePages>>,
}

impl fmt::Debug for Racing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("racing")
    }
}

const KEYS: i32 = 25;

impl Racing {
    async fn new(seed: u64, partitions: i32, text: &str, feeding: Feeding) -> Arc<Self> {
        let world = World::new(partitions);
        let sides = vec![
            world.generation(1, text).await,
            world.generation(2, text).await,
        ];
        let racing = Self {
            world,
            sides,
            partitions,
            feeding,
            deletes: feeding == Feeding::Home && text.contains("gone"),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            base: Mutex::default(),
        };
        for _ in 0..20 {
            racing.go_on().await;
        }
        Arc::new(racing)
    }

    /// Some records come, and the generations take some.
    async fn go_on(&self) {
        let mut random = self.random.lock().await;
        for _ in 0..random.random_range(0..12) {
            let id = random.random_range(0..KEYS);
            let number = match self.feeding {
                Feeding::Home => id % self.partitions,
                Feeding::Shared => random.random_range(0..self.partitions),
            };
            match random.random_range(0..10) {
                0..=2 if self.deletes => self.world.gone(number, &format!("k{id:02}")),
                3 => {
                    let skipped = self.world.source.skip(&super::partition(number), 2);
                    skipped.unwrap();
                }
                n => self.world.hit(number, &format!("k{id:02}"), n),
            }
        }
        for side in &self.sides {
            for number in 0..self.partitions {
                let at = self.world.position(side, number).await.offset();
                let end = self.world.end(number).await.offset();
                let to = Position::at(random.random_range(at..=end));
                self.world.feed(side, number, to).await;
            }
        }
    }

    fn verifier(self: &Arc<Self>) -> Verifier {
        let store = Arc::clone(self) as Arc<dyn ViewStore>;
        Verifier {
            page_rows: 4,
            rows_at_once: 8,
            ..Verifier::new(store, Arc::clone(&self.world.excerpts))
        }
    }
}

#[async_trait]
impl ViewStore for Racing {
    fn kind(&self) -> StoreKind {
        StoreKind::Postgres
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn create(
        &self,
        generation: &Generation,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()> {
        self.world.store.create(generation, starts).await
    }

    async fn pointer(&self, projection: &str) -> Result<Option<Pointer>> {
        self.world.store.pointer(projection).await
    }

    async fn forget(&self, projection: &str) -> Result<()> {
        self.world.store.forget(projection).await
    }

    async fn cut_over(&self, cut: &CutOver) -> Result<CutOverOutcome> {
        self.world.store.cut_over(cut).await
    }

    async fn create_from(
        &self,
        from: &Generation,
        to: &Generation,
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let store = &self.world.store;
        store.create_from(from, to, starts, progress).await
    }

    async fn size(&self, generation: &Generation) -> Result<Option<(u64, u64)>> {
        self.world.store.size(generation).await
    }

    async fn dependants(&self, projection: &str) -> Result<Vec<String>> {
        self.world.store.dependants(projection).await
    }

    async fn add_cursor(
        &self,
        generation: &Generation,
        partition: &TopicPartition,
        start: Position,
    ) -> Result<bool> {
        let store = &self.world.store;
        store.add_cursor(generation, partition, start).await
    }

    async fn publish(&self, generation: &Generation, intent: i64) -> Result<()> {
        self.world.store.publish(generation, intent).await
    }

    async fn cursors(&self, generation: &Generation) -> Result<Option<Vec<Cursor>>> {
        self.go_on().await;
        self.world.store.cursors(generation).await
    }

    async fn claim(&self, generation: &Generation, read: &Cursor, claim: Uuid) -> Result<Claimed> {
        self.world.store.claim(generation, read, claim).await
    }

    async fn apply(&self, generation: &Generation, batch: &Batch) -> Result<Outcome> {
        self.world.store.apply(generation, batch).await
    }

    async fn apply_reading(
        &self,
        generation: &Generation,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome> {
        let store = &self.world.store;
        store.apply_reading(generation, moves, keys, fold).await
    }

    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>> {
        self.world.store.advance(generation, moves).await
    }

    async fn rows(&self, generation: &Generation, keys: &[RowKey]) -> Result<Vec<Option<Row>>> {
        self.go_on().await;
        self.world.store.rows(generation, keys).await
    }

    async fn point_read(
        &self,
        projection: &str,
        key: &RowKey,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>> {
        self.world.store.point_read(projection, key, schemas).await
    }

    async fn remove(&self, generation: &Generation) -> Result<()> {
        self.world.store.remove(generation).await
    }

    async fn compare_page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>> {
        self.go_on().await;
        let store = &self.world.store;
        store.compare_page(first, second, after, rows).await
    }

    async fn base_pages(&self, generation: &Generation) -> Result<Option<BasePages>> {
        let base = self.base.lock().await;
        Ok(base.clone().filter(|_| generation.number == 2))
    }
}

#[tokio::test]
async fn a_copy_is_compared_when_it_has_passed_its_end_and_never_with_the_log() {
    let racing = Racing::new(7, 1, COUNTER, Feeding::Home).await;
    let (first, second) = (&racing.sides[0], &racing.sides[1]);
    let verifier = racing.verifier();
    let copied = |to| {
        Some(BasePages(vec![vec![(
            super::partition(0),
            Position::at(to),
        )]]))
    };
    *racing.base.lock().await = copied(1_000_000);
    let early = verifier.compare(first, second, &|_| ()).await.unwrap_err();
    assert_eq!(early.kind, FaultKind::Transient, "{early}");
    *racing.base.lock().await = copied(1);
    let found = verifier.compare(first, second, &|_| ()).await.unwrap();
    assert_eq!(found.differing, 0);
    let starts = racing.world.starts();
    let refused = verifier.against_log(second, &starts, 1.0, &|_| ()).await;
    assert_eq!(refused.unwrap_err().kind, FaultKind::Misconfigured);
    assert!(
        verifier
            .against_log(first, &starts, 1.0, &|_| ())
            .await
            .is_ok()
    );
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let mut runtime = runtime;
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generations_that_go_on_meanwhile_never_differ_falsely_i9(
        seed: u64, partitions in 1..4i32, reads: bool,
    ) {
        block_on(async {
            let text = if reads { LADDER } else { COUNTER };
            let racing = Racing::new(seed, partitions, text, Feeding::Home).await;
            let verifier = racing.verifier();
            let found = verifier.compare(&racing.sides[0], &racing.sides[1], &|_| ()).await.unwrap();
            prop_assert_eq!(found.differing, 0, "{:?}", found);
            prop_assert_eq!(found.unsettled, 0);
            let starts = racing.world.starts();
            let found = verifier.against_log(&racing.sides[1], &starts, 1.0, &|_| ()).await.unwrap();
            prop_assert_eq!(found.differing, 0, "{:?}", found);
            Ok(())
        })?;
    }

    #[test]
    fn rows_of_many_partitions_differ_at_most_order_sensitively_i9(seed: u64, partitions in 2..4i32) {
        block_on(async {
            let racing = Racing::new(seed, partitions, COUNTER, Feeding::Shared).await;
            let verifier = racing.verifier();
            let found = verifier.compare(&racing.sides[0], &racing.sides[1], &|_| ()).await.unwrap();
            prop_assert_eq!(found.differing, found.order_sensitive, "{:?}", found);
            prop_assert!(!found.by_column.contains_key("events"), "{:?}", found);
            prop_assert!(!found.by_column.contains_key("(row)"), "{:?}", found);
            Ok(())
        })?;
    }

    #[test]
    fn a_wrong_row_is_found_however_much_goes_on_meanwhile(seed: u64, partitions in 1..4i32, lost: bool) {
        block_on(async {
            let racing = Racing::new(seed, partitions, COUNTER, Feeding::Shared).await;
            let (first, second) = (&racing.sides[0], &racing.sides[1]);
            racing.world.hit(0, "k00", 1);
            racing.world.feed_all(first).await;
            racing.world.feed_all(second).await;
            let wrong = if lost {
                RowDelta::Delete(key(second, "k00"))
            } else {
                set(second, "k00", "events", -1000)
            };
            racing.world.tamper(second, wrong).await;
            let verifier = racing.verifier();
            let found = verifier.compare(first, second, &|_| ()).await.unwrap();
            prop_assert!(found.differing > found.order_sensitive, "{:?}", found);
            prop_assert_eq!(&found.examples[0].key, "k00");
            let starts = racing.world.starts();
            let found = verifier.against_log(second, &starts, 1.0, &|_| ()).await.unwrap();
            prop_assert!(found.differing > found.order_sensitive, "{:?}", found);
            prop_assert_eq!(&found.examples[0].key, "k00");
            Ok(())
        })?;
    }
}
