//! Operators' decisions about single records.

use sqlx::{AssertSqlSafe, PgConnection};

use super::PostgresControl;
use super::audit::{self, Note};
use crate::fault::Result;
use crate::position::TopicPartition;
use crate::store::control::Decision;

type DecisionRow = (String, String, String, i32, i64);

fn decision((projection, topic, topic_id, partition, offset): DecisionRow) -> Decision {
    Decision {
        projection: projection.into(),
        topic_id,
        record: TopicPartition::new(topic, partition).record(offset),
    }
}

impl PostgresControl {
    pub(super) async fn all_decisions(&self) -> Result<Vec<Decision>> {
        let sql = format!(
            "SELECT projection, topic, topic_id, partition, \"offset\" FROM {} \
             WHERE action = 'skip' ORDER BY projection, topic, partition, \"offset\"",
            self.table("decisions")
        );
        let mut session = self.open().await?;
        let rows: Vec<DecisionRow> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&mut *session)
            .await?;
        session.keep();
        Ok(rows.into_iter().map(decision).collect())
    }

    pub(super) async fn decide_in(
        &self,
        session: &mut PgConnection,
        decision: &Decision,
        (reason, actor): (&str, &str),
    ) -> Result<bool> {
        let at = &decision.record.partition;
        let sql = format!(
            "INSERT INTO {} (projection, topic, topic_id, partition, \"offset\", action, reason, actor) \
             VALUES ($1, $2, $3, $4, $5, 'skip', $6, $7) ON CONFLICT DO NOTHING",
            self.table("decisions")
        );
        let inserted = sqlx::query(AssertSqlSafe(sql))
            .bind(&*decision.projection)
            .bind(&*at.topic)
            .bind(&decision.topic_id)
            .bind(at.partition)
            .bind(decision.record.offset)
            .bind(reason)
            .bind(actor)
            .execute(&mut *session)
            .await?
            .rows_affected();
        if inserted == 0 {
            return Ok(false);
        }
        let detail = serde_json::json!({
            "record": decision.record.to_string(), "topic_id": decision.topic_id,
        });
        let note = Note::new(actor, "skip", &decision.projection);
        let note = note.reason(Some(reason)).detail(detail);
        audit::write(&self.db, session, &note).await?;
        Ok(true)
    }
}
