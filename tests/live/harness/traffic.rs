//! Events at a steady rate, while other things happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::counter::event;
use super::{Counted, Deployment};

/// Publishes events number `from` to `to`, over `keys` keys, as fast as it goes.
pub(crate) fn publish(deployment: &Deployment, from: u64, to: u64, keys: u64) -> Counted {
    let publisher = deployment.publisher();
    for number in from..to {
        let (key, value) = event(number, keys);
        publisher.send(&key, &value);
    }
    publisher.flush();
    Counted { events: to, keys }
}

/// A producer that goes on until it is stopped.
pub(crate) struct Traffic {
    keys: u64,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Goes on behind what was published so far, with `rate` events per second.
    pub(crate) fn start(deployment: &Deployment, so_far: Counted, rate: u64) -> Self {
        let publisher = deployment.publisher();
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(so_far.events));
        let (stopped, counter, keys) = (Arc::clone(&stop), Arc::clone(&next), so_far.keys);
        let thread = std::thread::spawn(move || {
            let (started, first) = (Instant::now(), so_far.events);
            while !stopped.load(Ordering::Relaxed) {
                let due = first + (started.elapsed().as_secs_f64() * rate as f64) as u64;
                for number in counter.load(Ordering::Relaxed)..due {
                    let (key, value) = event(number, keys);
                    publisher.send(&key, &value);
                    counter.store(number + 1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            publisher.flush();
        });
        Self {
            keys,
            next,
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it; answers what is in the log now.
    pub(crate) fn stop(mut self) -> Counted {
        self.end();
        Counted {
            events: self.next.load(Ordering::Relaxed),
            keys: self.keys,
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the producer failed");
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}
