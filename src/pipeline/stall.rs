//! Why something does not move: every stall has a name (I14).

use std::time::SystemTime;

/// A named reason for standing still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The reason's stable name, also a metric label.
    pub reason: Reason,
    /// Since when.
    pub since: SystemTime,
    /// What exactly, and what to do next.
    pub detail: String,
}

impl Stall {
    /// A stall that begins now.
    pub fn now(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            since: SystemTime::now(),
            detail: detail.into(),
        }
    }
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A record cannot be processed and nobody decided about it yet.
    Poison,
    /// A store does not answer.
    StoreUnreachable,
    /// A broker does not answer.
    KafkaUnreachable,
    /// The log no longer holds the position that comes next.
    RetentionLost,
    /// The position lies behind the end of the log: the log was truncated.
    CursorAheadOfLog,
    /// The topic was deleted and created anew.
    TopicRecreated,
    /// The topic's old records are compacted away, and the projection needs them all.
    TopicCompacted,
    /// Another owner holds the claim, and membership cannot be proven.
    NotOwner,
    /// The generation is not in its store.
    GenerationAbsent,
    /// The stored position was changed by somebody else.
    CursorMoved,
    /// The pipeline cannot run as it is configured.
    Misconfigured,
    /// A mistake of the program.
    Bug,
}

impl Reason {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::StoreUnreachable => "store unreachable",
            Self::KafkaUnreachable => "kafka unreachable",
            Self::RetentionLost => "retention lost",
            Self::CursorAheadOfLog => "cursor ahead of log",
            Self::TopicRecreated => "topic recreated",
            Self::TopicCompacted => "topic compacted",
            Self::NotOwner => "not owner",
            Self::GenerationAbsent => "generation absent",
            Self::CursorMoved => "cursor moved",
            Self::Misconfigured => "misconfigured",
            Self::Bug => "bug",
        }
    }
}
