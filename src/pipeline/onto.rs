//! Folding onto loaded rows, event by event: for projections that read rows, and for rows that were copied.

use std::collections::HashSet;
use std::sync::Arc;

use super::base::Base;
use super::batch::{Counts, Culprit, Rules, Segment, guarded};
use crate::event::{Event, SlotMap};
use crate::position::{Position, TopicPartition};
use crate::projection::{LoadedFold, Ops, Row, RowDelta, RowKey, Rows};

/// Why a batch could not be folded onto the rows that were loaded.
#[derive(Debug)]
pub(super) enum Halt {
    /// A handler failed at this event.
    At(Culprit),
    /// These rows are needed as well.
    Unloaded(Vec<RowKey>),
}

/// Folds segments onto loaded rows.
pub(super) fn fold_onto(
    segments: &[Segment],
    rules: &Rules,
    rows: &[(RowKey, Option<Row>)],
) -> Result<(Vec<RowDelta>, Counts), Halt> {
    let mut onto = Onto {
        fold: LoadedFold::new(Arc::clone(rules.plan.schema()), rows),
        loaded: rows.iter().map(|(key, _)| key).collect(),
        ops: Ops::new(),
        counts: Counts::default(),
        rules,
    };
    for segment in segments {
        let chunk = segment.chunk.chunk();
        let blank = || SlotMap(Box::default());
        let map = chunk.map(rules.plan.paths()).unwrap_or_else(blank);
        for index in segment.start..segment.end {
            onto.take(&chunk.event(index, &map), &segment.partition)?;
        }
    }
    Ok((onto.fold.finish(), onto.counts))
}

struct Onto<'r> {
    fold: LoadedFold,
    loaded: HashSet<&'r RowKey>,
    ops: Ops,
    counts: Counts,
    rules: &'r Rules,
}

impl Onto<'_> {
    fn take(&mut self, event: &Event<'_>, partition: &TopicPartition) -> Result<(), Halt> {
        let (rules, offset) = (self.rules, event.offset());
        if rules.skips.contains(&(partition.clone(), offset)) {
            self.counts.skipped += 1;
            return Ok(());
        }
        let culprit = |fault| {
            let record = event.record();
            Halt::At(Culprit { record, fault })
        };
        let base = rules.base_at(partition, Position::at(offset));
        if let Some(base) = base
            && self.reflects(base, event, partition)
        {
            self.counts.applied += 1;
            return Ok(());
        }
        self.ops.clear();
        let handled = guarded(|| rules.plan.handle(event, &self.fold, &mut self.ops));
        self.counts.add(handled.map_err(culprit)?, event);
        if let Some(base) = base {
            self.leave_out(base, partition, offset)?;
        }
        self.fold.absorb(&mut self.ops).map_err(culprit)
    }

    /// Whether all rows that the event's handler looks at reflect it already: on such rows it must not be
    /// evaluated again, because it would see what came after it.
    fn reflects(&self, base: &Base, event: &Event<'_>, partition: &TopicPartition) -> bool {
        if !self.rules.plan.reads_rows() {
            return false;
        }
        let keys = guarded(|| self.rules.plan.row_keys(event)).unwrap_or_default();
        let is_in = |key| base.is_in(self.fold.get(key), partition, event.offset());
        !keys.is_empty() && keys.iter().all(is_in)
    }

    /// Takes out the ops on rows that reflect them already.
    fn leave_out(
        &mut self,
        base: &Base,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), Halt> {
        let keys = self.ops.rows.iter().map(|row| &row.key);
        let unloaded: Vec<RowKey> = keys
            .filter(|key| !self.loaded.contains(key))
            .cloned()
            .collect();
        if !unloaded.is_empty() {
            return Err(Halt::Unloaded(unloaded));
        }
        let fold = &self.fold;
        self.ops
            .rows
            .retain(|row| !base.is_in(fold.get(&row.key), partition, offset));
        Ok(())
    }
}
