//! Jobs: durable requests in the table `intents`.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow};

use super::PostgresControl;
use crate::fault::Result;
use crate::store::control::Job;

const COLUMNS: &str = "id, projection, kind, arguments, state, outcome, result, actor";

#[derive(FromRow)]
struct JobRow {
    id: i64,
    projection: String,
    kind: String,
    arguments: serde_json::Value,
    state: String,
    outcome: Option<String>,
    result: Option<serde_json::Value>,
    actor: String,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let text = row.outcome.map(serde_json::Value::String);
        Self {
            id: row.id,
            projection: row.projection.into(),
            kind: row.kind,
            arguments: row.arguments,
            state: row.state,
            outcome: row.result.or(text),
            actor: row.actor,
        }
    }
}

impl PostgresControl {
    pub(super) async fn insert_job(
        &self,
        (projection, kind): (&str, &str),
        arguments: &serde_json::Value,
        actor: &str,
    ) -> Result<i64> {
        let sql = format!(
            "INSERT INTO {} (projection, kind, arguments, actor) VALUES ($1, $2, $3, $4) \
             RETURNING id",
            self.table("intents")
        );
        let mut session = self.open().await?;
        let id = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(projection)
            .bind(kind)
            .bind(Json(arguments))
            .bind(actor)
            .fetch_one(&mut *session)
            .await?;
        session.keep();
        Ok(id)
    }

    /// One job, or all that are open.
    pub(super) async fn jobs(&self, id: Option<i64>) -> Result<Vec<Job>> {
        let condition = match id {
            Some(_) => "id = $1",
            None => "state = 'open' AND $1::bigint IS NULL",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM {} WHERE {condition} ORDER BY id",
            self.table("intents")
        );
        let mut session = self.open().await?;
        let rows: Vec<JobRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(id)
            .fetch_all(&mut *session)
            .await?;
        session.keep();
        Ok(rows.into_iter().map(Job::from).collect())
    }

    /// What was recorded first stays.
    pub(super) async fn close_job(
        &self,
        id: i64,
        outcome: std::result::Result<&serde_json::Value, &str>,
    ) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET state = $2, result = $3, outcome = $4, finished_at = now() \
             WHERE id = $1 AND state = 'open'",
            self.table("intents")
        );
        let state = if outcome.is_ok() { "done" } else { "failed" };
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(state)
            .bind(outcome.ok().map(Json))
            .bind(outcome.err())
            .execute(&mut *session)
            .await?;
        session.keep();
        Ok(())
    }
}
