//! The topics that builds read, and how the records of topics are wrapped.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::PostgresControl;
use crate::fault::{Fault, Result};
use crate::position::Position;
use crate::store::control::TopicRecord;
use crate::store::postgres::Database;

/// Topic, the broker's identity of it, and the start of each partition, from partition 0 on.
type TopicRow = (String, String, Vec<i64>);

fn topic_record((topic, id, starts): TopicRow) -> TopicRecord {
    let starts = (0..).zip(starts.into_iter().map(Position::at)).collect();
    TopicRecord {
        topic: topic.into(),
        id,
        starts,
    }
}

/// Records a topic of a build where it is not recorded yet.
pub(super) async fn insert(
    db: &Database,
    session: &mut PgConnection,
    build: Uuid,
    topic: &TopicRecord,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (build, topic, topic_id, starts) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING",
        db.names.control("topics")
    );
    let starts: Vec<i64> = topic.starts.iter().map(|(_, at)| at.offset()).collect();
    sqlx::query(AssertSqlSafe(sql))
        .bind(build)
        .bind(&*topic.topic)
        .bind(&topic.id)
        .bind(starts)
        .execute(session)
        .await?;
    Ok(())
}

impl PostgresControl {
    pub(super) async fn topics_of(&self, build: Uuid) -> Result<Vec<TopicRecord>> {
        let sql = format!(
            "SELECT topic, topic_id, starts FROM {} WHERE build = $1 ORDER BY topic",
            self.table("topics")
        );
        let mut session = self.open().await?;
        let rows: Vec<TopicRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(build)
            .fetch_all(&mut *session)
            .await?;
        session.keep();
        Ok(rows.into_iter().map(topic_record).collect())
    }

    pub(super) async fn record_topic(
        &self,
        build: Uuid,
        topic: &TopicRecord,
    ) -> Result<TopicRecord> {
        let mut session = self.open().await?;
        insert(&self.db, &mut session, build, topic).await?;
        let sql = format!(
            "SELECT topic, topic_id, starts FROM {} WHERE build = $1 AND topic = $2",
            self.table("topics")
        );
        let row: TopicRow = sqlx::query_as(AssertSqlSafe(sql))
            .bind(build)
            .bind(&*topic.topic)
            .fetch_one(&mut *session)
            .await?;
        session.keep();
        Ok(topic_record(row))
    }

    pub(super) async fn envelope_of(&self, topic: &str, id: &str) -> Result<Option<String>> {
        let sql = format!(
            "SELECT envelope FROM {} WHERE topic = $1 AND topic_id = $2",
            self.table("envelopes")
        );
        let mut session = self.open().await?;
        let envelope = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(topic)
            .bind(id)
            .fetch_optional(&mut *session)
            .await?;
        session.keep();
        Ok(envelope)
    }

    /// The envelope that was remembered first.
    pub(super) async fn first_envelope(
        &self,
        topic: &str,
        id: &str,
        envelope: &str,
    ) -> Result<String> {
        let sql = format!(
            "INSERT INTO {} (topic, topic_id, envelope) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
            self.table("envelopes")
        );
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(topic)
            .bind(id)
            .bind(envelope)
            .execute(&mut *session)
            .await?;
        session.keep();
        drop(session);
        let first = self.envelope_of(topic, id).await?;
        first.ok_or_else(|| Fault::transient(format!("the envelope of {topic} was removed")))
    }
}
