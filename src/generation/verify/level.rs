//! Rows of one side, brought level with a later position by folding the log in memory.

use std::collections::HashSet;
use std::sync::Arc;

use super::Side;
use super::part::Part;
use crate::event::{Chunk, Event};
use crate::fault::{Fault, Result};
use crate::pipeline::{Excerpts, guarded};
use crate::position::{Range, TopicPartition};
use crate::projection::{HeldRows, Row, RowKey};
use crate::store::Cursor;

/// Which keys are brought level; of the others nothing is known.
#[derive(Clone)]
pub(super) enum Scope {
    /// These, which are there or known not to be.
    Keys(Arc<HashSet<RowKey>>),
    /// All of a part.
    Part(Part),
}

impl Scope {
    fn contains(&self, key: &RowKey) -> bool {
        match self {
            Self::Keys(keys) => keys.contains(key),
            Self::Part(part) => part.contains(key),
        }
    }
}

/// Some rows of one side.
pub(super) struct Level<'s> {
    side: &'s Side,
    scope: Scope,
    held: HeldRows,
    /// Keys of events that look at rows outside of the scope: what such an event does cannot be known.
    unknown: HashSet<RowKey>,
    /// Keys that were touched, while that is watched.
    touched: Option<HashSet<RowKey>>,
}

impl<'s> Level<'s> {
    pub(super) fn new(
        side: &'s Side,
        scope: Scope,
        rows: impl IntoIterator<Item = (RowKey, Row)>,
    ) -> Self {
        Self {
            side,
            scope,
            held: HeldRows::new(Arc::clone(&side.plan), rows),
            unknown: HashSet::new(),
            touched: None,
        }
    }

    /// The row as it stands; none when there is none.
    pub(super) fn row(&self, key: &RowKey) -> Option<&Row> {
        self.held.rows().get(key)
    }

    /// The keys of all rows, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &RowKey> {
        self.held.rows().keys()
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.held.rows().len()
    }

    /// Keys whose rows cannot be known from what was given.
    pub(super) fn unknown(&self) -> &HashSet<RowKey> {
        &self.unknown
    }

    /// Begins to note which keys are touched.
    pub(super) fn watch(&mut self) {
        self.touched = Some(HashSet::new());
    }

    /// Whether the key was touched since [`Level::watch`].
    pub(super) fn was_touched(&self, key: &RowKey) -> bool {
        let touched = self.touched.as_ref();
        touched.is_some_and(|touched| touched.contains(key))
    }

    /// Holds on to the rows of `part` only.
    pub(super) fn narrow(&mut self, part: Part) {
        self.held.retain(|key| part.contains(key));
        self.scope = Scope::Part(part);
    }

    /// Folds the records of `range`, which the log has.
    pub(super) async fn advance(
        &mut self,
        excerpts: &Excerpts,
        partition: &TopicPartition,
        range: Range,
    ) -> Result<()> {
        let plans = [Arc::clone(&self.side.plan)];
        let mut each = |chunk: &Chunk| self.take(chunk, range);
        excerpts.read(partition, range, &plans, &mut each).await?;
        self.settle()
    }

    /// Folds the records of the chunk that lie in `range`.
    pub(super) fn take(&mut self, chunk: &Chunk, range: Range) -> Result<()> {
        let Some(map) = chunk.map(self.side.plan.paths()) else {
            return Err(Fault::bug(
                "an excerpt was decoded without the paths of its plan",
            ));
        };
        for index in chunk.first_at(range.from)..chunk.first_at(range.to) {
            let event = chunk.event(index, &map);
            if self.side.skips(chunk.partition(), event.offset()) {
                continue;
            }
            self.fold(&event).map_err(|fault| {
                let side = &self.side.generation;
                Fault::misconfigured(format!(
                    "{}: {side} cannot apply this record: {fault}",
                    event.record()
                ))
            })?;
        }
        Ok(())
    }

    /// Brings the rows level with all that was folded.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.held.settle().map_err(|fault| {
            let side = &self.side.generation;
            Fault::misconfigured(format!("{side} cannot apply its records: {fault}"))
        })
    }

    fn fold(&mut self, event: &Event<'_>) -> Result<()> {
        if self.side.plan.reads_rows() && event.fault().is_none() {
            let keys = guarded(|| self.side.plan.row_keys(event)).unwrap_or_default();
            let known = |key: &RowKey| self.scope.contains(key) && !self.unknown.contains(key);
            if !keys.iter().all(known) {
                self.lose(event, keys);
                return Ok(());
            }
        }
        let Self {
            scope,
            held,
            touched,
            ..
        } = self;
        let wanted = |key: &RowKey| {
            let inside = scope.contains(key);
            if inside && let Some(touched) = touched.as_mut() {
                touched.insert(key.clone());
            }
            inside
        };
        guarded(|| held.take(event, wanted)).map(|_| ())
    }

    /// The event looks at rows that are not known: neither are, from here on, the rows that it touches.
    fn lose(&mut self, event: &Event<'_>, looked_at: Vec<RowKey>) {
        let mut touched = looked_at;
        // What it says without those rows at least names further rows.
        let _ = guarded(|| {
            self.held.take(event, |key| {
                touched.push(key.clone());
                false
            })
        });
        touched.retain(|key| self.scope.contains(key));
        self.unknown.extend(touched);
    }
}

/// What one side lacks of the other's records, by partition.
pub(super) fn gaps(side: &[Cursor], other: &[Cursor]) -> Vec<(TopicPartition, Range)> {
    let gap = |cursor: &Cursor| {
        let ahead = other.iter().find(|o| o.partition == cursor.partition)?;
        (cursor.position < ahead.position).then(|| {
            let range = Range {
                from: cursor.position,
                to: ahead.position,
            };
            (cursor.partition.clone(), range)
        })
    };
    side.iter().filter_map(gap).collect()
}

/// Refuses cursors that cannot be compared yet: a partition of a topic that `side` reads, too, and has no
/// position in.
pub(super) fn has_all(side: &Side, own: &[Cursor], other: &[Cursor]) -> Result<()> {
    let missing = other.iter().map(|cursor| &cursor.partition).find(|of| {
        let topics = side.plan.topics();
        own.iter().all(|cursor| cursor.partition != **of)
            && topics.iter().any(|topic| topic.selects(&of.topic))
    });
    match missing {
        None => Ok(()),
        Some(partition) => Err(Fault::transient(format!(
            "{} has no position in {partition} yet",
            side.generation
        ))),
    }
}
