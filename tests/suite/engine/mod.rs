//! The real engine over the log and the store in memory: hand-overs, holes, recreated topics; rebuilding beside
//! live views.

mod rebuild;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use uuid::Uuid;
use viewfold::event::Envelope;
use viewfold::fault::Result;
use viewfold::pipeline::{
    Board, Budget, Engine, Envelopes, Limits, Pace, Parts, PipelineKey, PipelineSpec, Reason, Role,
    TopicUse,
};
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{Definition, Row, RowKey, StoreKind, Value};
use viewfold::source::EventSource;
use viewfold::source::memory::{MemoryRecord, MemorySource};
use viewfold::store::memory::MemoryStore;
use viewfold::store::{Generation, ViewStore};

const COUNTER: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
cents = { type = "bigint", default = 0 }
[on."*"]
add = { events = "1", cents = "data.cents" }
"#;

const PATIENCE: Duration = Duration::from_secs(20);

struct Plain;

#[async_trait]
impl Envelopes for Plain {
    async fn known(&self, _topic: &str) -> Result<Option<Envelope>> {
        Ok(Some(Envelope::Plain))
    }

    async fn remember(&self, _topic: &str, detected: Envelope) -> Result<Envelope> {
        Ok(detected)
    }
}

/// A log, a store and a generation that instances share.
struct World {
    source: MemorySource,
    store: Arc<MemoryStore>,
    definition: Definition,
    generation: Generation,
    partitions: i32,
    topic_id: String,
}

impl World {
    async fn named(name: &str, partitions: i32) -> Self {
        let mut world = Self::new(partitions).await;
        world.generation = Generation {
            projection: name.into(),
            build: Uuid::new_v4(),
            ..world.generation.clone()
        };
        let generation = world.generation.clone();
        let starts: Vec<_> = (0..partitions)
            .map(|number| (partition(number), Position::ZERO))
            .collect();
        world.store.create(&generation, &starts).await.unwrap();
        world
    }

    async fn new(partitions: i32) -> Self {
        Self::with(COUNTER, partitions).await
    }

    async fn with(text: &str, partitions: i32) -> Self {
        let source = MemorySource::default();
        source.create_topic("t", usize::try_from(partitions).unwrap());
        let definition = Definition::parse("counter", "counter.toml", text).unwrap();
        let generation = Generation {
            projection: "counter".into(),
            number: 1,
            build: Uuid::new_v4(),
            schema: Arc::clone(definition.plan.schema()),
        };
        let store = Arc::new(MemoryStore::new(StoreKind::Postgres));
        let starts: Vec<_> = (0..partitions)
            .map(|number| (partition(number), Position::ZERO))
            .collect();
        store.create(&generation, &starts).await.unwrap();
        let topic_id = source.topic_id("t").await.unwrap().unwrap();
        Self {
            source,
            store,
            definition,
            generation,
            partitions,
            topic_id,
        }
    }

    fn append(&self, number: i32, id: usize, cents: usize) {
        let value = format!(r#"{{"id":"k{id}","cents":{cents}}}"#);
        self.source
            .append(
                &partition(number),
                MemoryRecord::new(format!("k{id}"), value),
            )
            .unwrap();
    }

    /// An engine that runs this generation as the live one.
    async fn engine(&self) -> (Engine, Board) {
        let (engine, board) = self.idle_engine().await;
        engine.set_pipelines(vec![self.spec(&self.generation, Role::Live)]);
        (engine, board)
    }

    async fn idle_engine(&self) -> (Engine, Board) {
        let board = Board::new();
        let engine = Engine::start(Parts {
            source: Arc::new(self.source.clone()),
            envelopes: Arc::new(Plain),
            budget: Budget::new(4 << 20),
            limits: Limits {
                batch_rows: 50,
                batch_bytes: 64 << 10,
                lanes: 1,
            },
            board: board.clone(),
        })
        .await
        .unwrap();
        (engine, board)
    }

    fn spec(&self, generation: &Generation, role: Role) -> PipelineSpec {
        let topic = TopicUse {
            id: self.topic_id.clone(),
            partitions: self.partitions,
            refusal: None,
        };
        PipelineSpec {
            key: PipelineKey {
                build: generation.build,
                store: StoreKind::Postgres,
            },
            generation: generation.clone(),
            plan: Arc::clone(&self.definition.plan),
            store: Arc::clone(&self.store) as Arc<dyn ViewStore>,
            role,
            topics: BTreeMap::from([("t".into(), topic)]),
            skips: Arc::new(HashSet::new()),
            created: true,
            waiting: None,
            pace: Pace::default(),
            paused: false,
            base: None,
        }
    }

    /// One more generation of the same definition, which begins at the beginning.
    async fn next_generation(&self, number: u32) -> Generation {
        let generation = Generation {
            number,
            build: Uuid::new_v4(),
            ..self.generation.clone()
        };
        let starts = (0..self.partitions).map(|number| (partition(number), Position::ZERO));
        let starts: Vec<_> = starts.collect();
        self.store.create(&generation, &starts).await.unwrap();
        generation
    }

    async fn positions(&self) -> Vec<i64> {
        positions(&self.store, &self.generation).await
    }

    async fn caught_up(&self) {
        self.reached_the_end(&self.store, &self.generation).await;
    }

    /// Waits until the generation stands at the end of the log.
    async fn reached_the_end(&self, store: &MemoryStore, generation: &Generation) {
        let mut ends = Vec::new();
        for number in 0..self.partitions {
            let bounds = self.source.bounds(&partition(number)).await.unwrap();
            ends.push(bounds.high.offset());
        }
        let deadline = Instant::now() + PATIENCE;
        while positions(store, generation).await != ends {
            assert!(
                Instant::now() < deadline,
                "stands at {:?} of {ends:?}",
                positions(store, generation).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Events and cents of each of `ids` rows.
    async fn sums(&self, ids: usize) -> Vec<(i64, i64)> {
        self.sums_of(&self.store, &self.generation, ids).await
    }

    async fn sums_of(
        &self,
        store: &MemoryStore,
        generation: &Generation,
        ids: usize,
    ) -> Vec<(i64, i64)> {
        let schema = &generation.schema;
        let key =
            |id: usize| RowKey::new(schema, vec![Value::Text(format!("k{id}").into())]).unwrap();
        let keys: Vec<RowKey> = (0..ids).map(key).collect();
        let rows = store.rows(generation, &keys).await.unwrap();
        let number = |row: &Row, column: usize| match row.values[column] {
            Value::Int(number) => number,
            _ => -1,
        };
        rows.iter()
            .map(|row| {
                row.as_ref()
                    .map_or((0, 0), |row| (number(row, 1), number(row, 2)))
            })
            .collect()
    }
}

async fn positions(store: &MemoryStore, generation: &Generation) -> Vec<i64> {
    let cursors = store.cursors(generation).await.unwrap().unwrap();
    cursors
        .iter()
        .map(|cursor| cursor.position.offset())
        .collect()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn expected(ids: usize, events: usize) -> Vec<(i64, i64)> {
    let mut sums = vec![(0, 0); ids];
    for event in 0..events {
        sums[event % ids].0 += 1;
        sums[event % ids].1 += i64::try_from(event % 97).unwrap();
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_change_hands_again_and_again_are_counted_once_i2_i5() {
    let world = World::new(3).await;
    world.source.script_group();
    let (first, _) = world.engine().await;
    let (second, _) = world.engine().await;
    let all: Vec<TopicPartition> = (0..3).map(partition).collect();
    world.source.assign(0, &all);
    let mut events = 0;
    for round in 0..12 {
        for _ in 0..400 {
            world.append((events % 3) as i32, events % 30, events % 97);
            events += 1;
        }
        tokio::time::sleep(Duration::from_millis(20 * (round % 4))).await;
        let (from, to) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        // In turn: orderly, after a loss, and to an heir of whom the old owner does not know yet.
        match round % 3 {
            0 => world.source.revoke(from, &all),
            1 => world.source.lose(from, &all),
            _ => {}
        }
        world.source.assign(to, &all);
        if round % 3 == 2 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            world.source.lose(from, &all);
        }
    }
    world.caught_up().await;
    assert_eq!(world.sums(30).await, expected(30, events));
    first.finish(Duration::from_secs(5)).await;
    second.finish(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_move_over_holes_and_aborted_records_i1() {
    let world = World::new(1).await;
    let (engine, _) = world.engine().await;
    (0..100).for_each(|event| world.append(0, event % 5, event % 97));
    world.source.skip(&partition(0), 7).unwrap();
    world.source.open_transaction(&partition(0)).unwrap();
    (0..20).for_each(|event| world.append(0, event % 5, 50));
    world
        .source
        .close_transaction(&partition(0), false)
        .unwrap();
    world.caught_up().await;
    assert_eq!(world.sums(5).await, expected(5, 100));
    engine.finish(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_created_anew_changes_nothing_and_is_named_i6() {
    let world = World::new(1).await;
    world.source.script_group();
    let (engine, board) = world.engine().await;
    world.source.assign(0, &[partition(0)]);
    (0..10).for_each(|event| world.append(0, 0, event));
    world.caught_up().await;
    let before = world.sums(1).await;
    world.source.delete_topic("t");
    world.source.create_topic("t", 1);
    // Its records lie at and behind our position: read on, they would be counted.
    (0..30).for_each(|event| world.append(0, 0, event));
    world.source.lose(0, &[partition(0)]);
    world.source.assign(0, &[partition(0)]);
    let deadline = Instant::now() + PATIENCE;
    let recreated = |board: &Board| {
        let tracks = board.tracks();
        let mut stalls = tracks
            .iter()
            .filter_map(|(_, status)| status.stall.as_ref());
        stalls.any(|stall| stall.reason == Reason::TopicRecreated)
    };
    while !recreated(&board) {
        assert!(Instant::now() < deadline, "{:?}", board.tracks());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.positions().await, [10]);
    assert_eq!(world.sums(1).await, before);
    engine.finish(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_before_a_poison_event_is_stored_whatever_its_neighbours_do_i11() {
    let world = World::new(4).await;
    for number in 0..4 {
        (0..20).for_each(|event| world.append(number, 0, event));
        let poison = MemoryRecord::new("k0", r#"{"id":"k0"}"#);
        world.source.append(&partition(number), poison).unwrap();
        (0..20).for_each(|event| world.append(number, 0, event));
    }
    let (engine, board) = world.engine().await;
    let deadline = Instant::now() + PATIENCE;
    let stopped = |board: &Board| {
        let tracks = board.tracks();
        let at = tracks
            .iter()
            .filter_map(|(_, status)| status.stall.as_ref()?.record.clone());
        at.filter(|record| record.offset == 20).count()
    };
    while stopped(&board) < 4 {
        assert!(Instant::now() < deadline, "{:?}", board.tracks());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.positions().await, [20; 4]);
    assert_eq!(world.sums(1).await, [(80, 4 * (0..20).sum::<i64>())]);
    engine.finish(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_no_handler_wants_pass_at_full_speed() {
    let picky = COUNTER.replace(r#"[on."*"]"#, r#"[on."something.else"]"#);
    let world = World::with(&picky, 1).await;
    let padding = "x".repeat(4000);
    for event in 0..3000 {
        let value = format!(r#"{{"id":"k{event}","cents":1,"note":"{padding}"}}"#);
        world
            .source
            .append(&partition(0), MemoryRecord::new("k", value))
            .unwrap();
    }
    let (engine, board) = world.engine().await;
    // Far more than the lane's window: held back for a second each time, this would take minutes.
    world.caught_up().await;
    let key = board.tracks()[0].0.0;
    assert_eq!(board.unmatched(key).get("t"), Some(&3000));
    engine.finish(Duration::from_secs(5)).await;
}
