//! The audit: what was done by whom, in the transaction that does it.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::fault::Result;
use crate::store::postgres::Database;

/// Who is named where the service itself decided.
pub(super) const SERVICE: &str = "viewfold";

/// One row of the audit.
pub(super) struct Note<'a> {
    actor: &'a str,
    action: &'static str,
    projection: &'a str,
    reason: Option<&'a str>,
    detail: serde_json::Value,
}

impl<'a> Note<'a> {
    pub(super) fn new(actor: &'a str, action: &'static str, projection: &'a str) -> Self {
        Self {
            actor,
            action,
            projection,
            reason: None,
            detail: serde_json::json!({}),
        }
    }

    pub(super) fn detail(self, detail: serde_json::Value) -> Self {
        Self { detail, ..self }
    }

    pub(super) fn reason(self, reason: Option<&'a str>) -> Self {
        Self { reason, ..self }
    }
}

/// Writes the row.
pub(super) async fn write(
    db: &Database,
    session: &mut PgConnection,
    note: &Note<'_>,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (actor, action, projection, reason, detail) VALUES ($1, $2, $3, $4, $5)",
        db.names.control("audit")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(note.actor)
        .bind(note.action)
        .bind(note.projection)
        .bind(note.reason)
        .bind(Json(&note.detail))
        .execute(session)
        .await?;
    Ok(())
}
