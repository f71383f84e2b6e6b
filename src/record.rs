//! Raw records, packed: the plain value that a source hands to decoding. One buffer per chunk, spans into it per record.

use crate::position::{Position, Range, TopicPartition};

/// A part of a chunk's buffer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of this span in `buffer`.
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        buffer
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// One record: where its parts lie in the chunk's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Its offset. Offsets increase within a chunk; they are not dense.
    pub offset: i64,
    /// Milliseconds since the epoch, as the broker or producer stamped it; -1 when absent.
    pub timestamp_ms: i64,
    /// The record key, if any.
    pub key: Option<Span>,
    /// The value; none for a tombstone.
    pub value: Option<Span>,
    /// Headers in order: name and value. A name that is not UTF-8 is left out by the source.
    pub headers: Box<[(Span, Option<Span>)]>,
}

/// Consecutive records of one partition.
#[derive(Clone, Debug)]
pub struct RawChunk {
    /// Where they come from.
    pub partition: TopicPartition,
    /// The offsets that the chunk covers. It may cover offsets without records (holes).
    pub range: Range,
    /// The last stable offset as far as the reader knows it; at least `range.to`.
    pub end: Position,
    /// Keys, values and headers, back to back.
    pub bytes: Vec<u8>,
    /// The records, by increasing offset; empty when only holes were passed.
    pub records: Vec<RawRecord>,
}

impl RawChunk {
    /// An empty chunk at `from`.
    pub fn empty(partition: TopicPartition, from: Position) -> Self {
        Self {
            partition,
            range: Range { from, to: from },
            end: from,
            bytes: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Copies `part` into the buffer and says where it lies.
    pub fn store(&mut self, part: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(part);
        Span {
            start,
            end: self.bytes.len() as u32,
        }
    }

    /// How much memory the chunk holds, in bytes.
    pub fn memory(&self) -> usize {
        let records = self.records.capacity() * size_of::<RawRecord>();
        let headers: usize = self
            .records
            .iter()
            .map(|r| r.headers.len() * size_of::<(Span, Option<Span>)>())
            .sum();
        self.bytes.capacity() + records + headers
    }
}
