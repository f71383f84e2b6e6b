//! Two generations, page by page.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::columns::Columns;
use super::level::{Level, Scope, gaps, has_all};
use super::report::Tally;
use super::{Progress, Side, Verification, Verifier};
use crate::fault::{Fault, Result};
use crate::position::{Position, Range, TopicPartition};
use crate::projection::{Row, RowKey};
use crate::store::{BasePages, ComparePage, Cursor, Generation};

/// How often a page is read again for keys that could not be brought level, and how long is waited before.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Comparison<'v> {
    verifier: &'v Verifier,
    first: &'v Side,
    second: &'v Side,
    progress: &'v Progress<'v>,
    columns: Columns,
    tally: Tally,
}

/// Both sides of a page, brought level where they stood behind.
struct Leveled<'v> {
    first: Option<Level<'v>>,
    second: Option<Level<'v>>,
}

impl<'v> Comparison<'v> {
    pub(super) fn new(
        verifier: &'v Verifier,
        first: &'v Side,
        second: &'v Side,
        progress: &'v Progress<'v>,
    ) -> Result<Self> {
        let against = format!("generation {}", second.generation.number);
        let same_definition = first.hash == second.hash;
        Ok(Self {
            columns: Columns::new(&first.generation, &second.generation)?,
            tally: Tally::new(verifier.store.kind().as_str(), against, same_definition),
            verifier,
            first,
            second,
            progress,
        })
    }

    pub(super) async fn run(mut self) -> Result<Verification> {
        let (first, second) = (&self.first.generation, &self.second.generation);
        let bases = [
            self.verifier.store.base_pages(first).await?,
            self.verifier.store.base_pages(second).await?,
        ];
        let mut after = None;
        let mut done = HashSet::new();
        let mut attempts = 0;
        let last = loop {
            let page = self.verifier.page(first, second, after.as_ref()).await?;
            self.check(&page, &bases)?;
            let unsettled = self.take(&page, &mut done).await?;
            (self.progress)(self.tally.keys());
            if unsettled > 0 && attempts < ATTEMPTS {
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.tally.unsettled(unsettled);
            done.clear();
            attempts = 0;
            match page.next {
                Some(next) => after = Some(next),
                None => break page,
            }
        };
        if self.tally.same_definition() {
            self.judge(&last).await?;
        }
        Ok(self.tally.finish())
    }

    /// Whether both stand where they can be compared.
    fn check(&self, page: &ComparePage, bases: &[Option<BasePages>; 2]) -> Result<()> {
        has_all(self.first, &page.first, &page.second)?;
        has_all(self.second, &page.second, &page.first)?;
        let [first, second] = bases;
        past_copy(&self.first.generation, &page.first, first.as_ref())?;
        past_copy(&self.second.generation, &page.second, second.as_ref())
    }

    /// Compares the keys of the page that are not `done`. Gives how many could not be brought level; then
    /// the others are done.
    async fn take(&mut self, page: &ComparePage, done: &mut HashSet<RowKey>) -> Result<usize> {
        let leveled = self.level(page).await?;
        let unknown = leveled.unknown();
        for (key, first, second) in &page.rows {
            if unknown.contains(key) || done.contains(key) {
                continue;
            }
            let first = row(leveled.first.as_ref(), key, first.as_ref());
            let second = row(leveled.second.as_ref(), key, second.as_ref());
            self.tally.compared(first.is_some(), second.is_some());
            if let Some(finding) = self.columns.compare(first, second) {
                let columns = &self.columns;
                self.tally
                    .differs(key, finding, || columns.json(first, second));
            }
        }
        if !unknown.is_empty() {
            let keys = page.rows.iter().map(|(key, _, _)| key);
            done.extend(keys.filter(|key| !unknown.contains(key)).cloned());
        }
        let left = unknown.iter().filter(|key| !done.contains(key));
        Ok(left.count())
    }

    /// Brings both sides to the further one's positions.
    async fn level(&self, page: &ComparePage) -> Result<Leveled<'v>> {
        let behind_first = gaps(&page.first, &page.second);
        let behind_second = gaps(&page.second, &page.first);
        let mut leveled = Leveled {
            first: None,
            second: None,
        };
        if behind_first.is_empty() && behind_second.is_empty() {
            return Ok(leveled);
        }
        let keys = page.rows.iter().map(|(key, _, _)| key.clone());
        let scope = Scope::Keys(Arc::new(keys.collect()));
        if !behind_first.is_empty() {
            let rows = page.rows.iter().map(|(key, row, _)| (key, row));
            let level = Level::new(self.first, scope.clone(), present(rows));
            leveled.first = Some(self.advance(level, behind_first).await?);
        }
        if !behind_second.is_empty() {
            let rows = page.rows.iter().map(|(key, _, row)| (key, row));
            let level = Level::new(self.second, scope, present(rows));
            leveled.second = Some(self.advance(level, behind_second).await?);
        }
        Ok(leveled)
    }

    async fn advance(
        &self,
        mut level: Level<'v>,
        gaps: Vec<(TopicPartition, Range)>,
    ) -> Result<Level<'v>> {
        for (partition, range) in gaps {
            let excerpts = &self.verifier.excerpts;
            level.advance(excerpts, &partition, range).await?;
        }
        Ok(level)
    }

    /// Finds out which differences the order between partitions explains, in all of the log that there is.
    async fn judge(&mut self, last: &ComparePage) -> Result<()> {
        let mut ends: BTreeMap<TopicPartition, Position> = BTreeMap::new();
        for cursor in last.first.iter().chain(&last.second) {
            let end = ends.entry(cursor.partition.clone()).or_default();
            *end = (*end).max(cursor.position);
        }
        if ends.len() < 2 || self.tally.suspects().next().is_none() {
            return Ok(());
        }
        let mut ranges = BTreeMap::new();
        let mut complete = true;
        for (partition, to) in ends {
            let from = self.verifier.excerpts.bounds(&partition).await?.low;
            complete &= from == Position::ZERO;
            ranges.insert(partition, Range { from, to });
        }
        let verifier = self.verifier;
        verifier
            .judge(&mut self.tally, self.second, &ranges, complete)
            .await
    }
}

impl Leveled<'_> {
    /// Keys of the page that could not be brought level on either side.
    fn unknown(&self) -> HashSet<RowKey> {
        let sides = self.first.iter().chain(&self.second);
        sides.flat_map(Level::unknown).cloned().collect()
    }
}

/// The rows that there are.
fn present<'r>(
    rows: impl Iterator<Item = (&'r RowKey, &'r Option<Row>)>,
) -> impl Iterator<Item = (RowKey, Row)> {
    rows.filter_map(|(key, row)| Some((key.clone(), row.clone()?)))
}

/// The row as it was brought level, or as it was read where nothing was missing.
fn row<'r>(level: Option<&'r Level<'_>>, key: &RowKey, read: Option<&'r Row>) -> Option<&'r Row> {
    match level {
        Some(level) => level.row(key),
        None => read,
    }
}

/// Rows that were copied are ahead of their generation's cursors until it has passed the end of the copy.
fn past_copy(generation: &Generation, cursors: &[Cursor], base: Option<&BasePages>) -> Result<()> {
    let inside = |cursor: &&Cursor| {
        let end = base.and_then(|base| base.end(&cursor.partition));
        end.is_some_and(|end| cursor.position < end)
    };
    match cursors.iter().find(inside) {
        None => Ok(()),
        Some(cursor) => Err(Fault::transient(format!(
            "{generation} has not passed the end of its copy in {} yet",
            cursor.partition
        ))),
    }
}
