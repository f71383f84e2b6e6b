//! Claims: how an owner takes over a cursor, and ends who still holds it.
//!
//! The update waits for a statement of a dead owner that is in flight, so that the position it
//! returns is final. An owner that sleeps inside its transaction would keep it waiting (I5): after
//! [`PATIENCE`] the session at the root of the wait is ended, if it is one of ours.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::Database;
use super::pool::{APPLICATION, BEGIN_WRITE, Session};
use crate::fault::Result;
use crate::position::Position;
use crate::store::{Claimed, Cursor, Generation};

/// How long a claim waits before it ends the session in its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Finds the sessions at the root of what `$1` waits for, and ends those of ours.
const END_BLOCKERS: &str = "WITH RECURSIVE blocking(pid) AS ( \
         SELECT unnest(pg_blocking_pids($1)) \
         UNION SELECT unnest(pg_blocking_pids(b.pid)) FROM blocking AS b) \
     SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) \
     FROM blocking AS b JOIN pg_stat_activity AS a ON a.pid = b.pid \
     WHERE a.usename = current_user AND a.datname = current_database() \
     AND starts_with(a.application_name, $2) AND cardinality(pg_blocking_pids(a.pid)) = 0";

/// Sets the claim where it still is `read.claim`. A claim that is already there (its answer was
/// lost) is ours.
pub(super) async fn claim(
    db: &Database,
    generation: &Generation,
    read: &Cursor,
    claim: Uuid,
) -> Result<Claimed> {
    let mut session = Session::begin(&db.pools.writers, BEGIN_WRITE).await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *session)
        .await?;
    let result = {
        let update = update(&mut session, db, generation, read, claim);
        tokio::pin!(update);
        loop {
            match tokio::time::timeout(PATIENCE, &mut update).await {
                Ok(result) => break result,
                Err(_) => end_blockers(db, pid).await?,
            }
        }
    };
    db.close(session, result).await
}

async fn update(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    read: &Cursor,
    claim: Uuid,
) -> Result<Claimed> {
    let cursors = db.names.control("cursors");
    let place = (&*read.partition.topic, read.partition.partition);
    let sql = format!(
        "UPDATE {cursors} SET claim = $4, epoch = epoch + 1 \
         WHERE build = $1 AND topic = $2 AND partition = $3 AND claim IS NOT DISTINCT FROM $5 \
         RETURNING position"
    );
    let position: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(generation.build)
        .bind(place.0)
        .bind(place.1)
        .bind(claim)
        .bind(read.claim)
        .fetch_optional(&mut *session)
        .await?;
    if let Some(position) = position {
        return Ok(Claimed::Ours(Position::at(position)));
    }
    let sql = format!(
        "SELECT claim, position FROM {cursors} WHERE build = $1 AND topic = $2 AND partition = $3"
    );
    let stored: Option<(Option<Uuid>, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(generation.build)
        .bind(place.0)
        .bind(place.1)
        .fetch_optional(session)
        .await?;
    Ok(match stored {
        Some((held, position)) if held == Some(claim) => Claimed::Ours(Position::at(position)),
        Some(_) => Claimed::Lost,
        None => Claimed::Gone,
    })
}

/// Ends our sessions that keep the session `pid` waiting. One of another kind is left alone:
/// the wait then ends with the lock time-out.
async fn end_blockers(db: &Database, pid: i32) -> Result<()> {
    let mut session = Session::open(&db.pools.control).await?;
    let ended: i64 = sqlx::query_scalar(END_BLOCKERS)
        .bind(pid)
        .bind(APPLICATION)
        .fetch_one(&mut *session)
        .await?;
    session.keep();
    if ended > 0 {
        let count = u64::try_from(ended).unwrap_or_default();
        db.counters.terminated.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(
            sessions = ended,
            "ended sessions of a former owner that kept a claim waiting"
        );
    }
    Ok(())
}
