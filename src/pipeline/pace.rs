//! The pace at which a generation may catch up: a token bucket that is charged after a read, because
//! only then is it known how many records came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is read at once under a rate, as time: small, so that a slow rate is an even one, and so that what live
/// views need is never behind much of it.
const QUANTUM: Duration = Duration::from_millis(20);

/// How late a read may come without being lost to the rate.
const SLACK: Duration = Duration::from_millis(50);

/// How fast one generation may read on this instance while it catches up. Shared: the governor sets it, feeders obey it.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Records per second; none is unlimited, 0 stands still.
    rate: Option<f64>,
    /// Records that were read before their time.
    debt: f64,
    /// When the debt was last reckoned.
    at: Option<Instant>,
}

impl Held {
    /// Brings the debt up to date. It outlives changes of the rate: only the rate pays it off.
    fn reckon(&mut self, now: Instant) {
        let elapsed = self.at.map_or(Duration::ZERO, |at| {
            now.saturating_duration_since(at)
                .min(Duration::from_secs(3600))
        });
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.debt = match self.rate {
            None => 0.0,
            Some(rate) => {
                (self.debt - rate * elapsed.as_secs_f64()).max(-rate * SLACK.as_secs_f64())
            }
        };
    }
}

impl Pace {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the rate in records per second; none is unlimited, 0 stands still. Setting the same rate again
    /// changes nothing.
    pub fn set(&self, rate: Option<f64>) {
        self.set_at(rate, Instant::now());
    }

    fn set_at(&self, rate: Option<f64>, now: Instant) {
        let mut held = self.held();
        held.reckon(now);
        let rate = rate.map(|rate| rate.max(0.0));
        if held.rate != rate {
            // A slower rate does not inherit what a faster one may be late.
            held.debt = held.debt.max(0.0);
        }
        held.rate = rate;
    }

    /// The rate that is set.
    pub fn rate(&self) -> Option<f64> {
        self.held().rate
    }

    /// Whether a read may begin now.
    pub fn allows(&self, now: Instant) -> bool {
        self.wait(now) == Some(Duration::ZERO)
    }

    /// How long until the next read may begin; none while it stands still.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let mut held = self.held();
        held.reckon(now);
        match held.rate {
            Some(0.0) => None,
            Some(rate) if held.debt > 0.0 => {
                // Rounded up: at the end of the wait the debt must be gone.
                let seconds = (held.debt / rate).min(3600.0);
                Some(Duration::from_secs_f64(seconds) + Duration::from_nanos(1))
            }
            _ => Some(Duration::ZERO),
        }
    }

    /// How many records one read should take at most; at least 1.
    pub fn quantum(&self) -> usize {
        let rate = self.held().rate;
        rate.map_or(usize::MAX, |rate| {
            ((rate * QUANTUM.as_secs_f64()) as usize).max(1)
        })
    }

    /// Counts `records` that were read: the next read is put off accordingly.
    pub fn charge(&self, records: usize, now: Instant) {
        let mut held = self.held();
        held.reckon(now);
        if held.rate.is_some() {
            held.debt += records as f64;
        }
    }

    /// Whether both are the pace of one generation.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads whenever it may for `seconds`; answers how many records came.
    fn read(pace: &Pace, from: Instant, seconds: u64, set: impl Fn(&Pace, Instant)) -> usize {
        let mut now = from;
        let mut records = 0;
        while now < from + Duration::from_secs(seconds) {
            set(pace, now);
            if pace.allows(now) {
                let chunk = pace.quantum().min(5000);
                pace.charge(chunk, now);
                records += chunk;
            }
            now += Duration::from_millis(3);
        }
        records
    }

    #[test]
    fn a_rate_is_kept_although_it_is_set_again_and_again() {
        for rate in [50.0, 777.0, 20_000.0] {
            let (pace, now) = (Pace::default(), Instant::now());
            let records = read(&pace, now, 20, |pace, now| pace.set_at(Some(rate), now)) as f64;
            assert!(
                (records / 20.0 / rate - 1.0).abs() < 0.05,
                "{rate}: {records}"
            );
        }
    }

    #[test]
    fn what_one_read_took_too_much_is_waited_for_at_the_rate_that_holds_then() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.set_at(Some(100.0), now);
        pace.charge(1000, now);
        let later = now + Duration::from_secs(9);
        assert!(!pace.allows(later));
        pace.set_at(Some(1000.0), later);
        assert!(!pace.allows(later + Duration::from_millis(90)));
        assert!(pace.allows(later + Duration::from_millis(110)));
    }

    #[test]
    fn a_pace_of_zero_stands_still_and_none_is_unlimited() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.charge(1_000_000, now);
        assert!(pace.allows(now));
        pace.set_at(Some(0.0), now);
        assert_eq!(pace.wait(now + Duration::from_secs(1000)), None);
        pace.set_at(None, now);
        assert!(pace.allows(now));
    }
}
