//! Where views live: the seam between the engine and the stores.
//!
//! A store holds generations. A generation's rows and its cursors change in ONE atomic step
//! ([`ViewStore::apply`]), so that at every instant and after any crash the rows equal the
//! fold of the log up to the cursors (I4).
//!
//! The truth table of a partition in a batch (`from → to`, claim `C`), by what the store holds:
//!
//! | claim | position | verdict | the engine |
//! |---|---|---|---|
//! | other | any | [`Verdict::Fenced`] | ends the track, folds the batch again without it |
//! | C | `to` | [`Verdict::Applied`] | done (also how a lost answer is resolved: ask again) |
//! | C | `from` | [`Verdict::NotApplied`] | sends the same batch again |
//! | C | `< from` | [`Verdict::Behind`] | the store lost its tail: claims again, rewinds |
//! | C | anything else | [`Verdict::Moved`] | stops the track by name, claims again |
//! | no such build or cursor | | [`Verdict::Gone`] | stops; the reconciler decides |
//!
//! **Architecture invariant:** a store never asks the log or the group anything.

pub mod changes;
pub mod control;
mod cutover;
mod desired;
pub mod list;
pub mod memory;
pub mod postgres;
pub mod redis;
mod shapes;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use self::changes::ChangeLog;
use self::control::Lease;
use self::list::{ListRead, Listed};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowDelta, RowKey, Schema, StoreKind};

/// One generation, as a store needs to know it.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The projection's name.
    pub projection: Arc<str>,
    /// Its number, per projection, from 1.
    pub number: u32,
    /// Its random identity: another build with the same number is another generation.
    pub build: Uuid,
    /// The shape of its rows.
    pub schema: Arc<Schema>,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} generation {}", self.projection, self.number)
    }
}

/// A generation's stored position in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which partition.
    pub partition: TopicPartition,
    /// The next offset to apply.
    pub position: Position,
    /// Who may move it; nobody yet when none.
    pub claim: Option<Uuid>,
    /// How often it was claimed. For people only.
    pub epoch: i64,
    /// The time of the newest applied event, microseconds since the epoch.
    pub newest_micros: Option<i64>,
}

/// How a batch moves one cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which partition.
    pub partition: TopicPartition,
    /// The claim under which it moves.
    pub claim: Uuid,
    /// Where the cursor must stand.
    pub from: Position,
    /// Where it stands afterwards; at least `from`.
    pub to: Position,
    /// The time of the newest event in the range, microseconds since the epoch. The store keeps the greater.
    pub newest_micros: Option<i64>,
}

/// What is done in one atomic step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Cursor movements, by (topic, partition), each partition once. Never empty.
    pub moves: Vec<Move>,
    /// Row deltas, by key, each key once. May be empty.
    pub rows: Vec<RowDelta>,
}

/// What the store says about one partition of a batch. See the truth table of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds the batch.
    Applied,
    /// It stands where the batch begins.
    NotApplied,
    /// Somebody else's claim is on it.
    Fenced,
    /// It stands before the batch: the store lost its tail.
    Behind(Position),
    /// It stands somewhere else.
    Moved(Position),
    /// There is no such generation or cursor.
    Gone,
}

impl Verdict {
    /// The verdict for a move, given what the store holds.
    pub fn judge(wanted: &Move, stored: Option<(Option<Uuid>, Position)>) -> Self {
        let Some((claim, position)) = stored else {
            return Self::Gone;
        };
        if claim != Some(wanted.claim) {
            Self::Fenced
        } else if position == wanted.to {
            Self::Applied
        } else if position == wanted.from {
            Self::NotApplied
        } else if position < wanted.from {
            Self::Behind(position)
        } else {
            Self::Moved(position)
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in the store (now, or since an earlier attempt).
    Applied,
    /// Nothing was changed; the verdict per move, in the order of the batch's moves.
    Refused(Vec<Verdict>),
    /// Nothing was changed: a cutover holds the generation's batches for a moment. The same batch again, soon.
    Held,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The cursor is ours; final position from which to read.
    Ours(Position),
    /// Somebody else claimed it since it was read.
    Lost,
    /// There is no such generation or cursor.
    Gone,
}

/// Computes a batch's rows from the current rows of the keys asked for. Pure; may be called more than once.
pub type FoldRows<'a> =
    dyn Fn(&[(RowKey, Option<Row>)]) -> Result<Vec<RowDelta>> + Send + Sync + 'a;

/// A row with what it reflects, read at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct PointRead {
    /// The live generation that answered.
    pub generation: u32,
    /// The row, if there is one.
    pub row: Option<Row>,
    /// The generation's cursors.
    pub cursors: Vec<Cursor>,
}

/// Which generation readers of a store see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Its number; none where nothing is published.
    pub generation: Option<u32>,
    /// The intent that decided it.
    pub intent: i64,
}

/// Moving readers from one generation to another.
#[derive(Clone, Debug)]
pub struct CutOver {
    /// What they see now.
    pub from: Generation,
    /// What they shall see.
    pub to: Generation,
    /// Orders pointer changes: a store that holds a greater one changes nothing.
    pub intent: i64,
    /// The right to do it, compared in the same transaction where the store holds the control tables.
    pub lease: Lease,
    /// What `to` must have passed in the topics that `from` does not read.
    pub targets: Vec<(TopicPartition, Position)>,
}

/// What became of an attempt to cut over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutOverOutcome {
    /// Readers see `to` (now, or since an earlier attempt).
    Done,
    /// Nothing was changed; trying again can help. Says what was in the way.
    NotYet(String),
    /// Nothing was changed, and trying again will not help: the lease or the intent is not the newest
    /// any more, or a generation is gone. Says which.
    Overtaken(String),
}

/// Some rows of two generations, all read at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComparePage {
    /// The rows of the page by key; each with what the first and the second generation hold. A key is on one
    /// page only, except that Redis may repeat it on a later one.
    pub rows: Vec<(RowKey, Option<Row>, Option<Row>)>,
    /// The first generation's cursors.
    pub first: Vec<Cursor>,
    /// The second generation's cursors.
    pub second: Vec<Cursor>,
    /// Where the next page begins; none after the last one.
    pub next: Option<PageToken>,
}

/// Where a page begins; only the store that gave it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(pub String);

/// The cursors with which the pages of a copy were read: page `n` (from 1) is at index `n - 1`.
/// A row that was copied with page `n` carries `n` ([`Row::page`]) and reflects exactly the records
/// below these positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePages(pub Vec<Vec<(TopicPartition, Position)>>);

impl BasePages {
    /// Where the records begin that a row of this page does not reflect yet; the copy's own start
    /// when the row was not copied (page 0) or the partition is unknown.
    pub fn position(&self, page: u32, partition: &TopicPartition) -> Option<Position> {
        let index = usize::try_from(page).ok()?.checked_sub(1)?;
        let page = self.0.get(index)?.iter();
        page.clone()
            .find(|(of, _)| of == partition)
            .map(|(_, at)| *at)
    }

    /// The position from which on no row of the partition is ahead of the cursor any more.
    pub fn end(&self, partition: &TopicPartition) -> Option<Position> {
        let all = self.0.iter().flatten();
        all.filter(|(of, _)| of == partition)
            .map(|(_, at)| *at)
            .max()
    }
}

/// A store of views. Every method may be called by many tasks at once; none blocks for longer than
/// its time-outs (about 3 s). Errors are classified: `Transient` when the store is away or busy and
/// the outcome may be unknown, `Poison` when a constraint rejected rows (nothing was changed),
/// `Misconfigured` when the store cannot be used as it is.
#[async_trait]
pub trait ViewStore: Send + Sync + fmt::Debug + 'static {
    /// Which kind of store it is.
    fn kind(&self) -> StoreKind;

    /// Whether the store answers.
    async fn ping(&self) -> Result<()>;

    /// Creates the generation: build id, tables, and a cursor per start position, not yet
    /// visible to readers. Repeating it with the same build changes nothing; with another
    /// build under the same number it is refused (`Misconfigured`).
    async fn create(
        &self,
        generation: &Generation,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()>;

    /// Adds the cursor of a partition (one that was added to a known topic, or a topic that
    /// appeared). An existing cursor stays as it is. `false` when there is no such build.
    async fn add_cursor(
        &self,
        generation: &Generation,
        partition: &TopicPartition,
        start: Position,
    ) -> Result<bool>;

    /// Lets readers see this generation: creates the SQL view or sets the pointer where it does
    /// not exist yet. `intent` orders pointer changes: one that is not greater than the stored
    /// intent changes nothing (repeating the same confirms it).
    async fn publish(&self, generation: &Generation, intent: i64) -> Result<()>;

    /// The generation's cursors by (topic, partition); none when there is no such build.
    async fn cursors(&self, generation: &Generation) -> Result<Option<Vec<Cursor>>>;

    /// Takes over the cursor: sets the claim to `claim` where it still is `read.claim`, and
    /// counts the epoch. Waits about 1 s for a dead owner's statement, then ends that session
    /// where the store can. The position it returns is final: no earlier owner changes it any more.
    async fn claim(&self, generation: &Generation, read: &Cursor, claim: Uuid) -> Result<Claimed>;

    /// Applies a batch in one atomic step: all or nothing. Idempotent: applying the same batch
    /// again answers [`Outcome::Applied`].
    async fn apply(&self, generation: &Generation, batch: &Batch) -> Result<Outcome>;

    /// Like [`ViewStore::apply`], where the rows depend on the current rows: loads the rows of
    /// `keys` (sorted, distinct), calls `fold`, and applies what it gives, in one atomic step or
    /// not at all. A fault of `fold` is returned and nothing is changed.
    async fn apply_reading(
        &self,
        generation: &Generation,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome>;

    /// Moves cursors over offsets that hold nothing for the view (holes, filtered records), each
    /// for itself, without waiting for locked ones. One verdict per move: `NotApplied` where it was skipped.
    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>>;

    /// The current rows of `keys`, in the order of `keys`.
    async fn rows(&self, generation: &Generation, keys: &[RowKey]) -> Result<Vec<Option<Row>>>;

    /// The row of `key` in the view's live generation, with cursors, at one instant. `schemas`
    /// gives the shape of a generation by its number. None when the view is not published.
    async fn point_read(
        &self,
        projection: &str,
        key: &RowKey,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>>;

    /// The rows of `generation` that `read` asks for, with its cursors, at one instant, if it is the view's live
    /// generation. Stores that cannot list refuse (`Misconfigured`).
    async fn list(&self, generation: &Generation, read: &ListRead) -> Result<Listed> {
        let _ = read;
        let kind = self.kind();
        Err(Fault::misconfigured(format!(
            "{generation}: {kind} does not list"
        )))
    }

    /// The cursors of the generation that readers see, for callers that ask many times a second. None when the
    /// view is not published.
    async fn live_cursors(
        &self,
        projection: &str,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<Vec<Cursor>>> {
        let pointer = self.pointer(projection).await?;
        let Some(number) = pointer.and_then(|pointer| pointer.generation) else {
            return Ok(None);
        };
        let live = schemas(number).ok_or_else(|| {
            Fault::transient(format!(
                "{projection} generation {number} is live, but not known to this instance yet"
            ))
        })?;
        self.cursors(&live).await
    }

    /// What was changed, for those who follow a view; none where the store does not note it.
    fn change_log(&self) -> Option<&dyn ChangeLog> {
        None
    }

    /// Removes the generation: rows, cursors and identity, in small steps where it is large. Repeating it
    /// changes nothing. Also takes what an unfinished copy left. A view or pointer that shows it goes too.
    async fn remove(&self, generation: &Generation) -> Result<()>;

    /// Which generation readers of this projection see here; none when the store knows nothing of it.
    async fn pointer(&self, projection: &str) -> Result<Option<Pointer>>;

    /// Forgets the projection's pointer and intent, after its generations were removed.
    async fn forget(&self, projection: &str) -> Result<()>;

    /// One attempt to let readers see `to` instead of `from`, in one step: only when `to` stands at
    /// or beyond `from` on every partition of the topics that both read, and beyond the targets on the others (I8).
    /// Live batches may wait for it, for 200 ms at most. Where the store holds the control tables,
    /// the states are changed in the same step.
    async fn cut_over(&self, cut: &CutOver) -> Result<CutOverOutcome>;

    /// A page of about `rows` rows of both generations, with both generations' cursors, at one
    /// instant. None when one of the generations is not here.
    async fn compare_page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>>;

    /// Creates `to` as a copy of the rows of `from`, page by page, each page with the cursors of its
    /// instant. `to` exists (has an identity) only when the copy is complete; its cursors
    /// stand where the first page's stood. An unfinished copy is begun anew. Columns that only `to` has
    /// start with their defaults; the keys of both are the same. `progress` hears how many rows were copied.
    /// The cursors of the partitions in `starts` stand there instead.
    async fn create_from(
        &self,
        from: &Generation,
        to: &Generation,
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()>;

    /// The page cursors of a generation that was created by a copy; none for others.
    async fn base_pages(&self, generation: &Generation) -> Result<Option<BasePages>>;

    /// About how many rows the generation has, and how many bytes they take; none when unknown.
    async fn size(&self, generation: &Generation) -> Result<Option<(u64, u64)>>;

    /// What depends on the shape of the view that readers see, such as other SQL views, by name: a change
    /// that drops or reorders columns is not possible while there are any.
    async fn dependants(&self, projection: &str) -> Result<Vec<String>>;
}

/// The fault for a generation whose number is taken by another build.
pub(crate) fn other_build(generation: &Generation, kind: StoreKind) -> Fault {
    Fault::misconfigured(format!(
        "{generation}: {kind} already holds another build under this number; \
         two deployments seem to share one schema or prefix"
    ))
}
