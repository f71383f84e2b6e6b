//! What `GET /v1/projections` and `viewfold status --json` give. Instances exchange the same
//! values through the control tables.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::operations::BuildStatus;
use crate::projection::StoreKind;

/// The whole deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// Every projection, by name.
    pub projections: Vec<ProjectionStatus>,
    /// What is wrong with this answer itself, such as `postgres unreachable since …`: it is then
    /// only what the answering instance knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
}

/// One projection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// How its file compares with what runs.
    pub definition: DefinitionState,
    /// Its generations that are fed, by number.
    pub generations: Vec<GenerationStatus>,
    /// Event types that no handler matches, by name.
    #[serde(default)]
    pub unmatched_types: Vec<UnmatchedType>,
}

/// How a projection's file compares with what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefinitionState {
    /// The live generation runs it.
    Unchanged,
    /// It differs from what runs: a rebuild applies it.
    Changed,
    /// There is no file any more; what runs goes on.
    Orphaned,
    /// It has no generation yet.
    New,
    /// It was dropped, and its file is still there.
    Dropped,
}

impl DefinitionState {
    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed, rebuild to apply",
            Self::Orphaned => "orphaned",
            Self::New => "new",
            Self::Dropped => "dropped; its file is still there",
        }
    }
}

/// An event type that no handler of the projection matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmatchedType {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// How often it was seen since the instances started.
    pub count: u64,
}

/// One generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u32,
    /// `building`, `live`, `standby`, `retired`, `failed` or `cancelled`.
    pub state: String,
    /// The same per store, and where it stands there.
    pub stores: Vec<StoreStatus>,
    /// How its build stands; none once readers have seen it.
    #[serde(flatten)]
    #[schema(ignore)]
    pub build: Option<BuildStatus>,
}

/// The part of [`GenerationStatus`] that is always there.
#[derive(Deserialize)]
struct Standing {
    generation: u32,
    state: String,
    stores: Vec<StoreStatus>,
}

/// By way of a [`Value`], because numbers of arbitrary precision do not pass through a flattened field.
impl TryFrom<Value> for GenerationStatus {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let build = match value.get("phase") {
            Some(_) => Some(BuildStatus::deserialize(&value)?),
            None => None,
        };
        let standing = Standing::deserialize(&value)?;
        Ok(Self {
            generation: standing.generation,
            state: standing.state,
            stores: standing.stores,
            build,
        })
    }
}

/// A generation in one store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Which store.
    pub store: StoreKind,
    /// The generation's state there.
    pub state: String,
    /// Why nothing moves there at all, if so.
    pub stalled: Option<Stall>,
    /// Every partition, also empty ones, by topic and number.
    pub partitions: Vec<PartitionStatus>,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The stored position: the next offset. Null while unknown.
    pub position: Option<i64>,
    /// The position behind the last readable record. Null while unknown.
    pub end: Option<i64>,
    /// `end` − `position`, in offsets: an upper bound of records.
    pub lag_records: Option<u64>,
    /// The age of the oldest unapplied record, in seconds; 0 when there is none.
    pub lag_seconds: Option<f64>,
    /// Records per second, lately.
    pub rate: f64,
    /// The instance that feeds it; null when nobody does.
    pub owner: Option<String>,
    /// Why it does not move, if so.
    pub stalled: Option<Stall>,
}

/// Why something stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stall {
    /// A stable word or short phrase.
    pub reason: String,
    /// Since when, in RFC 3339.
    pub since: String,
    /// What exactly, and what to do.
    pub detail: String,
    /// The record at which it stopped, as `topic/partition@offset`, where it is one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

impl StatusReport {
    /// The projection of this name.
    pub fn projection(&self, name: &str) -> Option<&ProjectionStatus> {
        self.projections.iter().find(|p| p.name == name)
    }

    /// Whether anything stands still.
    pub fn is_stalled(&self) -> bool {
        self.projections
            .iter()
            .flat_map(|projection| &projection.generations)
            .flat_map(|generation| &generation.stores)
            .any(|store| {
                store.stalled.is_some() || store.partitions.iter().any(|p| p.stalled.is_some())
            })
    }
}
