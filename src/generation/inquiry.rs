//! What a plan asks of the control tables and the stores. It only reads.

use std::collections::BTreeMap;

use super::catalog::{Catalog, Entry};
use super::plan::RebuildRequest;
use super::planner::Planner;
use super::starts::{LiveReads, LiveTopic};
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::{Definition, StoreKind};
use crate::store::control::{Base, GenerationRecord, State};

/// One projection and what is asked of it.
pub(super) struct Subject<'a> {
    pub(super) projection: &'a str,
    pub(super) proposed: Option<&'a Definition>,
    pub(super) live: Option<&'a Entry>,
    pub(super) catalog: &'a Catalog,
    pub(super) request: &'a RebuildRequest,
}

impl<'a> Subject<'a> {
    /// What a rebuild would run: the file, else what is live.
    pub(super) fn definition(&self) -> Result<&'a Definition, &'a str> {
        match (self.proposed, self.live) {
            (Some(proposed), _) => Ok(proposed),
            (None, Some(live)) => live.definition.as_ref().map_err(String::as_str),
            (None, None) => Err("there is neither a file nor a live generation"),
        }
    }
}

/// What was asked of the control tables and the stores.
pub(super) struct Known {
    pub(super) history: Vec<GenerationRecord>,
    pub(super) number: u32,
    pub(super) dependants: Vec<String>,
    pub(super) disk_bytes: Option<u64>,
    pub(super) warnings: Vec<String>,
}

impl Planner {
    /// Asks the control tables, and the stores as far as they answer.
    pub(super) async fn known(&self, subject: &Subject<'_>) -> Result<Known> {
        let history = self.control.history(subject.projection).await?;
        let mut greatest = history
            .iter()
            .map(|record| record.number)
            .max()
            .unwrap_or(0);
        for entry in subject.catalog.of(subject.projection) {
            greatest = greatest.max(entry.record.number);
        }
        let mut known = Known {
            number: 0,
            dependants: Vec::new(),
            disk_bytes: None,
            warnings: Vec::new(),
            history,
        };
        let definition = subject.definition().ok();
        for (kind, store) in &self.stores {
            let live_there = subject
                .live
                .is_some_and(|live| live.state(*kind) == Some(State::Live));
            let wanted =
                definition.is_some_and(|definition| definition.plan.stores().contains(kind));
            if !live_there && !wanted {
                continue;
            }
            // A store that is away is no reason not to plan: it is built in when it is back.
            match store.pointer(subject.projection).await {
                Ok(pointer) => {
                    let named = pointer.and_then(|pointer| pointer.generation);
                    greatest = greatest.max(named.unwrap_or(0));
                }
                Err(fault) => {
                    known
                        .warnings
                        .push(format!("{kind} could not be asked: {fault}"));
                    continue;
                }
            }
            if let Some(generation) = subject.live.filter(|_| live_there && wanted)
                && let Some(generation) = generation.generation()
                && let Ok(Some((_, bytes))) = store.size(&generation).await
            {
                known.disk_bytes = Some(known.disk_bytes.unwrap_or(0) + bytes);
            }
        }
        if let Some(store) = self.stores.get(&StoreKind::Postgres)
            && definition.is_some_and(|d| d.plan.stores().contains(&StoreKind::Postgres))
            && subject.live.is_some()
        {
            known.dependants = store.dependants(subject.projection).await?;
        }
        known.number = greatest + 1;
        Ok(known)
    }

    /// What the live generation has read, and where it stands.
    pub(super) async fn live_reads(
        &self,
        subject: &Subject<'_>,
        history: &[GenerationRecord],
    ) -> Result<LiveReads> {
        let mut reads = LiveReads::default();
        let Some(live) = subject.live else {
            return Ok(reads);
        };
        let records = self.control.topics(live.record.build).await?;
        reads.topics = records.into_iter().map(LiveTopic::of).collect();
        if live.record.options.base == Base::Live {
            // Copied rows reflect what the generation read that they were copied from: one of those before it.
            let earlier = history
                .iter()
                .filter(|record| record.number < live.record.number);
            for record in earlier {
                for topic in self.control.topics(record.build).await? {
                    if let Some(read) = reads.topics.get_mut(&topic.topic) {
                        read.include(&topic);
                    }
                }
            }
        }
        if subject.request.base == Base::Live {
            reads.cursors = self.live_cursors(live).await?;
        }
        Ok(reads)
    }

    /// Where the live generation stands, in the store where it is the furthest behind.
    async fn live_cursors(&self, live: &Entry) -> Result<BTreeMap<TopicPartition, Position>> {
        let mut lowest = BTreeMap::new();
        let Some(generation) = live.generation() else {
            return Ok(lowest);
        };
        for (kind, store) in &self.stores {
            if live.state(*kind) != Some(State::Live) {
                continue;
            }
            for cursor in store.cursors(&generation).await?.unwrap_or_default() {
                let known = lowest.entry(cursor.partition).or_insert(cursor.position);
                *known = (*known).min(cursor.position);
            }
        }
        Ok(lowest)
    }
}
