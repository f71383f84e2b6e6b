//! Waiting until a view is far enough, without every waiting request asking the store.
//!
//! While somebody waits for a view in a store, one task looks at its positions every 20 to 50 ms and wakes those
//! whose records are in. It ends with the last of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::token::Token;
use crate::fault::{Fault, Result};
use crate::position::RecordName;
use crate::projection::StoreKind;

/// How soon positions are looked at again while they move.
const OFTEN: Duration = Duration::from_millis(20);
/// How soon they are looked at again at the latest.
const SELDOM: Duration = Duration::from_millis(50);
/// How soon a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(200);
/// A look that takes longer than this counts as a store that is away.
const LOOK: Duration = Duration::from_secs(1);
/// Requests that may wait at once: each holds a connection and a little memory.
const MOST: usize = 10_000;

/// Where a view stands in one store.
#[async_trait]
pub trait Positions: Send + Sync + 'static {
    /// The last record that was considered, per partition. Cheap: it is called many times a second.
    async fn positions(&self) -> Result<Vec<RecordName>>;
}

/// How waiting ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The records are in, or were a moment ago: read again.
    Reached,
    /// The time is over.
    Late,
    /// The time is over, and the store could not be asked at the end. Says why.
    Away(String),
    /// Too many requests wait already.
    TooMany,
}

/// What the last look showed.
#[derive(Clone, Default)]
struct Seen {
    reached: Vec<RecordName>,
    trouble: Option<String>,
}

type Place = (Arc<str>, StoreKind);
type Running = HashMap<Place, watch::Sender<Seen>>;

/// Everything that is waited for. One per process.
#[derive(Clone)]
pub struct Watches {
    running: Arc<Mutex<Running>>,
    places: Arc<Semaphore>,
}

impl Default for Watches {
    fn default() -> Self {
        Self::with_most(MOST)
    }
}

impl Watches {
    /// Watches for which at most `most` requests wait at once.
    pub fn with_most(most: usize) -> Self {
        Self {
            running: Arc::default(),
            places: Arc::new(Semaphore::new(most)),
        }
    }

    /// Waits until `view` shows the records of `token` in `store`, until `deadline` at the latest.
    pub async fn until(
        &self,
        (view, store): (&str, StoreKind),
        positions: Arc<dyn Positions>,
        token: &Token,
        deadline: Instant,
    ) -> Waited {
        let Ok(_place) = self.places.try_acquire() else {
            return Waited::TooMany;
        };
        let mut seen = self.subscribe((view.into(), store), positions);
        let reached = seen.wait_for(|seen| token.is_reached(&seen.reached));
        // The watch ends only with its last receiver; whoever should meet its end reads again.
        if timeout_at(deadline, reached).await.is_ok() {
            return Waited::Reached;
        }
        match seen.borrow().trouble.clone() {
            Some(why) => Waited::Away(why),
            None => Waited::Late,
        }
    }

    fn subscribe(&self, place: Place, positions: Arc<dyn Positions>) -> watch::Receiver<Seen> {
        let mut running = lock(&self.running);
        if let Some(sender) = running.get(&place) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(Seen::default());
        running.insert(place.clone(), sender.clone());
        drop(running);
        let watched = Arc::clone(&self.running);
        tokio::spawn(async move {
            look_on(&sender, &*positions, || ended(&watched, &place, &sender)).await;
        });
        receiver
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the watch off the list when nobody waits any more. Nobody can join meanwhile.
fn ended(running: &Mutex<Running>, place: &Place, sender: &watch::Sender<Seen>) -> bool {
    let mut running = lock(running);
    let over = sender.receiver_count() == 0;
    if over {
        running.remove(place);
    }
    over
}

async fn look_on(
    sender: &watch::Sender<Seen>,
    positions: &dyn Positions,
    ended: impl Fn() -> bool,
) {
    let mut pause = OFTEN;
    while !ended() {
        let looked = timeout(LOOK, positions.positions()).await;
        let looked = looked.unwrap_or_else(|_| Err(Fault::transient("it does not answer")));
        pause = match looked {
            Ok(reached) => {
                let moved = sender.send_if_modified(|seen| {
                    seen.trouble = None;
                    let moved = seen.reached != reached;
                    seen.reached = reached;
                    moved
                });
                if moved {
                    OFTEN
                } else {
                    SELDOM.min(pause + OFTEN / 2)
                }
            }
            Err(fault) => {
                sender.send_if_modified(|seen| {
                    seen.trouble = Some(fault.message);
                    false
                });
                AWAY
            }
        };
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::*;

    /// A view whose only partition stands at `offset`; away while that is negative.
    #[derive(Default)]
    struct Fake {
        offset: AtomicI64,
        looks: AtomicUsize,
    }

    #[async_trait]
    impl Positions for Fake {
        async fn positions(&self) -> Result<Vec<RecordName>> {
            self.looks.fetch_add(1, Ordering::Relaxed);
            match self.offset.load(Ordering::Relaxed) {
                offset @ 0.. => Ok(vec![format!("t/0@{offset}").parse().unwrap()]),
                _ => Err(Fault::transient("away")),
            }
        }
    }

    const PLACE: (&str, StoreKind) = ("v", StoreKind::Postgres);

    fn token(offset: i64) -> Token {
        Token::parse(&format!("t/0@{offset}")).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    #[tokio::test(start_paused = true)]
    async fn one_watch_wakes_everybody_and_ends_with_the_last() {
        let (watches, fake) = (Watches::default(), Arc::new(Fake::default()));
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let (watches, fake) = (watches.clone(), fake.clone());
                let wanted = token(number % 5 + 1);
                tokio::spawn(async move { watches.until(PLACE, fake, &wanted, soon()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(lock(&watches.running).len(), 1);
        assert!(fake.looks.load(Ordering::Relaxed) < 30);
        fake.offset.store(5, Ordering::Relaxed);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Waited::Reached);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(lock(&watches.running).is_empty());
        let looks = fake.looks.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(fake.looks.load(Ordering::Relaxed), looks);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_time_says_whether_the_store_was_there() {
        let (watches, fake) = (Watches::default(), Arc::new(Fake::default()));
        let wait = |wanted: i64| {
            let (watches, fake) = (watches.clone(), fake.clone());
            async move { watches.until(PLACE, fake, &token(wanted), soon()).await }
        };
        let begun = Instant::now();
        assert_eq!(wait(9).await, Waited::Late);
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        fake.offset.store(-1, Ordering::Relaxed);
        assert_eq!(wait(9).await, Waited::Away("away".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_comes_back_in_time_is_nobodys_concern() {
        let (watches, fake) = (Watches::default(), Arc::new(Fake::default()));
        fake.offset.store(-1, Ordering::Relaxed);
        let back = fake.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            back.offset.store(3, Ordering::Relaxed);
        });
        assert_eq!(
            watches.until(PLACE, fake, &token(3), soon()).await,
            Waited::Reached
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_there_are_places() {
        let (watches, fake) = (Watches::with_most(1), Arc::new(Fake::default()));
        let wait = || {
            let (watches, fake) = (watches.clone(), fake.clone());
            async move { watches.until(PLACE, fake, &token(1), soon()).await }
        };
        let first = tokio::spawn(wait());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(wait().await, Waited::TooMany);
        assert_eq!(first.await.unwrap(), Waited::Late);
        fake.offset.store(1, Ordering::Relaxed);
        assert_eq!(wait().await, Waited::Reached);
    }
}
