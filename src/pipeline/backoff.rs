//! Waiting longer after every failure, with jitter, so that instances do not knock in step.

use std::time::Duration;

/// Exponential back-off with full jitter on its upper half.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits about `first` at first, about `most` at last.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            next: first,
            first,
            most,
        }
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Starts over.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}
