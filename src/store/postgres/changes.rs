//! The change log: one row of `changes` per batch that changed rows of the generation that readers see.
//!
//! Whether they see it is asked in the statement that writes the batch, with its cursors locked. A cutover locks
//! the cursors of both generations before it moves the pointer, so each batch is either committed before it, or
//! asks after it: nothing that readers can see is left out.
//!
//! A look sees one instant. Batches commit in another order than they are numbered, so the next look asks for
//! those that the snapshot of this one did not show, whatever their number.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::names::Names;
use super::pool::{BEGIN_SNAPSHOT, BEGIN_WRITE, Session, bounded};
use super::{Database, PostgresStore};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::store::Cursor;
use crate::store::changes::{ChangeLog, ChangeMark, Changes, Noted, Reached};

/// For how long changes are kept.
const KEPT: &str = "10 minutes";
/// How many are removed in one step.
const STEP: i64 = 500;

/// Notes a batch in the statement that moves its cursors. Parameters: those of the movement, then the keys.
pub(super) fn note_statement(names: &Names, keys: usize) -> String {
    format!(
        "INSERT INTO {} (build, projection, positions, keys) \
         SELECT p.build, p.projection, (SELECT jsonb_object_agg(m.topic || '/' || m.partition, m.target) \
         FROM unnest($2::text[], $3::int[], $4::bigint[]) AS m(topic, partition, target)), ${keys}::text \
         FROM {} AS p WHERE p.build = $1",
        names.control("changes"),
        names.control("pointers"),
    )
}

/// From here on what changes is noted: remembers where the build stands. Its cursors have to be locked.
pub(super) async fn begin_at(
    session: &mut PgConnection,
    db: &Database,
    build: Uuid,
    cursors: &[Cursor],
) -> Result<(), sqlx::Error> {
    let positions = cursors
        .iter()
        .map(|cursor| (cursor.partition.to_string(), cursor.position.offset()));
    raise(session, db, build, positions.collect()).await
}

/// Raises the horizons of a build, in one order.
async fn raise(
    session: &mut PgConnection,
    db: &Database,
    build: Uuid,
    horizons: BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO {} AS h (build, partition, position) \
         SELECT b.build, m.partition, m.position FROM {} AS b, \
         unnest($2::text[], $3::bigint[]) AS m(partition, position) WHERE b.build = $1 \
         ON CONFLICT (build, partition) DO UPDATE SET position = greatest(h.position, EXCLUDED.position)",
        db.names.control("change_horizons"),
        db.names.control("builds"),
    );
    let (partitions, positions): (Vec<String>, Vec<i64>) = horizons.into_iter().unzip();
    sqlx::query(AssertSqlSafe(sql))
        .bind(build)
        .bind(partitions)
        .bind(positions)
        .execute(session)
        .await?;
    Ok(())
}

/// Where the view stands at the instant of the session's snapshot; none when it is not published.
async fn mark(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
) -> Result<Option<ChangeMark>> {
    let sql = format!(
        "SELECT p.generation, p.build, pg_current_snapshot()::text, c.topic, c.partition, c.position \
         FROM {} AS p LEFT JOIN {} AS c ON c.build = p.build WHERE p.projection = $1",
        db.names.control("pointers"),
        db.names.control("cursors"),
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_all(session)
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let number: i32 = first.try_get(0)?;
    let mut reached = Reached::new();
    for row in &rows {
        let topic: Option<String> = row.try_get(3)?;
        let (partition, position): (Option<i32>, Option<i64>) = (row.try_get(4)?, row.try_get(5)?);
        if let (Some(topic), Some(partition), Some(position)) = (topic, partition, position) {
            reached.insert(
                TopicPartition::new(topic, partition),
                Position::at(position),
            );
        }
    }
    Ok(Some(ChangeMark {
        generation: u32::try_from(number)
            .map_err(|_| Fault::bug(format!("{projection}: generation {number}")))?,
        build: first.try_get(1)?,
        seen: first.try_get(2)?,
        reached,
    }))
}

/// What was committed since the snapshot of `since`.
async fn noted_since(
    session: &mut PgConnection,
    db: &Database,
    since: &ChangeMark,
) -> Result<Vec<Noted>> {
    let sql = format!(
        "SELECT id, positions FROM {} WHERE build = $1 \
         AND xact >= pg_snapshot_xmin($2::text::pg_snapshot) \
         AND NOT pg_visible_in_snapshot(xact, $2::text::pg_snapshot) ORDER BY id",
        db.names.control("changes")
    );
    let rows: Vec<(i64, serde_json::Value)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(since.build)
        .bind(&since.seen)
        .fetch_all(session)
        .await?;
    // A database that was restored elsewhere counts its transactions anew: positions tell what is known.
    let noted: Result<Vec<Noted>> = rows.into_iter().map(noted).collect();
    let new = |noted: &Noted| !noted.is_below(&since.reached);
    Ok(noted?.into_iter().filter(new).collect())
}

fn noted((id, positions): (i64, serde_json::Value)) -> Result<Noted> {
    let wrong = || {
        Fault::misconfigured(format!(
            "row {id} of the control table changes cannot be read"
        ))
    };
    let positions = positions.as_object().ok_or_else(wrong)?;
    let reached = positions.iter().map(|(partition, at)| {
        let partition: TopicPartition = partition.parse().map_err(|_| wrong())?;
        Ok((partition, Position::at(at.as_i64().ok_or_else(wrong)?)))
    });
    Ok(Noted {
        id,
        reached: reached.collect::<Result<_>>()?,
    })
}

/// The first transaction that the mark's snapshot knew nothing of: it only grows, unless the database was restored.
fn xmax(mark: &ChangeMark) -> u64 {
    let text = mark.seen.split(':').nth(1);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn look(
    db: &Database,
    projection: &str,
    since: Option<&ChangeMark>,
) -> Result<Option<Changes>> {
    let mut session = Session::begin(&db.pools.readers, BEGIN_SNAPSHOT).await?;
    let result = async {
        let Some(mark) = mark(&mut session, db, projection).await? else {
            return Ok(None);
        };
        // Where no cursor has moved, nothing was changed.
        let noted = match since {
            Some(since) if since.build != mark.build || since.reached != mark.reached => {
                noted_since(&mut session, db, since).await?
            }
            _ => Vec::new(),
        };
        let lost = since.is_some_and(|since| xmax(&mark) < xmax(since));
        Ok(Some(Changes {
            mark,
            noted,
            more: false,
            lost,
        }))
    }
    .await;
    db.close(session, result).await
}

async fn beyond(
    db: &Database,
    projection: &str,
    floor: &Reached,
    most: usize,
) -> Result<Option<Changes>> {
    let mut session = Session::begin(&db.pools.readers, BEGIN_SNAPSHOT).await?;
    let result = beyond_in(&mut session, db, projection, (floor, most)).await;
    db.close(session, result).await
}

async fn beyond_in(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
    (floor, most): (&Reached, usize),
) -> Result<Option<Changes>> {
    let Some(mark) = mark(session, db, projection).await? else {
        return Ok(None);
    };
    let (partitions, positions): (Vec<String>, Vec<i64>) = floor
        .iter()
        .map(|(partition, at)| (partition.to_string(), at.offset()))
        .unzip();
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {} AS h LEFT JOIN unnest($2::text[], $3::bigint[]) AS f(partition, at) \
         ON f.partition = h.partition WHERE h.build = $1 AND h.position > coalesce(f.at, 0))",
        db.names.control("change_horizons")
    );
    let lost: bool = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(mark.build)
        .bind(&partitions)
        .bind(&positions)
        .fetch_one(&mut *session)
        .await?;
    let sql = format!(
        "SELECT c.id, c.positions FROM {} AS c WHERE c.build = $1 AND EXISTS (\
         SELECT FROM jsonb_each_text(c.positions) AS m LEFT JOIN unnest($2::text[], $3::bigint[]) \
         AS f(partition, at) ON f.partition = m.key WHERE m.value::bigint > coalesce(f.at, 0)) \
         ORDER BY c.id LIMIT $4",
        db.names.control("changes")
    );
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let rows: Vec<(i64, serde_json::Value)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(mark.build)
        .bind(&partitions)
        .bind(&positions)
        .bind(limit)
        .fetch_all(&mut *session)
        .await?;
    Ok(Some(Changes {
        more: rows.len() >= most,
        noted: rows.into_iter().map(noted).collect::<Result<_>>()?,
        mark,
        lost,
    }))
}

async fn changed_keys(db: &Database, id: i64) -> Result<Option<Vec<String>>> {
    let sql = format!(
        "SELECT keys FROM {} WHERE id = $1",
        db.names.control("changes")
    );
    let mut session = Session::open(&db.pools.readers).await?;
    let keys: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(&mut *session)
        .await?;
    session.keep();
    Ok(keys.map(|keys| keys.split('\n').map(str::to_owned).collect()))
}

/// Removes a step of old changes; where they were is remembered in the same transaction.
async fn forget_old(db: &Database) -> Result<u64> {
    let mut session = Session::begin(&db.pools.control, BEGIN_WRITE).await?;
    let result = async {
        let changes = db.names.control("changes");
        let sql = format!(
            "DELETE FROM {changes} WHERE id IN (SELECT id FROM {changes} WHERE at < now() - interval '{KEPT}' \
             ORDER BY at LIMIT {STEP} FOR UPDATE SKIP LOCKED) RETURNING build, id, positions"
        );
        let gone: Vec<(Uuid, i64, serde_json::Value)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&mut *session)
            .await?;
        let count = gone.len() as u64;
        let mut horizons: BTreeMap<Uuid, BTreeMap<String, i64>> =
            BTreeMap::new();
        for (build, id, positions) in gone {
            for (partition, at) in noted((id, positions))?.reached {
                let of_build = horizons.entry(build).or_default();
                let horizon = of_build.entry(partition.to_string()).or_default();
                *horizon = at.offset().max(*horizon);
            }
        }
        for (build, horizons) in horizons {
            raise(&mut session, db, build, horizons).await?;
        }
        Ok(count)
    }
    .await;
    db.close(session, result).await
}

#[async_trait]
impl ChangeLog for PostgresStore {
    async fn look(&self, projection: &str, since: Option<&ChangeMark>) -> Result<Option<Changes>> {
        let work = look(&self.db, projection, since);
        bounded("follow", projection, work).await
    }

    async fn beyond(
        &self,
        projection: &str,
        floor: &Reached,
        most: usize,
    ) -> Result<Option<Changes>> {
        let work = beyond(&self.db, projection, floor, most);
        bounded("read the changes of", projection, work).await
    }

    async fn changed_keys(&self, id: i64) -> Result<Option<Vec<String>>> {
        bounded("read change", id, changed_keys(&self.db, id)).await
    }

    async fn forget_old(&self) -> Result<u64> {
        let work = forget_old(&self.db);
        bounded("remove old rows of", "the change log", work).await
    }
}
