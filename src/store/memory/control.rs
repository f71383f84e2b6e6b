//! Control tables in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::control::{
    Control, Decision, GenerationRecord, InstanceReport, State, TopicRecord,
};
use crate::fault::Result;
use crate::projection::StoreKind;

/// Desired state in memory; shared by the instances of one test.
#[derive(Debug, Default)]
pub struct MemoryControl {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    generations: BTreeMap<(Arc<str>, u32), GenerationRecord>,
    topics: BTreeMap<(Uuid, Arc<str>), TopicRecord>,
    envelopes: HashMap<(String, String), String>,
    decisions: Vec<Decision>,
    reports: BTreeMap<String, (serde_json::Value, Instant)>,
}

impl MemoryControl {
    /// Nothing desired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a generation's record, as a rebuild or a cutover would.
    pub async fn put(&self, record: GenerationRecord) {
        let key = (record.projection.clone(), record.number);
        self.held.lock().await.generations.insert(key, record);
    }
}

#[async_trait]
impl Control for MemoryControl {
    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn generations(&self) -> Result<Vec<GenerationRecord>> {
        let held = self.held.lock().await;
        let runs = |record: &&GenerationRecord| record.stores.iter().any(|(_, s)| s.runs());
        Ok(held.generations.values().filter(runs).cloned().collect())
    }

    async fn create_first(
        &self,
        projection: &str,
        stores: &[StoreKind],
        definition: &str,
        hash: &str,
    ) -> Result<Option<GenerationRecord>> {
        let mut held = self.held.lock().await;
        let key = (Arc::from(projection), 1);
        let record = held
            .generations
            .entry(key)
            .or_insert_with_key(|(projection, number)| GenerationRecord {
                projection: projection.clone(),
                number: *number,
                build: Uuid::new_v4(),
                stores: stores.iter().map(|store| (*store, State::Live)).collect(),
                definition: definition.into(),
                hash: hash.into(),
                intent: 1,
                published: Vec::new(),
                cleaned: Vec::new(),
                options: Default::default(),
                wanted: true,
                paused: false,
                ready: false,
                verification: None,
                trouble: None,
                actor: String::new(),
                age_seconds: 0.0,
                state_age_seconds: 0.0,
            });
        Ok(Some(record.clone()))
    }

    async fn set_published(&self, build: Uuid, store: StoreKind) -> Result<()> {
        let mut held = self.held.lock().await;
        for record in held
            .generations
            .values_mut()
            .filter(|record| record.build == build)
        {
            if !record.published.contains(&store) {
                record.published.push(store);
            }
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
