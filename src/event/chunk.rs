//! Decoded chunks.

use std::sync::Arc;

use super::decode::Decoder;
use super::envelope::Envelope;
use super::path::{Path, PathSet};
use super::plan::Plan;
use super::view::Event;
use crate::fault::Fault;
use crate::position::{Position, Range, TopicPartition};
use crate::record::{RawChunk, Span};

/// Where a projection's paths lie among a chunk's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMap(pub Box<[u32]>);

/// Decoded records of one partition, in order. Immutable and shared.
#[derive(Debug)]
pub struct Chunk {
    pub(super) plan: Arc<Plan>,
    pub(super) raw: Arc<RawChunk>,
    /// One per raw record.
    pub(super) records: Vec<Decoded>,
    /// For every record the slots of the envelope's fields, then those of the paths.
    pub(super) slots: Vec<Span>,
    /// Types that no record spells out.
    pub(super) types: Vec<Box<str>>,
    pub(super) faults: Vec<Fault>,
}

/// What decoding made of one record, besides its slots.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) meaning: Meaning,
    /// The whole data.
    pub(super) data: Span,
    /// The envelope's time, in microseconds since the epoch.
    pub(super) time: Option<i64>,
}

/// How a record's slots are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    /// Envelope fields are JSON values.
    Json,
    /// Envelope fields are header values.
    Headers,
    /// Envelope fields are JSON values; the type is one of the chunk's types.
    Composed(usize),
    /// There is no value.
    Tombstone,
    /// It could not be decoded: one of the chunk's faults.
    Fault(usize),
}

impl Chunk {
    /// Where the records come from.
    pub fn partition(&self) -> &TopicPartition {
        &self.raw.partition
    }

    /// The offsets that the chunk covers.
    pub fn range(&self) -> Range {
        self.raw.range
    }

    /// The end of the log as it was known when the chunk was read.
    pub fn end(&self) -> Position {
        self.raw.end
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How large keys, values and headers are together, in bytes.
    pub fn size(&self) -> usize {
        self.raw.bytes.len()
    }

    /// How much memory the chunk holds, in bytes. Raw bytes that it shares with the same chunk
    /// decoded for other paths count in both.
    pub fn memory(&self) -> usize {
        let types: usize = self
            .types
            .iter()
            .map(|name| name.len() + size_of::<Box<str>>())
            .sum();
        let faults: usize = self
            .faults
            .iter()
            .map(|fault| fault.message.capacity())
            .sum();
        size_of::<Self>()
            + self.raw.memory()
            + self.records.capacity() * size_of::<Decoded>()
            + self.slots.capacity() * size_of::<Span>()
            + types
            + faults
            + self.faults.capacity() * size_of::<Fault>()
    }

    /// The index of the first record at or behind `position`; `len()` when there is none.
    pub fn first_at(&self, position: Position) -> usize {
        self.raw
            .records
            .partition_point(|record| record.offset < position.offset())
    }

    /// The offset of record `index` (which must be below `len()`; else -1).
    pub fn offset(&self, index: usize) -> i64 {
        self.raw
            .records
            .get(index)
            .map_or(-1, |record| record.offset)
    }

    /// Where `paths` lie among this chunk's slots; none when it was decoded without one of them.
    pub fn map(&self, paths: &[Path]) -> Option<SlotMap> {
        self.plan.paths.map(paths)
    }

    /// The envelope by which the chunk was decoded.
    pub fn envelope(&self) -> &Envelope {
        &self.plan.envelope
    }

    /// The same records decoded for other paths. Used when a projection is added while older
    /// chunks are still in a ring.
    pub fn with_paths(&self, paths: Arc<PathSet>) -> Chunk {
        Decoder::new(self.plan.envelope.clone(), paths).decode_shared(self.raw.clone())
    }

    /// Record `index` as an event for a projection whose paths are mapped by `map`.
    pub fn event<'a>(&'a self, index: usize, map: &'a SlotMap) -> Event<'a> {
        Event {
            chunk: self,
            index,
            map,
        }
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.raw.bytes)
    }

    /// Spans of scanned values are UTF-8; those of headers need not be.
    pub(super) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}
