//! A store in memory: the contract of [`ViewStore`] in its plainest form. Serves the hermetic
//! tests and `viewfold try`.

mod control;

pub use control::MemoryControl;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Batch, Claimed, Cursor, FoldRows, Generation, Move, Outcome, PointRead, Verdict, ViewStore,
    other_build,
};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowDelta, RowKey, Schema, StoreKind, apply};

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
}

/// Which generation readers see.
#[derive(Debug)]
struct Pointer {
    number: u32,
    intent: i64,
}

/// One generation.
#[derive(Debug)]
struct Build {
    id: Uuid,
    cursors: BTreeMap<TopicPartition, Cursor>,
    rows: BTreeMap<RowKey, Row>,
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

/// A cursor that nobody has claimed yet.
fn unclaimed(partition: &TopicPartition, position: Position) -> Cursor {
    Cursor {
        partition: partition.clone(),
        position,
        claim: None,
        epoch: 0,
        newest_micros: None,
    }
}

/// Whether the batch must be applied, or what is to be answered without applying it.
fn judge(build: Option<&Build>, moves: &[Move]) -> Result<(), Outcome> {
    let verdicts: Vec<Verdict> = moves
        .iter()
        .map(|wanted| {
            let stored = build.and_then(|build| build.cursors.get(&wanted.partition));
            Verdict::judge(wanted, stored.map(|cursor| (cursor.claim, cursor.position)))
        })
        .collect();
    if verdicts.iter().all(|v| *v == Verdict::NotApplied) {
        Ok(())
    } else if verdicts.iter().all(|v| *v == Verdict::Applied) {
        Err(Outcome::Applied)
    } else {
        Err(Outcome::Refused(verdicts))
    }
}

impl Build {
    /// Computes all rows first, then writes: a fault changes nothing.
    fn apply(&mut self, schema: &Schema, moves: &[Move], deltas: &[RowDelta]) -> Result<()> {
        let rows = deltas
            .iter()
            .map(|delta| {
                let before = self.rows.get(delta.key()).cloned();
                Ok((delta.key(), apply(schema, before, delta)?))
            })
            .collect::<Result<Vec<_>>>()?;
        for (key, row) in rows {
            match row {
                Some(row) => self.rows.insert(key.clone(), row),
                None => self.rows.remove(key),
            };
        }
        for wanted in moves {
            self.advance(wanted);
        }
        Ok(())
    }

    fn advance(&mut self, wanted: &Move) {
        if let Some(cursor) = self.cursors.get_mut(&wanted.partition) {
            cursor.position = wanted.to;
            cursor.newest_micros = cursor.newest_micros.max(wanted.newest_micros);
        }
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
        let mut held = self.held.lock().await;
        if held.build(generation).is_none() {
            return Err(Fault::misconfigured(format!(
                "{generation} cannot be published: it is not in {}",
                self.kind
            )));
        }
        let pointer = Pointer {
            number: generation.number,
            intent,
        };
        match held.pointers.get_mut(&generation.projection) {
            Some(stored) if intent > stored.intent => *stored = pointer,
            Some(_) => {}
            None => {
                held.pointers.insert(generation.projection.clone(), pointer);
            }
        }
        Ok(())
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
        }
        Ok(Outcome::Applied)
    }

    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>> {
        let mut held = self.held.lock().await;
        let mut build = held.build_mut(generation);
        let verdicts = moves.iter().map(|wanted| {
            match judge(build.as_deref(), std::slice::from_ref(wanted)) {
                Err(Outcome::Refused(verdicts)) => verdicts.into_iter().next(),
                Err(Outcome::Applied) => Some(Verdict::Applied),
                Ok(()) => {
                    if let Some(build) = build.as_deref_mut() {
                        build.advance(wanted);
                    }
                    Some(Verdict::Applied)
                }
            }
            .unwrap_or(Verdict::Gone)
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
        let Some(pointer) = held.pointers.get(projection) else {
            return Ok(None);
        };
        let generation = schemas(pointer.number).ok_or_else(|| {
            Fault::transient(format!(
                "{projection} generation {} is live, and not known here yet",
                pointer.number
            ))
        })?;
        Ok(held.build(&generation).map(|build| PointRead {
            generation: pointer.number,
            row: build.rows.get(key).cloned(),
            cursors: build.cursors.values().cloned().collect(),
        }))
    }

    async fn remove(&self, generation: &Generation) -> Result<()> {
        let mut held = self.held.lock().await;
        if held.build(generation).is_some() {
            let key = (generation.projection.clone(), generation.number);
            held.builds.remove(&key);
        }
        Ok(())
    }
}
