//! Desired state: what should run, kept in Postgres and read by every instance.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
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

/// What a generation begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// No rows.
    #[default]
    Empty,
    /// A copy of the live generation's rows at their cursors.
    Live,
}

/// Who decides that readers see a generation that is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Promote {
    /// It is cut over as soon as it is ready.
    #[default]
    Auto,
    /// An operator.
    Manual,
}

/// How a generation is built. What an operator asked for, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildOptions {
    /// What it begins with.
    #[serde(default)]
    pub base: Base,
    /// Whether a copy begins to read at the recorded start positions, not where its rows stand: only
    /// for ops that give the same over their own result.
    #[serde(default)]
    pub explicit_starts: bool,
    /// Who decides about the cutover.
    #[serde(default)]
    pub promote: Promote,
    /// The most records per second that all instances together read for it while it catches up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<u64>,
    /// The most rows, as a part of all (0…1), that may differ from the live ones where the
    /// definition has changed. No limit when none. With the same definition none may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_changed: Option<f64>,
}

/// One generation as the control tables describe it.
#[derive(Clone, Debug, PartialEq)]
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
    /// The number of the newest pointer intent for it; 0 when there was none. Numbers grow per
    /// projection and are never given twice.
    pub intent: i64,
    /// Whether readers should see it, in all stores. At most one generation of a projection is
    /// wanted; it has the greatest intent. Where it is not live yet, it is being cut over.
    pub wanted: bool,
    /// The stores in which readers have seen it at least once.
    pub published: Vec<StoreKind>,
    /// The stores in which its rows, cursors and identity have been removed.
    pub cleaned: Vec<StoreKind>,
    /// How it is built.
    pub options: BuildOptions,
    /// Whether an operator paused its catching up.
    pub paused: bool,
    /// Whether it has caught up and was verified: it may be cut over.
    pub ready: bool,
    /// What verification found, as it is shown.
    pub verification: Option<serde_json::Value>,
    /// Why it failed, or why the last attempt to cut it over was given up.
    pub trouble: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// How long ago it was recorded, in seconds, by the database's clock.
    pub age_seconds: f64,
    /// How long ago its state last changed in any store, in seconds.
    pub state_age_seconds: f64,
}

impl GenerationRecord {
    /// Its state in `store`.
    pub fn state(&self, store: StoreKind) -> Option<State> {
        let mut states = self.stores.iter();
        states.find(|(kind, _)| *kind == store).map(|(_, s)| *s)
    }

    /// Whether it is in this state in some store.
    pub fn is_anywhere(&self, state: State) -> bool {
        self.stores.iter().any(|(_, s)| *s == state)
    }

    /// Whether it is in this state in all of its stores.
    pub fn is_everywhere(&self, state: State) -> bool {
        self.stores.iter().all(|(_, s)| *s == state)
    }
}

/// A generation to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGeneration {
    /// The projection's name.
    pub projection: Arc<str>,
    /// The definition text it runs.
    pub definition: Arc<str>,
    /// That definition's hash.
    pub hash: Arc<str>,
    /// The stores that hold it, in the definition's order.
    pub stores: Vec<StoreKind>,
    /// The topics that it reads, with their identities and start positions.
    pub topics: Vec<TopicRecord>,
    /// How it is built.
    pub options: BuildOptions,
    /// The greatest generation number that any store names: its number becomes greater. Guards
    /// against control tables that were restored from a backup.
    pub above: u32,
    /// The client's name for this request: repeating it changes nothing.
    pub idempotency_key: Option<String>,
    /// Who asked for it.
    pub actor: String,
}

/// What became of a request to change something.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// Done; the generation as it is now.
    Done(GenerationRecord),
    /// Nothing was changed, because this or the same had been done before.
    Before(GenerationRecord),
    /// Refused: why, and what to do. Nothing was changed.
    Refused(String),
    /// There is no such projection or generation.
    Unknown,
}

/// What an operator may ask of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Let readers see it. `above` is the greatest intent that any store holds for the projection.
    Promote {
        /// The greatest intent number known to a store.
        above: i64,
    },
    /// Issue its intent anew, greater than what a store holds, if it is the wanted one; `Before` otherwise. The control
    /// tables may have been restored from a backup that knows less than the store.
    Reissue {
        /// The greatest intent number known to a store.
        above: i64,
    },
    /// Stop building it and remove it.
    Cancel,
    /// Stop catching up for now.
    Pause,
    /// Go on.
    Resume,
}

/// The right to do what only one instance may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: Arc<str>,
    /// Grows with every holder: work under an older one changes nothing.
    pub epoch: i64,
}

/// A durable request that one instance works on, such as a verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Which projection.
    pub projection: Arc<str>,
    /// What is to be done.
    pub kind: String,
    /// With what.
    pub arguments: serde_json::Value,
    /// `open`, `done` or `failed`.
    pub state: String,
    /// What came of it, once it is done.
    pub outcome: Option<serde_json::Value>,
    /// Who asked for it.
    pub actor: String,
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

    /// All generations that run in some store, or that are over but not yet removed from all of
    /// their stores, by (projection, number).
    async fn generations(&self) -> Result<Vec<GenerationRecord>>;

    /// Every generation of a projection that there ever was (since it was dropped last), by number.
    async fn history(&self, projection: &str) -> Result<Vec<GenerationRecord>>;

    /// Records generation 1 of a projection that has no generation yet, as live in every store.
    /// Answers the record that is there afterwards, whoever wrote it. None when this definition
    /// was dropped.
    async fn create_first(
        &self,
        projection: &str,
        stores: &[StoreKind],
        definition: &str,
        hash: &str,
    ) -> Result<Option<GenerationRecord>>;

    /// Records a generation to be built, in all of its stores, with its topics, and audits it.
    /// Refused while another one of the projection is building or being cut over. `Unknown` when
    /// the projection has no generation. A repeated `idempotency_key` answers `Before`.
    async fn begin(&self, new: &NewGeneration) -> Result<Answered>;

    /// The generation that [`Control::begin`] recorded under this idempotency key, if it did.
    async fn begun(
        &self,
        projection: &str,
        idempotency_key: &str,
    ) -> Result<Option<GenerationRecord>>;

    /// Carries out what an operator asked of a generation, and audits it. Each is refused where the
    /// generation's state does not allow it:
    /// - `Promote`: it must be ready (building) or standby in all stores; issues the next intent, makes
    ///   it the wanted one. `Before` when it is wanted already.
    /// - `Cancel`: it must be building in all stores and not wanted (being cut over). `Before` when cancelled.
    /// - `Pause`, `Resume`: it must be building. `Before` when it is so already.
    async fn order(
        &self,
        projection: &str,
        number: u32,
        order: Order,
        actor: &str,
    ) -> Result<Answered>;

    /// Ends every generation of the projection (retired where it ran, not wanted), remembers the hashes of
    /// their definitions and `also` as dropped, so that no file brings them back by itself, and audits it.
    /// `false` when there is no such projection.
    async fn drop_projection(&self, projection: &str, also: &[String], actor: &str)
    -> Result<bool>;

    /// Lets dropped definitions of the projection be proposed again (by an operator's rebuild).
    async fn undrop(&self, projection: &str, actor: &str) -> Result<()>;

    /// Records that a building generation may be cut over, with what verification found. Like all that
    /// takes a lease, answers `false` and changes nothing when the lease is not the newest any more.
    async fn set_ready(
        &self,
        lease: &Lease,
        build: Uuid,
        verification: &serde_json::Value,
    ) -> Result<bool>;

    /// Records that a building generation failed (in all stores), and why, and audits it.
    async fn set_failed(
        &self,
        lease: &Lease,
        build: Uuid,
        why: &str,
        verification: Option<&serde_json::Value>,
    ) -> Result<bool>;

    /// Gives a cutover up before any store took part in it: the live generation is wanted again, the
    /// other one stays ready and waits for an operator (`promote` becomes manual), with `why`.
    async fn withdraw(&self, lease: &Lease, build: Uuid, why: &str) -> Result<bool>;

    /// Records that readers of `store` now see `build` and no longer the one that was live there: that one becomes
    /// standby. Postgres does the same inside its own cutover.
    async fn set_live(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool>;

    /// Ends a standby generation in all of its stores (retired). `false` also when it is wanted or not standby everywhere.
    async fn retire(&self, lease: &Lease, build: Uuid) -> Result<bool>;

    /// Records that the build's rows, cursors and identity are gone from `store`.
    async fn set_cleaned(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool>;

    /// Whether the build may exist in `store` now: asked right before it is created there.
    async fn may_exist(&self, build: Uuid, store: StoreKind) -> Result<bool>;

    /// Takes or renews the lease called `name` for `ttl`, by the database's clock. None when somebody else has it.
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<Lease>>;

    /// Gives a lease back before it expires.
    async fn release(&self, lease: &Lease, holder: &str) -> Result<()>;

    /// Records a job; answers its number.
    async fn add_job(
        &self,
        projection: &str,
        kind: &str,
        arguments: &serde_json::Value,
        actor: &str,
    ) -> Result<i64>;

    /// The jobs that are open, oldest first.
    async fn open_jobs(&self) -> Result<Vec<Job>>;

    /// One job.
    async fn job(&self, id: i64) -> Result<Option<Job>>;

    /// Records what came of a job: `done`, or `failed` with a text.
    async fn finish_job(
        &self,
        id: i64,
        outcome: std::result::Result<&serde_json::Value, &str>,
    ) -> Result<()>;

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
