//! A pass: a catch-up reader that begins at the lowest waiting track of a partition and takes up
//! the others as it passes them, until all of them are inside the ring.

use std::time::Duration;

use tokio::time::Instant;

use super::budget::{Budget, Reservation};
use super::feeder::{Appetite, Fed, Outside};
use super::readers::Readers;
use super::spec::{Role, Shares};
use crate::event::Chunk;
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::record::RawChunk;
use crate::source::{PartitionStream, ReadFault, ReaderRole};

/// How long a pass waits for a track whose lane is busy, before it goes on without it.
const WAIT: Duration = Duration::from_secs(1);

/// How large a record is taken to be before one was seen, in bytes.
const RECORD: usize = 300;

/// One catch-up reader of one partition.
pub(super) struct Pass {
    role: ReaderRole,
    stream: Option<Box<dyn PartitionStream>>,
    reserved: Option<Reservation>,
    at: Position,
    waiting_since: Option<Instant>,
    /// The mean size of the records that came last, in bytes.
    record: usize,
}

/// What a pass does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Reads about so many bytes.
    Read(usize),
    /// Waits for a pace.
    Wait(Duration),
    /// Waits for memory.
    Short,
    /// Nothing.
    Rest,
}

impl Pass {
    pub(super) fn new(role: ReaderRole) -> Self {
        Self {
            role,
            stream: None,
            reserved: None,
            at: Position::ZERO,
            waiting_since: None,
            record: RECORD,
        }
    }

    pub(super) fn role(&self) -> ReaderRole {
        self.role
    }

    /// Whether a reader of `role` is there for this track.
    pub(super) fn serves(role: ReaderRole, fed: &Fed) -> bool {
        (fed.track.spec.role == Role::Building) == (role == ReaderRole::Build)
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
        self.reserved = None;
        self.waiting_since = None;
    }

    /// Opens the reader where it is needed and ends it where it is not any more.
    pub(super) async fn arrange(
        &mut self,
        outside: &Outside<'_>,
        partition: &TopicPartition,
        (readers, shares): (&Readers, &Shares),
    ) -> Result<()> {
        let hungry = || {
            let waiting = outside.waiting(self.role);
            waiting.filter(|fed| fed.is_hungry(shares))
        };
        let given_up = self.waiting_since.is_some_and(|at| at.elapsed() > WAIT);
        let is_here = |fed: &Fed| fed.position == self.at;
        // Where only busy ones are left, others that wait elsewhere do not wait for them.
        let stays = if given_up && hungry().next().is_some() {
            hungry().any(is_here)
        } else {
            outside.waiting(self.role).any(is_here)
        };
        // A build is there when all of its stores are: the further one is not read for before the other is level.
        let is_left_behind = |fed: &Fed| {
            let mut riders = outside.waiting(self.role).filter(|rider| is_here(rider));
            fed.position < self.at && riders.any(|rider| rider.key().build == fed.key().build)
        };
        let left_behind = self.role == ReaderRole::Build && hungry().any(is_left_behind);
        let lowest = hungry().map(|fed| fed.position).min();
        if self.stream.is_some() && (!stays || left_behind) {
            self.close();
        }
        if self.stream.is_none()
            && let Some(lowest) = lowest
        {
            self.stream = Some(readers.open(self.role, partition, lowest).await?);
            self.at = lowest;
        }
        Ok(())
    }

    /// Whether to read on: when all tracks at the reader's position can take more. One whose lane is busy is
    /// waited for only so long, one whose pace stands still not at all.
    pub(super) fn step(&mut self, outside: &Outside<'_>, shares: &Shares, budget: &Budget) -> Step {
        if self.stream.is_none() {
            return Step::Rest;
        }
        let now = Instant::now();
        let (mut ready, mut busy, mut most) = (false, false, usize::MAX);
        let mut later: Option<Duration> = None;
        let riders = outside
            .waiting(self.role)
            .filter(|fed| fed.position == self.at);
        for fed in riders {
            match fed.appetite(shares, now.into_std()) {
                Appetite::Ready(quantum) => (ready, most) = (true, most.min(quantum)),
                Appetite::Busy => busy = true,
                Appetite::Later(wait) => later = later.max(Some(wait)),
                Appetite::Stopped => {}
            }
        }
        let waited = match busy {
            true => self.waiting_since.get_or_insert(now).elapsed(),
            false => {
                self.waiting_since = None;
                WAIT
            }
        };
        if let Some(wait) = later {
            return Step::Wait(wait);
        }
        if !ready || waited < WAIT {
            return Step::Rest;
        }
        if self.reserved.is_none() {
            self.reserved = match self.role {
                ReaderRole::Build => budget.try_reserve_spare(shares.chunk),
                _ => budget.try_reserve(shares.chunk),
            };
        }
        match self.reserved {
            Some(_) => Step::Read(shares.chunk.min(most.saturating_mul(self.record))),
            None => Step::Short,
        }
    }

    /// The next chunk; for ever when there is no reader.
    pub(super) async fn next(&mut self, max_bytes: usize) -> Result<RawChunk, ReadFault> {
        match &mut self.stream {
            Some(stream) => stream.next(max_bytes).await,
            None => std::future::pending().await,
        }
    }

    /// What was reserved for the chunk that came.
    pub(super) fn take_reservation(&mut self) -> Option<Reservation> {
        self.reserved.take()
    }

    /// The chunk was handed out.
    pub(super) fn advanced(&mut self, chunk: &Chunk) {
        self.at = chunk.range().to;
        if !chunk.is_empty() {
            self.record = (chunk.size() / chunk.len()).max(1);
        }
    }
}

impl Step {
    /// How long until it is worth looking again, at most.
    pub(super) fn nap(self, most: Duration) -> Duration {
        match self {
            Self::Wait(wait) => wait.min(most),
            Self::Short => most.min(Duration::from_millis(10)),
            Self::Read(_) | Self::Rest => most,
        }
    }

    /// How many bytes to read; none when it is not time.
    pub(super) fn bytes(self) -> Option<usize> {
        match self {
            Self::Read(bytes) => Some(bytes),
            _ => None,
        }
    }
}
