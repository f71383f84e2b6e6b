//! Heartbeats of our own loops: what `/livez` looks at, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::metrics::metrics;

/// The loops that run, by name.
static LOOPS: Mutex<BTreeMap<String, Beat>> = Mutex::new(BTreeMap::new());

/// A loop may take this long to come around when it did not say otherwise. Every loop waits
/// at most a few seconds at a time; a store's time-outs are about 3 s.
const DEFAULT_BOUND: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
struct Beat {
    last: Instant,
    bound: Duration,
}

/// How a loop is.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopHealth {
    /// Its name.
    pub name: String,
    /// How long ago it came around.
    pub age: Duration,
    /// How long it may take at most.
    pub bound: Duration,
}

impl LoopHealth {
    /// Whether it came around in time.
    pub fn alive(&self) -> bool {
        self.age <= self.bound
    }
}

/// Declares that a loop begins and comes around at least every `bound`.
pub fn loop_started(name: &str, bound: Duration) {
    beat(name, Some(bound));
}

/// Says that the loop came around. A loop that was not declared has 30 s.
pub fn heartbeat(name: &str) {
    beat(name, None);
}

/// The loop ended on purpose: nobody waits for it any more.
pub fn loop_ended(name: &str) {
    let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    loops.remove(name);
    drop(metrics().heartbeat.remove_label_values(&[name]));
}

/// All loops that run, by name.
pub fn loops() -> Vec<LoopHealth> {
    let loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    loops
        .iter()
        .map(|(name, beat)| LoopHealth {
            name: name.clone(),
            age: beat.last.elapsed(),
            bound: beat.bound,
        })
        .collect()
}

fn beat(name: &str, bound: Option<Duration>) {
    let last = Instant::now();
    let mut loops = LOOPS.lock().unwrap_or_else(PoisonError::into_inner);
    match loops.get_mut(name) {
        Some(known) => {
            known.last = last;
            known.bound = bound.unwrap_or(known.bound);
        }
        None => {
            let bound = bound.unwrap_or(DEFAULT_BOUND);
            loops.insert(name.to_owned(), Beat { last, bound });
        }
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let gauge = metrics().heartbeat.with_label_values(&[name]);
    gauge.set(now.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(name: &str) -> Option<LoopHealth> {
        loops().into_iter().find(|l| l.name == name)
    }

    #[test]
    fn a_loop_is_dead_when_its_heartbeat_is_older_than_its_bound() {
        loop_started("test-dead", Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(!health("test-dead").unwrap().alive());
        loop_started("test-dead", Duration::from_secs(60));
        heartbeat("test-dead");
        let alive = health("test-dead").unwrap();
        assert!(alive.alive() && alive.bound == Duration::from_secs(60));
        loop_ended("test-dead");
        assert_eq!(health("test-dead"), None);
    }

    #[test]
    fn a_heartbeat_is_a_gauge_until_the_loop_ends() {
        let line = "viewfold_heartbeat_timestamp_seconds{loop=\"test-gauge\"}";
        heartbeat("test-gauge");
        assert!(super::super::render().contains(line));
        loop_ended("test-gauge");
        assert!(!super::super::render().contains(line));
    }
}
