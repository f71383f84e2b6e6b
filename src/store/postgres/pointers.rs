//! Which generation readers see: read, first set, forgotten. Moving them is [`super::cutover`].

use sqlx::{AssertSqlSafe, PgConnection};

use super::cutover::lock_cursors;
use super::ddl::{build_of, number};
use super::pool::{BEGIN_WRITE, Session};
use super::view::{self, Shown};
use super::{Database, changes};
use crate::fault::{Fault, Result};
use crate::store::{Generation, Pointer};

/// The projection's pointer; none when nothing was ever published, or nothing is any more.
pub(super) async fn read(db: &Database, projection: &str) -> Result<Option<Pointer>> {
    let mut session = Session::open(&db.pools.control).await?;
    let pointer = read_in(&mut session, db, projection, "").await?;
    session.keep();
    Ok(pointer)
}

/// The projection's pointer; `locking` is what stands behind the query.
pub(super) async fn read_in(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
    locking: &'static str,
) -> Result<Option<Pointer>, sqlx::Error> {
    let sql = format!(
        "SELECT generation, intent FROM {} WHERE projection = $1 {locking}",
        db.names.control("pointers")
    );
    let found: Option<(i32, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_optional(session)
        .await?;
    Ok(found.map(|(generation, intent)| Pointer {
        generation: u32::try_from(generation).ok(),
        intent,
    }))
}

/// Points at the generation, unless a later intent already decided. Whether anything changed.
pub(super) async fn write(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    intent: i64,
) -> Result<bool> {
    let sql = format!(
        "INSERT INTO {} AS p (projection, generation, build, intent) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (projection) DO UPDATE SET generation = EXCLUDED.generation, \
         build = EXCLUDED.build, intent = EXCLUDED.intent, \
         since = CASE WHEN p.build = EXCLUDED.build THEN p.since ELSE now() END \
         WHERE p.intent < EXCLUDED.intent",
        db.names.control("pointers")
    );
    let moved = sqlx::query(AssertSqlSafe(sql))
        .bind(&*generation.projection)
        .bind(number(generation)?)
        .bind(generation.build)
        .bind(intent)
        .execute(session)
        .await?
        .rows_affected();
    Ok(moved > 0)
}

/// Points readers at the generation, unless a later intent already decided.
pub(super) async fn publish(db: &Database, generation: &Generation, intent: i64) -> Result<()> {
    let mut session = Session::begin(&db.pools.control, BEGIN_WRITE).await?;
    let result = publish_in(&mut session, db, generation, intent).await;
    db.close(session, result).await
}

async fn publish_in(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    intent: i64,
) -> Result<()> {
    if build_of(session, db, generation).await? != Some(generation.build) {
        return Err(Fault::misconfigured(format!(
            "{generation} is not in postgres, so that it cannot be published"
        )));
    }
    if !write(session, db, generation, intent).await? {
        return Ok(());
    }
    // Batches that are under way end first: those after them know that readers see them.
    let cursors = lock_cursors(session, db, generation.build).await?;
    changes::begin_at(session, db, generation.build, &cursors).await?;
    match view::show(session, db, generation).await? {
        Shown::Yes => Ok(()),
        Shown::Held => Err(Fault::transient("readers hold the view's lock")),
        Shown::Needed(names) => {
            let why = view::needed_by(&generation.projection, &names);
            Err(Fault::misconfigured(why))
        }
    }
}

/// Forgets the projection's pointer and intent.
pub(super) async fn forget(db: &Database, projection: &str) -> Result<()> {
    let sql = format!(
        "DELETE FROM {} WHERE projection = $1",
        db.names.control("pointers")
    );
    let mut session = Session::open(&db.pools.control).await?;
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .execute(&mut *session)
        .await?;
    session.keep();
    Ok(())
}
