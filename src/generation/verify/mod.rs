//! Verification: two generations compared row by row while both go on, or one against a fresh
//! fold of the log.
//!
//! A page of rows of both is read at one instant together with both cursors. The two stand a few
//! records apart; that gap is read from the log and folded in memory, each side's missing part under its
//! own definition, and only then the rows are compared. Nothing stops meanwhile, and nothing is held between pages.
//!
//! `compare` walks the pages, `level` brings one side's rows to a later position, `columns` says how two rows differ,
//! `log` folds the log anew in parts of the keys that fit into memory, `order` finds out which differences
//! the order between partitions explains, and `report` counts.

mod columns;
mod compare;
mod level;
mod log;
mod order;
mod part;
mod report;

pub use report::{Difference, EXAMPLES, Verification};

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use self::compare::Comparison;
use self::log::LogComparison;
use self::order::Feeds;
use self::report::Tally;
use crate::event::Chunk;
use crate::fault::{Fault, Result};
use crate::pipeline::Excerpts;
use crate::position::{Position, Range, TopicPartition};
use crate::projection::{Projection, RowKey};
use crate::store::{ComparePage, Cursor, Generation, PageToken, ViewStore};

/// About how many rows are read at once.
const PAGE_ROWS: usize = 1000;
/// The most rows that a fold of the log holds at once, at some hundred bytes each.
const ROWS_AT_ONCE: usize = 200_000;

/// One generation to be compared.
#[derive(Clone)]
pub struct Side {
    /// As the store knows it.
    pub generation: Generation,
    /// What folds its events.
    pub plan: Arc<dyn Projection>,
    /// Its definition's hash.
    pub hash: Arc<str>,
    /// Records that operators decided to step over.
    pub skips: Arc<HashSet<(TopicPartition, i64)>>,
}

impl Side {
    /// Whether an operator decided to step over the record.
    fn skips(&self, partition: &TopicPartition, offset: i64) -> bool {
        !self.skips.is_empty() && self.skips.contains(&(partition.clone(), offset))
    }
}

/// Hears how many keys were compared.
type Progress<'p> = dyn Fn(u64) + Send + Sync + 'p;

/// Compares generations in one store.
pub struct Verifier {
    store: Arc<dyn ViewStore>,
    excerpts: Arc<Excerpts>,
    page_rows: usize,
    rows_at_once: usize,
}

impl Verifier {
    /// A verifier of what `store` holds.
    pub fn new(store: Arc<dyn ViewStore>, excerpts: Arc<Excerpts>) -> Self {
        Self {
            store,
            excerpts,
            page_rows: PAGE_ROWS,
            rows_at_once: ROWS_AT_ONCE,
        }
    }

    /// Compares two generations. Only the columns that both declare (with the same type) are compared.
    /// `progress` hears how many keys were compared.
    ///
    /// A key that comes into being in the gap between the two, and is in neither yet, belongs to no page and is left
    /// to the next verification. Where the definitions are the same, the log is read once more for the keys that
    /// differ, if there are several partitions, to tell which differences the order between them explains.
    ///
    /// # Errors
    /// `Transient` when a store or the log is away, a generation is not there (any more), or one of them is not
    /// far enough to be compared; `Misconfigured` when their keys have different columns, when the log of the gap is
    /// gone, or when a record of the gap cannot be applied (it is named).
    pub async fn compare(
        &self,
        first: &Side,
        second: &Side,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Verification> {
        Comparison::new(self, first, second, progress)?.run().await
    }

    /// Compares a generation with a fresh fold of the log from `starts`, for about the part `sample` (0…1) of its keys,
    /// always the same ones. Takes more than one pass over the log where there are many rows, so that memory
    /// stays bounded. A partition without start is read from offset 0.
    ///
    /// A row that came into being and went on changing while it was looked for is left to the next verification.
    ///
    /// # Errors
    /// `Transient` when the store or the log is away or the generation is not there (any more); `Misconfigured` when
    /// there is nothing to compare with (the log does not reach back to the starts, the rows began as a copy, the
    /// records of many rows depend on each other), or a record cannot be applied (it is named).
    pub async fn against_log(
        &self,
        side: &Side,
        starts: &[(TopicPartition, Position)],
        sample: f64,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Verification> {
        let comparison = LogComparison::new(self, side, starts, progress);
        comparison.run(sample).await
    }

    /// One page of rows of both at one instant.
    async fn page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
    ) -> Result<ComparePage> {
        let page = self
            .store
            .compare_page(first, second, after, self.page_rows);
        page.await?.ok_or_else(|| {
            Fault::transient(format!(
                "{first} or generation {} is not in {} any more",
                second.number,
                self.store.kind()
            ))
        })
    }

    async fn cursors(&self, generation: &Generation) -> Result<Vec<Cursor>> {
        let cursors = self.store.cursors(generation).await?;
        cursors.ok_or_else(|| {
            let kind = self.store.kind();
            Fault::transient(format!("{generation} is not in {kind} any more"))
        })
    }

    /// Finds out which of the differences the order between partitions explains, by reading `ranges` once more.
    /// With one partition it explains none.
    async fn judge(
        &self,
        tally: &mut Tally,
        side: &Side,
        ranges: &BTreeMap<TopicPartition, Range>,
        complete: bool,
    ) -> Result<()> {
        let suspects: Vec<RowKey> = tally.suspects().cloned().collect();
        if suspects.is_empty() || ranges.len() < 2 {
            return Ok(());
        }
        let mut feeds = Feeds::new(side, suspects, complete);
        let plans = [Arc::clone(&side.plan)];
        for (place, (partition, &range)) in ranges.iter().enumerate() {
            let mut each = |chunk: &Chunk| feeds.take(place, chunk, range);
            self.excerpts
                .read(partition, range, &plans, &mut each)
                .await?;
        }
        tally.judge(&feeds);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
