//! Reading rows of a generation, what readers see, and sizes.

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
use crate::store::{Cursor, Generation};

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

/// The generation that readers see.
pub(super) struct Live {
    pub(super) number: u32,
    pub(super) build: Uuid,
    pub(super) cursors: Vec<Cursor>,
}

/// The generation that readers of `projection` see, with its cursors; none where nothing is published.
pub(super) async fn live(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
) -> Result<Option<Live>> {
    let sql = format!(
        "SELECT p.generation, p.build, c.topic, c.partition, c.position, c.claim, c.epoch, \
         c.newest_micros FROM {} AS p LEFT JOIN {} AS c ON c.build = p.build \
         WHERE p.projection = $1 ORDER BY c.topic, c.partition",
        db.names.control("pointers"),
        db.names.control("cursors"),
    );
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_all(session)
        .await?;
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let number: i32 = first.try_get(0)?;
    let cursors = found
        .iter()
        .map(|row| Ok(<CursorRow as sqlx::FromRow<_>>::from_row(row)?.into_cursor()))
        .filter_map(Result::transpose);
    Ok(Some(Live {
        number: u32::try_from(number)
            .map_err(|_| Fault::bug(format!("{projection} generation {number} is live")))?,
        build: first.try_get(1)?,
        cursors: cursors.collect::<Result<_>>()?,
    }))
}

/// The cursors of the generation that readers see; none when the view is not published.
pub(super) async fn live_cursors(db: &Database, projection: &str) -> Result<Option<Vec<Cursor>>> {
    let sql = format!(
        "SELECT c.topic, c.partition, c.position, c.claim, c.epoch, c.newest_micros \
         FROM {} AS p LEFT JOIN {} AS c ON c.build = p.build WHERE p.projection = $1 \
         ORDER BY c.topic, c.partition",
        db.names.control("pointers"),
        db.names.control("cursors"),
    );
    let mut session = Session::open(&db.pools.readers).await?;
    let rows: Vec<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_all(&mut *session)
        .await?;
    session.keep();
    let published = !rows.is_empty();
    let cursors = rows.into_iter().filter_map(CursorRow::into_cursor);
    Ok(published.then(|| cursors.collect()))
}

/// Rows that are counted exactly; of more, about how many there are follows from their density.
const COUNTED: i64 = 50_000;

/// About how many rows the generation has, and how many bytes they take; none when it is not here.
pub(super) async fn size(db: &Database, generation: &Generation) -> Result<Option<(u64, u64)>> {
    let mut session = Session::begin(&db.pools.control, BEGIN_SNAPSHOT).await?;
    let result = size_in(&mut session, db, generation).await;
    db.close(session, result).await
}

async fn size_in(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<Option<(u64, u64)>> {
    let table = db.names.table(generation);
    let sql = format!(
        "SELECT c.reltuples::float8, pg_total_relation_size(c.oid), pg_relation_size(c.oid) \
         / current_setting('block_size')::bigint FROM {} AS b JOIN pg_class AS c \
         ON c.oid = to_regclass($2) WHERE b.build = $1",
        db.names.control("builds")
    );
    let found: Option<(f64, i64, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(generation.build)
        .bind(&table)
        .fetch_optional(&mut *session)
        .await?;
    let Some((estimate, bytes, blocks)) = found else {
        return Ok(None);
    };
    let bytes = bytes.unsigned_abs();
    if estimate > COUNTED as f64 {
        return Ok(Some((estimate as u64, bytes)));
    }
    // Small, or never analysed.
    let sql = format!(
        "SELECT count(*), coalesce(max((ctid::text::point)[0]), 0)::bigint \
         FROM (SELECT ctid FROM {table} LIMIT {COUNTED}) AS t"
    );
    let counted = sqlx::query_as(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(session)
        .await;
    let (rows, last_block): (i64, i64) = match counted {
        Err(error) if sqlstate(&error) == Some(NO_TABLE) => return Ok(None),
        counted => counted?,
    };
    let rows = if rows < COUNTED {
        rows as f64
    } else {
        rows as f64 * blocks as f64 / (last_block + 1) as f64
    };
    Ok(Some((rows as u64, bytes)))
}
