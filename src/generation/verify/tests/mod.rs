//! Verification over the log and the store in memory.

mod against_log;
mod pages;
mod race;
mod verdict;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Side, Verification, Verifier};
use crate::event::{Chunk, Envelope};
use crate::fault::Result;
use crate::pipeline::{Envelopes, Excerpts};
use crate::position::{Position, Range, TopicPartition};
use crate::projection::{
    Cell, Definition, Fold, LoadedFold, Ops, Row, RowDelta, RowKey, StoreKind, Value,
};
use crate::source::EventSource;
use crate::source::memory::{MemoryRecord, MemorySource};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Claimed, Generation, Move, Outcome, ViewStore};

/// Counts and remembers the last number; rows can be deleted.
pub(super) const COUNTER: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
last = "bigint"
[on."hit"]
set = { last = "data.n" }
add = { events = "1" }
[on."gone"]
delete = true
"#;

/// The same, but it counts twice.
pub(super) const DOUBLE: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
last = "bigint"
extra = "text"
[on."hit"]
set = { last = "data.n" }
add = { events = "2" }
[on."gone"]
delete = true
"#;

/// Looks at rows, of several keys at once where an event has several.
pub(super) const LADDER: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
steps = { type = "bigint", default = 0 }
[on."hit"]
set = { steps = "row.steps * 2 + data.n" }
[on."all"]
each = "data.ids"
key = { id = "item" }
set = { steps = "row.steps + 1" }
"#;

/// Records are JSON objects with a type.
pub(super) struct Typed;

#[async_trait]
impl Envelopes for Typed {
    async fn known(&self, _topic: &str) -> Result<Option<Envelope>> {
        Ok(Envelope::from_name(r#"{"type":"type"}"#))
    }

    async fn remember(&self, _topic: &str, detected: Envelope) -> Result<Envelope> {
        Ok(detected)
    }
}

/// A log, a store, and generations that are fed by hand.
pub(super) struct World {
    pub(super) source: MemorySource,
    pub(super) store: Arc<MemoryStore>,
    pub(super) excerpts: Arc<Excerpts>,
    partitions: i32,
    claim: Uuid,
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        let source = MemorySource::default();
        source.create_topic("t", usize::try_from(partitions).unwrap());
        let excerpts = Excerpts::new(Arc::new(source.clone()), Arc::new(Typed));
        Self {
            source,
            store: Arc::new(MemoryStore::new(StoreKind::Postgres)),
            excerpts: Arc::new(excerpts),
            partitions,
            claim: Uuid::new_v4(),
        }
    }

    /// A generation that begins at the log's beginning.
    pub(super) async fn generation(&self, number: u32, text: &str) -> Side {
        let definition = Definition::parse("v", "v.toml", text).unwrap();
        let side = Side {
            generation: Generation {
                projection: "v".into(),
                number,
                build: Uuid::new_v4(),
                schema: Arc::clone(definition.plan.schema()),
            },
            plan: Arc::clone(&definition.plan),
            hash: definition.hash.to_string().into(),
            skips: Arc::new(HashSet::new()),
        };
        let starts = self.starts();
        let create = self.store.create(&side.generation, &starts);
        create.await.unwrap();
        self.claim(&side).await;
        side
    }

    pub(super) async fn claim(&self, side: &Side) {
        let cursors = self.store.cursors(&side.generation).await.unwrap().unwrap();
        for cursor in cursors {
            let claim = self.store.claim(&side.generation, &cursor, self.claim);
            assert!(matches!(claim.await.unwrap(), Claimed::Ours(_)));
        }
    }

    pub(super) fn starts(&self) -> Vec<(TopicPartition, Position)> {
        let all = (0..self.partitions).map(partition);
        all.map(|partition| (partition, Position::ZERO)).collect()
    }

    pub(super) fn append(&self, number: i32, json: &str) -> i64 {
        let record = MemoryRecord::new("", json);
        self.source.append(&partition(number), record).unwrap()
    }

    pub(super) fn hit(&self, number: i32, id: &str, n: i64) {
        self.append(number, &format!(r#"{{"type":"hit","id":"{id}","n":{n}}}"#));
    }

    pub(super) fn gone(&self, number: i32, id: &str) {
        self.append(number, &format!(r#"{{"type":"gone","id":"{id}"}}"#));
    }

    pub(super) async fn end(&self, number: i32) -> Position {
        self.source.bounds(&partition(number)).await.unwrap().high
    }

    pub(super) async fn position(&self, side: &Side, number: i32) -> Position {
        let cursors = self.store.cursors(&side.generation).await.unwrap().unwrap();
        let mut of = cursors.iter().filter(|c| c.partition == partition(number));
        of.next().unwrap().position
    }

    /// Feeds the generation all there is.
    pub(super) async fn feed_all(&self, side: &Side) {
        for number in 0..self.partitions {
            self.feed(side, number, self.end(number).await).await;
        }
    }

    /// Feeds the generation from one partition up to `to`, as a lane would: one batch.
    pub(super) async fn feed(&self, side: &Side, number: i32, to: Position) {
        let range = Range {
            from: self.position(side, number).await,
            to,
        };
        if range.from >= range.to {
            return;
        }
        let plan = &side.plan;
        let (mut keys, mut chunks) = (Vec::new(), Vec::new());
        let fold_all = |rows: &[(RowKey, Option<Row>)], chunks: &[Chunk]| {
            let mut blind = Fold::new(Arc::clone(plan.schema()));
            let mut loaded = LoadedFold::new(Arc::clone(plan.schema()), rows);
            let mut ops = Ops::new();
            each_event(side, chunks, range, |event| {
                plan.handle(event, &loaded, &mut ops)?;
                if plan.reads_rows() {
                    loaded.absorb(&mut ops)
                } else {
                    blind.absorb(&mut ops)
                }
            })?;
            Ok(if plan.reads_rows() {
                loaded.finish()
            } else {
                blind.finish()
            })
        };
        let plans = [Arc::clone(plan)];
        let whole = Arc::new(crate::event::PathSet::new(plan.paths().iter().cloned()));
        let mut keep = |chunk: &Chunk| {
            chunks.push(chunk.with_paths(Arc::clone(&whole)));
            Ok(())
        };
        let of = partition(number);
        let read = self.excerpts.read(&of, range, &plans, &mut keep);
        read.await.unwrap();
        each_event(side, &chunks, range, |event| {
            keys.extend(plan.row_keys(event)?);
            Ok(())
        })
        .unwrap();
        keys.sort();
        keys.dedup();
        let moves = vec![self.movement(number, range)];
        let fold = |rows: &[(RowKey, Option<Row>)]| fold_all(rows, &chunks);
        let outcome = self
            .store
            .apply_reading(&side.generation, &moves, &keys, &fold);
        assert_eq!(outcome.await.unwrap(), Outcome::Applied);
    }

    fn movement(&self, number: i32, range: Range) -> Move {
        Move {
            partition: partition(number),
            claim: self.claim,
            from: range.from,
            to: range.to,
            newest_micros: None,
        }
    }

    /// Changes a row of one generation behind everybody's back. The generation must be fed; a hole in the log
    /// makes room for it.
    pub(super) async fn tamper(&self, side: &Side, delta: RowDelta) {
        self.feed_all(side).await;
        self.source.skip(&partition(0), 1).unwrap();
        let range = Range {
            from: self.position(side, 0).await,
            to: self.end(0).await,
        };
        let batch = Batch {
            moves: vec![self.movement(0, range)],
            rows: vec![delta],
        };
        let outcome = self.store.apply(&side.generation, &batch).await.unwrap();
        assert_eq!(outcome, Outcome::Applied);
    }

    pub(super) fn verifier(&self) -> Verifier {
        let store = Arc::clone(&self.store) as Arc<dyn ViewStore>;
        Verifier {
            page_rows: 7,
            ..Verifier::new(store, Arc::clone(&self.excerpts))
        }
    }

    pub(super) async fn compare(&self, first: &Side, second: &Side) -> Verification {
        let verifier = self.verifier();
        verifier.compare(first, second, &|_| ()).await.unwrap()
    }

    pub(super) async fn against_log(&self, side: &Side) -> Verification {
        let (verifier, starts) = (self.verifier(), self.starts());
        let verified = verifier.against_log(side, &starts, 1.0, &|_| ());
        verified.await.unwrap()
    }
}

fn each_event(
    side: &Side,
    chunks: &[Chunk],
    range: Range,
    mut each: impl FnMut(&crate::event::Event<'_>) -> Result<()>,
) -> Result<()> {
    for chunk in chunks {
        let map = chunk.map(side.plan.paths()).unwrap();
        for index in 0..chunk.len() {
            let event = chunk.event(index, &map);
            let inside = range.serves(Position::at(event.offset()));
            if inside && !side.skips(chunk.partition(), event.offset()) {
                each(&event)?;
            }
        }
    }
    Ok(())
}

pub(super) fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

pub(super) fn key(side: &Side, id: &str) -> RowKey {
    RowKey::new(&side.generation.schema, vec![Value::Text(id.into())]).unwrap()
}

/// A delta that sets one number of a row.
pub(super) fn set(side: &Side, id: &str, column: &str, number: i64) -> RowDelta {
    let index = side.generation.schema.column(column).unwrap();
    RowDelta::Upsert(
        key(side, id),
        vec![(index, Cell::Replace(Value::Int(number)))],
    )
}

pub(super) fn keys(found: &Verification) -> Vec<&str> {
    let mut keys: Vec<&str> = found.examples.iter().map(|e| &*e.key).collect();
    keys.sort_unstable();
    keys
}
