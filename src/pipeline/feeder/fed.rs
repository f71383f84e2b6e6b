//! A track as its feeder sees it: where it stands, what it can take, and whether its catching up is metered.

use std::collections::HashMap;
use std::time::{Duration, Instant as StdInstant};

use super::super::budget::HeldChunk;
use super::super::decoding::Decoding;
use super::super::hold::Hold;
use super::super::pass::Pass;
use super::super::ring::Ring;
use super::super::spec::{FeedTrack, LaneInput, PipelineKey, Role, Shares};
use super::REACH;
use crate::position::{Position, Range, TopicPartition};
use crate::source::ReaderRole;

/// A track, with where it stands.
pub(in crate::pipeline) struct Fed {
    pub(in crate::pipeline) track: FeedTrack,
    pub(in crate::pipeline) position: Position,
    pub(super) hold: Hold,
    outstanding: usize,
    /// Whether a building track has been at the end of the log, and stayed near the head since.
    caught_up: bool,
    /// The ring's chunk, decoded once more for this track, while it is handed over in parts.
    again: Option<HeldChunk>,
}

/// What a track could take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Appetite {
    /// So many records.
    Ready(usize),
    /// Nothing before its lane has written more.
    Busy,
    /// Nothing before its pace allows it.
    Later(Duration),
    /// Nothing: its pace stands still.
    Stopped,
}

impl Fed {
    pub(super) fn new(track: FeedTrack) -> Self {
        Self {
            position: track.position,
            track,
            hold: Hold::new(),
            outstanding: 0,
            caught_up: false,
            again: None,
        }
    }

    pub(in crate::pipeline) fn key(&self) -> PipelineKey {
        self.track.spec.key
    }

    /// Whether it gets anything at all now: it is not paused, and its pace does not stand still.
    pub(in crate::pipeline) fn is_fed(&self) -> bool {
        let spec = &self.track.spec;
        let stands_still = self.is_metered() && spec.pace.rate() == Some(0.0);
        !spec.paused && !stands_still
    }

    /// Whether it could take something sooner or later, without its lane having to write first.
    pub(in crate::pipeline) fn is_hungry(&self, shares: &Shares) -> bool {
        self.is_fed() && self.has_credit(shares)
    }

    /// Whether it is catching up at a pace. Nobody waits for such a track, and none is read ahead for it.
    pub(in crate::pipeline) fn is_metered(&self) -> bool {
        self.track.spec.role == Role::Building && !self.caught_up
    }

    /// Whether it takes what the head reads as it comes.
    pub(super) fn follows(&self) -> bool {
        self.is_fed() && !self.is_metered()
    }

    pub(super) fn has_credit(&self, shares: &Shares) -> bool {
        self.outstanding < shares.window
    }

    pub(super) fn credit(&mut self, bytes: usize) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    pub(in crate::pipeline) fn appetite(&self, shares: &Shares, now: StdInstant) -> Appetite {
        let pace = &self.track.spec.pace;
        if !self.is_metered() {
            return match self.has_credit(shares) {
                true => Appetite::Ready(usize::MAX),
                false => Appetite::Busy,
            };
        }
        match pace.wait(now) {
            None => Appetite::Stopped,
            Some(_) if !self.has_credit(shares) => Appetite::Busy,
            Some(wait) if wait > Duration::ZERO => Appetite::Later(wait),
            Some(_) => Appetite::Ready(pace.quantum()),
        }
    }

    /// Notes whether the track caught up or fell behind again. `end` is the log's end as far as it is known.
    pub(super) fn judge(&mut self, end: Option<Position>, ring: Option<&Ring>) {
        if end.is_some_and(|end| self.position >= end) {
            self.caught_up = true;
        } else if ring.is_some_and(|ring| is_outside(ring, self.position)) {
            self.caught_up = false;
        }
    }

    /// Hands at most `most` records of the part of `held` that the track has not seen to its lane;
    /// answers how many. With the last ones comes the end of the chunk.
    pub(super) fn give(
        &mut self,
        partition: &TopicPartition,
        held: &HeldChunk,
        decoding: &Decoding,
        most: usize,
    ) -> usize {
        let held = self.decoded(held, decoding);
        let chunk = held.chunk();
        let start = chunk.first_at(self.position);
        let end = start.saturating_add(most).min(chunk.len());
        let is_last = end == chunk.len();
        let to = if is_last {
            self.outstanding += held.bytes();
            chunk.range().to
        } else {
            Position::at(chunk.offset(end))
        };
        let range = Range {
            from: self.position,
            to,
        };
        self.position = to;
        self.again = self.again.take().filter(|_| !is_last);
        let _ = self.track.lane.send(LaneInput::Chunk {
            partition: partition.clone(),
            claim: self.track.claim,
            chunk: held,
            range,
        });
        end - start
    }

    /// The chunk with this projection's paths: chunks that were read before it was added lack them.
    fn decoded(&mut self, held: &HeldChunk, decoding: &Decoding) -> HeldChunk {
        if held.chunk().map(self.track.spec.plan.paths()).is_some() {
            return held.clone();
        }
        let range = held.chunk().range();
        let known = self.again.take();
        let again = known
            .filter(|known| known.chunk().range() == range)
            .unwrap_or_else(|| held.again(decoding));
        self.again = Some(again.clone());
        again
    }
}

/// Whether a track at `position` neither is served by the ring nor will be soon.
pub(super) fn is_outside(ring: &Ring, position: Position) -> bool {
    let soon = ring.is_beyond(position) && ring.head().distance_to(position) <= REACH;
    !ring.contains(position) && !soon
}

/// The tracks of a partition and whether they are outside of its ring.
pub(in crate::pipeline) struct Outside<'f> {
    /// None while the head does not read.
    pub(super) ring: Option<&'f Ring>,
    /// Whether the tracks that came together are there.
    pub(super) gathered: bool,
    pub(super) tracks: &'f HashMap<PipelineKey, Fed>,
}

impl<'f> Outside<'f> {
    /// The tracks that `role`'s reader has to bring into the ring; while the head does not read, those that
    /// the head does not wait for.
    pub(in crate::pipeline) fn waiting(&self, role: ReaderRole) -> impl Iterator<Item = &'f Fed> {
        let (ring, gathered) = (self.ring, self.gathered);
        self.tracks.values().filter(move |fed| {
            let outside = match ring {
                Some(ring) => is_outside(ring, fed.position),
                None => gathered && fed.is_metered(),
            };
            outside && fed.is_fed() && Pass::serves(role, fed)
        })
    }
}
