//! Copied rows: which records they reflect already.
//!
//! A generation that began as a copy starts where the first page of the copy was read. Rows of later pages are ahead of
//! that: they were read with later cursors. Until a partition has passed the last page's cursor, its records are
//! folded onto loaded rows, and left out on rows that reflect them. A row that was not copied reflects nothing: if it
//! existed when the copy began, then the records up to its page's cursor end with its removal.

use std::collections::HashMap;
use std::sync::Arc;

use crate::position::{Position, TopicPartition};
use crate::projection::Row;
use crate::store::BasePages;

/// The pages of a copy, with where each partition is through with them.
#[derive(Debug)]
pub(super) struct Base {
    pages: Arc<BasePages>,
    ends: HashMap<TopicPartition, Position>,
}

impl Base {
    pub(super) fn new(pages: Arc<BasePages>) -> Self {
        let mut ends: HashMap<TopicPartition, Position> = HashMap::new();
        for (partition, at) in pages.0.iter().flatten() {
            let end = ends.entry(partition.clone()).or_insert(*at);
            *end = at.max(end).to_owned();
        }
        Self { pages, ends }
    }

    /// Whether some copied row may reflect what lies at or behind `position`.
    pub(super) fn reaches(&self, partition: &TopicPartition, position: Position) -> bool {
        self.ends.get(partition).is_some_and(|end| position < *end)
    }

    /// Whether `row` reflects the record at `offset` of the partition.
    pub(super) fn is_in(&self, row: Option<&Row>, partition: &TopicPartition, offset: i64) -> bool {
        row.and_then(|row| self.pages.position(row.page, partition))
            .is_some_and(|at| Position::at(offset) < at)
    }
}

#[cfg(test)]
mod tests;
