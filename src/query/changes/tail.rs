//! The one task per view that looks at the change log and tells all who follow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, sleep};

use super::id::FeedId;
use super::{FeedEvent, FeedKind, FeedSource};
use crate::fault::{Fault, FaultKind, Result};
use crate::projection::{Row, RowKey, Schema};
use crate::store::Generation;
use crate::store::changes::{ChangeMark, Noted, Reached};

/// How soon the log is looked at again while changes come.
const OFTEN: Duration = Duration::from_millis(20);
/// How soon at the latest.
const SELDOM: Duration = Duration::from_millis(50);
/// How soon a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(500);
/// How often those are told where they stand to whom nothing else is told.
const STANDING: Duration = Duration::from_secs(10);
/// How many looks a tail goes on without anybody: some seconds.
const LOOKS_ALONE: u32 = 100;
/// Rows that are read and told at once.
const ROWS: usize = 100;
/// Tellings that wait for the slowest follower.
const QUEUE: usize = 64;
/// How long the slowest follower is waited for when they are many.
const PATIENCE: Duration = Duration::from_secs(2);
/// Without a look for longer than this, changes may have been removed before they were told.
const BLIND: Duration = Duration::from_secs(300);

/// What all followers of a view are told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Some rows of a batch, in order.
    Rows(Arc<Rows>),
    /// Readers see the generation of this mark from here on.
    Generation(Arc<ChangeMark>),
    /// Something before this mark is unknown.
    Reset(Arc<ChangeMark>),
    /// Everything up to here was told.
    Standing(Arc<ChangeMark>),
}

/// Some rows of a batch.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) generation: u32,
    pub(super) batch: Noted,
    /// Each with the text of its key.
    pub(super) events: Vec<(Box<str>, FeedEvent)>,
}

/// A running tail.
pub(super) struct Tail(Mutex<State>);

struct State {
    /// Everything up to here was told before.
    mark: Arc<ChangeMark>,
    /// None when the tail has ended.
    told: Option<broadcast::Sender<Told>>,
}

impl Tail {
    /// Looks at the log once, and goes on from there while somebody follows.
    pub(super) async fn start(source: FeedSource) -> Result<Arc<Self>> {
        let looked = source.log()?.look(&source.view, None).await?;
        let mark = looked.ok_or_else(|| unpublished(&source))?.mark;
        let told = broadcast::channel(QUEUE).0;
        let tail = Arc::new(Self(Mutex::new(State {
            mark: Arc::new(mark),
            told: Some(told.clone()),
        })));
        let task = Arc::clone(&tail);
        tokio::spawn(async move { task.run(&source, &told).await });
        Ok(tail)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it goes on.
    pub(super) fn is_running(&self) -> bool {
        self.state().told.is_some()
    }

    /// What is told from now on, and everything up to where was told before. None when the tail has ended.
    pub(super) fn follow(&self) -> Option<(Arc<ChangeMark>, broadcast::Receiver<Told>)> {
        let state = self.state();
        let told = state.told.as_ref()?.subscribe();
        Some((Arc::clone(&state.mark), told))
    }

    fn mark(&self) -> Arc<ChangeMark> {
        Arc::clone(&self.state().mark)
    }

    async fn run(&self, source: &FeedSource, told: &broadcast::Sender<Told>) {
        let (mut pause, mut looked, mut stood) = (OFTEN, Instant::now(), Instant::now());
        let mut deserted = 0;
        while !self.is_over(told, &mut deserted) {
            sleep(pause).await;
            match self.step(source, told, looked.elapsed() > BLIND).await {
                Ok(Some(moved)) => {
                    looked = Instant::now();
                    pause = if moved {
                        OFTEN
                    } else {
                        SELDOM.min(pause + OFTEN / 2)
                    };
                }
                // The view is gone, and whoever follows it learns so.
                Ok(None) => break,
                Err(fault) => {
                    tracing::debug!(view = %source.view, %fault, "the change log cannot be read");
                    pause = AWAY;
                }
            }
            if stood.elapsed() >= STANDING {
                stood = Instant::now();
                let _ = told.send(Told::Standing(self.mark()));
            }
        }
        self.state().told = None;
    }

    /// Whether nobody follows any more. A client that comes back soon finds the tail where it was; nobody can come
    /// once it is over.
    fn is_over(&self, told: &broadcast::Sender<Told>, deserted: &mut u32) -> bool {
        let mut state = self.state();
        let alone = told.receiver_count() == 0;
        *deserted = if alone { *deserted + 1 } else { 0 };
        let over = *deserted > LOOKS_ALONE;
        if over {
            state.told = None;
        }
        over
    }

    /// One look. Whether anything was told; none when the view is gone.
    async fn step(
        &self,
        source: &FeedSource,
        told: &broadcast::Sender<Told>,
        blind: bool,
    ) -> Result<Option<bool>> {
        let since = self.mark();
        let log = source.log()?;
        let Some(changes) = log.look(&source.view, Some(&since)).await? else {
            return Ok(None);
        };
        let mark = Arc::new(changes.mark);
        let replaced = mark.build != since.build;
        let went_back = !replaced && is_behind(&mark.reached, &since.reached);
        let mut whole = !(blind || changes.lost || went_back);
        // This instance has to know what comes before anybody is told.
        source.shape(mark.generation)?;
        if whole && !changes.noted.is_empty() {
            let shape = source.shape(since.generation)?;
            whole = tell_all(source, told, (&shape, &since.reached), &changes.noted).await;
        }
        let moved = !changes.noted.is_empty() || replaced || !whole;
        if replaced {
            tell(told, Told::Generation(Arc::clone(&mark))).await;
        }
        if !whole {
            tell(told, Told::Reset(Arc::clone(&mark))).await;
        }
        self.state().mark = mark;
        Ok(Some(moved))
    }
}

/// Tells batches; `false` when one of them cannot be told.
async fn tell_all(
    source: &FeedSource,
    told: &broadcast::Sender<Told>,
    (shape, before): (&Generation, &Reached),
    noted: &[Noted],
) -> bool {
    let mut reached = before.clone();
    for batch in noted {
        let place = Place {
            source,
            shape,
            before: &reached,
        };
        let mut parts = Parts::new(&place, batch, 0);
        loop {
            match parts.next().await {
                Ok(Some(rows)) => tell(told, Told::Rows(Arc::new(rows))).await,
                Ok(None) => break,
                // Nothing that was told is told again: this batch waits for its store.
                Err(fault) if fault.kind == FaultKind::Transient => sleep(AWAY).await,
                Err(fault) => {
                    tracing::error!(%fault, "a change cannot be told");
                    return false;
                }
            }
        }
        if parts.lost {
            return false;
        }
        reached.extend(batch.reached.clone());
    }
    true
}

/// Tells it to all who follow. When many tellings wait, the slowest follower is waited for, but not for ever: it
/// falls behind then, and is cut off.
async fn tell(told: &broadcast::Sender<Told>, what: Told) {
    let begun = Instant::now();
    while told.len() >= QUEUE / 2 && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    let _ = told.send(what);
}

/// A batch, some rows at a time. After a fault the same part comes again.
pub(super) struct Parts<'p> {
    place: &'p Place<'p>,
    batch: &'p Noted,
    keys: Option<Vec<String>>,
    first: usize,
    /// Whether the batch is not kept any more.
    pub(super) lost: bool,
}

impl<'p> Parts<'p> {
    /// The batch without its first `told` rows.
    pub(super) fn new(place: &'p Place<'p>, batch: &'p Noted, told: usize) -> Self {
        Self {
            place,
            batch,
            keys: None,
            first: told,
            lost: false,
        }
    }

    /// The next rows; none when there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Rows>> {
        if self.keys.is_none() {
            let log = self.place.source.log()?;
            self.keys = log.changed_keys(self.batch.id).await?;
        }
        let Some(keys) = &self.keys else {
            self.lost = true;
            return Ok(None);
        };
        let some = keys.iter().skip(self.first).take(ROWS);
        let some: Vec<String> = some.cloned().collect();
        if some.is_empty() {
            return Ok(None);
        }
        let at = (self.first, keys.len());
        let rows = self.place.rows(self.batch, &some, at).await?;
        self.first += some.len();
        Ok(Some(rows))
    }
}

/// Receives the next telling; none when the tail has ended or this follower has fallen behind.
pub(super) async fn next(receiver: &mut broadcast::Receiver<Told>) -> Result<Told, &'static str> {
    receiver.recv().await.map_err(|error| match error {
        RecvError::Closed => "the view is gone",
        RecvError::Lagged(_) => "it does not keep up",
    })
}

fn unpublished(source: &FeedSource) -> Fault {
    Fault::transient(format!("view {} is not published yet", source.view))
}

/// Whether some partition stands before where it stood.
fn is_behind(now: &Reached, before: &Reached) -> bool {
    before
        .iter()
        .any(|(partition, at)| now.get(partition).is_none_or(|now| now < at))
}

/// Where a batch is told.
pub(super) struct Place<'p> {
    pub(super) source: &'p FeedSource,
    pub(super) shape: &'p Generation,
    /// Everything up to here was told before.
    pub(super) before: &'p Reached,
}

impl Place<'_> {
    /// Some rows of a batch: `keys` are those from number `first` on, of `all`. Rows are shown as they are now, which
    /// is what the batch made of them or something later.
    async fn rows(
        &self,
        batch: &Noted,
        keys: &[String],
        (first, all): (usize, usize),
    ) -> Result<Rows> {
        let schema = &self.shape.schema;
        let parsed: Vec<RowKey> = keys
            .iter()
            .map(|key| {
                RowKey::parse(schema, key).map_err(|reason| {
                    Fault::bug(format!("view {}: a noted key {reason}", self.source.view))
                })
            })
            .collect::<Result<_>>()?;
        let rows = self.source.store.rows(self.shape, &parsed).await?;
        let generation = self.shape.number;
        let mut after = self.before.clone();
        after.extend(batch.reached.clone());
        let after = FeedId::behind(generation, &after).to_string();
        let before = FeedId::behind(generation, self.before).to_string();
        let mut events = Vec::with_capacity(keys.len());
        for ((number, key), row) in (first + 1..).zip(keys).zip(&rows) {
            let id = match number == all {
                true => after.clone(),
                false => format!("{before};{}.{number}", batch.id),
            };
            let change = Change {
                key,
                schema,
                row: row.as_ref(),
            };
            let data = serde_json::to_string(&change).map_err(|error| {
                Fault::bug(format!("view {}: a row as JSON: {error}", self.source.view))
            })?;
            let event = FeedEvent {
                kind: FeedKind::Change,
                id: id.into(),
                data: data.into(),
            };
            events.push((Box::from(key.as_str()), event));
        }
        Ok(Rows {
            generation,
            batch: batch.clone(),
            events,
        })
    }
}

/// What an event says of a row.
struct Change<'c> {
    key: &'c str,
    schema: &'c Schema,
    row: Option<&'c Row>,
}

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let op = if self.row.is_some() {
            "upsert"
        } else {
            "delete"
        };
        let columns = self.row.map(|row| Columns(self.schema, row));
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("key", self.key)?;
        map.serialize_entry("op", op)?;
        map.serialize_entry("row", &columns)?;
        map.end()
    }
}

/// A row by its columns, in document order.
struct Columns<'c>(&'c Schema, &'c Row);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.0.columns.iter().zip(&self.1.values);
        serializer.collect_map(columns.map(|(column, value)| (&*column.name, value.to_json())))
    }
}
