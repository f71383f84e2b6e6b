//! Cursors: read, created, judged, moved.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::Database;
use super::ddl::number;
use super::pool::Session;
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::store::{Cursor, Generation, Move, Verdict};

/// The columns of a set of moves, as array parameters.
pub(super) struct Columns<'a> {
    pub(super) topics: Vec<&'a str>,
    pub(super) partitions: Vec<i32>,
    pub(super) targets: Vec<i64>,
    pub(super) newest: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(moves: &'a [Move]) -> Self {
        Self {
            topics: moves.iter().map(|m| &*m.partition.topic).collect(),
            partitions: moves.iter().map(|m| m.partition.partition).collect(),
            targets: moves.iter().map(|m| m.to.offset()).collect(),
            newest: moves.iter().map(|m| m.newest_micros).collect(),
        }
    }
}

/// Locks the cursors of a batch in (topic, partition) order. Parameters: build, topics, partitions.
pub(super) fn lock_statement(cursors: &str) -> String {
    format!(
        "SELECT c.topic, c.partition, c.claim, c.position \
         FROM unnest($2::text[], $3::int[]) AS w(topic, partition) \
         JOIN {cursors} AS c ON c.build = $1 AND c.topic = w.topic AND c.partition = w.partition \
         ORDER BY c.topic, c.partition FOR UPDATE OF c"
    )
}

/// Moves cursors that are locked and checked. Parameters: build, topics, partitions, targets, newest.
pub(super) fn move_statement(cursors: &str) -> String {
    format!(
        "UPDATE {cursors} AS c SET position = w.target, moved_at = now(), \
         newest_micros = greatest(c.newest_micros, w.newest) \
         FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) \
         AS w(topic, partition, target, newest) \
         WHERE c.build = $1 AND c.topic = w.topic AND c.partition = w.partition"
    )
}

/// Reads the cursors that a batch wants to move and judges each move, in the order of the moves.
pub(super) async fn judge(
    session: &mut PgConnection,
    db: &Database,
    build: Uuid,
    moves: &[Move],
) -> Result<Vec<Verdict>, sqlx::Error> {
    let columns = Columns::of(moves);
    let held: Vec<(String, i32, Option<Uuid>, i64)> =
        sqlx::query_as(AssertSqlSafe(db.lock_cursors.clone()))
            .bind(build)
            .bind(columns.topics)
            .bind(columns.partitions)
            .fetch_all(session)
            .await?;
    let held: HashMap<(&str, i32), (Option<Uuid>, Position)> = held
        .iter()
        .map(|(topic, partition, claim, position)| {
            (
                (topic.as_str(), *partition),
                (*claim, Position::at(*position)),
            )
        })
        .collect();
    Ok(moves
        .iter()
        .map(|wanted| {
            let place = (&*wanted.partition.topic, wanted.partition.partition);
            Verdict::judge(wanted, held.get(&place).copied())
        })
        .collect())
}

/// The generation's cursors; none when there is no such build.
pub(super) async fn read(db: &Database, generation: &Generation) -> Result<Option<Vec<Cursor>>> {
    let mut session = Session::open(&db.pools.control).await?;
    let cursors = read_in(&mut session, db, generation.build).await?;
    session.keep();
    Ok(cursors)
}

/// The cursors of the build, as the session sees them; none when there is no such build.
pub(super) async fn read_in(
    session: &mut PgConnection,
    db: &Database,
    build: Uuid,
) -> Result<Option<Vec<Cursor>>, sqlx::Error> {
    let sql = format!(
        "SELECT c.topic, c.partition, c.position, c.claim, c.epoch, c.newest_micros \
         FROM {} AS b LEFT JOIN {} AS c ON c.build = b.build WHERE b.build = $1 \
         ORDER BY c.topic, c.partition",
        db.names.control("builds"),
        db.names.control("cursors"),
    );
    let rows: Vec<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(build)
        .fetch_all(session)
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let cursors = rows.into_iter().filter_map(CursorRow::into_cursor);
    Ok(Some(cursors.collect()))
}

/// A cursor, or nothing where an outer join found none.
#[derive(sqlx::FromRow)]
pub(super) struct CursorRow {
    topic: Option<String>,
    partition: Option<i32>,
    position: Option<i64>,
    claim: Option<Uuid>,
    epoch: Option<i64>,
    newest_micros: Option<i64>,
}

impl CursorRow {
    pub(super) fn into_cursor(self) -> Option<Cursor> {
        Some(Cursor {
            partition: TopicPartition::new(self.topic?, self.partition?),
            position: Position::at(self.position?),
            claim: self.claim,
            epoch: self.epoch?,
            newest_micros: self.newest_micros,
        })
    }
}

/// Inserts a cursor per start, leaving existing ones as they are.
pub(super) async fn insert(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    starts: &[(TopicPartition, Position)],
) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (build, projection, generation, topic, partition, position) \
         SELECT $1, $2, $3, s.topic, s.partition, s.position \
         FROM unnest($4::text[], $5::int[], $6::bigint[]) AS s(topic, partition, position) \
         ON CONFLICT DO NOTHING",
        db.names.control("cursors")
    );
    let topics: Vec<&str> = starts.iter().map(|(at, _)| &*at.topic).collect();
    let partitions: Vec<i32> = starts.iter().map(|(at, _)| at.partition).collect();
    let positions: Vec<i64> = starts.iter().map(|(_, start)| start.offset()).collect();
    sqlx::query(AssertSqlSafe(sql))
        .bind(generation.build)
        .bind(&*generation.projection)
        .bind(number(generation)?)
        .bind(topics)
        .bind(partitions)
        .bind(positions)
        .execute(session)
        .await?;
    Ok(())
}

/// Adds one cursor to a build that exists. The build's row is locked, so that a removal cannot
/// leave the cursor behind.
pub(super) async fn add(
    db: &Database,
    generation: &Generation,
    partition: &TopicPartition,
    start: Position,
) -> Result<bool> {
    let mut session = Session::begin(&db.pools.writers, super::pool::BEGIN_WRITE).await?;
    let result = async {
        let sql = format!(
            "SELECT true FROM {} WHERE build = $1 FOR SHARE",
            db.names.control("builds")
        );
        let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(generation.build)
            .fetch_optional(&mut *session)
            .await?;
        if found.is_some() {
            insert(&mut session, db, generation, &[(partition.clone(), start)]).await?;
        }
        Ok(found.is_some())
    }
    .await;
    db.close(session, result).await
}

/// Moves cursors over holes, each for itself, skipping those that are locked.
pub(super) async fn advance(
    db: &Database,
    generation: &Generation,
    moves: &[Move],
) -> Result<Vec<Verdict>> {
    let cursors = db.names.control("cursors");
    let sql = format!(
        "WITH wanted AS (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], \
             $6::bigint[], $7::uuid[]) WITH ORDINALITY \
             AS w(topic, partition, target, newest, start, claim, ord)), \
         held AS (SELECT w.ord, c.claim, c.position FROM wanted AS w JOIN {cursors} AS c \
             ON c.build = $1 AND c.topic = w.topic AND c.partition = w.partition \
             ORDER BY c.topic, c.partition FOR UPDATE OF c SKIP LOCKED), \
         moved AS (UPDATE {cursors} AS c SET position = w.target, moved_at = now(), \
             newest_micros = greatest(c.newest_micros, w.newest) \
             FROM wanted AS w JOIN held AS h ON h.ord = w.ord \
             WHERE c.build = $1 AND c.topic = w.topic AND c.partition = w.partition \
             AND c.claim = w.claim AND c.position = w.start RETURNING w.ord) \
         SELECT m.ord IS NOT NULL AS moved, c.build IS NOT NULL AS present, h.claim, h.position \
         FROM wanted AS w LEFT JOIN held AS h ON h.ord = w.ord \
         LEFT JOIN moved AS m ON m.ord = w.ord LEFT JOIN {cursors} AS c \
             ON c.build = $1 AND c.topic = w.topic AND c.partition = w.partition ORDER BY w.ord"
    );
    let columns = Columns::of(moves);
    let starts: Vec<i64> = moves.iter().map(|m| m.from.offset()).collect();
    let claims: Vec<Uuid> = moves.iter().map(|m| m.claim).collect();
    let mut session = Session::open(&db.pools.writers).await?;
    let rows: Vec<Advanced> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(generation.build)
        .bind(columns.topics)
        .bind(columns.partitions)
        .bind(columns.targets)
        .bind(columns.newest)
        .bind(starts)
        .bind(claims)
        .fetch_all(&mut *session)
        .await?;
    session.keep();
    Ok(moves
        .iter()
        .zip(rows)
        .map(|(wanted, row)| row.verdict(wanted))
        .collect())
}

/// What became of one move over holes.
#[derive(sqlx::FromRow)]
struct Advanced {
    moved: bool,
    present: bool,
    claim: Option<Uuid>,
    /// Where the cursor stood, if it could be locked.
    position: Option<i64>,
}

impl Advanced {
    fn verdict(&self, wanted: &Move) -> Verdict {
        match self.position {
            _ if self.moved => Verdict::Applied,
            Some(position) => Verdict::judge(wanted, Some((self.claim, Position::at(position)))),
            // Locked by somebody else, and so skipped.
            None if self.present => Verdict::NotApplied,
            None => Verdict::Gone,
        }
    }
}
