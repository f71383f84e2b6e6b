//! The control tables: desired state, topics, envelopes, decisions, instances.

mod generations;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

pub(in crate::store::postgres) use self::generations::flip_live;
use self::generations::{foremost, gather};
use super::pool::{BEGIN_WRITE, Session, bounded};
use super::settings::Settings;
use super::{Database, migrate};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::control::{
    Control, Decision, GenerationRecord, InstanceReport, State, TopicRecord,
};

/// The control tables in a Postgres database.
#[derive(Clone)]
pub struct PostgresControl {
    db: Arc<Database>,
}

impl PostgresControl {
    pub(super) fn new(db: Arc<Database>) -> Self {
        Self { db }
    }

    /// The control tables for these settings, with connections of their own. Nothing is connected
    /// before it is used. Where a store is there too, use [`super::PostgresStore::control`].
    pub fn connect(settings: &Settings) -> Result<Self> {
        Ok(Self::new(Arc::new(Database::new(settings)?)))
    }

    async fn open(&self) -> Result<Session, sqlx::Error> {
        Session::open(&self.db.pools.control).await
    }

    async fn begin(&self) -> Result<Session, sqlx::Error> {
        Session::begin(&self.db.pools.control, BEGIN_WRITE).await
    }

    fn table(&self, name: &str) -> String {
        self.db.names.control(name)
    }

    async fn decide_in(
        &self,
        session: &mut PgConnection,
        decision: &Decision,
        why: (&str, &str),
    ) -> Result<bool> {
        let (reason, actor) = why;
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
        let sql = format!(
            "INSERT INTO {} (actor, action, projection, reason, detail) \
             VALUES ($1, 'skip', $2, $3, jsonb_build_object('record', $4::text, 'topic_id', $5::text))",
            self.table("audit")
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(actor)
            .bind(&*decision.projection)
            .bind(reason)
            .bind(decision.record.to_string())
            .bind(&decision.topic_id)
            .execute(session)
            .await?;
        Ok(true)
    }
}

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

#[async_trait]
impl Control for PostgresControl {
    async fn migrate(&self) -> Result<()> {
        migrate::migrate(&self.db).await
    }

    async fn generations(&self) -> Result<Vec<GenerationRecord>> {
        bounded("read", "the generations", async {
            let running = format!(
                "EXISTS (SELECT FROM {} AS r WHERE r.build = g.build AND r.state = ANY ($1))",
                self.table("generation_states")
            );
            let states = [State::Building, State::Live, State::Standby].map(State::as_str);
            let mut session = self.open().await?;
            let rows = sqlx::query_as(AssertSqlSafe(self.select_generations(&running)))
                .bind(states.as_slice())
                .fetch_all(&mut *session)
                .await?;
            session.keep();
            gather(rows)
        })
        .await
    }

    async fn create_first(
        &self,
        projection: &str,
        stores: &[StoreKind],
        definition: &str,
        hash: &str,
    ) -> Result<Option<GenerationRecord>> {
        bounded("record the first generation of", projection, async {
            let mut session = self.begin().await?;
            let first = (projection, definition, hash);
            let result = self.insert_first(&mut session, first, stores).await;
            self.db.close(session, result).await?;

            let mut session = self.open().await?;
            let sql = self.select_generations("g.projection = $1");
            let rows = sqlx::query_as(AssertSqlSafe(sql))
                .bind(projection)
                .fetch_all(&mut *session)
                .await?;
            session.keep();
            foremost(gather(rows)?)
                .map(Some)
                .ok_or_else(|| Fault::transient("it was removed meanwhile"))
        })
        .await
    }

    async fn set_published(&self, build: Uuid, store: StoreKind) -> Result<()> {
        bounded("record as published in", store.as_str(), async {
            let sql = format!(
                "UPDATE {} SET published = true WHERE build = $1 AND store = $2 AND NOT published",
                self.table("generation_states")
            );
            let mut session = self.open().await?;
            sqlx::query(AssertSqlSafe(sql))
                .bind(build)
                .bind(store.as_str())
                .execute(&mut *session)
                .await?;
            session.keep();
            Ok(())
        })
        .await
    }

    async fn topics(&self, build: Uuid) -> Result<Vec<TopicRecord>> {
        bounded("read", "the topics of a build", async {
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
        })
        .await
    }

    async fn add_topic(&self, build: Uuid, topic: &TopicRecord) -> Result<TopicRecord> {
        bounded("record topic", &topic.topic, async {
            let topics = self.table("topics");
            let mut session = self.open().await?;
            let insert = format!(
                "INSERT INTO {topics} (build, topic, topic_id, starts) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING"
            );
            sqlx::query(AssertSqlSafe(insert))
                .bind(build)
                .bind(&*topic.topic)
                .bind(&topic.id)
                .bind(
                    topic
                        .starts
                        .iter()
                        .map(|(_, at)| at.offset())
                        .collect::<Vec<i64>>(),
                )
                .execute(&mut *session)
                .await?;
            let select = format!(
                "SELECT topic, topic_id, starts FROM {topics} WHERE build = $1 AND topic = $2"
            );
            let row: TopicRow = sqlx::query_as(AssertSqlSafe(select))
                .bind(build)
                .bind(&*topic.topic)
                .fetch_one(&mut *session)
                .await?;
            session.keep();
            Ok(topic_record(row))
        })
        .await
    }

    async fn envelope(&self, topic: &str, id: &str) -> Result<Option<String>> {
        bounded("read the envelope of", topic, async {
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
        })
        .await
    }

    async fn remember_envelope(&self, topic: &str, id: &str, envelope: &str) -> Result<String> {
        let insert = async {
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
            Ok(())
        };
        bounded("remember the envelope of", topic, insert).await?;
        let first = self.envelope(topic, id).await?;
        first.ok_or_else(|| Fault::transient(format!("the envelope of {topic} was removed")))
    }

    async fn decisions(&self) -> Result<Vec<Decision>> {
        bounded("read", "the decisions", async {
            let sql = format!(
                "SELECT projection, topic, topic_id, partition, \"offset\" FROM {} \
                 WHERE action = 'skip' ORDER BY projection, topic, partition, \"offset\"",
                self.table("decisions")
            );
            let mut session = self.open().await?;
            let rows: Vec<(String, String, String, i32, i64)> = sqlx::query_as(AssertSqlSafe(sql))
                .fetch_all(&mut *session)
                .await?;
            session.keep();
            let decision =
                |(projection, topic, topic_id, partition, offset): (String, String, _, _, _)| {
                    Decision {
                        projection: projection.into(),
                        topic_id,
                        record: TopicPartition::new(topic, partition).record(offset),
                    }
                };
            Ok(rows.into_iter().map(decision).collect())
        })
        .await
    }

    async fn decide(&self, decision: &Decision, reason: &str, actor: &str) -> Result<bool> {
        bounded("record the decision on", &decision.record, async {
            let mut session = self.begin().await?;
            let result = self
                .decide_in(&mut session, decision, (reason, actor))
                .await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn report(&self, instance: &str, report: &serde_json::Value) -> Result<()> {
        bounded("write", "this instance's report", async {
            let sql = format!(
                "INSERT INTO {} (instance, report, at) VALUES ($1, $2::jsonb, clock_timestamp()) \
                 ON CONFLICT (instance) DO UPDATE SET report = EXCLUDED.report, at = EXCLUDED.at",
                self.table("instances")
            );
            let mut session = self.open().await?;
            sqlx::query(AssertSqlSafe(sql))
                .bind(instance)
                .bind(sqlx::types::Json(report))
                .execute(&mut *session)
                .await?;
            session.keep();
            Ok(())
        })
        .await
    }

    async fn reports(&self, max_age_seconds: f64) -> Result<Vec<InstanceReport>> {
        bounded("read", "the instances' reports", async {
            let sql = format!(
                "SELECT instance, report, age FROM (SELECT instance, report, \
                 extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM {}) AS aged \
                 WHERE age <= $1 ORDER BY instance",
                self.table("instances")
            );
            let mut session = self.open().await?;
            let rows: Vec<(String, serde_json::Value, f64)> = sqlx::query_as(AssertSqlSafe(sql))
                .bind(max_age_seconds)
                .fetch_all(&mut *session)
                .await?;
            session.keep();
            let report = |(instance, report, age): (String, _, f64)| InstanceReport {
                instance,
                report,
                age_seconds: age.max(0.0),
            };
            Ok(rows.into_iter().map(report).collect())
        })
        .await
    }

    async fn forget(&self, instance: &str) -> Result<()> {
        bounded("remove", "this instance's report", async {
            let sql = format!(
                "DELETE FROM {} WHERE instance = $1",
                self.table("instances")
            );
            let mut session = self.open().await?;
            sqlx::query(AssertSqlSafe(sql))
                .bind(instance)
                .execute(&mut *session)
                .await?;
            session.keep();
            Ok(())
        })
        .await
    }
}
