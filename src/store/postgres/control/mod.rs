//! The control tables: desired state, leases, jobs, topics, envelopes, decisions, instances.

mod audit;
mod decisions;
pub(super) mod generations;
mod instances;
mod jobs;
mod leases;
mod orders;
mod records;
mod states;
mod steps;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::pool::{BEGIN_WRITE, Session, bounded};
use super::settings::Settings;
use super::{Database, migrate};
use crate::fault::Result;
use crate::projection::StoreKind;
use crate::store::control::{
    Answered, Control, Decision, GenerationRecord, InstanceReport, Job, Lease, NewGeneration,
    Order, TopicRecord,
};
use crate::store::desired;

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

    async fn write(&self) -> Result<Session, sqlx::Error> {
        Session::begin(&self.db.pools.control, BEGIN_WRITE).await
    }

    fn table(&self, name: &str) -> String {
        self.db.names.control(name)
    }
}

#[async_trait]
impl Control for PostgresControl {
    async fn migrate(&self) -> Result<()> {
        migrate::migrate(&self.db).await
    }

    async fn generations(&self) -> Result<Vec<GenerationRecord>> {
        bounded("read", "the generations", self.listed()).await
    }

    async fn history(&self, projection: &str) -> Result<Vec<GenerationRecord>> {
        bounded(
            "read the generations of",
            projection,
            self.all_of(projection),
        )
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
            let first = desired::first(projection, stores, definition, hash);
            let mut session = self.write().await?;
            let result = self.first_in(&mut session, first).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn begun(
        &self,
        projection: &str,
        idempotency_key: &str,
    ) -> Result<Option<GenerationRecord>> {
        let work = async {
            let mut session = self.open().await?;
            let all = generations::of_projection(&self.db, &mut session, projection).await?;
            let found = self.repeated(&mut session, (projection, idempotency_key), all);
            let found = found.await?;
            session.keep();
            Ok(found)
        };
        bounded("read a rebuild of", projection, work).await
    }

    async fn begin(&self, new: &NewGeneration) -> Result<Answered> {
        bounded("record a rebuild of", &new.projection, async {
            let mut session = self.write().await?;
            let result = self.begin_in(&mut session, new).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn order(
        &self,
        projection: &str,
        number: u32,
        order: Order,
        actor: &str,
    ) -> Result<Answered> {
        bounded("record an order for", projection, async {
            let mut session = self.write().await?;
            let which = (projection, number);
            let result = self.order_in(&mut session, which, order, actor).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn drop_projection(
        &self,
        projection: &str,
        also: &[String],
        actor: &str,
    ) -> Result<bool> {
        bounded("drop", projection, async {
            let mut session = self.write().await?;
            let result = self.drop_in(&mut session, projection, also, actor).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn undrop(&self, projection: &str, actor: &str) -> Result<()> {
        bounded("let be proposed again", projection, async {
            let mut session = self.write().await?;
            let result = self.undrop_in(&mut session, projection, actor).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn set_ready(&self, lease: &Lease, build: Uuid, verification: &Value) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::set_ready(all, build, verification);
        bounded(
            "record as ready",
            build,
            self.step(lease, build, None, change),
        )
        .await
    }

    async fn set_failed(
        &self,
        lease: &Lease,
        build: Uuid,
        why: &str,
        verification: Option<&Value>,
    ) -> Result<bool> {
        let change =
            |all: &mut [GenerationRecord]| desired::set_failed(all, build, why, verification);
        let audited = Some(("fail", Some(why)));
        let work = self.step(lease, build, audited, change);
        bounded("record as failed", build, work).await
    }

    async fn withdraw(&self, lease: &Lease, build: Uuid, why: &str) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::withdraw(all, build, why);
        let audited = Some(("withdraw", Some(why)));
        let work = self.step(lease, build, audited, change);
        bounded("give up the cutover of", build, work).await
    }

    async fn set_live(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool> {
        bounded("record as live", build, async {
            let mut session = self.write().await?;
            let flip = generations::flip_live(&self.db, &mut session, lease, build, store);
            let result = flip.await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn retire(&self, lease: &Lease, build: Uuid) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::retire(all, build);
        let work = self.step(lease, build, Some(("retire", None)), change);
        bounded("retire", build, work).await
    }

    async fn set_cleaned(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool> {
        bounded("record as removed", build, self.clean(lease, build, store)).await
    }

    async fn may_exist(&self, build: Uuid, store: StoreKind) -> Result<bool> {
        bounded("read the state of", build, self.runs(build, store)).await
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        bounded("take the lease", name, self.take(name, holder, ttl)).await
    }

    async fn release(&self, lease: &Lease, holder: &str) -> Result<()> {
        let work = self.give_back(lease, holder);
        bounded("give back the lease", &lease.name, work).await
    }

    async fn add_job(
        &self,
        projection: &str,
        kind: &str,
        arguments: &Value,
        actor: &str,
    ) -> Result<i64> {
        let work = self.insert_job((projection, kind), arguments, actor);
        bounded("record a job for", projection, work).await
    }

    async fn open_jobs(&self) -> Result<Vec<Job>> {
        bounded("read", "the open jobs", self.jobs(None)).await
    }

    async fn job(&self, id: i64) -> Result<Option<Job>> {
        let jobs = bounded("read job", id, self.jobs(Some(id))).await?;
        Ok(jobs.into_iter().next())
    }

    async fn finish_job(&self, id: i64, outcome: std::result::Result<&Value, &str>) -> Result<()> {
        bounded("record what came of job", id, self.close_job(id, outcome)).await
    }

    async fn set_published(&self, build: Uuid, store: StoreKind) -> Result<()> {
        let work = self.publish(build, store);
        bounded("record as published in", store.as_str(), work).await
    }

    async fn topics(&self, build: Uuid) -> Result<Vec<TopicRecord>> {
        bounded("read", "the topics of a build", self.topics_of(build)).await
    }

    async fn add_topic(&self, build: Uuid, topic: &TopicRecord) -> Result<TopicRecord> {
        let work = self.record_topic(build, topic);
        bounded("record topic", &topic.topic, work).await
    }

    async fn envelope(&self, topic: &str, id: &str) -> Result<Option<String>> {
        bounded("read the envelope of", topic, self.envelope_of(topic, id)).await
    }

    async fn remember_envelope(&self, topic: &str, id: &str, envelope: &str) -> Result<String> {
        let work = self.first_envelope(topic, id, envelope);
        bounded("remember the envelope of", topic, work).await
    }

    async fn decisions(&self) -> Result<Vec<Decision>> {
        bounded("read", "the decisions", self.all_decisions()).await
    }

    async fn decide(&self, decision: &Decision, reason: &str, actor: &str) -> Result<bool> {
        bounded("record the decision on", &decision.record, async {
            let mut session = self.write().await?;
            let why = (reason, actor);
            let result = self.decide_in(&mut session, decision, why).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn report(&self, instance: &str, report: &Value) -> Result<()> {
        let work = self.write_report(instance, report);
        bounded("write", "this instance's report", work).await
    }

    async fn reports(&self, max_age_seconds: f64) -> Result<Vec<InstanceReport>> {
        let work = self.read_reports(max_age_seconds);
        bounded("read", "the instances' reports", work).await
    }

    async fn forget(&self, instance: &str) -> Result<()> {
        let work = self.remove_report(instance);
        bounded("remove", "this instance's report", work).await
    }
}
