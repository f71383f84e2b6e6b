//! A pass: a catch-up reader that begins at the lowest waiting track of a partition and takes up
//! the others as it passes them, until all of them are inside the ring.

use std::time::Duration;

use tokio::time::Instant;

use super::feeder::{Fed, Outside};
use super::readers::Readers;
use super::spec::{Role, Shares};
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::record::RawChunk;
use crate::source::{PartitionStream, ReadFault, ReaderRole};

/// How long a pass waits for a track whose lane is busy, before it goes on without it.
const WAIT: Duration = Duration::from_secs(1);

/// One catch-up reader of one partition.
pub(super) struct Pass {
    role: ReaderRole,
    stream: Option<Box<dyn PartitionStream>>,
    at: Position,
    waiting_since: Option<Instant>,
}

impl Pass {
    pub(super) fn new(role: ReaderRole) -> Self {
        Self {
            role,
            stream: None,
            at: Position::ZERO,
            waiting_since: None,
        }
    }

    pub(super) fn role(&self) -> ReaderRole {
        self.role
    }

    /// Whether a reader of `role` is there for this track.
    pub(super) fn serves(role: ReaderRole, fed: &Fed) -> bool {
        (fed.track.role == Role::Building) == (role == ReaderRole::Build)
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
        self.waiting_since = None;
    }

    /// Opens the reader where it is needed and ends it where it is not any more.
    pub(super) async fn arrange(
        &mut self,
        outside: &Outside<'_>,
        partition: &TopicPartition,
        readers: &Readers,
    ) -> Result<()> {
        let ahead = |fed: &Fed| fed.position >= self.at;
        if self.stream.is_some() && !outside.waiting(self.role).any(ahead) {
            self.close();
        }
        if self.stream.is_none()
            && let Some(lowest) = outside.waiting(self.role).map(|fed| fed.position).min()
        {
            self.stream = Some(readers.open(self.role, partition, lowest).await?);
            self.at = lowest;
        }
        Ok(())
    }

    /// Whether to read on: all tracks at the reader's position can take more, or were waited for long enough.
    pub(super) fn wants_next(&mut self, outside: &Outside<'_>, shares: &Shares) -> bool {
        if self.stream.is_none() {
            return false;
        }
        let mut riders = outside
            .waiting(self.role)
            .filter(|fed| fed.position == self.at)
            .peekable();
        let any = riders.peek().is_some();
        let (ready, busy): (Vec<&Fed>, Vec<&Fed>) = riders.partition(|fed| fed.has_credit(shares));
        if busy.is_empty() {
            self.waiting_since = None;
            return true;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        any && !ready.is_empty() && since.elapsed() > WAIT
    }

    /// The next chunk; for ever when there is no reader.
    pub(super) async fn next(&mut self, max_bytes: usize) -> Result<RawChunk, ReadFault> {
        match &mut self.stream {
            Some(stream) => stream.next(max_bytes).await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn advanced(&mut self, to: Position) {
        self.at = to;
    }
}
