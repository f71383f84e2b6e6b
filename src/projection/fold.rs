//! Folding: the ops of many events become one delta per row.

use std::sync::Arc;

use super::delta::RowDelta;
use super::ops::Ops;
use super::schema::Schema;
use crate::fault::Result;

/// Folds ops into one delta per row.
#[derive(Debug)]
pub struct Fold {
    schema: Arc<Schema>,
}

impl Fold {
    /// An empty fold of rows of `schema`.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { schema }
    }

    /// Combines one event's ops, in order, onto what was folded so far, and leaves `ops` empty.
    /// After a fault the fold must be thrown away: it may hold a part of the event.
    pub fn absorb(&mut self, ops: &mut Ops) -> Result<()> {
        let _ = (&self.schema, ops);
        Err(crate::fault::Fault::bug("not written yet"))
    }

    /// How many rows have a delta.
    pub fn rows(&self) -> usize {
        0
    }

    /// About how many bytes the deltas take on their way to a store.
    pub fn bytes(&self) -> usize {
        0
    }

    /// The deltas, sorted by key; the fold is empty afterwards and keeps its memory.
    pub fn finish(&mut self) -> Vec<RowDelta> {
        Vec::new()
    }
}
