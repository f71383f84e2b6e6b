//! The pace at which a generation may catch up: a token bucket that is charged after a read, because
//! only then is it known how many records came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How fast one generation may read on this instance while it catches up. Shared: the governor sets it, feeders obey it.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Records per second; none is unlimited, 0 stands still.
    rate: Option<f64>,
    /// When the next read may begin.
    next: Option<Instant>,
}

impl Pace {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the rate in records per second; none is unlimited, 0 stands still.
    pub fn set(&self, rate: Option<f64>) {
        let mut held = self.held();
        held.rate = rate;
        // What a slower rate had postponed must not outlast it.
        let longest = Instant::now() + Duration::from_secs(1);
        held.next = held.next.map(|next| next.min(longest));
    }

    /// The rate that is set.
    pub fn rate(&self) -> Option<f64> {
        self.held().rate
    }

    /// Whether a read may begin now.
    pub fn allows(&self, now: Instant) -> bool {
        let held = self.held();
        held.rate != Some(0.0) && held.next.is_none_or(|next| next <= now)
    }

    /// Counts `records` that were read: the next read is put off accordingly.
    pub fn charge(&self, records: usize, now: Instant) {
        let mut held = self.held();
        if let Some(rate) = held.rate.filter(|rate| *rate > 0.0) {
            let from = held.next.map_or(now, |next| next.max(now));
            held.next = Some(from + Duration::from_secs_f64(records as f64 / rate));
        }
    }
}
