//! The head: where it begins, when it reads on, and who may keep its ring from moving on.

use std::time::Duration;

use tokio::time::Instant;

use super::fed::Fed;
use super::{Feeder, REACH};
use crate::fault::Fault;
use crate::pipeline::ring::Ring;
use crate::pipeline::spec::Role;
use crate::pipeline::surroundings::PAUSE;
use crate::position::Position;
use crate::record::RawChunk;
use crate::source::{ReadFault, ReaderRole};

impl Feeder {
    /// Opens, moves on or closes the head.
    pub(super) async fn arrange_head(&mut self, now: Instant) {
        let nobody_inside = !self
            .tracks
            .values()
            .any(|fed| fed.follows() && self.ring.contains(fed.position));
        // The head never rewinds, but it jumps forward to a track that came back far ahead of it;
        // the ones it leaves behind are the catch-up reader's business.
        let far_ahead = self.head_start().is_some_and(|start| {
            self.ring.is_beyond(start) && self.ring.head().distance_to(start) > REACH
        });
        if self.head.is_some() && (nobody_inside || far_ahead) {
            self.close_head();
        }
        if self.head.is_none() && self.gathered.is_some_and(|at| at <= now) {
            self.open_head().await;
        }
    }

    /// Where a run of the head would begin now: at the lowest position that is within reach of the
    /// furthest, live tracks before others. None while there are only tracks that catch up at their own pace.
    fn head_start(&self) -> Option<Position> {
        let live: Vec<Position> = self.following(|fed| fed.track.spec.role == Role::Live);
        let positions = if live.is_empty() {
            self.following(|_| true)
        } else {
            live
        };
        let furthest = positions.iter().copied().max()?;
        positions
            .into_iter()
            .filter(|at| at.distance_to(furthest) <= REACH)
            .min()
    }

    fn following(&self, which: impl Fn(&Fed) -> bool) -> Vec<Position> {
        self.tracks
            .values()
            .filter(|fed| fed.follows() && which(fed))
            .map(|fed| fed.position)
            .collect()
    }

    async fn open_head(&mut self) {
        let Some(start) = self.head_start() else {
            return;
        };
        match self
            .around
            .readers
            .open(ReaderRole::Head, &self.partition, start)
            .await
        {
            Ok(stream) => {
                self.head = Some(stream);
                self.ring = Ring::new(start, self.shares.ring);
            }
            Err(fault) => {
                tracing::warn!(partition = %self.partition, %fault, "head reader could not be opened");
                self.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }

    pub(super) fn close_head(&mut self) {
        self.head = None;
        self.reserved = None;
        self.ring = Ring::new(self.ring.head(), self.shares.ring);
    }

    /// Whether a track inside the ring waits for what comes behind the head, and could take it.
    pub(super) fn wants_head(&mut self) -> bool {
        let head = self.ring.head();
        let waiting =
            |fed: &Fed| fed.follows() && fed.position == head && fed.has_credit(&self.shares);
        if self.head.is_none() || !self.ring.has_room() || !self.tracks.values().any(waiting) {
            self.reserved = None;
            return false;
        }
        if self.reserved.is_none() {
            self.reserved = self.around.budget.try_reserve(self.shares.chunk);
        }
        if self.reserved.is_none() {
            self.shed();
        }
        true
    }

    /// Lets go of everything in the ring that nobody needs any more.
    pub(super) fn shed(&mut self) {
        let inside = self
            .tracks
            .values()
            .filter(|fed| fed.follows())
            .map(|fed| fed.position)
            .filter(|at| self.ring.contains(*at));
        let needed = inside.min().unwrap_or_else(|| self.ring.head());
        self.ring.evict(needed, true);
    }

    /// Drops chunks that all tracks have taken; a track that keeps the others waiting for too long falls out.
    /// A live one falls out only when another live one waits. Nothing is kept for tracks that do not follow.
    pub(super) fn make_room(&mut self, elapsed: Duration, now: Instant) {
        if self.head.is_none() || self.ring.has_room() {
            return;
        }
        let head = self.ring.head();
        let waits =
            |fed: &&Fed| fed.follows() && fed.position == head && fed.has_credit(&self.shares);
        let is_live = |fed: &Fed| fed.track.spec.role == Role::Live;
        let someone_waits = self.tracks.values().any(|fed| waits(&fed));
        let live_waits = self.tracks.values().filter(waits).any(is_live);
        let mut needed = head;
        for fed in self
            .tracks
            .values_mut()
            .filter(|fed| fed.follows() && self.ring.contains(fed.position))
        {
            let role = fed.track.spec.role;
            let waited_for = match role {
                Role::Live => live_waits,
                Role::Building | Role::Standby => someone_waits,
            };
            if fed.position == head || !waited_for || fed.hold.may_hold(role, elapsed, now) {
                needed = needed.min(fed.position);
            }
        }
        self.ring.evict(needed, false);
    }

    pub(super) async fn head_read(&mut self, read: Result<RawChunk, ReadFault>) {
        let raw = match read {
            Ok(raw) => raw,
            Err(fault) => return self.reader_failed(fault, None),
        };
        if let Err(fault) = self.confirm_topic().await {
            return self.reader_failed(fault, None);
        }
        let Some(reservation) = self.reserved.take() else {
            return;
        };
        let held = self.around.decode(raw, reservation).await;
        failpoint!("feeder::decoded");
        if self.ring.push(held).is_err() {
            let fault = Fault::bug("head reader skipped offsets");
            self.reader_failed(ReadFault::Fault(fault), None);
        }
    }
}
