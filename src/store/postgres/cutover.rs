//! Moving readers from one generation to another, in one transaction (I8).
//!
//! 1. Both generations' identities and the pointer are locked: nothing is removed, no cursor added.
//! 2. The old generation's cursors are locked in (topic, partition) order. Its batches wait from
//!    here on, the new generation's go on.
//! 3. The new generation's stored positions are read until they are level, for [`POLLING`] at most.
//!    Then its cursors are locked too: each of its batches knows for sure whether readers see it ([`super::changes`]).
//! 4. Pointer and states change, under the lease.
//! 5. The view changes last, so that its lock is held no longer than the commit takes.
//!
//! Whatever comes late rolls back, and nothing has changed. Each wait is bounded by [`BEGIN`], so
//! that live batches are held back for about half a second at worst, and for as long as the
//! new generation needs to commit what it has read, as a rule.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::Database;
use super::control::generations::flip_live;
use super::cursors::{CursorRow, read_in};
use super::fault::{CANCELLED, DEADLOCK, LOCK_NOT_AVAILABLE, sqlstate};
use super::pool::Session;
use super::view::{self, Shown};
use super::{changes, pointers};
use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::cutover::{Decision, behind, decide, gone};
use crate::store::{Cursor, CutOver, CutOverOutcome};

/// How long the new generation has to draw level while live batches wait.
const POLLING: Duration = Duration::from_millis(200);
/// How long to wait between two looks at its positions.
const PAUSE: Duration = Duration::from_millis(5);

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
     SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '300ms'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// What an attempt found.
enum Attempt {
    Done,
    NotYet(String),
    Overtaken(String),
    /// The view is locked: by whom is asked outside of the transaction.
    Held,
}

/// Why an attempt ended without an answer.
enum Stop {
    /// Somebody was in the way for longer than an attempt may wait.
    Busy,
    Fault(Fault),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate(&error) {
            Some(LOCK_NOT_AVAILABLE | CANCELLED | DEADLOCK) => Self::Busy,
            _ => Self::Fault(error.into()),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One attempt to let readers see `cut.to`.
pub(super) async fn cut_over(db: &Database, cut: &CutOver) -> Result<CutOverOutcome> {
    let mut session = Session::begin(&db.pools.control, BEGIN).await?;
    let attempted = attempt(&mut session, db, cut).await;
    if matches!(attempted, Ok(Attempt::Done)) {
        session.commit().await?;
        return Ok(CutOverOutcome::Done);
    }
    session.rollback().await;
    Ok(match attempted {
        Ok(Attempt::Done) => CutOverOutcome::Done,
        Ok(Attempt::NotYet(why)) => CutOverOutcome::NotYet(why),
        Ok(Attempt::Overtaken(why)) => CutOverOutcome::Overtaken(why),
        Ok(Attempt::Held) => {
            let mut session = Session::open(&db.pools.control).await?;
            let why = view::held_by(&mut session, db, &cut.to.projection).await;
            session.keep();
            CutOverOutcome::NotYet(why)
        }
        Err(Stop::Busy) => {
            let why = format!("{}: a batch or a control change is under way", cut.from);
            CutOverOutcome::NotYet(why)
        }
        Err(Stop::Fault(fault)) => return Err(fault),
    })
}

async fn attempt(
    session: &mut PgConnection,
    db: &Database,
    cut: &CutOver,
) -> Result<Attempt, Stop> {
    let held = lock_builds(session, db, cut).await?;
    if !held.contains(&cut.to.build) {
        return Ok(Attempt::Overtaken(gone(&cut.to)));
    }
    let pointer = pointers::read_in(session, db, &cut.to.projection, "FOR UPDATE").await?;
    let moves = match decide(pointer, cut) {
        Decision::Overtaken(why) => return Ok(Attempt::Overtaken(why)),
        Decision::Confirm => false,
        Decision::Move => true,
    };
    if moves {
        if !held.contains(&cut.from.build) {
            return Ok(Attempt::Overtaken(gone(&cut.from)));
        }
        let from = lock_cursors(session, db, cut.from.build).await?;
        if let Some(why) = wait_until_level(session, db, cut, &from).await? {
            return Ok(Attempt::NotYet(why));
        }
        let to = lock_cursors(session, db, cut.to.build).await?;
        changes::begin_at(session, db, cut.to.build, &to).await?;
    }
    pointers::write(session, db, &cut.to, cut.intent).await?;
    if !flip_live(db, session, &cut.lease, cut.to.build, StoreKind::Postgres).await? {
        let why = format!(
            "{} is not wanted any more, or {} has another holder",
            cut.to, cut.lease.name
        );
        return Ok(Attempt::Overtaken(why));
    }
    if !moves {
        return Ok(Attempt::Done);
    }
    Ok(match view::show(session, db, &cut.to).await? {
        Shown::Yes => Attempt::Done,
        Shown::Held => Attempt::Held,
        Shown::Needed(names) => Attempt::NotYet(view::needed_by(&cut.to.projection, &names)),
    })
}

/// Locks what both generations are here, so that neither goes and no cursor comes.
async fn lock_builds(
    session: &mut PgConnection,
    db: &Database,
    cut: &CutOver,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let sql = format!(
        "SELECT build FROM {} WHERE build = ANY ($1) ORDER BY build FOR UPDATE",
        db.names.control("builds")
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(vec![cut.from.build, cut.to.build])
        .fetch_all(session)
        .await
}

/// Locks the cursors of the build in the order of batches, and reads them.
pub(super) async fn lock_cursors(
    session: &mut PgConnection,
    db: &Database,
    build: Uuid,
) -> Result<Vec<Cursor>, sqlx::Error> {
    let sql = format!(
        "SELECT topic, partition, position, claim, epoch, newest_micros FROM {} \
         WHERE build = $1 ORDER BY topic, partition FOR UPDATE",
        db.names.control("cursors")
    );
    let rows: Vec<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(build)
        .fetch_all(session)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(CursorRow::into_cursor)
        .collect())
}

/// What is in the way when the time is over; none once the new generation is level.
async fn wait_until_level(
    session: &mut PgConnection,
    db: &Database,
    cut: &CutOver,
    from: &[Cursor],
) -> Result<Option<String>, sqlx::Error> {
    let begun = Instant::now();
    loop {
        let to = read_in(session, db, cut.to.build).await?;
        let Some(why) = behind(cut, from, &to.unwrap_or_default()) else {
            return Ok(None);
        };
        if begun.elapsed() >= POLLING {
            return Ok(Some(why));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
