//! A generation that begins as a copy of another one's rows.
//!
//! Each page is copied by the server in a transaction of its own that sees one instant: the rows, and the
//! cursors that say which records they reflect. The identity comes last, so that an unfinished
//! copy is a table that nobody reads. Whoever begins a copy drops what is left of an earlier one; an
//! earlier attempt that wakes up finds another table under the name and stops.
//!
//! The copy rests after each page for as long as that took: it takes half of one connection's time at most.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Executor, PgConnection, Row as _};

use super::Database;
use super::cursors::read_in;
use super::ddl::{build_of, create_table, identify, number};
use super::fault::{CANCELLED, NO_TABLE, sqlstate};
use super::keyset::{self, compared, list, parameters, texts};
use super::names::quote;
use super::pool::{BEGIN_WRITE, Session, bounded};
use super::upsert::{PAGE_COLUMN, order_column};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{RowKey, Schema, StoreKind};
use crate::store::shapes::taken;
use crate::store::{Cursor, Generation, other_build};

/// Rows per page: some 50 ms of work.
const ROWS: u64 = 10_000;
/// Rows per page below which a page that takes too long is not tried again with fewer.
const FEWEST_ROWS: u64 = 100;

const BEGIN_PAGE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; \
     SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '3s'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// One attempt to copy.
struct Copy<'a> {
    db: &'a Database,
    from: &'a Generation,
    to: &'a Generation,
    /// The columns that are copied, quoted.
    columns: Vec<String>,
    /// The table of this attempt.
    table: i64,
}

/// A page that was copied.
struct Page {
    rows: u64,
    /// Its last key; none when it is empty.
    last: Option<RowKey>,
    /// The cursors of its instant.
    cursors: Vec<Cursor>,
}

/// Creates `to` as a copy of `from`, unless it is there.
pub(super) async fn create_from(
    db: &Database,
    (from, to): (&Generation, &Generation),
    starts: &[(TopicPartition, Position)],
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    let columns = copied_columns(&from.schema, &to.schema)?;
    let Some(table) = bounded("begin a copy as", to, begin(db, from, to)).await? else {
        return Ok(());
    };
    let copy = Copy {
        db,
        from,
        to,
        columns,
        table,
    };
    let mut first: Option<Vec<Cursor>> = None;
    let (mut number, mut rows, mut copied) = (1, ROWS, 0);
    let mut after: Option<RowKey> = None;
    loop {
        let begun = Instant::now();
        let work = copy.page(number, after.as_ref(), rows);
        let Some(page) = bounded("copy a page of", from, work).await? else {
            rows = (rows / 4).max(FEWEST_ROWS);
            continue;
        };
        copied += page.rows;
        progress(copied);
        first.get_or_insert(page.cursors);
        if page.rows < rows {
            break;
        }
        (number, after) = (number + 1, page.last);
        tokio::time::sleep(begun.elapsed()).await;
    }
    let mut first = first.unwrap_or_default();
    for cursor in &mut first {
        let elsewhere = starts.iter().find(|(of, _)| *of == cursor.partition);
        cursor.position = elsewhere.map_or(cursor.position, |(_, at)| *at);
    }
    bounded("finish the copy as", to, copy.finish(&first)).await
}

/// The columns that both have, quoted, with their hidden orders.
fn copied_columns(from: &Schema, to: &Schema) -> Result<Vec<String>> {
    let mut copied = Vec::new();
    for (column, taken) in to.columns.iter().zip(taken(from, to)?) {
        if let Some(taken) = taken {
            copied.push(quote(&column.name));
            copied.extend(taken.ordered.then(|| order_column(column)));
        }
    }
    Ok(copied)
}

/// Drops what an earlier attempt left, and creates an empty table. None when the copy is complete.
async fn begin(db: &Database, from: &Generation, to: &Generation) -> Result<Option<i64>> {
    let mut session = Session::begin(&db.pools.control, BEGIN_WRITE).await?;
    let result = begin_in(&mut session, db, from, to).await;
    db.close(session, result).await
}

async fn begin_in(
    session: &mut PgConnection,
    db: &Database,
    from: &Generation,
    to: &Generation,
) -> Result<Option<i64>> {
    match build_of(session, db, to).await? {
        Some(build) if build == to.build => return Ok(None),
        Some(_) => return Err(other_build(to, StoreKind::Postgres)),
        None => {}
    }
    // Attempts that begin at once take turns.
    let sql = format!(
        "SELECT true FROM {} WHERE build = $1 FOR UPDATE",
        db.names.control("builds")
    );
    let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(from.build)
        .fetch_optional(&mut *session)
        .await?;
    if found.is_none() {
        return Err(absent(from));
    }
    let table = db.names.table(to);
    let sql = format!(
        "DROP TABLE IF EXISTS {table}; {}",
        create_table(&to.schema, &table)
    );
    session.execute(AssertSqlSafe(sql)).await?;
    // After the table's lock was waited for: no page of an earlier attempt comes any more.
    let sql = format!(
        "DELETE FROM {} WHERE build = $1",
        db.names.control("base_pages")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(to.build)
        .execute(&mut *session)
        .await?;
    table_id(session, &table).await
}

fn absent(generation: &Generation) -> Fault {
    Fault::transient(format!("{generation} is not in postgres"))
}

/// The identity of the table under this name.
async fn table_id(session: &mut PgConnection, table: &str) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1)::oid::bigint")
        .bind(table)
        .fetch_one(session)
        .await?)
}

impl Copy<'_> {
    /// Copies one page. None when that took too long and may be tried with fewer rows.
    async fn page(&self, page: i32, after: Option<&RowKey>, rows: u64) -> Result<Option<Page>> {
        let mut session = Session::begin(&self.db.pools.control, BEGIN_PAGE).await?;
        let result = self.page_in(&mut session, page, after, rows).await;
        let copied = match result {
            Ok(copied) => copied,
            Err(fault) => {
                session.rollback().await;
                return Err(fault);
            }
        };
        // Behind the last row there is no page; only a copy without any rows has an empty one.
        let kept = copied.as_ref().is_some_and(|c| c.rows > 0 || page == 1);
        if kept {
            session.commit().await?;
        } else {
            session.rollback().await;
        }
        Ok(copied)
    }

    async fn page_in(
        &self,
        session: &mut PgConnection,
        page: i32,
        after: Option<&RowKey>,
        rows: u64,
    ) -> Result<Option<Page>> {
        self.hold_table(session).await?;
        session.execute(keyset::ALONG_THE_KEY).await?;
        let Some(cursors) = read_in(session, self.db, self.from.build).await? else {
            return Err(absent(self.from));
        };
        let schema = &self.to.schema;
        let mut query = sqlx::query(AssertSqlSafe(self.statement(after.is_some(), rows)))
            .persistent(false)
            .bind(page);
        for text in after.map(parameters).unwrap_or_default() {
            query = query.bind(text);
        }
        let last = match query.fetch_optional(&mut *session).await {
            Err(error) if sqlstate(&error) == Some(CANCELLED) && rows > FEWEST_ROWS => {
                return Ok(None);
            }
            Err(error) if sqlstate(&error) == Some(NO_TABLE) => return Err(absent(self.from)),
            last => last?,
        };
        let copied: i64 = last.as_ref().map_or(Ok(0), |row| row.try_get(0))?;
        let last = last
            .map(|row| keyset::decode(schema, &row, 1))
            .transpose()?;
        self.note(session, page).await?;
        Ok(Some(Page {
            rows: copied.unsigned_abs(),
            last,
            cursors,
        }))
    }

    /// Copies rows; answers how many, and the last key. Parameters: page, and the key to begin behind.
    fn statement(&self, after: bool, rows: u64) -> String {
        let schema = &self.to.schema;
        let (columns, page) = (self.columns.join(", "), quote(PAGE_COLUMN));
        let condition = if after {
            format!("WHERE {}", compared(schema, "", ">", 2))
        } else {
            String::new()
        };
        let backwards: Vec<String> = schema
            .key_columns()
            .map(|column| format!("copied.{} DESC", quote(&column.name)))
            .collect();
        format!(
            "WITH copied AS (INSERT INTO {} ({columns}, {page}) \
             SELECT {columns}, $1::integer FROM {} {condition} ORDER BY {key} LIMIT {rows} \
             RETURNING {key}) \
             SELECT count(*) OVER (), {} FROM copied ORDER BY {} LIMIT 1",
            self.db.names.table(self.to),
            self.db.names.table(self.from),
            texts(schema, "copied."),
            backwards.join(", "),
            key = list(schema, ""),
        )
    }

    /// Keeps the table from being dropped, if it still is the one of this attempt. Before the
    /// transaction's instant is chosen.
    async fn hold_table(&self, session: &mut PgConnection) -> Result<()> {
        let table = self.db.names.table(self.to);
        let elsewhere = || {
            Fault::transient(format!(
                "{}: its copy was begun anew or removed by another instance",
                self.to
            ))
        };
        let sql = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
        match session.execute(AssertSqlSafe(sql)).await {
            Err(error) if sqlstate(&error) == Some(NO_TABLE) => return Err(elsewhere()),
            locked => locked?,
        };
        if table_id(session, &table).await? != Some(self.table) {
            return Err(elsewhere());
        }
        Ok(())
    }

    /// Writes down the cursors of the transaction's instant.
    async fn note(&self, session: &mut PgConnection, page: i32) -> Result<()> {
        let sql = format!(
            "INSERT INTO {} (build, page, topic, partition, position) \
             SELECT $1, $2, topic, partition, position FROM {} WHERE build = $3",
            self.db.names.control("base_pages"),
            self.db.names.control("cursors"),
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.to.build)
            .bind(page)
            .bind(self.from.build)
            .execute(session)
            .await?;
        Ok(())
    }

    /// Gives the copy its identity and cursors.
    async fn finish(&self, cursors: &[Cursor]) -> Result<()> {
        let mut session = Session::begin(&self.db.pools.control, BEGIN_WRITE).await?;
        let result = self.finish_in(&mut session, cursors).await;
        self.db.close(session, result).await
    }

    async fn finish_in(&self, session: &mut PgConnection, cursors: &[Cursor]) -> Result<()> {
        self.hold_table(session).await?;
        if !identify(session, self.db, self.to).await? {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {} (build, projection, generation, topic, partition, position, newest_micros) \
             SELECT $1, $2, $3, s.* FROM unnest($4::text[], $5::int[], $6::bigint[], $7::bigint[]) AS s",
            self.db.names.control("cursors")
        );
        let topics: Vec<&str> = cursors.iter().map(|c| &*c.partition.topic).collect();
        let partitions: Vec<i32> = cursors.iter().map(|c| c.partition.partition).collect();
        let positions: Vec<i64> = cursors.iter().map(|c| c.position.offset()).collect();
        let newest: Vec<Option<i64>> = cursors.iter().map(|c| c.newest_micros).collect();
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.to.build)
            .bind(&*self.to.projection)
            .bind(number(self.to)?)
            .bind(topics)
            .bind(partitions)
            .bind(positions)
            .bind(newest)
            .execute(session)
            .await?;
        Ok(())
    }
}
