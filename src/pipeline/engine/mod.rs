//! The engine: which partitions this instance owns, which pipelines run, and the tracks that
//! follow from both. It owns all of that by value; feeders and lanes are tasks it talks to.
//!
//! A track is a little state machine: it waits, is being claimed, runs, or stands still until an operator
//! decided. Every end of a track leads to `policy`, which says when it is claimed again.
//!
//! The order of the `select!`: the group first, because what it takes away must stop at once;
//! then what changes the pipelines; then notices; then the clock.

mod pipelines;
mod tracks;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::backoff::Backoff;
use super::board::Board;
use super::budget::Budget;
use super::claim::Claimant;
use super::decoding::{Decoding, Envelopes};
use super::feeder::Feeder;
use super::readers::Readers;
use super::spec::{FeederInput, LaneInput, Limits, Notice, PipelineKey, PipelineSpec, Shares};
use super::surroundings::Surroundings;
use crate::fault::Fault;
use crate::position::TopicPartition;
use crate::projection::StoreKind;
use crate::source::{EventSource, Member, MemberEvent};
use crate::telemetry;

/// How often due tracks are looked for.
const TICK: Duration = Duration::from_millis(100);
/// How often hints and metrics are brought up to date.
const SECOND: Duration = Duration::from_secs(1);
/// How often the log's bounds are asked for.
const BOUNDS_PERIOD: Duration = Duration::from_secs(5);
/// How many claims are under way at once, so that a large assignment does not flood a store.
const CLAIMS_AT_ONCE: usize = 16;
/// The same for building generations, which must not delay the others.
const BUILDING_CLAIMS_AT_ONCE: usize = 4;

/// What the engine is built from.
pub struct Parts {
    /// The log.
    pub source: Arc<dyn EventSource>,
    /// Where envelopes are configured and remembered.
    pub envelopes: Arc<dyn Envelopes>,
    /// The process's budget.
    pub budget: Budget,
    /// The sizes of batches.
    pub limits: Limits,
    /// Where everything shows what it is doing.
    pub board: Board,
}

/// A running engine.
pub struct Engine {
    orders: UnboundedSender<Order>,
    task: JoinHandle<()>,
}

enum Order {
    Pipelines(Vec<PipelineSpec>),
    Finish(Duration),
}

impl Engine {
    /// Joins the group and runs.
    pub async fn start(parts: Parts) -> Result<Self, Fault> {
        let (member, events) = parts.source.join().await?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(Running::new(parts, member).run(events, inbox));
        Ok(Self { orders, task })
    }

    /// Says which pipelines should run.
    pub fn set_pipelines(&self, pipelines: Vec<PipelineSpec>) {
        let _ = self.orders.send(Order::Pipelines(pipelines));
    }

    /// Whether the engine's loop has ended although nobody asked it to.
    pub fn has_failed(&self) -> bool {
        self.task.is_finished()
    }

    /// Writes what is folded, lets go of all partitions and leaves the group, within `grace` (I13).
    pub async fn finish(self, grace: Duration) {
        let _ = self.orders.send(Order::Finish(grace));
        if tokio::time::timeout(grace, self.task).await.is_err() {
            tracing::warn!(
                "engine did not finish within its grace period; what was not committed is read again"
            );
        }
    }
}

/// A partition that this instance owns.
struct Owned {
    feeder: UnboundedSender<FeederInput>,
    task: JoinHandle<()>,
    /// The question for the log's bounds that is under way.
    asking: Option<JoinHandle<()>>,
}

/// A pipeline with its lanes.
struct Pipeline {
    spec: Arc<PipelineSpec>,
    lanes: Vec<(UnboundedSender<LaneInput>, JoinHandle<()>)>,
}

/// What a track is doing.
enum TrackState {
    Waiting(Instant),
    Claiming(Uuid),
    Running(Uuid),
    Undecided(crate::position::RecordName),
}

struct Track {
    state: TrackState,
    backoff: Backoff,
}

struct Running {
    claimant: Claimant,
    around: Surroundings,
    limits: Limits,
    owned: HashMap<TopicPartition, Owned>,
    pipelines: BTreeMap<PipelineKey, Pipeline>,
    tracks: HashMap<(PipelineKey, TopicPartition), Track>,
    subscribed: Vec<Arc<str>>,
    inbox: UnboundedReceiver<Notice>,
    /// One per store, and one more for what is building there: a store that does not answer delays only its own
    /// claims, and a rebuild nobody else's.
    claims: HashMap<(StoreKind, bool), Arc<Semaphore>>,
    shares: Shares,
    last_second: Instant,
    last_bounds: Option<Instant>,
}

impl Running {
    fn new(parts: Parts, member: Arc<dyn Member>) -> Self {
        let (notices, inbox) = mpsc::unbounded_channel();
        let around = Surroundings {
            readers: Arc::new(Readers::new(Arc::clone(&parts.source))),
            decoding: Arc::new(Decoding::new(parts.envelopes)),
            budget: parts.budget,
            board: parts.board,
            notices,
            source: Arc::clone(&parts.source),
        };
        let shares = pipelines::shares_of(&around.budget, 1, 1);
        Self {
            claimant: Claimant {
                source: parts.source,
                member,
            },
            around,
            limits: parts.limits,
            owned: HashMap::new(),
            pipelines: BTreeMap::new(),
            tracks: HashMap::new(),
            subscribed: Vec::new(),
            inbox,
            claims: HashMap::new(),
            shares,
            last_second: Instant::now(),
            last_bounds: None,
        }
    }

    async fn run(
        mut self,
        mut events: UnboundedReceiver<MemberEvent>,
        mut orders: UnboundedReceiver<Order>,
    ) {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.group_changed(event),
                order = orders.recv() => match order {
                    Some(Order::Pipelines(wanted)) => self.set_pipelines(wanted),
                    Some(Order::Finish(grace)) => return self.finish(grace).await,
                    None => return self.finish(SECOND).await,
                },
                Some(notice) = self.inbox.recv() => self.noticed(notice),
                _ = clock.tick() => self.tick(),
            }
        }
    }

    fn group_changed(&mut self, event: MemberEvent) {
        let metrics = telemetry::metrics();
        let (kind, partitions) = match event {
            MemberEvent::Assigned(partitions) => ("assigned", partitions),
            MemberEvent::Revoked(partitions) => ("revoked", partitions),
            MemberEvent::Lost(partitions) => ("lost", partitions),
        };
        metrics.rebalances.with_label_values(&[kind]).inc();
        tracing::info!(kind, partitions = ?partitions, "group changed");
        for partition in partitions {
            if kind == "assigned" {
                self.own(partition)
            } else {
                self.disown(&partition)
            }
        }
        self.share_out();
        self.last_bounds = None;
    }

    fn own(&mut self, partition: TopicPartition) {
        if self.owned.contains_key(&partition) {
            return;
        }
        telemetry::partition_gained(&partition);
        let (feeder, inputs) = mpsc::unbounded_channel();
        let task = tokio::spawn(
            Feeder::new(partition.clone(), self.around.clone(), self.shares).run(inputs),
        );
        let owned = Owned {
            feeder,
            task,
            asking: None,
        };
        self.owned.insert(partition.clone(), owned);
        let keys: Vec<PipelineKey> = self.pipelines.keys().copied().collect();
        for key in keys {
            self.add_track(key, &partition);
        }
    }

    fn disown(&mut self, partition: &TopicPartition) {
        let keys: Vec<PipelineKey> = self.pipelines.keys().copied().collect();
        for key in keys {
            self.remove_track(key, partition);
        }
        if let Some(owned) = self.owned.remove(partition) {
            owned.task.abort();
        }
        self.around.board.partition_lost(partition);
    }
}
