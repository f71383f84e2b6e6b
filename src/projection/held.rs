//! Rows in memory onto which events are folded: what trials and verification do.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Fold, Handled, Ops, Projection, Row, RowDelta, RowKey, Rows, apply};
use crate::event::Event;
use crate::fault::Result;

/// Rows in memory, and what was folded for them since they were last settled.
///
/// As in a store, a sum that does not fit its column is noticed when it is settled, not before: what a
/// batch of a store could take is taken here as well.
pub struct HeldRows {
    plan: Arc<dyn Projection>,
    rows: HashMap<RowKey, Row>,
    fold: Fold,
    ops: Ops,
}

impl Rows for HashMap<RowKey, Row> {
    fn get(&self, key: &RowKey) -> Option<&Row> {
        Self::get(self, key)
    }
}

impl HeldRows {
    /// Holds `rows`, for the events of `plan`.
    pub fn new(plan: Arc<dyn Projection>, rows: impl IntoIterator<Item = (RowKey, Row)>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            fold: Fold::new(plan.schema().clone()),
            ops: Ops::new(),
            plan,
        }
    }

    /// Applies one event wholly or not at all.
    pub fn step(&mut self, event: &Event<'_>) -> Result<Handled> {
        let handled = self.take(event, |_| true).and_then(|handled| {
            self.settle()?;
            Ok(handled)
        });
        if handled.is_err() {
            self.fold.finish();
        }
        handled
    }

    /// Folds what the event does to the rows that are `wanted`, which is asked about every row that the event
    /// touches. After a fault the rows must be thrown away.
    pub fn take(
        &mut self,
        event: &Event<'_>,
        mut wanted: impl FnMut(&RowKey) -> bool,
    ) -> Result<Handled> {
        if let Some(fault) = event.fault() {
            return Err(fault);
        }
        if self.plan.reads_rows() {
            self.settle()?;
        }
        self.ops.clear();
        let handled = self.plan.handle(event, &self.rows, &mut self.ops)?;
        self.ops.rows.retain(|row| wanted(&row.key));
        self.fold.absorb(&mut self.ops)?;
        Ok(handled)
    }

    /// Brings the rows level with all that was folded.
    pub fn settle(&mut self) -> Result<()> {
        if self.fold.rows() == 0 {
            return Ok(());
        }
        // All rows are computed before one is changed.
        let mut after = Vec::with_capacity(self.fold.rows());
        for delta in self.fold.finish() {
            let (RowDelta::Upsert(key, _) | RowDelta::Delete(key)) = &delta;
            let before = self.rows.get(key).cloned();
            let row = apply(self.plan.schema(), before, &delta)?;
            after.push((key.clone(), row));
        }
        for (key, row) in after {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        Ok(())
    }

    /// The rows as they were last settled.
    pub fn rows(&self) -> &HashMap<RowKey, Row> {
        &self.rows
    }

    /// Forgets the rows that are not `wanted`, as they were last settled.
    pub fn retain(&mut self, mut wanted: impl FnMut(&RowKey) -> bool) {
        self.rows.retain(|key, _| wanted(key));
    }

    /// The rows as they were last settled, in no order.
    pub fn into_rows(self) -> impl Iterator<Item = (RowKey, Row)> {
        self.rows.into_iter()
    }
}
