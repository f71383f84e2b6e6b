//! One budget in bytes for everything that is on its way through the process (I10).
//!
//! A chunk takes its bytes from the budget when it is read, and gives them back when the last
//! ring, lane or batch that shares it lets go. One oversized record is always admitted: it takes what
//! the whole budget has.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::decoding::Decoding;
use crate::event::Chunk;
use crate::telemetry;

/// Bytes per permit: a semaphore counts in 32 bits at a time.
const UNIT: usize = 1024;

/// The process's budget of decoded bytes.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    units: u32,
}

/// Bytes that were taken from the budget and not yet bound to a chunk.
#[derive(Debug)]
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
    budget: Budget,
}

/// A chunk that holds its part of the budget. Cheap to clone: the chunk is shared.
#[derive(Clone, Debug)]
pub(super) struct HeldChunk {
    shared: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    chunk: Chunk,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            inflight().sub((permit.num_permits() * UNIT) as i64);
        }
    }
}

impl Budget {
    /// A budget of `bytes` (at least 1 MiB).
    pub fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes.max(1 << 20) / UNIT).unwrap_or(u32::MAX >> 4);
        let metrics = telemetry::metrics();
        let none: [&str; 0] = [];
        metrics
            .inflight_limit_bytes
            .with_label_values(&none)
            .set(i64::from(units) * UNIT as i64);
        inflight().set(0);
        Self {
            permits: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// The whole budget, in bytes.
    pub(super) fn limit(&self) -> usize {
        self.units as usize * UNIT
    }

    /// Takes `bytes` if they are free.
    pub(super) fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(self.units_of(bytes))
            .ok()?;
        Some(Reservation {
            permit,
            budget: self.clone(),
        })
    }

    /// The same, as long as an eighth of the budget stays free for others.
    pub(super) fn try_reserve_spare(&self, bytes: usize) -> Option<Reservation> {
        let wanted = (self.units_of(bytes) + self.units / 8) as usize;
        if self.permits.available_permits() < wanted {
            return None;
        }
        self.try_reserve(bytes)
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .clamp(1, self.units)
    }
}

impl Reservation {
    /// Binds the reservation to a chunk: gives back what it does not need, takes what it needs more
    /// as far as it is free (a record larger than was reserved is admitted all the same).
    pub(super) fn bind(mut self, chunk: Chunk) -> HeldChunk {
        let bytes = chunk.memory();
        let wanted = self.budget.units_of(bytes) as usize;
        let held = self.permit.num_permits();
        if wanted < held {
            drop(self.permit.split(held - wanted));
        } else if wanted > held
            && let Some(more) = self.budget.try_reserve((wanted - held) * UNIT)
        {
            self.permit.merge(more.permit);
        }
        inflight().add((self.permit.num_permits() * UNIT) as i64);
        HeldChunk {
            shared: Arc::new(Held {
                chunk,
                bytes,
                permit: Some(self.permit),
            }),
        }
    }
}

impl HeldChunk {
    /// The chunk.
    pub(super) fn chunk(&self) -> &Chunk {
        &self.shared.chunk
    }

    /// The same records, decoded once more for a projection that was added since. Rare and short-lived,
    /// so it is not counted against the budget.
    pub(super) fn again(&self, decoding: &Decoding) -> Self {
        let chunk = decoding.again(self.chunk());
        Self {
            shared: Arc::new(Held {
                bytes: chunk.memory(),
                chunk,
                permit: None,
            }),
        }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.shared.bytes
    }
}

/// The gauge of bytes on their way.
fn inflight() -> prometheus::IntGauge {
    let none: [&str; 0] = [];
    telemetry::metrics().inflight_bytes.with_label_values(&none)
}
