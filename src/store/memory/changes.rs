//! The change log in memory.

use std::collections::HashMap;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Held, MemoryStore};
use crate::fault::{Fault, Result};
use crate::projection::RowDelta;
use crate::store::changes::{ChangeLog, ChangeMark, Changes, Noted, Reached};
use crate::store::{Generation, Move};

/// How many batches are kept when old ones are removed.
const KEPT: usize = 1_000;

/// What was noted, and up to where it is not kept.
#[derive(Debug, Default)]
pub(super) struct Log {
    batches: Vec<(Uuid, Noted, Vec<String>)>,
    horizons: HashMap<Uuid, Reached>,
    last: i64,
}

impl Held {
    /// Notes a batch of the generation that readers see.
    pub(super) fn note(&mut self, generation: &Generation, moves: &[Move], rows: &[RowDelta]) {
        let pointer = self.pointers.get(&generation.projection);
        let is_live = pointer.is_some_and(|live| live.generation == Some(generation.number));
        if !is_live || rows.is_empty() {
            return;
        }
        self.log.last += 1;
        let noted = Noted {
            id: self.log.last,
            reached: moves.iter().map(|m| (m.partition.clone(), m.to)).collect(),
        };
        let keys = rows.iter().map(|row| row.key().text().to_owned());
        let batch = (generation.build, noted, keys.collect());
        self.log.batches.push(batch);
    }

    /// Readers see the generation from here on.
    pub(super) fn note_from_here(&mut self, generation: &Generation) {
        let Some(build) = self.build(generation) else {
            return;
        };
        let reached = build
            .cursors
            .values()
            .map(|at| (at.partition.clone(), at.position));
        let reached = reached.collect();
        self.log.horizons.insert(generation.build, reached);
    }

    fn mark(&self, projection: &str) -> Option<ChangeMark> {
        let number = self.pointers.get(projection)?.generation?;
        let build = self.builds.get(&(projection.into(), number))?;
        let cursors = build.cursors.values();
        Some(ChangeMark {
            generation: number,
            build: build.id,
            reached: cursors
                .map(|at| (at.partition.clone(), at.position))
                .collect(),
            seen: self.log.last.to_string(),
        })
    }

    fn noted(&self, build: Uuid, wanted: impl Fn(&Noted) -> bool) -> Vec<Noted> {
        let batches = self.log.batches.iter();
        let of_build = batches.filter(|(of, noted, _)| *of == build && wanted(noted));
        of_build.map(|(_, noted, _)| noted.clone()).collect()
    }
}

#[async_trait]
impl ChangeLog for MemoryStore {
    async fn look(&self, projection: &str, since: Option<&ChangeMark>) -> Result<Option<Changes>> {
        let held = self.held.lock().await;
        let Some(mark) = held.mark(projection) else {
            return Ok(None);
        };
        let noted = match since {
            Some(since) => {
                let seen: i64 = since
                    .seen
                    .parse()
                    .map_err(|_| Fault::bug("a mark of another store"))?;
                held.noted(since.build, |noted| noted.id > seen)
            }
            None => Vec::new(),
        };
        Ok(Some(Changes {
            mark,
            noted,
            more: false,
            lost: false,
        }))
    }

    async fn beyond(
        &self,
        projection: &str,
        floor: &Reached,
        most: usize,
    ) -> Result<Option<Changes>> {
        let held = self.held.lock().await;
        let Some(mark) = held.mark(projection) else {
            return Ok(None);
        };
        let horizon = held.log.horizons.get(&mark.build);
        let lost = horizon.into_iter().flatten().any(|(partition, horizon)| {
            let floor = floor.get(partition).copied().unwrap_or_default();
            *horizon > floor
        });
        let mut noted = held.noted(mark.build, |noted| !noted.is_below(floor));
        let more = noted.len() >= most;
        noted.truncate(most);
        Ok(Some(Changes {
            mark,
            noted,
            more,
            lost,
        }))
    }

    async fn changed_keys(&self, id: i64) -> Result<Option<Vec<String>>> {
        let held = self.held.lock().await;
        let mut batches = held.log.batches.iter();
        let found = batches.find(|(_, noted, _)| noted.id == id);
        Ok(found.map(|(_, _, keys)| keys.clone()))
    }

    async fn forget_old(&self) -> Result<u64> {
        let mut held = self.held.lock().await;
        let log = &mut held.log;
        let old = log.batches.len().saturating_sub(KEPT);
        for (build, noted, _) in log.batches.drain(..old) {
            let horizons = log.horizons.entry(build).or_default();
            for (partition, at) in noted.reached {
                let horizon = horizons.entry(partition).or_default();
                *horizon = at.max(*horizon);
            }
        }
        Ok(old as u64)
    }
}
