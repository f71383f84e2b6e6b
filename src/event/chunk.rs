//! Decoded chunks, and events as views into them.

use std::borrow::Cow;
use std::sync::Arc;

use super::path::{Path, PathSet};
use crate::fault::Fault;
use crate::position::{Position, Range, RecordName, TopicPartition};

/// An envelope field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The event's id.
    Id,
    /// Its type, without a trailing `.vN`.
    Type,
    /// The envelope's version text, else the N of a trailing `.vN`.
    Version,
    /// Where it comes from.
    Source,
    /// When it happened.
    Time,
    /// What it is about.
    Subject,
    /// The business transaction it belongs to.
    CorrelationId,
    /// The message that caused it.
    CausationId,
    /// The trace it belongs to.
    TraceId,
    /// Who caused it.
    UserId,
    /// The aggregate's id.
    AggregateId,
    /// The aggregate's type.
    AggregateType,
    /// The aggregate's version.
    AggregateVersion,
}

/// A JSON value of an event, borrowed from its chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// There is nothing at this path (or a parent is null, missing, or no container).
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array, as JSON text.
    Array(&'a str),
    /// An object, as JSON text.
    Object(&'a str),
}

/// Where a projection's paths lie among a chunk's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMap(pub Box<[u32]>);

/// Decoded records of one partition, in order. Immutable and shared.
#[derive(Debug)]
pub struct Chunk {
    partition: TopicPartition,
    range: Range,
    end: Position,
    paths: Arc<PathSet>,
}

impl Chunk {
    /// Where the records come from.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offsets that the chunk covers.
    pub fn range(&self) -> Range {
        self.range
    }

    /// The end of the log as it was known when the chunk was read.
    pub fn end(&self) -> Position {
        self.end
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory the chunk holds, in bytes.
    pub fn memory(&self) -> usize {
        0
    }

    /// The index of the first record at or behind `position`; `len()` when there is none.
    pub fn first_at(&self, position: Position) -> usize {
        let _ = position;
        0
    }

    /// The offset of record `index` (which must be below `len()`).
    pub fn offset(&self, index: usize) -> i64 {
        let _ = index;
        0
    }

    /// Where `paths` lie among this chunk's slots; none when it was decoded without one of them.
    pub fn map(&self, paths: &[Path]) -> Option<SlotMap> {
        let _ = (paths, &self.paths);
        None
    }

    /// The same records decoded for other paths. Used when a projection is added while older
    /// chunks are still in a ring.
    pub fn with_paths(&self, paths: Arc<PathSet>) -> Chunk {
        Chunk {
            partition: self.partition.clone(),
            range: self.range,
            end: self.end,
            paths,
        }
    }

    /// Record `index` as an event for a projection whose paths are mapped by `map`.
    pub fn event<'a>(&'a self, index: usize, map: &'a SlotMap) -> Event<'a> {
        Event {
            chunk: self,
            index,
            map,
        }
    }
}

/// One decoded record.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    chunk: &'a Chunk,
    index: usize,
    map: &'a SlotMap,
}

impl<'a> Event<'a> {
    /// The record's name, for messages.
    pub fn record(&self) -> RecordName {
        self.chunk.partition.record(self.offset())
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        &self.chunk.partition.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.chunk.partition.partition
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.chunk.offset(self.index)
    }

    /// When the record was written, in milliseconds since the epoch; -1 when unknown.
    pub fn timestamp_ms(&self) -> i64 {
        -1
    }

    /// Why the record could not be decoded, if so. Then no other accessor below says anything useful.
    pub fn fault(&self) -> Option<Fault> {
        None
    }

    /// The type without a trailing `.vN`; `$tombstone` for a record without value.
    pub fn event_type(&self) -> Cow<'a, str> {
        Cow::Borrowed("")
    }

    /// The version for matching: the N of a trailing `.vN`, else the leading integer of the envelope's version.
    pub fn match_version(&self) -> Option<u32> {
        None
    }

    /// An envelope field as text; none when the envelope has none (or null).
    pub fn field(&self, field: Field) -> Option<Cow<'a, str>> {
        let _ = field;
        None
    }

    /// When it happened, in microseconds since the epoch: the envelope's time, parsed once at
    /// decoding (RFC 3339 text, or epoch number as the envelope defines it); else the record's timestamp.
    pub fn time_micros(&self) -> Option<i64> {
        None
    }

    /// The record key as text; none when there is no key. A key that is not UTF-8 is a poison fault.
    pub fn key(&self) -> Result<Option<&'a str>, Fault> {
        Ok(None)
    }

    /// The last header called `name`, as text.
    pub fn header(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let _ = name;
        Ok(None)
    }

    /// The value at the projection's path number `index` (of `Projection::paths`).
    pub fn path(&self, index: usize) -> Json<'a> {
        let _ = (index, self.map);
        Json::Missing
    }

    /// The whole `data` as JSON text; none for a record without value.
    pub fn data(&self) -> Option<&'a str> {
        None
    }
}
