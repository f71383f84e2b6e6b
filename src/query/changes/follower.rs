//! The one task per client: makes up for what it missed, then passes on what the tail tells.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use uuid::Uuid;

use super::id::FeedId;
use super::tail::{Parts, Place, Rows, Tail, Told, next};
use super::{FeedEvent, FeedKind, FeedSource};
use crate::fault::{Fault, FaultKind, Result};
use crate::store::Generation;
use crate::store::changes::{ChangeMark, Changes, Noted, Reached};

/// How long a client may take for an event before it is cut off.
const SLOW: Duration = Duration::from_secs(10);
/// Batches that are looked up at once for a client that comes back.
const PAGE: usize = 1_000;
/// How soon a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(500);

/// Why a client is not served any longer.
type Ended = &'static str;

const GONE: Ended = "the view is gone";
const FORGOTTEN: &str = "what came after this position is not kept any more";

pub(super) struct Follower {
    source: FeedSource,
    tail: Arc<Tail>,
    mark: Arc<ChangeMark>,
    told: broadcast::Receiver<Told>,
    events: mpsc::Sender<FeedEvent>,
    key: Option<String>,
    /// What the client believes readers see.
    generation: u32,
    /// Its identity, as far as it is known.
    build: Uuid,
    /// Batches at or below were told already.
    floor: Reached,
    /// The batch that was told in part, and how many of its rows.
    within: Option<(i64, usize)>,
}

impl Follower {
    /// From here on nothing that the tail tells is missed. None when the tail has ended.
    pub(super) fn new(
        source: FeedSource,
        tail: Arc<Tail>,
        events: mpsc::Sender<FeedEvent>,
        key: Option<String>,
    ) -> Option<Self> {
        let (mark, told) = tail.follow()?;
        Some(Self {
            generation: mark.generation,
            build: mark.build,
            source,
            tail,
            mark,
            told,
            events,
            key,
            floor: Reached::new(),
            within: None,
        })
    }

    pub(super) async fn run(mut self, from: Option<FeedId>) {
        if let Err(why) = self.serve(from).await {
            tracing::debug!(view = %self.source.view, why, "a client of the change feed is let go");
        }
    }

    async fn serve(&mut self, from: Option<FeedId>) -> Result<(), Ended> {
        match from {
            Some(from) => self.make_up(from).await?,
            None => {
                let id = FeedId::behind(self.mark.generation, &self.mark.reached);
                self.send(position(&id)).await?;
            }
        }
        loop {
            let events = self.events.clone();
            let told = tokio::select! {
                told = next(&mut self.told) => told?,
                () = events.closed() => return Err("it has gone"),
            };
            self.pass_on(told).await?;
        }
    }

    async fn pass_on(&mut self, told: Told) -> Result<(), Ended> {
        match told {
            Told::Rows(rows) => {
                self.in_generation(rows.generation, &rows.batch.reached)
                    .await?;
                if !rows.batch.is_below(&self.floor) {
                    self.send_rows(&rows).await?;
                }
                Ok(())
            }
            Told::Generation(mark) => self.changed_to(&mark).await,
            Told::Reset(mark) => self.reset(&mark, "some changes could not be told").await,
            Told::Standing(mark) => {
                // A client may be ahead of the tail, after it has made up for something.
                let ahead = self
                    .floor
                    .iter()
                    .any(|(at, floor)| mark.reached.get(at).is_none_or(|reached| reached < floor));
                match mark.generation == self.generation && !ahead {
                    true => {
                        let id = FeedId::behind(mark.generation, &mark.reached);
                        self.send(position(&id)).await
                    }
                    false => Ok(()),
                }
            }
        }
    }

    /// Tells everything from `from` on, as far as it is known.
    async fn make_up(&mut self, from: FeedId) -> Result<(), Ended> {
        self.floor = from.reached;
        self.within = from.within;
        let mut seen = from.generation;
        // Whether the log was read to its end once, and the tail is followed from before the next reading.
        let mut near = false;
        loop {
            let mut changes = self.beyond().await?;
            // What was told in part comes first: no id behind anything else could say how far it was told.
            let begun = self.within.map(|(id, _)| id);
            changes
                .noted
                .sort_by_key(|batch| (Some(batch.id) != begun, batch.id));
            let mark = changes.mark;
            let seen = *seen.get_or_insert(mark.generation);
            self.generation = seen;
            if mark.generation != seen {
                self.refollow()?;
                return self.changed_to(&mark).await;
            }
            self.build = mark.build;
            let mut whole = !changes.lost;
            for batch in changes.noted.iter().filter(|_| !changes.lost) {
                whole = whole && self.tell_batch(batch).await?;
            }
            if !whole {
                self.refollow()?;
                return self.reset(&mark, FORGOTTEN).await;
            }
            if changes.more {
                continue;
            }
            for (partition, at) in mark.reached {
                let floor = self.floor.entry(partition).or_insert(at);
                *floor = at.max(*floor);
            }
            if near {
                let id = FeedId::behind(self.generation, &self.floor);
                return self.send(position(&id)).await;
            }
            self.refollow()?;
            near = true;
        }
    }

    /// Follows the tail from now on: what it told before is in the log.
    fn refollow(&mut self) -> Result<(), Ended> {
        (self.mark, self.told) = self.tail.follow().ok_or(GONE)?;
        Ok(())
    }

    /// What was noted beyond the floor; a store that is away is waited for.
    async fn beyond(&self) -> Result<Changes, Ended> {
        loop {
            let log = self.source.log().map_err(|_| "changes are not noted")?;
            match log.beyond(&self.source.view, &self.floor, PAGE).await {
                Ok(Some(changes)) => return Ok(changes),
                Ok(None) => return Err(GONE),
                Err(fault) if fault.kind == FaultKind::Transient => self.pause().await?,
                Err(fault) => return Err(failed(&fault)),
            }
        }
    }

    async fn pause(&self) -> Result<(), Ended> {
        tokio::select! {
            () = tokio::time::sleep(AWAY) => Ok(()),
            () = self.events.closed() => Err("it has gone"),
        }
    }

    /// Tells a batch from the log; `false` when it is not kept any more.
    async fn tell_batch(&mut self, batch: &Noted) -> Result<bool, Ended> {
        let begun = self.within.take().filter(|(id, _)| *id == batch.id);
        let told = begun.map_or(0, |(_, told)| told);
        let shape = self.shape().await?;
        let place = Place {
            source: &self.source,
            shape: &shape,
            before: &self.floor,
        };
        let mut parts = Parts::new(&place, batch, told);
        loop {
            match parts.next().await {
                Ok(Some(rows)) => self.send_rows(&rows).await?,
                Ok(None) => break,
                Err(fault) if fault.kind == FaultKind::Transient => self.pause().await?,
                Err(fault) => return Err(failed(&fault)),
            }
        }
        let whole = !parts.lost;
        self.floor.extend(batch.reached.clone());
        Ok(whole)
    }

    /// The shape of the generation that is told; this instance may have to meet it first.
    async fn shape(&self) -> Result<Generation, Ended> {
        loop {
            match self.source.shape(self.generation) {
                Ok(shape) => return Ok(shape),
                Err(_) => self.pause().await?,
            }
        }
    }

    async fn send_rows(&self, rows: &Rows) -> Result<(), Ended> {
        for (key, event) in &rows.events {
            if self.key.as_ref().is_none_or(|wanted| **wanted == **key) {
                self.send(event.clone()).await?;
            }
        }
        Ok(())
    }

    /// Rows of another generation than the client knows of are announced.
    async fn in_generation(&mut self, generation: u32, reached: &Reached) -> Result<(), Ended> {
        if generation == self.generation {
            return Ok(());
        }
        let id = FeedId::behind(generation, reached);
        self.announce(generation, &id).await
    }

    async fn changed_to(&mut self, mark: &ChangeMark) -> Result<(), Ended> {
        if mark.generation != self.generation {
            let id = FeedId::behind(mark.generation, &mark.reached);
            self.announce(mark.generation, &id).await?;
        } else if mark.build == self.build {
            // It has made up for something, and so heard of it before the tail did.
            return Ok(());
        } else {
            self.reset(mark, "the view was built anew").await?;
        }
        self.build = mark.build;
        self.floor = mark.reached.clone();
        Ok(())
    }

    async fn announce(&mut self, generation: u32, id: &FeedId) -> Result<(), Ended> {
        self.generation = generation;
        self.floor.clear();
        let note = "rows may differ from those of the generation before: read again what you hold";
        let data = json!({"generation": generation, "note": note});
        self.send(event(FeedKind::Generation, id, &data)).await
    }

    async fn reset(&mut self, mark: &ChangeMark, reason: &str) -> Result<(), Ended> {
        self.generation = mark.generation;
        self.build = mark.build;
        self.floor = mark.reached.clone();
        let id = FeedId::behind(mark.generation, &mark.reached);
        let note = "read again what you hold";
        let data = json!({"generation": mark.generation, "reason": reason, "note": note});
        self.send(event(FeedKind::Reset, &id, &data)).await
    }

    async fn send(&self, event: FeedEvent) -> Result<(), Ended> {
        match timeout(SLOW, self.events.send(event)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("it has gone"),
            Err(_) => Err("it does not keep up"),
        }
    }
}

fn event(kind: FeedKind, id: &FeedId, data: &serde_json::Value) -> FeedEvent {
    FeedEvent {
        kind,
        id: id.to_string().into(),
        data: data.to_string().into(),
    }
}

fn position(id: &FeedId) -> FeedEvent {
    FeedEvent {
        kind: FeedKind::Position,
        id: id.to_string().into(),
        data: "".into(),
    }
}

fn failed(fault: &Fault) -> Ended {
    tracing::error!(%fault, "the change feed failed");
    "it failed"
}
