//! The plan of a rebuild: what would be read, what would change, and what speaks against it. Also the
//! dry run. Everything that can be refused is refused here, before anything is created.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fault::Fault;
use crate::position::{Position, TopicPartition};
use crate::store::control::{Base, Promote, TopicRecord};

/// Where a rebuild begins to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The beginning of the log.
    #[default]
    Earliest,
    /// The first records at or after this instant (RFC 3339).
    Timestamp(String),
    /// These records, by `topic/partition`; partitions that are not named begin at the beginning.
    Offsets(BTreeMap<String, i64>),
}

/// What an operator asks for. The body of `POST /v1/projections/{p}/rebuilds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildRequest {
    /// Where it begins to read; the log's beginning unless given. With `base = "live"`, not given is
    /// where the copied rows stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<From>,
    /// What it begins with.
    #[serde(default)]
    pub base: Base,
    /// The most records per second while it catches up; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<u64>,
    /// Who decides about the cutover.
    #[serde(default)]
    pub promote: Promote,
    /// The most rows that may differ where the definition has changed, as a part of all: 0…1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_changed: Option<f64>,
    /// Only plan.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The request makes no sense, whatever the state of things: what is wrong with it, and what to write.
    #[error("{0}")]
    BadRequest(String),
    /// Something that has to be asked for a plan is away.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl RebuildRequest {
    /// Checks the numbers.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: String| Err(PlanError::BadRequest(what));
        if self.max_rate == Some(0) {
            return wrong(
                "max_rate is 0: give at least 1 record per second, or pause the generation"
                    .to_owned(),
            );
        }
        match self.max_changed {
            Some(part) if !(0.0..=1.0).contains(&part) => wrong(format!(
                "max_changed is {part}: give the part of all rows, from 0 to 1"
            )),
            _ => Ok(()),
        }
    }
}

/// How a projection's file relates to what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It has no generation yet: it becomes live with the next start.
    New,
    /// The live generation runs it.
    Unchanged,
    /// It differs from what runs.
    Changed,
    /// There is no file (any more).
    Orphaned,
    /// It was dropped, and its file is still there.
    Dropped,
}

/// One partition of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartitionPlan {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset to read.
    pub start: i64,
    /// The end of the log now.
    pub end: i64,
    /// The first offset that is still in the log.
    pub log_start: i64,
}

/// What a rebuild of one projection would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The projection.
    pub projection: String,
    /// How its file relates to what runs.
    pub definition: Relation,
    /// Whether the change takes effect only by a rebuild.
    pub needs_rebuild: bool,
    /// What differs from the live definition, one short sentence each, such as `column spent: numeric(18,2) → numeric`.
    pub changes: Vec<String>,
    /// The number that the generation would get.
    pub generation: u32,
    /// The stores, the default one first.
    pub stores: Vec<String>,
    /// Every partition that would be read.
    pub partitions: Vec<PartitionPlan>,
    /// How many records at most.
    pub records: u64,
    /// About how many bytes of keys and values; none when no record could be sampled.
    pub bytes: Option<u64>,
    /// About how long, in seconds, at `rate`.
    pub estimated_seconds: Option<f64>,
    /// The rate that the estimate assumes, records per second, and where it comes from.
    pub rate: f64,
    /// `measured`, `limit` (the operator's), or `assumed`.
    pub rate_source: String,
    /// About how many bytes the new generation takes in its stores; none when unknown.
    pub disk_bytes: Option<u64>,
    /// What depends on the SQL view's shape.
    pub dependants: Vec<String>,
    /// What an operator should know: retention that took records, compaction, and so on.
    pub warnings: Vec<String>,
    /// Why a rebuild with these options would be refused now, with advice; none when it would not.
    pub refused: Option<String>,
}

/// A plan with what is needed to carry it out.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// For people.
    pub plan: Plan,
    /// The topics with identities and start positions.
    pub topics: Vec<TopicRecord>,
    /// The same starts, flat.
    pub starts: Vec<(TopicPartition, Position)>,
}
