//! A store in memory: the contract of [`ViewStore`] in its plainest form. Serves the hermetic
//! tests and `viewfold try`.

mod build;
mod changes;
mod compare;
mod control;
mod copy;
mod list;
mod pointers;

pub use control::MemoryControl;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use self::build::{Build, judge, unclaimed, verdict};
use self::changes::Log;
use super::changes::ChangeLog;
use super::list::{ListRead, Listed};
use super::{
    BasePages, Batch, Claimed, ComparePage, Cursor, CutOver, CutOverOutcome, FoldRows, Generation,
    Move, Outcome, PageToken, PointRead, Pointer, Verdict, ViewStore, other_build,
};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowKey, StoreKind};

/// Views in memory.
#[derive(Debug)]
pub struct MemoryStore {
    kind: StoreKind,
    held: Mutex<Held>,
}

/// Everything that the store holds.
#[derive(Debug, Default)]
struct Held {
    builds: HashMap<(Arc<str>, u32), Build>,
    pointers: HashMap<Arc<str>, Pointer>,
    log: Log,
}

impl MemoryStore {
    /// An empty store that takes the place of a store of `kind`.
    pub fn new(kind: StoreKind) -> Self {
        Self {
            kind,
            held: Mutex::default(),
        }
    }

    /// Puts rows where they are, as a copy does. `false` when there is no such build.
    pub async fn put_rows(&self, generation: &Generation, rows: Vec<(RowKey, Row)>) -> bool {
        let mut held = self.held.lock().await;
        let build = held.build_mut(generation);
        build.map(|build| build.rows.extend(rows)).is_some()
    }

    /// All rows of the generation, by key; none when there is no such build.
    pub async fn all_rows(&self, generation: &Generation) -> Option<Vec<(RowKey, Row)>> {
        let held = self.held.lock().await;
        let build = held.build(generation)?;
        let rows = build.rows.iter();
        Some(rows.map(|(k, r)| (k.clone(), r.clone())).collect())
    }
}

impl Held {
    /// The generation, if it is there and the same build.
    fn build(&self, generation: &Generation) -> Option<&Build> {
        let key = (generation.projection.clone(), generation.number);
        self.builds
            .get(&key)
            .filter(|build| build.id == generation.build)
    }

    fn build_mut(&mut self, generation: &Generation) -> Option<&mut Build> {
        let key = (generation.projection.clone(), generation.number);
        self.builds
            .get_mut(&key)
            .filter(|build| build.id == generation.build)
    }
}

#[async_trait]
impl ViewStore for MemoryStore {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn create(
        &self,
        generation: &Generation,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let mut held = self.held.lock().await;
        let key = (generation.projection.clone(), generation.number);
        match held.builds.get(&key) {
            Some(build) if build.id == generation.build => Ok(()),
            Some(_) => Err(other_build(generation, self.kind)),
            None => {
                let cursors = starts.iter().map(|(p, at)| (p.clone(), unclaimed(p, *at)));
                let build = Build {
                    id: generation.build,
                    cursors: cursors.collect(),
                    rows: BTreeMap::new(),
                    pages: None,
                };
                held.builds.insert(key, build);
                Ok(())
            }
        }
    }

    async fn add_cursor(
        &self,
        generation: &Generation,
        partition: &TopicPartition,
        start: Position,
    ) -> Result<bool> {
        let mut held = self.held.lock().await;
        let Some(build) = held.build_mut(generation) else {
            return Ok(false);
        };
        build
            .cursors
            .entry(partition.clone())
            .or_insert_with(|| unclaimed(partition, start));
        Ok(true)
    }

    async fn publish(&self, generation: &Generation, intent: i64) -> Result<()> {
        self.held
            .lock()
            .await
            .publish(generation, intent, self.kind)
    }

    async fn cursors(&self, generation: &Generation) -> Result<Option<Vec<Cursor>>> {
        let held = self.held.lock().await;
        Ok(held
            .build(generation)
            .map(|build| build.cursors.values().cloned().collect()))
    }

    async fn claim(&self, generation: &Generation, read: &Cursor, claim: Uuid) -> Result<Claimed> {
        let mut held = self.held.lock().await;
        let cursor = held
            .build_mut(generation)
            .and_then(|build| build.cursors.get_mut(&read.partition));
        Ok(match cursor {
            None => Claimed::Gone,
            Some(cursor) if cursor.claim != read.claim => Claimed::Lost,
            Some(cursor) => {
                cursor.claim = Some(claim);
                cursor.epoch += 1;
                Claimed::Ours(cursor.position)
            }
        })
    }

    async fn apply(&self, generation: &Generation, batch: &Batch) -> Result<Outcome> {
        let mut held = self.held.lock().await;
        let build = held.build_mut(generation);
        if let Err(outcome) = judge(build.as_deref(), &batch.moves) {
            return Ok(outcome);
        }
        if let Some(build) = build {
            build.apply(&generation.schema, &batch.moves, &batch.rows)?;
            held.note(generation, &batch.moves, &batch.rows);
        }
        Ok(Outcome::Applied)
    }

    async fn apply_reading(
        &self,
        generation: &Generation,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome> {
        let mut held = self.held.lock().await;
        let build = held.build_mut(generation);
        if let Err(outcome) = judge(build.as_deref(), moves) {
            return Ok(outcome);
        }
        if let Some(build) = build {
            let rows: Vec<(RowKey, Option<Row>)> = keys
                .iter()
                .map(|key| (key.clone(), build.rows.get(key).cloned()))
                .collect();
            let deltas = fold(&rows)?;
            build.apply(&generation.schema, moves, &deltas)?;
            held.note(generation, moves, &deltas);
        }
        Ok(Outcome::Applied)
    }

    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>> {
        let mut held = self.held.lock().await;
        let mut build = held.build_mut(generation);
        let verdicts = moves.iter().map(|wanted| {
            let found = verdict(build.as_deref(), wanted);
            if found != Verdict::NotApplied {
                return found;
            }
            if let Some(build) = build.as_deref_mut() {
                build.advance(wanted);
            }
            Verdict::Applied
        });
        Ok(verdicts.collect())
    }

    async fn rows(&self, generation: &Generation, keys: &[RowKey]) -> Result<Vec<Option<Row>>> {
        let held = self.held.lock().await;
        let build = held.build(generation);
        let row = |key| build.and_then(|build| build.rows.get(key)).cloned();
        Ok(keys.iter().map(row).collect())
    }

    async fn point_read(
        &self,
        projection: &str,
        key: &RowKey,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>> {
        let held = self.held.lock().await;
        let Some(number) = held.pointers.get(projection).and_then(|p| p.generation) else {
            return Ok(None);
        };
        let generation = schemas(number).ok_or_else(|| {
            Fault::transient(format!(
                "{projection} generation {} is live, and not known here yet",
                number
            ))
        })?;
        Ok(held.build(&generation).map(|build| PointRead {
            generation: number,
            row: build.rows.get(key).cloned(),
            cursors: build.cursors.values().cloned().collect(),
        }))
    }

    async fn list(&self, generation: &Generation, read: &ListRead) -> Result<Listed> {
        let held = self.held.lock().await;
        let pointer = held.pointers.get(&generation.projection);
        let Some(number) = pointer.and_then(|pointer| pointer.generation) else {
            return Ok(Listed::NotPublished);
        };
        let build = held.build(generation);
        let build = build.filter(|_| number == generation.number);
        Ok(match build {
            Some(build) => Listed::Page(list::page(build, read)),
            None => Listed::Elsewhere(number),
        })
    }

    fn change_log(&self) -> Option<&dyn ChangeLog> {
        (self.kind == StoreKind::Postgres).then_some(self)
    }

    async fn remove(&self, generation: &Generation) -> Result<()> {
        let mut held = self.held.lock().await;
        if held.build(generation).is_none() {
            return Ok(());
        }
        let key = (generation.projection.clone(), generation.number);
        held.builds.remove(&key);
        // The intent stays: it is what refuses older ones.
        if let Some(pointer) = held.pointers.get_mut(&generation.projection)
            && pointer.generation == Some(generation.number)
        {
            pointer.generation = None;
        }
        Ok(())
    }

    async fn pointer(&self, projection: &str) -> Result<Option<Pointer>> {
        Ok(self.held.lock().await.pointers.get(projection).copied())
    }

    async fn forget(&self, projection: &str) -> Result<()> {
        self.held.lock().await.pointers.remove(projection);
        Ok(())
    }

    async fn cut_over(&self, cut: &CutOver) -> Result<CutOverOutcome> {
        Ok(self.held.lock().await.cut_over(cut))
    }

    async fn compare_page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>> {
        let held = self.held.lock().await;
        let (Some(a), Some(b)) = (held.build(first), held.build(second)) else {
            return Ok(None);
        };
        compare::page((&first.schema, a), (&second.schema, b), after, rows).map(Some)
    }

    async fn create_from(
        &self,
        from: &Generation,
        to: &Generation,
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        copy::create_from(self, (from, to), starts, progress).await
    }

    async fn base_pages(&self, generation: &Generation) -> Result<Option<BasePages>> {
        let held = self.held.lock().await;
        Ok(held.build(generation).and_then(|build| build.pages.clone()))
    }

    async fn size(&self, generation: &Generation) -> Result<Option<(u64, u64)>> {
        let held = self.held.lock().await;
        Ok(held.build(generation).map(build::size))
    }

    async fn dependants(&self, _projection: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
