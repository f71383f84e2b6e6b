//! Control tables in memory.

mod held;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use self::held::Held;
use crate::fault::Result;
use crate::projection::StoreKind;
use crate::store::control::{
    Answered, Control, Decision, GenerationRecord, InstanceReport, Job, Lease, NewGeneration,
    Order, State, TopicRecord,
};
use crate::store::desired;

/// Desired state in memory; shared by the instances of one test. Keeps no audit.
#[derive(Debug, Default)]
pub struct MemoryControl {
    held: Mutex<Held>,
}

impl MemoryControl {
    /// Nothing desired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a generation's record, whatever was there.
    pub async fn put(&self, record: GenerationRecord) {
        self.held.lock().await.put(record);
    }
}

#[async_trait]
impl Control for MemoryControl {
    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn generations(&self) -> Result<Vec<GenerationRecord>> {
        Ok(self.held.lock().await.all(desired::is_listed))
    }

    async fn history(&self, projection: &str) -> Result<Vec<GenerationRecord>> {
        Ok(self.held.lock().await.of(projection))
    }

    async fn create_first(
        &self,
        projection: &str,
        stores: &[StoreKind],
        definition: &str,
        hash: &str,
    ) -> Result<Option<GenerationRecord>> {
        let first = desired::first(projection, stores, definition, hash);
        Ok(self.held.lock().await.first(first))
    }

    async fn begun(
        &self,
        projection: &str,
        idempotency_key: &str,
    ) -> Result<Option<GenerationRecord>> {
        let held = self.held.lock().await;
        Ok(held.begun(projection, idempotency_key))
    }

    async fn begin(&self, new: &NewGeneration) -> Result<Answered> {
        Ok(self.held.lock().await.begin(new))
    }

    async fn order(
        &self,
        projection: &str,
        number: u32,
        order: Order,
        _actor: &str,
    ) -> Result<Answered> {
        Ok(self.held.lock().await.order(projection, number, order))
    }

    async fn drop_projection(
        &self,
        projection: &str,
        also: &[String],
        _actor: &str,
    ) -> Result<bool> {
        Ok(self.held.lock().await.drop_projection(projection, also))
    }

    async fn undrop(&self, projection: &str, _actor: &str) -> Result<()> {
        self.held.lock().await.undrop(projection);
        Ok(())
    }

    async fn set_ready(&self, lease: &Lease, build: Uuid, verification: &Value) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::set_ready(all, build, verification);
        Ok(self.held.lock().await.step(lease, build, change))
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
        Ok(self.held.lock().await.step(lease, build, change))
    }

    async fn withdraw(&self, lease: &Lease, build: Uuid, why: &str) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::withdraw(all, build, why);
        Ok(self.held.lock().await.step(lease, build, change))
    }

    async fn set_live(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::set_live(all, build, store);
        Ok(self.held.lock().await.step(lease, build, change))
    }

    async fn retire(&self, lease: &Lease, build: Uuid) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::retire(all, build);
        Ok(self.held.lock().await.step(lease, build, change))
    }

    async fn set_cleaned(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool> {
        let change = |all: &mut [GenerationRecord]| desired::set_cleaned(all, build, store);
        Ok(self.held.lock().await.step(lease, build, change))
    }

    async fn may_exist(&self, build: Uuid, store: StoreKind) -> Result<bool> {
        let held = self.held.lock().await;
        let found = held.all(|record| record.build == build);
        let state = found.first().and_then(|record| record.state(store));
        Ok(state.is_some_and(State::runs))
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        Ok(self.held.lock().await.take(name, holder, ttl))
    }

    async fn release(&self, lease: &Lease, holder: &str) -> Result<()> {
        self.held.lock().await.give_back(lease, holder);
        Ok(())
    }

    async fn add_job(
        &self,
        projection: &str,
        kind: &str,
        arguments: &Value,
        actor: &str,
    ) -> Result<i64> {
        let mut held = self.held.lock().await;
        let id = held.jobs.last().map_or(1, |job| job.id + 1);
        held.jobs.push(Job {
            id,
            projection: projection.into(),
            kind: kind.into(),
            arguments: arguments.clone(),
            state: "open".into(),
            outcome: None,
            actor: actor.into(),
        });
        Ok(id)
    }

    async fn open_jobs(&self) -> Result<Vec<Job>> {
        let held = self.held.lock().await;
        let open = held.jobs.iter().filter(|job| job.state == "open");
        Ok(open.cloned().collect())
    }

    async fn job(&self, id: i64) -> Result<Option<Job>> {
        let held = self.held.lock().await;
        Ok(held.jobs.iter().find(|job| job.id == id).cloned())
    }

    async fn finish_job(&self, id: i64, outcome: std::result::Result<&Value, &str>) -> Result<()> {
        let mut held = self.held.lock().await;
        let open = |job: &&mut Job| job.id == id && job.state == "open";
        if let Some(job) = held.jobs.iter_mut().find(open) {
            job.state = if outcome.is_ok() { "done" } else { "failed" }.into();
            job.outcome = Some(outcome.map_or_else(Value::from, Value::clone));
        }
        Ok(())
    }

    async fn set_published(&self, build: Uuid, store: StoreKind) -> Result<()> {
        let mut held = self.held.lock().await;
        if let Some(mut record) = held.all(|record| record.build == build).pop() {
            record.published = desired::mark(&record, &record.published, store);
            held.put(record);
        }
        Ok(())
    }

    async fn topics(&self, build: Uuid) -> Result<Vec<TopicRecord>> {
        let held = self.held.lock().await;
        let of_build = held.topics.iter().filter(|((of, _), _)| *of == build);
        Ok(of_build.map(|(_, topic)| topic.clone()).collect())
    }

    async fn add_topic(&self, build: Uuid, topic: &TopicRecord) -> Result<TopicRecord> {
        let mut held = self.held.lock().await;
        let key = (build, topic.topic.clone());
        let stored = held.topics.entry(key).or_insert_with(|| topic.clone());
        Ok(stored.clone())
    }

    async fn envelope(&self, topic: &str, id: &str) -> Result<Option<String>> {
        let held = self.held.lock().await;
        Ok(held.envelopes.get(&(topic.into(), id.into())).cloned())
    }

    async fn remember_envelope(&self, topic: &str, id: &str, envelope: &str) -> Result<String> {
        let mut held = self.held.lock().await;
        let first = held.envelopes.entry((topic.into(), id.into()));
        Ok(first.or_insert_with(|| envelope.into()).clone())
    }

    async fn decisions(&self) -> Result<Vec<Decision>> {
        Ok(self.held.lock().await.decisions.clone())
    }

    async fn decide(&self, decision: &Decision, _reason: &str, _actor: &str) -> Result<bool> {
        let mut held = self.held.lock().await;
        let new = !held.decisions.contains(decision);
        if new {
            held.decisions.push(decision.clone());
        }
        Ok(new)
    }

    async fn report(&self, instance: &str, report: &serde_json::Value) -> Result<()> {
        let written = (report.clone(), Instant::now());
        let mut held = self.held.lock().await;
        held.reports.insert(instance.into(), written);
        Ok(())
    }

    async fn reports(&self, max_age_seconds: f64) -> Result<Vec<InstanceReport>> {
        let held = self.held.lock().await;
        let reports = held
            .reports
            .iter()
            .map(|(instance, (report, at))| InstanceReport {
                instance: instance.clone(),
                report: report.clone(),
                age_seconds: at.elapsed().as_secs_f64(),
            });
        Ok(reports
            .filter(|report| report.age_seconds <= max_age_seconds)
            .collect())
    }

    async fn forget(&self, instance: &str) -> Result<()> {
        self.held.lock().await.reports.remove(instance);
        Ok(())
    }
}
