//! Desired state: what should run, kept in Postgres and read by every instance.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::fault::Result;
use crate::position::{Position, RecordName};
use crate::projection::StoreKind;

/// The state of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being filled beside the live one.
    Building,
    /// What readers see.
    Live,
    /// Was live; still fed, so that a rollback is one step.
    Standby,
    /// Was cleaned up.
    Retired,
    /// Could not be built.
    Failed,
    /// An operator stopped it.
    Cancelled,
}

impl State {
    /// The state's name in tables, labels and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Live => "live",
            Self::Standby => "standby",
            Self::Retired => "retired",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads what [`State::as_str`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Building,
            Self::Live,
            Self::Standby,
            Self::Retired,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
    }

    /// Whether a generation in this state is fed.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Building | Self::Live | Self::Standby)
    }
}

/// One generation as the control tables describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationRecord {
    /// The projection's name.
    pub projection: Arc<str>,
    /// Its number.
    pub number: u32,
    /// Its identity.
    pub build: Uuid,
    /// Its state per store, in the definition's order. Never empty.
    pub stores: Vec<(StoreKind, State)>,
    /// The definition text it runs.
    pub definition: Arc<str>,
    /// That definition's hash.
    pub hash: Arc<str>,
    /// The number of the newest pointer intent for it; 0 when there was none.
    pub intent: i64,
    /// The stores in which readers have seen it at least once.
    pub published: Vec<StoreKind>,
}

/// What is remembered of a topic that a generation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The broker's identity of the topic when the generation began to read it.
    pub id: String,
    /// Where the generation began to read each partition that there was then.
    pub starts: Vec<(i32, Position)>,
}

/// An operator's decision about one record; holds for every later generation and store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Whose.
    pub projection: Arc<str>,
    /// The topic's identity: decisions do not carry over to a recreated topic.
    pub topic_id: String,
    /// Which record.
    pub record: RecordName,
}

/// What one instance says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceReport {
    /// The instance's name: host name and process id.
    pub instance: String,
    /// Everything it runs, as JSON (its shape is the service's business).
    pub report: serde_json::Value,
    /// How long ago it was written, in seconds, by the database's clock.
    pub age_seconds: f64,
}

/// The control tables.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Brings the control schema up to date. Unknown newer migrations are accepted.
    async fn migrate(&self) -> Result<()>;

    /// All generations that were not retired, failed or cancelled, by (projection, number).
    async fn generations(&self) -> Result<Vec<GenerationRecord>>;

    /// Records generation 1 of a projection that has no generation yet, as live in every store.
    /// Answers the record that is there afterwards, whoever wrote it.
    async fn create_first(
        &self,
        projection: &str,
        stores: &[StoreKind],
        definition: &str,
        hash: &str,
    ) -> Result<GenerationRecord>;

    /// Records that readers see the build in `store` (repeating it changes nothing).
    async fn set_published(&self, build: Uuid, store: StoreKind) -> Result<()>;

    /// The topics that the build reads.
    async fn topics(&self, build: Uuid) -> Result<Vec<TopicRecord>>;

    /// Records a topic of a build where it is not recorded yet; answers what is recorded then.
    async fn add_topic(&self, build: Uuid, topic: &TopicRecord) -> Result<TopicRecord>;

    /// The envelope remembered for the topic of this identity.
    async fn envelope(&self, topic: &str, id: &str) -> Result<Option<String>>;

    /// Remembers the envelope of a topic; answers the one that was remembered first.
    async fn remember_envelope(&self, topic: &str, id: &str, envelope: &str) -> Result<String>;

    /// All decisions to step over a record.
    async fn decisions(&self) -> Result<Vec<Decision>>;

    /// Records a decision with its reason and who took it, and audits it. `false` when it was recorded before.
    async fn decide(&self, decision: &Decision, reason: &str, actor: &str) -> Result<bool>;

    /// Writes this instance's report (its heartbeat).
    async fn report(&self, instance: &str, report: &serde_json::Value) -> Result<()>;

    /// The reports of instances that wrote within the last `max_age_seconds`.
    async fn reports(&self, max_age_seconds: f64) -> Result<Vec<InstanceReport>>;

    /// Removes this instance's report.
    async fn forget(&self, instance: &str) -> Result<()>;
}
