//! Reading rows.
//!
//! A point read never goes through the SQL view, whose definition is not part of a snapshot:
//! pointer, cursors and row are read from their tables at one instant.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::Database;
use super::apply::by_keys;
use super::cursors::CursorRow;
use super::fault::{NO_TABLE, sqlstate};
use super::plan::Plan;
use super::pool::{BEGIN_SNAPSHOT, Session};
use crate::fault::{Fault, Result};
use crate::projection::{Row, RowKey};
use crate::store::{Generation, PointRead};

/// The current rows of `keys`, in the order of `keys`; none of them when the generation is gone.
pub(super) async fn rows(
    db: &Database,
    generation: &Generation,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>> {
    let plan = db.plan(generation);
    let mut session = Session::open(&db.pools.readers).await?;
    let rows = read(&mut session, &plan, keys).await;
    session.keep();
    rows
}

async fn read(
    session: &mut PgConnection,
    plan: &Plan,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>> {
    let mut rows: Vec<Option<Row>> = vec![None; keys.len()];
    let found = match by_keys(plan, &plan.read, keys.iter())
        .fetch_all(session)
        .await
    {
        Err(error) if sqlstate(&error) == Some(NO_TABLE) => return Ok(rows),
        found => found?,
    };
    for found in found {
        let (place, _, row) = plan.decode(&found)?;
        if let Some(slot) = rows.get_mut(place) {
            *slot = Some(row);
        }
    }
    Ok(rows)
}

/// The row of `key` in the live generation and that generation's cursors, at one instant.
pub(super) async fn point_read(
    db: &Database,
    projection: &str,
    key: &RowKey,
    schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
) -> Result<Option<PointRead>> {
    let mut session = Session::begin(&db.pools.readers, BEGIN_SNAPSHOT).await?;
    let result = point_read_in(&mut session, db, projection, (key, schemas)).await;
    db.close(session, result).await
}

/// The key to read, and the shapes of generations.
type Wanted<'a> = (
    &'a RowKey,
    &'a (dyn Fn(u32) -> Option<Generation> + Send + Sync),
);

async fn point_read_in(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
    (key, schemas): Wanted<'_>,
) -> Result<Option<PointRead>> {
    let sql = format!(
        "SELECT p.generation, p.build, c.topic, c.partition, c.position, c.claim, c.epoch, \
         c.newest_micros FROM {} AS p LEFT JOIN {} AS c ON c.build = p.build \
         WHERE p.projection = $1 ORDER BY c.topic, c.partition",
        db.names.control("pointers"),
        db.names.control("cursors"),
    );
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_all(&mut *session)
        .await?;
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let (number, build): (i32, Uuid) = (first.try_get(0)?, first.try_get(1)?);
    let live = u32::try_from(number).ok().and_then(schemas);
    let Some(live) = live.filter(|generation| generation.build == build) else {
        return Err(Fault::transient(format!(
            "{projection} generation {number} is live, but not known to this instance yet"
        )));
    };
    let cursors = found
        .iter()
        .map(|row| Ok(<CursorRow as sqlx::FromRow<_>>::from_row(row)?.into_cursor()))
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    let plan = db.plan(&live);
    let rows = read(session, &plan, std::slice::from_ref(key)).await?;
    Ok(Some(PointRead {
        generation: live.number,
        row: rows.into_iter().next().flatten(),
        cursors,
    }))
}
