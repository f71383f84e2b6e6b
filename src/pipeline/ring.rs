//! A ring: the newest decoded chunks of one partition, in order, shared and read-only.
//!
//! The ring covers one run of the head reader: contiguous ranges, from the oldest kept chunk to
//! the head. A track at position `p` is inside when `from ≤ p ≤ to`; at `to` it waits for the
//! next chunk. Anything else is outside, and a catch-up reader's business.

use std::collections::VecDeque;

use super::budget::HeldChunk;
use crate::position::{Position, Range};

/// The chunks of one run of the head reader.
#[derive(Debug)]
pub(super) struct Ring {
    chunks: VecDeque<HeldChunk>,
    range: Range,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// An empty ring whose first chunk will begin at `start`; keeps about `limit` bytes.
    pub(super) fn new(start: Position, limit: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            range: Range {
                from: start,
                to: start,
            },
            bytes: 0,
            limit,
        }
    }

    /// The head's position: behind the newest chunk.
    pub(super) fn head(&self) -> Position {
        self.range.to
    }

    /// Whether a track at `position` can be served from here, now or with the next chunk.
    pub(super) fn contains(&self, position: Position) -> bool {
        self.range.from <= position && position <= self.range.to
    }

    /// Whether `position` lies beyond the head: then the head will come to it.
    pub(super) fn is_beyond(&self, position: Position) -> bool {
        position > self.range.to
    }

    /// The chunk that serves `position`; none at the head and outside.
    pub(super) fn chunk_at(&self, position: Position) -> Option<&HeldChunk> {
        if !self.contains(position) {
            return None;
        }
        let index = self
            .chunks
            .partition_point(|held| held.chunk().range().to <= position);
        self.chunks
            .get(index)
            .filter(|held| held.chunk().range().serves(position))
    }

    /// Appends the next chunk of the run. Refuses (and gives back) one that does not continue it.
    pub(super) fn push(&mut self, held: HeldChunk) -> Result<(), HeldChunk> {
        let range = held.chunk().range();
        if range.from != self.range.to || range.to < range.from {
            return Err(held);
        }
        self.bytes += held.bytes();
        self.range.to = range.to;
        self.chunks.push_back(held);
        Ok(())
    }

    /// Whether another chunk fits without dropping one.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < self.limit
    }

    /// Changes the limit; takes effect with the next [`Ring::evict`].
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Drops the oldest chunks that lie wholly below `needed`, until the ring has room (or, when
    /// `all`, as many as there are).
    pub(super) fn evict(&mut self, needed: Position, all: bool) {
        while let Some(oldest) = self.chunks.front() {
            if oldest.chunk().range().to > needed || (!all && self.has_room()) {
                return;
            }
            self.bytes -= oldest.bytes();
            self.range.from = oldest.chunk().range().to;
            self.chunks.pop_front();
        }
    }
}
