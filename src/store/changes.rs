//! What was changed, for those who follow a view.
//!
//! A store that keeps a change log notes, in the step of each batch of the generation that readers see, which rows
//! the batch changed, and the positions behind it. Batches of one partition are noted in their order, so a
//! position says exactly what was told: everything noted at or below it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use uuid::Uuid;

use crate::fault::Result;
use crate::position::{Position, TopicPartition};

/// A position per partition.
pub type Reached = BTreeMap<TopicPartition, Position>;

/// Where a view stood when its log was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeMark {
    /// The generation that readers saw.
    pub generation: u32,
    /// Its identity.
    pub build: Uuid,
    /// Its cursors.
    pub reached: Reached,
    /// What the store needs to know for the next look.
    pub(super) seen: String,
}

/// A batch that changed rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its name in the log. Of two batches with a partition in common, the later one has the greater.
    pub id: i64,
    /// The positions behind it, of the partitions that it moved.
    pub reached: Reached,
}

impl Noted {
    /// Whether somebody who was told everything up to `floor` knows of it. A batch moves its partitions together, so
    /// it lies below a position with all of them or with none.
    pub fn is_below(&self, floor: &Reached) -> bool {
        let below = |(partition, at): (&TopicPartition, &Position)| {
            floor.get(partition).is_some_and(|floor| at <= floor)
        };
        self.reached.iter().all(below)
    }
}

/// What was noted, and where the view stands with all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Where it stands.
    pub mark: ChangeMark,
    /// What was noted, by id.
    pub noted: Vec<Noted>,
    /// Whether more was noted than was asked for.
    pub more: bool,
    /// Whether some of what was asked for is not kept any more.
    pub lost: bool,
}

/// The change log of a store.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// Where the view stands now, and what was noted since `since`: every batch is in exactly one of the looks that
    /// follow each other. When readers were moved to another generation meanwhile, what was noted is still the
    /// former one's, up to that moment. None when the view is not published.
    async fn look(&self, projection: &str, since: Option<&ChangeMark>) -> Result<Option<Changes>>;

    /// What was noted of the generation that readers see beyond `floor`, at most `most` of it.
    async fn beyond(
        &self,
        projection: &str,
        floor: &Reached,
        most: usize,
    ) -> Result<Option<Changes>>;

    /// The texts of the keys that a noted batch changed, always in the same order; none when it is not kept any more.
    async fn changed_keys(&self, id: i64) -> Result<Option<Vec<String>>>;

    /// Removes some of what is too old, in one small step. How much it was; 0 when nothing is left to remove.
    async fn forget_old(&self) -> Result<u64>;
}
