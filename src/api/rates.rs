//! How often each client may ask.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::access::RateLimit;

/// How many clients are remembered. Beyond them new ones share one allowance, so that inventing addresses neither
/// fills memory nor helps.
const MOST_CLIENTS: usize = 10_000;
/// How many requests pass between two sweeps of clients that have their whole allowance again.
const SWEEP: u32 = 1_000;
/// The name that clients beyond [`MOST_CLIENTS`] share.
const OTHERS: &str = "";

type Limiter = RateLimiter<
    String,
    HashMapStateStore<String>,
    MonotonicClock,
    NoOpMiddleware<<MonotonicClock as Clock>::Instant>,
>;

/// The allowances of all clients of one listener.
#[derive(Clone)]
pub(super) struct Rates {
    limiter: Arc<Limiter>,
    passed: Arc<AtomicU32>,
}

impl Rates {
    pub(super) fn new(limit: RateLimit) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limit.per_second))
            .allow_burst(at_least_one(limit.burst));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Self {
            limiter: Arc::new(limiter),
            passed: Arc::default(),
        }
    }

    /// Takes one request off the client's allowance; when there is none left, answers how long to wait.
    pub(super) fn take(&self, client: &str) -> Result<(), Duration> {
        if self.passed.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        let client = match self.limiter.len() < MOST_CLIENTS {
            true => client,
            false => OTHERS,
        };
        let asked = self.limiter.check_key(&client.to_owned());
        asked.map_err(|not_until| not_until.wait_time_from(MonotonicClock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_an_allowance_of_its_own() {
        let rates = Rates::new(RateLimit {
            per_second: 1,
            burst: 2,
        });
        assert!(rates.take("a").is_ok());
        assert!(rates.take("a").is_ok());
        let wait = rates.take("a").unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert!(rates.take("b").is_ok());
    }

    #[test]
    fn made_up_clients_do_not_fill_memory() {
        let rates = Rates::new(RateLimit {
            per_second: 1,
            burst: 1,
        });
        let refused = (0..2 * MOST_CLIENTS)
            .filter(|n| rates.take(&n.to_string()).is_err())
            .count();
        assert!(rates.limiter.len() <= MOST_CLIENTS + 1);
        assert!(refused > MOST_CLIENTS / 2, "{refused}");
    }
}
