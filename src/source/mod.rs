//! Where records come from: the seam between viewfold and the log.
//!
//! A *member* takes part in the consumer group: it learns which partitions this
//! instance owns, proves its membership on request and commits hints. It reads nothing.
//! A *reader* is a manually assigned client outside the group. It hands out one
//! [`PartitionStream`] per partition, which is pulled: a stream that nobody pulls
//! fetches at most what its bounded queue holds (I10).
//!
//! **Architecture invariant:** nothing in here knows about events, projections or stores.

mod absent;
pub mod kafka;
pub mod memory;

pub use absent::NoSource;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::record::RawChunk;

/// What the broker says about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: Arc<str>,
    /// The broker's identity of this incarnation of the topic: a recreated topic has another one.
    pub id: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether `cleanup.policy` contains `compact`.
    pub compacted: bool,
}

/// Whether two identities are of one incarnation of a topic. Brokers without identities give an
/// empty one, which is taken for any.
pub fn same_topic(known: &str, found: &str) -> bool {
    known == found || known.is_empty() || found.is_empty()
}

/// The first and the next offset of a partition's log that a `read_committed` reader can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is still in the log.
    pub low: Position,
    /// The last stable offset: the position behind the last readable record.
    pub high: Position,
}

/// What a reader is for. Each role has a client of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReaderRole {
    /// Reads at the head of the log, into the rings.
    Head,
    /// Brings live and standby tracks that fell behind back to the head.
    CatchUp,
    /// Feeds building tracks.
    Build,
    /// Reads excerpts of the log for verification and plans.
    Excerpt,
}

/// What the group tells this instance. Events arrive after they were acknowledged to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// These partitions were added to what this instance owns.
    Assigned(Vec<TopicPartition>),
    /// These partitions were taken back in an orderly way.
    Revoked(Vec<TopicPartition>),
    /// This instance lost its membership: someone else may own these already.
    Lost(Vec<TopicPartition>),
}

/// The log, seen from outside the group: what exists, and clients to read it.
#[async_trait]
pub trait EventSource: Send + Sync + 'static {
    /// All topics that may be read (never internal ones), in name order.
    async fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// The broker's identity of one topic now; none when there is no such topic.
    async fn topic_id(&self, topic: &str) -> Result<Option<String>> {
        let topics = self.topics().await?;
        Ok(topics
            .into_iter()
            .find(|info| &*info.name == topic)
            .map(|info| info.id))
    }

    /// The readable bounds of one partition.
    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds>;

    /// The position of the first record of the partition whose timestamp is at or after
    /// `timestamp_ms` (milliseconds since the epoch); the readable end of the log when there is
    /// none. Always within the bounds. An instant before the epoch is before every record.
    async fn position_at(&self, partition: &TopicPartition, timestamp_ms: i64) -> Result<Position>;

    /// Joins the consumer group. Events come on the returned channel until the member leaves.
    async fn join(&self) -> Result<(Arc<dyn Member>, mpsc::UnboundedReceiver<MemberEvent>)>;

    /// What is wrong with the connection to the log, and since when; none when all is well.
    fn health(&self) -> Option<(String, SystemTime)> {
        None
    }

    /// A reader for `role`. `partitions` is how many partitions will be read at most at
    /// once, from which the client's queues are sized.
    async fn reader(&self, role: ReaderRole, partitions: usize) -> Result<Arc<dyn Reader>>;
}

/// The group client.
#[async_trait]
pub trait Member: Send + Sync + 'static {
    /// Replaces the subscription: exact topic names.
    fn subscribe(&self, topics: &[Arc<str>]) -> Result<()>;

    /// Proves that this instance still owns `partition`, by a synchronous commit that the
    /// coordinator would refuse from a stale member (I5). `position` is what to commit where the
    /// group has no committed offset yet. [`crate::fault::FaultKind::Fenced`] means not (any longer) the owner;
    /// `Transient` means ask again.
    async fn prove(&self, partition: &TopicPartition, position: Position) -> Result<()>;

    /// Commits positions to the group as a hint for lag tools. Never read back; failures are ignored.
    fn hint(&self, positions: &[(TopicPartition, Position)]);

    /// Leaves the group, waiting at most `deadline`.
    async fn leave(&self, deadline: Duration);
}

/// A manually assigned client outside the group.
#[async_trait]
pub trait Reader: Send + Sync + 'static {
    /// Starts to read `partition` at `from`: the first chunk's range begins exactly there.
    /// A partition has at most one stream per reader; dropping the stream ends the reading.
    async fn open(
        &self,
        partition: &TopicPartition,
        from: Position,
    ) -> Result<Box<dyn PartitionStream>>;
}

/// The records of one partition, in order, without gaps between the ranges of chunks.
#[async_trait]
pub trait PartitionStream: Send + 'static {
    /// The next chunk: waits until there is at least one record or the position moved over a
    /// hole (transaction markers, aborted or compacted records), then takes what is there up to
    /// about `max_bytes`. One record larger than that comes alone. `chunk.range.from` is the
    /// previous chunk's `to`. Cancel safe: dropping the future loses no record.
    async fn next(&mut self, max_bytes: usize) -> Result<RawChunk, ReadFault>;
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadFault {
    /// The position is outside of what the log holds.
    #[error("position {0} is outside of the log")]
    OutOfRange(Position),
    /// Anything else: open a new stream when it is transient.
    #[error(transparent)]
    Fault(#[from] Fault),
}
