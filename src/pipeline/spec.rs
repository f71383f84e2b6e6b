//! What a pipeline is, and the messages between its parts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::budget::HeldChunk;
use super::pace::Pace;
use super::stall::{Reason, Stall};
use crate::fault::Fault;
use crate::position::{Position, Range, RecordName, TopicPartition};
use crate::projection::{Projection, StoreKind};
use crate::store::{BasePages, Generation, ViewStore};

/// Names one pipeline: one generation in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineKey {
    /// The generation's identity.
    pub build: Uuid,
    /// The store.
    pub store: StoreKind,
}

/// What a generation is to its readers. It changes pacing and labels, never correctness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Readers see it.
    Live,
    /// It is being filled beside the live one.
    Building,
    /// It was live and is still fed.
    Standby,
}

impl Role {
    /// The role as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Building => "building",
            Self::Standby => "standby",
        }
    }
}

/// How a pipeline reads one topic.
#[derive(Clone, Debug)]
pub struct TopicUse {
    /// The broker's identity of the topic, to which positions and decisions belong.
    pub id: String,
    /// How many partitions it has now.
    pub partitions: i32,
    /// Why the topic must not be read, if so.
    pub refusal: Option<Stall>,
}

/// What feeds one generation in one store.
#[derive(Clone)]
pub struct PipelineSpec {
    /// Its name.
    pub key: PipelineKey,
    /// The generation as the store knows it.
    pub generation: Generation,
    /// What folds events.
    pub plan: Arc<dyn Projection>,
    /// Where rows go.
    pub store: Arc<dyn ViewStore>,
    /// What the generation is to readers.
    pub role: Role,
    /// The topics it reads.
    pub topics: BTreeMap<Arc<str>, TopicUse>,
    /// Records that an operator decided to step over.
    pub skips: Arc<HashSet<(TopicPartition, i64)>>,
    /// Whether the generation is in its store: claims wait until then.
    pub created: bool,
    /// Why it is not in its store, once that is known.
    pub waiting: Option<Stall>,
    /// How fast it may catch up. Only asked of building pipelines, until they reach the end of the log. All
    /// stores of one build share one.
    pub pace: Pace,
    /// Whether an operator paused it: its tracks keep their claims and get nothing to read.
    pub paused: bool,
    /// With which cursors its rows were copied, if they were. Must be known when `created` is first said:
    /// without it, records that the copy reflects would be applied to it again.
    pub base: Option<Arc<BasePages>>,
}

impl PipelineSpec {
    /// Whether running tracks may go on as if nothing had changed.
    pub(super) fn runs_like(&self, other: &Self) -> bool {
        self.role == other.role
            && self.paused == other.paused
            && (self.role != Role::Building || self.pace.is_shared_with(&other.pace))
            && self.skips == other.skips
            && self.base == other.base
    }

    /// The most rows in one batch. A Redis script is not interrupted, so that it must stay short for everybody
    /// else's sake. What catches up beside a live generation works in smaller steps, so that live batches find
    /// cores and stores free (I7).
    pub(super) fn most_rows(&self) -> usize {
        match (self.key.store, self.role) {
            (StoreKind::Postgres, Role::Building) => 2000,
            (StoreKind::Postgres, _) => usize::MAX,
            (StoreKind::Redis, Role::Building) => 200,
            (StoreKind::Redis, _) => 2000,
        }
    }
}

impl std::fmt::Debug for PipelineSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.generation, self.key.store)
    }
}

/// How large batches may become, and how long they may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most row deltas in one batch.
    pub batch_rows: usize,
    /// The most bytes of events in one batch.
    pub batch_bytes: usize,
    /// How many lanes a pipeline has.
    pub lanes: usize,
}

/// To a lane, from feeders and the engine.
pub(super) enum LaneInput {
    /// A track begins at `position`.
    Open(LaneTrack),
    /// The next part of a track: what lies in `range`, which is a chunk or a part of one. The last part of
    /// a chunk ends where the chunk does.
    Chunk {
        partition: TopicPartition,
        claim: Uuid,
        chunk: HeldChunk,
        range: Range,
    },
    /// A track ends; its unwritten part is dropped.
    Close {
        partition: TopicPartition,
        claim: Uuid,
    },
    /// The pipeline changed: its role, or what is to be stepped over. Tracks go on.
    Spec(Arc<PipelineSpec>),
    /// Write what is folded, then stop.
    Finish,
}

/// A track, as a lane knows it.
#[derive(Clone)]
pub(super) struct LaneTrack {
    pub(super) partition: TopicPartition,
    pub(super) claim: Uuid,
    pub(super) feeder: UnboundedSender<FeederInput>,
}

/// To a partition's feeder, from lanes and the engine.
pub(super) enum FeederInput {
    /// A track begins.
    Start(FeedTrack),
    /// A track ends.
    Stop { key: PipelineKey, claim: Uuid },
    /// A lane is done with bytes of a track.
    Credit {
        key: PipelineKey,
        claim: Uuid,
        bytes: usize,
    },
    /// A pipeline changed: its role, its pace, or whether it is paused. Its track goes on.
    Spec(Arc<PipelineSpec>),
    /// Shares changed: the ring's and every track's, in bytes.
    Shares(Shares),
}

/// How much a partition may hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Kept in the ring.
    pub(super) ring: usize,
    /// On its way through one track's lane.
    pub(super) window: usize,
    /// Read at once.
    pub(super) chunk: usize,
}

/// A track, as a feeder knows it.
pub(super) struct FeedTrack {
    pub(super) spec: Arc<PipelineSpec>,
    pub(super) claim: Uuid,
    pub(super) position: Position,
    /// The identity of the topic that the position belongs to.
    pub(super) topic_id: String,
    pub(super) lane: UnboundedSender<LaneInput>,
}

/// To the engine, from lanes, feeders and claim tasks.
pub(super) enum Notice {
    /// A track ended by itself.
    Ended {
        key: PipelineKey,
        partition: TopicPartition,
        claim: Uuid,
        end: End,
    },
    /// A claim task finished.
    Claimed {
        key: PipelineKey,
        partition: TopicPartition,
        claim: Uuid,
        result: Result<Position, End>,
    },
    /// The log's bounds as they were asked for.
    Bounds {
        partition: TopicPartition,
        bounds: crate::source::Bounds,
    },
}

/// Why a track ended or could not start. A track starts (again) only through a claim.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Somebody else owns the partition.
    Fenced,
    /// The generation is not in the store.
    Gone,
    /// The store holds another position than ours.
    Moved(String),
    /// The store or the broker cannot be asked.
    Away(Reason, Fault),
    /// This record cannot be processed.
    Poison { record: RecordName, fault: Fault },
    /// The log does not hold what comes next.
    Log(Stall),
    /// The pipeline cannot work as it is configured, or has a bug.
    Broken(Fault),
}
