//! The control schema, brought up to date.
//!
//! All of it is one transaction under a transaction-level advisory lock: instances that start
//! at once take turns, and neither a pooler nor a dead host can keep the lock. Migrations that
//! a newer version has applied are accepted; within a major version they only add.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::Database;
use super::names::{literal, quote};
use super::pool::{Session, within};
use crate::fault::Result;

/// Begins the migration. Building an index on a grown table may take longer than a batch.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
     SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '60s'";

/// How long all of it may take, with the answers under way.
const LIMIT: Duration = Duration::from_secs(90);

/// Creates the schemas and applies what is missing.
pub(super) async fn migrate(db: &Database) -> Result<()> {
    within(LIMIT, "migrate", "the control schema", migrate_all(db)).await
}

async fn migrate_all(db: &Database) -> Result<()> {
    let mut session = Session::open(&db.pools.control).await?;
    // The migrator nests a transaction per migration: it has to know of this one.
    let mut transaction = session.begin_with(BEGIN).await?;
    migrate_in(&mut transaction, db).await?;
    transaction.commit().await?;
    session.keep();
    Ok(())
}

async fn migrate_in(session: &mut PgConnection, db: &Database) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("viewfold migrations of {}", db.names.schema()))
        .execute(&mut *session)
        .await?;
    for schema in [db.names.schema(), db.names.views_schema()] {
        create_schema(session, schema).await?;
    }
    let path = format!(
        "SELECT set_config('search_path', {}, true)",
        literal(&quote(db.names.schema()))
    );
    session.execute(AssertSqlSafe(path)).await?;
    let mut migrator: Migrator = sqlx::migrate!("./migrations");
    migrator.set_locking(false).set_ignore_missing(true);
    migrator.run_direct(None, session, false).await?;
    Ok(())
}

/// `CREATE SCHEMA IF NOT EXISTS` asks for the right to create even where nothing is to be done.
async fn create_schema(session: &mut PgConnection, schema: &str) -> Result<()> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
            .bind(schema)
            .fetch_one(&mut *session)
            .await?;
    if !exists {
        let sql = format!("CREATE SCHEMA {}", quote(schema));
        session.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}
