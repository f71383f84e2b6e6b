//! What the routes that change generations need from the service.

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::problem::Problem;
use super::status::GenerationStatus;
use crate::generation::{BuildOptions, Plan, Progress, RebuildRequest, Verification};

/// What operators do with projections and generations. Everything they ask for is durable: it survives the
/// instance that took the request.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// The plan of every projection, or of one. See [`Problem::unknown_projection`].
    async fn plan(&self, projection: Option<&str>) -> Result<Vec<Plan>, Problem>;

    /// Starts a rebuild, or only plans it. See [`Problem::unknown_projection`], [`Problem::refused`],
    /// [`Problem::bad_request`].
    async fn rebuild(
        &self,
        projection: &str,
        request: RebuildRequest,
        asked: Asked,
    ) -> Result<Rebuild, Problem>;

    /// One generation in detail, also one that is over.
    async fn generation(&self, projection: &str, number: u32) -> Result<GenerationDetail, Problem>;

    /// Asks something of a generation; of the one that it concerns (the building one) when no number is given.
    async fn operate(
        &self,
        projection: &str,
        number: Option<u32>,
        operation: Operation,
        asked: Asked,
    ) -> Result<GenerationDetail, Problem>;

    /// Removes a projection with all its generations.
    async fn drop_projection(&self, projection: &str, asked: Asked) -> Result<(), Problem>;

    /// Starts a verification; answers its number.
    async fn verify(
        &self,
        projection: &str,
        request: VerifyRequest,
        asked: Asked,
    ) -> Result<i64, Problem>;

    /// How a verification stands.
    async fn verification(&self, projection: &str, id: i64) -> Result<VerificationStatus, Problem>;
}

/// Who asks, and the name that the client gave the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who: the token's name, or where the request came from.
    pub actor: String,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// What may be asked of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Let readers see a generation that is ready.
    Promote,
    /// Stop building it and remove it.
    Cancel,
    /// Stop catching up for now.
    Pause,
    /// Go on.
    Resume,
    /// Let readers see the generation again that they saw before.
    Rollback,
}

/// What came of the request to rebuild.
#[derive(Clone, Debug)]
pub enum Rebuild {
    /// It is being built (or was already asked for under the same idempotency key).
    Started(GenerationDetail),
    /// The dry run's plan.
    Planned(Plan),
}

/// One generation in detail. As JSON it always has all keys of [`BuildStatus`], also when it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationDetail {
    /// The projection.
    pub projection: String,
    /// Number, state, and where it stands in each store.
    #[serde(flatten, serialize_with = "complete")]
    pub status: GenerationStatus,
    /// Its identity.
    pub build: uuid::Uuid,
    /// How it is built.
    pub options: BuildOptions,
    /// Whether readers should see it: where it is not live yet, it is being cut over.
    pub wanted: bool,
    /// Who asked for it.
    pub actor: String,
    /// When, RFC 3339.
    pub created_at: String,
}

/// Scripts wait for `ready` and `progress`: neither may be absent because there is nothing to build any more.
fn complete<S: Serializer>(status: &GenerationStatus, serializer: S) -> Result<S::Ok, S::Error> {
    let mut status = status.clone();
    let seen = matches!(&*status.state, "live" | "standby");
    let build = status.build.get_or_insert_with(|| BuildStatus {
        ready: seen,
        limited_by: "none".to_owned(),
        ..BuildStatus::default()
    });
    build.progress.get_or_insert(Progress {
        eta_seconds: seen.then_some(0.0),
        converging: true,
        ..Progress::default()
    });
    status.serialize(serializer)
}

impl GenerationDetail {
    /// Whether it is in this state in all of its stores.
    pub fn is_everywhere(&self, state: &str) -> bool {
        self.status.stores.iter().all(|store| store.state == state)
    }

    /// Whether nothing will change by itself: it is in the same state in all stores, not being built, and not
    /// on its way to the readers.
    pub fn is_settled(&self) -> bool {
        let Some(first) = self.status.stores.first() else {
            return false;
        };
        first.state != "building"
            && self.is_everywhere(&first.state)
            && (!self.wanted || first.state == "live")
    }
}

/// How a build stands. Part of [`GenerationStatus`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildStatus {
    /// Whether it has caught up and was verified.
    pub ready: bool,
    /// Whether an operator paused it.
    pub paused: bool,
    /// How far it is; of the slowest store.
    pub progress: Option<Progress>,
    /// The most records per second that it may read now, over all instances; null is unlimited.
    pub rate_limit: Option<f64>,
    /// Why not more: `none`, `max rate`, `live lag`, `store`, `paused`.
    pub limited_by: String,
    /// What it does now, such as `copying postgres: 1200 rows`, `catching up`, `verifying redis`, `ready`,
    /// `cutting over`.
    pub phase: String,
    /// What verification found, per store; null before.
    pub verification: Option<Vec<Verification>>,
    /// What is in its way, why it failed, or why the last attempt to cut over was given up; null when none of it.
    pub trouble: Option<String>,
}

/// What is to be verified. The body of `POST /v1/projections/{p}/verifications`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The generation to look at; the live one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// `log`, or the number of another generation. Unless given, the newest other generation that is fed, or
    /// else the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// The part of keys to look at when compared with the log, above 0 and up to 1; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// Whether order-sensitive differences count.
    #[serde(default)]
    pub strict: bool,
}

/// How a verification stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerificationStatus {
    /// Its number.
    pub id: i64,
    /// The projection.
    pub projection: String,
    /// `running`, `same`, `differs` or `failed`.
    pub state: String,
    /// What was found, per store; empty while it runs.
    pub stores: Vec<Verification>,
    /// Why it failed, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
