//! Offsets, positions and half-open ranges of a topic partition.
//!
//! A *position* is the next offset to read. Ranges are half-open, `[from, to)`.
//! The only place where an offset becomes the position behind it is
//! [`Position::after`]; nothing else adds one to an offset.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The next offset to read in one topic partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Position(i64);

impl Position {
    /// The position of a partition of which nothing was ever read.
    pub const ZERO: Self = Self(0);

    /// The position at which `offset` is the next record to read.
    pub const fn at(offset: i64) -> Self {
        Self(offset)
    }

    /// The position just behind the record at `offset`.
    pub const fn after(offset: i64) -> Self {
        Self(offset + 1)
    }

    /// The offset that is read next.
    pub const fn offset(self) -> i64 {
        self.0
    }

    /// The last offset before this position; none at the very beginning.
    pub const fn last(self) -> Option<i64> {
        if self.0 > 0 { Some(self.0 - 1) } else { None }
    }

    /// How many offsets lie in `[self, end)`; 0 when `end` is not ahead.
    pub const fn distance_to(self, end: Self) -> u64 {
        if end.0 > self.0 {
            (end.0 - self.0) as u64
        } else {
            0
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The half-open range `[from, to)` of offsets that a piece of work covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first position of the range.
    pub from: Position,
    /// The position behind the range.
    pub to: Position,
}

impl Range {
    /// Whether a reader that stands at `position` may take this range: `from ≤ position < to`.
    pub fn serves(&self, position: Position) -> bool {
        self.from <= position && position < self.to
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// The record at `offset` of this partition, as `topic/partition@offset`.
    pub fn record(&self, offset: i64) -> RecordName {
        RecordName {
            partition: self.clone(),
            offset,
        }
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What is wrong with a text that should name a partition or a record.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct NameError {
    text: String,
    wanted: &'static str,
}

impl FromStr for TopicPartition {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NameError {
            text: text.to_owned(),
            wanted: "topic/partition",
        };
        let (topic, partition) = text.rsplit_once('/').ok_or_else(wrong)?;
        let partition: i32 = partition.parse().map_err(|_| wrong())?;
        if topic.is_empty() || partition < 0 {
            return Err(wrong());
        }
        Ok(Self::new(topic, partition))
    }
}

/// One record of the log, written `topic/partition@offset`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// Where the record lies.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: i64,
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl FromStr for RecordName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NameError {
            text: text.to_owned(),
            wanted: "topic/partition@offset",
        };
        let (partition, offset) = text.rsplit_once('@').ok_or_else(wrong)?;
        let offset: i64 = offset.parse().map_err(|_| wrong())?;
        if offset < 0 {
            return Err(wrong());
        }
        Ok(Self {
            partition: partition.parse()?,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_serves_only_positions_inside_it() {
        let range = Range {
            from: Position::at(5),
            to: Position::at(8),
        };
        let served: Vec<i64> = (3..10).filter(|&o| range.serves(Position::at(o))).collect();
        assert_eq!(served, [5, 6, 7]);
    }

    #[test]
    fn a_record_name_reads_back_as_it_was_written() {
        let name: RecordName = "a/b/3@118".parse().unwrap();
        assert_eq!(name.partition, TopicPartition::new("a/b", 3));
        assert_eq!(name.to_string(), "a/b/3@118");
        for wrong in [
            "",
            "orders",
            "orders/1",
            "orders/x@3",
            "orders/1@-1",
            "/1@3",
        ] {
            assert!(wrong.parse::<RecordName>().is_err(), "{wrong}");
        }
    }
}
