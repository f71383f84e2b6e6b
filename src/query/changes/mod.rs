//! The change feed: what happened to the rows of a view, live.
//!
//! While somebody follows a view, one task ([`tail`]) looks at its change log, reads the rows that changed, and
//! tells them to all who follow. Each of them is served by a task of its own ([`follower`]): it first makes up for
//! what was missed since the position that the client brought, straight from the log, and then passes on what the
//! tail tells. Nothing is kept in memory for a client but a few events: who cannot keep up is cut off and comes
//! back with its position, to this instance or to another one.

mod follower;
mod id;
mod tail;

pub use id::{FeedId, FeedIdError};

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, mpsc};

use self::follower::Follower;
use self::tail::Tail;
use crate::fault::{Fault, Result};
use crate::store::changes::ChangeLog;
use crate::store::{Generation, ViewStore};

/// Clients that may follow at once: each holds a connection, a task and some events.
const MOST: usize = 1_000;
/// Events that wait for a client before it is waited for.
const WAITING: usize = 128;

/// A view whose changes can be followed.
#[derive(Clone)]
pub struct FeedSource {
    /// The view.
    pub view: Arc<str>,
    /// Where its rows and its change log are.
    pub store: Arc<dyn ViewStore>,
    /// The shape of a generation by its number, as far as this instance has met it.
    pub shapes: Arc<dyn Fn(u32) -> Option<Generation> + Send + Sync>,
}

impl FeedSource {
    fn log(&self) -> Result<&dyn ChangeLog> {
        let log = self.store.change_log();
        log.ok_or_else(|| {
            Fault::misconfigured(format!("view {}: changes are not noted", self.view))
        })
    }

    fn shape(&self, generation: u32) -> Result<Generation> {
        (self.shapes)(generation).ok_or_else(|| {
            Fault::transient(format!(
                "{} generation {generation} is live, but not known to this instance yet",
                self.view
            ))
        })
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// What it is about.
    pub kind: FeedKind,
    /// Where the client stands after it: resumable anywhere.
    pub id: Arc<str>,
    /// JSON; empty where only the position is told.
    pub data: Arc<str>,
}

/// What an event of the feed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// A row is there as it is shown, or is gone.
    Change,
    /// Readers see another generation from here on.
    Generation,
    /// What happened before is not known any more: the client has to read again what it holds.
    Reset,
    /// Nothing happened; this is where the client stands.
    Position,
}

/// Everything that is followed. One per process.
pub struct Feeds {
    tails: Mutex<HashMap<Arc<str>, Arc<Tail>>>,
    places: Arc<Semaphore>,
}

impl Default for Feeds {
    fn default() -> Self {
        Self::with_most(MOST)
    }
}

impl Feeds {
    /// Feeds that at most `most` clients follow at once.
    pub fn with_most(most: usize) -> Self {
        Self {
            tails: Mutex::default(),
            places: Arc::new(Semaphore::new(most)),
        }
    }

    /// Follows a view from now on, or from `from`; only one row where `key` (its text) is given. When it returns,
    /// whatever is committed from here on will be told. None when too many follow already. The channel ends when
    /// the client does not keep up, and when the view is gone.
    pub async fn follow(
        &self,
        source: FeedSource,
        from: Option<FeedId>,
        key: Option<String>,
    ) -> Result<Option<mpsc::Receiver<FeedEvent>>> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Ok(None);
        };
        let (events, receiver) = mpsc::channel(WAITING);
        let follower = loop {
            // A tail may end between the two; the next one does not.
            let tail = self.tail(&source).await?;
            let (source, events, key) = (source.clone(), events.clone(), key.clone());
            if let Some(follower) = Follower::new(source, tail, events, key) {
                break follower;
            }
        };
        drop(events);
        tokio::spawn(async move {
            let _place = place;
            follower.run(from).await;
        });
        Ok(Some(receiver))
    }

    /// The running tail of the view, or a new one.
    async fn tail(&self, source: &FeedSource) -> Result<Arc<Tail>> {
        let mut tails = self.tails.lock().await;
        tails.retain(|_, tail| tail.is_running());
        if let Some(tail) = tails.get(&source.view) {
            return Ok(Arc::clone(tail));
        }
        let tail = Tail::start(source.clone()).await?;
        tails.insert(Arc::clone(&source.view), Arc::clone(&tail));
        Ok(tail)
    }
}
