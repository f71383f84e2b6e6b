//! One generation against a fresh fold of the log.
//!
//! All rows of a part of the keys are folded in memory up to the generation's cursors; then its pages
//! are read, and the fold moves on to each page's cursors before its rows are compared. A part whose rows
//! become too many is halved while it is folded: the other half is folded later, by another pass.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::columns::Columns;
use super::level::{Level, Scope};
use super::part::Part;
use super::report::Tally;
use super::{Progress, Side, Verification, Verifier};
use crate::event::Chunk;
use crate::fault::{Fault, Result};
use crate::position::{Position, Range, TopicPartition};
use crate::projection::{Row, RowKey};
use crate::store::Cursor;

/// How often a row that changes all the time is looked at.
const ATTEMPTS: usize = 10;

pub(super) struct LogComparison<'v> {
    verifier: &'v Verifier,
    side: &'v Side,
    starts: BTreeMap<TopicPartition, Position>,
    progress: &'v Progress<'v>,
}

/// One run over all sampled keys.
struct Run<'v> {
    around: &'v LogComparison<'v>,
    sample: Part,
    /// All keys must be folded at once.
    whole: bool,
    columns: Columns,
    tally: Tally,
    /// How far the log was read.
    ends: BTreeMap<TopicPartition, Position>,
}

/// The rows of a part as the log says.
struct Folded<'v> {
    level: Level<'v>,
    part: Part,
    positions: BTreeMap<TopicPartition, Position>,
}

/// What a pass over one part came to.
enum Pass {
    /// It was compared; these parts are left.
    Done(Vec<Part>),
    /// Its events look at rows of other parts.
    Entangled,
}

impl<'v> LogComparison<'v> {
    pub(super) fn new(
        verifier: &'v Verifier,
        side: &'v Side,
        starts: &[(TopicPartition, Position)],
        progress: &'v Progress<'v>,
    ) -> Self {
        Self {
            verifier,
            side,
            starts: starts.iter().cloned().collect(),
            progress,
        }
    }

    pub(super) async fn run(&self, sample: f64) -> Result<Verification> {
        let sample = Part::sample(sample)?;
        let generation = &self.side.generation;
        if self.verifier.store.base_pages(generation).await?.is_some() {
            return Err(Fault::misconfigured(format!(
                "{generation} began as a copy of another one: it can only be compared with a generation, \
                 not with the log"
            )));
        }
        if let Some(done) = self.run_over(sample, false).await? {
            return Ok(done);
        }
        // Rows that depend on each other are folded all together, or not at all.
        let whole = self.run_over(sample, true).await?;
        whole.ok_or_else(|| Fault::bug("the log was folded as a whole, and rows are missing"))
    }

    /// Compares the sampled keys, in passes over parts of them unless all keys must be folded at once; none
    /// when they must.
    async fn run_over(&self, sample: Part, whole: bool) -> Result<Option<Verification>> {
        let generation = &self.side.generation;
        let kind = self.verifier.store.kind().as_str();
        let mut run = Run {
            around: self,
            sample,
            whole,
            columns: Columns::new(generation, generation)?,
            tally: Tally::new(kind, "log".to_owned(), true),
            ends: BTreeMap::new(),
        };
        let mut parts = vec![if whole { Part::ALL } else { sample }];
        while let Some(part) = parts.pop() {
            match run.pass(part).await? {
                Pass::Done(left) => parts.extend(left),
                Pass::Entangled => return Ok(None),
            }
        }
        let ranges = run.ends.iter().map(|(partition, &to)| {
            let from = self.start(partition);
            (partition.clone(), Range { from, to })
        });
        let ranges = ranges.collect();
        let tally = &mut run.tally;
        self.verifier.judge(tally, self.side, &ranges, true).await?;
        Ok(Some(run.tally.finish()))
    }

    fn start(&self, partition: &TopicPartition) -> Position {
        self.starts.get(partition).copied().unwrap_or_default()
    }
}

impl<'v> Run<'v> {
    async fn pass(&mut self, part: Part) -> Result<Pass> {
        let (verifier, side) = (self.around.verifier, self.around.side);
        let mut folded = Folded {
            level: Level::new(side, Scope::Part(part), []),
            part,
            positions: BTreeMap::new(),
        };
        let left = self.fold(&mut folded).await?;
        if folded.is_entangled() {
            return Ok(Pass::Entangled);
        }
        let mut seen = HashSet::new();
        let mut after = None;
        loop {
            let page = verifier
                .page(&side.generation, &side.generation, after.as_ref())
                .await?;
            self.advance(&mut folded, &page.first).await?;
            if folded.is_entangled() {
                return Ok(Pass::Entangled);
            }
            for (key, stored, _) in &page.rows {
                if self.wants(&folded, key) && seen.insert(key.clone()) {
                    self.compare(key, stored.as_ref(), folded.level.row(key));
                }
            }
            (self.around.progress)(self.tally.keys());
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.look_for(&mut folded, &seen).await?;
        if folded.is_entangled() {
            return Ok(Pass::Entangled);
        }
        for (partition, position) in folded.positions {
            let end = self.ends.entry(partition).or_default();
            *end = (*end).max(position);
        }
        Ok(Pass::Done(left))
    }

    /// Folds the log up to the generation's cursors. Gives the parts that had to be left out.
    async fn fold(&self, folded: &mut Folded<'v>) -> Result<Vec<Part>> {
        let (verifier, side) = (self.around.verifier, self.around.side);
        let most = verifier.rows_at_once;
        let mut left = Vec::new();
        let plans = [Arc::clone(&side.plan)];
        for cursor in verifier.cursors(&side.generation).await? {
            let range = Range {
                from: self.around.start(&cursor.partition),
                to: cursor.position,
            };
            let mut each = |chunk: &Chunk| {
                folded.level.take(chunk, range)?;
                folded.level.settle()?;
                while folded.level.len() > most && !folded.is_entangled() {
                    let half = if self.whole { None } else { folded.halve() };
                    left.push(half.ok_or_else(|| too_many(side, most))?);
                }
                Ok(())
            };
            verifier
                .excerpts
                .read(&cursor.partition, range, &plans, &mut each)
                .await?;
            folded.positions.insert(cursor.partition, cursor.position);
        }
        Ok(left)
    }

    /// Moves the fold on to these cursors.
    async fn advance(&self, folded: &mut Folded<'v>, cursors: &[Cursor]) -> Result<()> {
        for cursor in cursors {
            let partition = &cursor.partition;
            let begun = folded.positions.get(partition).copied();
            let from = begun.unwrap_or_else(|| self.around.start(partition));
            if cursor.position < from {
                let generation = &self.around.side.generation;
                return Err(Fault::transient(format!(
                    "{generation} moved back in {partition} while it was compared"
                )));
            }
            let range = Range {
                from,
                to: cursor.position,
            };
            if from < cursor.position {
                let excerpts = &self.around.verifier.excerpts;
                folded.level.advance(excerpts, partition, range).await?;
            }
            folded.positions.insert(partition.clone(), cursor.position);
        }
        Ok(())
    }

    fn wants(&self, folded: &Folded<'v>, key: &RowKey) -> bool {
        folded.part.contains(key) && self.sample.contains(key)
    }

    fn compare(&mut self, key: &RowKey, stored: Option<&Row>, log: Option<&Row>) {
        self.tally.compared(stored.is_some(), log.is_some());
        if let Some(finding) = self.columns.compare(stored, log) {
            let columns = &self.columns;
            self.tally
                .differs(key, finding, || columns.json(stored, log));
        }
    }

    /// Looks for the rows of the log that were on no page: they are missing, unless they came into being since
    /// their page was read.
    async fn look_for(&mut self, folded: &mut Folded<'v>, seen: &HashSet<RowKey>) -> Result<()> {
        let keys = folded.level.keys();
        let unseen = keys.filter(|key| !seen.contains(*key) && self.wants(folded, key));
        let mut unseen: Vec<RowKey> = unseen.cloned().collect();
        unseen.sort_unstable();
        for keys in unseen.chunks(self.around.verifier.page_rows) {
            self.look_at(folded, keys.to_vec()).await?;
            (self.around.progress)(self.tally.keys());
        }
        Ok(())
    }

    /// Compares rows that are read one by one: what was read counts for keys that nothing touched between the
    /// cursors before and behind it.
    async fn look_at(&mut self, folded: &mut Folded<'v>, mut keys: Vec<RowKey>) -> Result<()> {
        let (verifier, generation) = (self.around.verifier, &self.around.side.generation);
        for _ in 0..ATTEMPTS {
            if keys.is_empty() {
                break;
            }
            let before = verifier.cursors(generation).await?;
            let stored = verifier.store.rows(generation, &keys).await?;
            let behind = verifier.cursors(generation).await?;
            self.advance(folded, &before).await?;
            let log: Vec<Option<Row>> = keys
                .iter()
                .map(|key| folded.level.row(key).cloned())
                .collect();
            folded.level.watch();
            self.advance(folded, &behind).await?;
            let mut again = Vec::new();
            for ((key, stored), log) in keys.into_iter().zip(stored).zip(log) {
                if folded.level.was_touched(&key) {
                    again.push(key);
                } else {
                    self.compare(&key, stored.as_ref(), log.as_ref());
                }
            }
            keys = again;
        }
        self.tally.unsettled(keys.len());
        Ok(())
    }
}

impl Folded<'_> {
    fn is_entangled(&self) -> bool {
        !self.level.unknown().is_empty()
    }

    /// Lets go of half of the keys, and gives that half; none when it is only one.
    fn halve(&mut self) -> Option<Part> {
        let (lower, upper) = self.part.halves()?;
        self.part = lower;
        self.level.narrow(lower);
        Some(upper)
    }
}

fn too_many(side: &Side, most: usize) -> Fault {
    Fault::misconfigured(format!(
        "{}: its events look at several rows at once, and there are more than {most}: \
         it can only be compared with another generation",
        side.generation
    ))
}
