//! A batch: consecutive parts of the tracks of one lane, folded into one delta per row.
//!
//! A batch keeps the chunks it was folded from until it has committed, because it may have to be
//! folded again: without a partition that was lost, or in halves to find the one event that a
//! constraint rejects.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use super::budget::HeldChunk;
use crate::event::{Event, SlotMap};
use crate::fault::{Fault, FaultKind, Result};
use crate::position::{Position, RecordName, TopicPartition};
use crate::projection::{Fold, Handled, LoadedFold, Ops, Projection, Row, RowDelta, RowKey, Rows};
use crate::store::Move;

/// Records `start..end` of a chunk, for one track; covers the offsets `[from, to)`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) partition: TopicPartition,
    pub(super) claim: Uuid,
    pub(super) chunk: HeldChunk,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) from: Position,
    pub(super) to: Position,
}

impl Segment {
    /// The part of `chunk` that a track at `from` has not seen.
    pub(super) fn new(
        partition: TopicPartition,
        claim: Uuid,
        chunk: HeldChunk,
        from: Position,
    ) -> Self {
        let (start, end, to) = (
            chunk.chunk().first_at(from),
            chunk.chunk().len(),
            chunk.chunk().range().to,
        );
        Self {
            partition,
            claim,
            chunk,
            start,
            end,
            from,
            to,
        }
    }

    /// Cuts before record `index`: what stays, and the rest.
    fn split(self, index: usize) -> (Option<Self>, Self) {
        if index <= self.start {
            return (None, self);
        }
        let at = Position::at(self.chunk.chunk().offset(index));
        let rest = Self {
            start: index,
            from: at,
            ..self.clone()
        };
        (
            Some(Self {
                end: index,
                to: at,
                ..self
            }),
            rest,
        )
    }
}

/// What became of the events of a batch, for the counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) applied: u64,
    pub(super) filtered: u64,
    pub(super) skipped: u64,
    pub(super) unmatched: BTreeMap<String, u64>,
}

/// What the fold of an event needs besides the event.
pub(super) struct Rules {
    pub(super) plan: Arc<dyn Projection>,
    pub(super) skips: Arc<HashSet<(TopicPartition, i64)>>,
    /// Records that the store rejected.
    pub(super) rejected: HashMap<(TopicPartition, i64), Fault>,
}

/// The one event at which a track has to stop.
#[derive(Clone, Debug)]
pub(super) struct Culprit {
    pub(super) record: RecordName,
    pub(super) fault: Fault,
}

/// What [`OpenBatch::take`] left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What did not fit any more.
    pub(super) rest: Option<Segment>,
    /// The event at which the segment's track has to stop; the rest begins with it.
    pub(super) culprit: Option<Culprit>,
}

/// A batch that is being filled.
pub(super) struct OpenBatch {
    fold: Fold,
    ops: Ops,
    reading: bool,
    keys: BTreeSet<RowKey>,
    segments: Vec<Segment>,
    moves: BTreeMap<TopicPartition, Move>,
    bytes: usize,
    events: usize,
    last_event: Option<RecordName>,
    counts: Counts,
}

/// A batch that is ready to be written.
#[derive(Debug)]
pub(super) struct CutBatch {
    pub(super) segments: Vec<Segment>,
    pub(super) moves: Vec<Move>,
    pub(super) rows: Vec<RowDelta>,
    pub(super) keys: Vec<RowKey>,
    /// Events that touch rows.
    pub(super) events: usize,
    pub(super) last_event: Option<RecordName>,
    pub(super) counts: Counts,
}

/// How much a batch may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    /// Fewer while the one event that the store rejects is being searched.
    pub(super) events: usize,
}

impl OpenBatch {
    pub(super) fn new(plan: &Arc<dyn Projection>) -> Self {
        Self {
            fold: Fold::new(Arc::clone(plan.schema())),
            ops: Ops::new(),
            reading: plan.reads_rows(),
            keys: BTreeSet::new(),
            segments: Vec::new(),
            moves: BTreeMap::new(),
            bytes: 0,
            events: 0,
            last_event: None,
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many bytes of events it was folded from.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether writing it changes rows, not cursors alone.
    pub(super) fn touches_rows(&self) -> bool {
        self.events > 0
    }

    pub(super) fn holds(&self, partition: &TopicPartition) -> bool {
        self.moves.contains_key(partition)
    }

    pub(super) fn is_full(&self, room: &Room) -> bool {
        self.row_count() >= room.rows || self.bytes >= room.bytes || self.events >= room.events
    }

    fn row_count(&self) -> usize {
        if self.reading {
            self.keys.len()
        } else {
            self.fold.rows()
        }
    }

    /// Folds as much of `segment` as there is room for.
    pub(super) fn take(&mut self, segment: Segment, rules: &Rules, room: &Room) -> Left {
        let held = segment.chunk.clone();
        let Some(map) = held.chunk().map(rules.plan.paths()) else {
            let fault = Fault::bug("chunk was decoded without this projection's paths");
            let record = segment.partition.record(segment.from.offset());
            return Left {
                rest: Some(segment),
                culprit: Some(Culprit { record, fault }),
            };
        };
        let mut newest = None;
        for index in segment.start..segment.end {
            if self.is_full(room) {
                return self.cut(segment, index, newest, None);
            }
            let event = held.chunk().event(index, &map);
            let offset = event.offset();
            if !rules.skips.is_empty() && rules.skips.contains(&(segment.partition.clone(), offset))
            {
                self.counts.skipped += 1;
                continue;
            }
            if let Err(fault) = self.absorb(&event, &segment.partition, rules) {
                let culprit = Culprit {
                    record: segment.partition.record(offset),
                    fault,
                };
                return self.cut(segment, index, newest, Some(culprit));
            }
            newest = newest.max(event.time_micros());
        }
        self.keep(segment, newest);
        Left::default()
    }

    fn cut(
        &mut self,
        segment: Segment,
        index: usize,
        newest: Option<i64>,
        culprit: Option<Culprit>,
    ) -> Left {
        let (taken, rest) = segment.split(index);
        if let Some(taken) = taken {
            self.keep(taken, newest);
        }
        Left {
            rest: Some(rest),
            culprit,
        }
    }

    fn keep(&mut self, segment: Segment, newest: Option<i64>) {
        let records = segment.end - segment.start;
        let all = segment.chunk.chunk().len().max(1);
        self.bytes += segment.chunk.bytes() * records / all;
        self.moves
            .entry(segment.partition.clone())
            .and_modify(|wanted| {
                wanted.to = segment.to;
                wanted.newest_micros = wanted.newest_micros.max(newest);
            })
            .or_insert_with(|| Move {
                partition: segment.partition.clone(),
                claim: segment.claim,
                from: segment.from,
                to: segment.to,
                newest_micros: newest,
            });
        self.segments.push(segment);
    }

    fn absorb(
        &mut self,
        event: &Event<'_>,
        partition: &TopicPartition,
        rules: &Rules,
    ) -> Result<()> {
        if let Some(fault) = event.fault() {
            return Err(fault);
        }
        if !rules.rejected.is_empty()
            && let Some(fault) = rules.rejected.get(&(partition.clone(), event.offset()))
        {
            return Err(fault.clone());
        }
        if self.reading {
            let keys = guarded(|| rules.plan.row_keys(event)).unwrap_or_default();
            self.keys.extend(keys);
            self.note_event(event);
            return Ok(());
        }
        self.ops.clear();
        let handled = guarded(|| rules.plan.handle(event, &NoRows, &mut self.ops))?;
        self.count(handled, event);
        if !self.ops.rows.is_empty() {
            self.fold.absorb(&mut self.ops)?;
            self.note_event(event);
        }
        Ok(())
    }

    fn note_event(&mut self, event: &Event<'_>) {
        self.events += 1;
        self.last_event = Some(event.record());
    }

    fn count(&mut self, handled: Handled, event: &Event<'_>) {
        self.counts.add(handled, event);
    }

    /// The batch, ready to be written; this one is empty afterwards.
    pub(super) fn finish(&mut self) -> CutBatch {
        let batch = CutBatch {
            segments: std::mem::take(&mut self.segments),
            moves: std::mem::take(&mut self.moves).into_values().collect(),
            rows: self.fold.finish(),
            keys: std::mem::take(&mut self.keys).into_iter().collect(),
            events: self.events,
            last_event: self.last_event.take(),
            counts: std::mem::take(&mut self.counts),
        };
        self.bytes = 0;
        self.events = 0;
        batch
    }
}

impl Counts {
    fn add(&mut self, handled: Handled, event: &Event<'_>) {
        match handled {
            Handled::Applied => self.applied += 1,
            Handled::Filtered => self.filtered += 1,
            Handled::Unmatched => {
                self.filtered += 1;
                *self
                    .unmatched
                    .entry(event.event_type().into_owned())
                    .or_default() += 1;
            }
        }
    }
}

/// Folds segments onto loaded rows, event by event: for projections that read rows.
pub(super) fn fold_onto(
    segments: &[Segment],
    rules: &Rules,
    rows: &[(RowKey, Option<Row>)],
) -> Result<(Vec<RowDelta>, Counts), Culprit> {
    let mut fold = LoadedFold::new(Arc::clone(rules.plan.schema()), rows);
    let mut ops = Ops::new();
    let mut counts = Counts::default();
    for segment in segments {
        let chunk = segment.chunk.chunk();
        let blank = || SlotMap(Box::default());
        let map = chunk.map(rules.plan.paths()).unwrap_or_else(blank);
        for index in segment.start..segment.end {
            let event = chunk.event(index, &map);
            if rules
                .skips
                .contains(&(segment.partition.clone(), event.offset()))
            {
                counts.skipped += 1;
                continue;
            }
            ops.clear();
            let folded =
                guarded(|| rules.plan.handle(&event, &fold, &mut ops)).and_then(|handled| {
                    counts.add(handled, &event);
                    fold.absorb(&mut ops)
                });
            if let Err(fault) = folded {
                return Err(Culprit {
                    record: event.record(),
                    fault,
                });
            }
        }
    }
    Ok((fold.finish(), counts))
}

/// Runs a handler; a panic in it is a bug of that handler, not the end of the process.
pub(crate) fn guarded<T>(handler: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned());
        Err(Fault::new(
            FaultKind::Bug,
            format!("handler panicked: {what}"),
        ))
    })
}

/// For projections that do not read rows.
struct NoRows;

impl Rows for NoRows {
    fn get(&self, _key: &RowKey) -> Option<&Row> {
        None
    }
}
