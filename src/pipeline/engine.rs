//! The engine: which partitions this instance owns, which pipelines run, and the tracks that
//! follow from both. It owns all of that by value; feeders and lanes are tasks it talks to.
//!
//! A track is a little state machine: it waits, is being claimed, runs, or stands still until an operator
//! decided. Every end of a track leads to `policy`, which says when it is claimed again.
//!
//! The order of the `select!`: the group first, because what it takes away must stop at once;
//! then what changes the pipelines; then notices; then the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::backoff::Backoff;
use super::board::Board;
use super::budget::Budget;
use super::claim::Claimant;
use super::decoding::{Decoding, Envelopes};
use super::feeder::{Feeder, Surroundings};
use super::lane::Lane;
use super::policy::{self, Again};
use super::readers::Readers;
use super::spec::{
    End, FeedTrack, FeederInput, LaneInput, LaneTrack, Limits, Notice, PipelineKey, PipelineSpec,
    Role, Shares,
};
use crate::fault::Fault;
use crate::position::{Position, TopicPartition};
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
    claims: Arc<tokio::sync::Semaphore>,
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
        let shares = shares_of(&around.budget, 1, 1);
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
            claims: Arc::new(tokio::sync::Semaphore::new(CLAIMS_AT_ONCE)),
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
        self.owned.insert(partition.clone(), Owned { feeder, task });
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

    /// Adds the track where the pipeline reads the partition's topic and may do so.
    fn add_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        let Some(pipeline) = self.pipelines.get(&key) else {
            return;
        };
        let Some(topic) = pipeline.spec.topics.get(&partition.topic) else {
            return;
        };
        self.around.board.track(&pipeline.spec, partition);
        if let Some(refusal) = &topic.refusal {
            self.around
                .board
                .stall(key, partition, Some(refusal.clone()));
            return;
        }
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(3));
        let track = Track {
            state: TrackState::Waiting(Instant::now()),
            backoff,
        };
        self.tracks.entry((key, partition.clone())).or_insert(track);
    }

    fn remove_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        if let Some(Track {
            state: TrackState::Running(claim),
            ..
        }) = self.tracks.remove(&(key, partition.clone()))
        {
            self.stop_feeding(key, partition, claim);
        }
        self.around.board.remove(key, partition);
    }

    fn stop_feeding(&self, key: PipelineKey, partition: &TopicPartition, claim: Uuid) {
        if let Some(owned) = self.owned.get(partition) {
            let _ = owned.feeder.send(FeederInput::Stop { key, claim });
        }
        if let Some(lane) = self.lane_of(key, partition) {
            let _ = lane.send(LaneInput::Close {
                partition: partition.clone(),
                claim,
            });
        }
    }

    fn lane_of(
        &self,
        key: PipelineKey,
        partition: &TopicPartition,
    ) -> Option<&UnboundedSender<LaneInput>> {
        let lanes = &self.pipelines.get(&key)?.lanes;
        let index = usize::try_from(partition.partition).unwrap_or(0) % lanes.len().max(1);
        lanes.get(index).map(|(lane, _)| lane)
    }

    fn set_pipelines(&mut self, wanted: Vec<PipelineSpec>) {
        let keys: BTreeSet<PipelineKey> = wanted.iter().map(|spec| spec.key).collect();
        let gone: Vec<PipelineKey> = self
            .pipelines
            .keys()
            .filter(|key| !keys.contains(key))
            .copied()
            .collect();
        gone.into_iter().for_each(|key| self.remove_pipeline(key));
        self.need_paths(&wanted);
        let topics: BTreeMap<&Arc<str>, i32> = wanted
            .iter()
            .flat_map(|spec| &spec.topics)
            .map(|(name, topic)| (name, topic.partitions))
            .collect();
        let partitions: i32 = topics.values().sum();
        self.around
            .readers
            .size_for(usize::try_from(partitions).unwrap_or(1));
        for spec in wanted {
            self.set_pipeline(spec);
        }
        self.subscribe();
        self.share_out();
    }

    fn need_paths(&self, wanted: &[PipelineSpec]) {
        let topics: BTreeSet<&Arc<str>> =
            wanted.iter().flat_map(|spec| spec.topics.keys()).collect();
        for topic in topics {
            let plans = wanted
                .iter()
                .filter(|spec| spec.topics.contains_key(topic))
                .map(|spec| &spec.plan);
            self.around.decoding.need(topic, plans);
        }
    }

    fn remove_pipeline(&mut self, key: PipelineKey) {
        let partitions: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        for partition in &partitions {
            self.remove_track(key, partition);
        }
        if let Some(pipeline) = self.pipelines.remove(&key) {
            SpecLabels::of(&pipeline.spec).forget(&pipeline.spec);
            pipeline
                .lanes
                .iter()
                .for_each(|(lane, _)| drop(lane.send(LaneInput::Finish)));
        }
    }

    fn set_pipeline(&mut self, spec: PipelineSpec) {
        let key = spec.key;
        let spec = Arc::new(spec);
        match self.pipelines.get_mut(&key) {
            Some(pipeline) => {
                if pipeline.spec.skips != spec.skips {
                    for (lane, _) in &pipeline.lanes {
                        let _ = lane.send(LaneInput::Skips(Arc::clone(&spec.skips)));
                    }
                }
                pipeline.spec = Arc::clone(&spec);
            }
            None => {
                let labels = SpecLabels::of(&spec);
                telemetry::pipeline_started(labels.projection, labels.store, labels.role);
                labels.info(&spec).set(1);
                let lanes = (0..self.limits.lanes.max(1))
                    .map(|_| self.start_lane(&spec))
                    .collect();
                self.pipelines.insert(
                    key,
                    Pipeline {
                        spec: Arc::clone(&spec),
                        lanes,
                    },
                );
            }
        }
        if !spec.created {
            self.wait_for_creation(&spec);
        }
        let partitions: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        for partition in partitions {
            let Some(topic) = spec.topics.get(&partition.topic) else {
                continue;
            };
            if topic.refusal.is_some() {
                self.around.decoding.forget(&partition.topic);
                self.refuse_track(key, &partition);
            }
            self.add_track(key, &partition);
        }
    }

    /// Stops the tracks of a generation that is not in its store (any more); they are claimed when it is.
    fn wait_for_creation(&mut self, spec: &PipelineSpec) {
        let running =
            self.tracks
                .iter()
                .filter_map(|((key, partition), track)| match track.state {
                    TrackState::Running(claim) if *key == spec.key => {
                        Some((partition.clone(), claim))
                    }
                    _ => None,
                });
        let running: Vec<(TopicPartition, Uuid)> = running.collect();
        for (partition, claim) in running {
            self.stop_feeding(spec.key, &partition, claim);
            self.ended(spec.key, &partition, &End::Gone);
        }
    }

    /// Stops a track whose topic must not be read (any more).
    fn refuse_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        if let Some(Track {
            state: TrackState::Running(claim),
            ..
        }) = self.tracks.remove(&(key, partition.clone()))
        {
            self.stop_feeding(key, partition, claim);
        }
    }

    fn start_lane(&self, spec: &Arc<PipelineSpec>) -> (UnboundedSender<LaneInput>, JoinHandle<()>) {
        let (lane, inputs) = mpsc::unbounded_channel();
        let mut limits = self.limits;
        if spec.key.store == StoreKind::Redis {
            // A Redis script is not interrupted: it must stay short for everybody else's sake.
            limits.batch_rows = limits.batch_rows.min(super::REDIS_BATCH_ROWS);
        }
        let (notices, board) = (self.around.notices.clone(), self.around.board.clone());
        let task = tokio::spawn(Lane::new(Arc::clone(spec), limits, notices, board).run(inputs));
        (lane, task)
    }

    fn subscribe(&mut self) {
        let topics: BTreeSet<Arc<str>> = self
            .pipelines
            .values()
            .flat_map(|pipeline| pipeline.spec.topics.keys().cloned())
            .collect();
        let topics: Vec<Arc<str>> = topics.into_iter().collect();
        if topics == self.subscribed {
            return;
        }
        match self.claimant.member.subscribe(&topics) {
            Ok(()) => self.subscribed = topics,
            Err(fault) => tracing::warn!(%fault, "subscription could not be changed; trying again"),
        }
    }

    /// Shares the budget between partitions and, within one, between the lanes of each store.
    fn share_out(&mut self) {
        let shares = shares_of(&self.around.budget, self.owned.len(), self.pipelines.len());
        if shares != self.shares {
            self.shares = shares;
            for owned in self.owned.values() {
                let _ = owned.feeder.send(FeederInput::Shares(shares));
            }
        }
    }

    fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Bounds { partition, bounds } => {
                if self.owned.contains_key(&partition) {
                    self.around.board.bounds_known(&partition, bounds);
                }
            }
            Notice::Claimed {
                key,
                partition,
                claim,
                result,
            } => {
                let track = self.tracks.get(&(key, partition.clone()));
                if !track.is_some_and(
                    |track| matches!(track.state, TrackState::Claiming(of) if of == claim),
                ) {
                    return;
                }
                match result {
                    Ok(position) => self.start_track(key, &partition, claim, position),
                    Err(end) => self.ended(key, &partition, &end),
                }
            }
            Notice::Ended {
                key,
                partition,
                claim,
                end,
            } => {
                let track = self.tracks.get(&(key, partition.clone()));
                if track.is_some_and(
                    |track| matches!(track.state, TrackState::Running(of) if of == claim),
                ) {
                    self.ended(key, &partition, &end);
                }
            }
        }
    }

    fn start_track(
        &mut self,
        key: PipelineKey,
        partition: &TopicPartition,
        claim: Uuid,
        position: Position,
    ) {
        let (Some(owned), Some(pipeline)) = (self.owned.get(partition), self.pipelines.get(&key))
        else {
            return;
        };
        let Some(lane) = self.lane_of(key, partition) else {
            return;
        };
        let _ = lane.send(LaneInput::Open(LaneTrack {
            partition: partition.clone(),
            claim,
            feeder: owned.feeder.clone(),
        }));
        let _ = owned.feeder.send(FeederInput::Start(FeedTrack {
            key,
            claim,
            role: pipeline.spec.role,
            position,
            topic_id: pipeline
                .spec
                .topics
                .get(&partition.topic)
                .map(|topic| topic.id.clone())
                .unwrap_or_default(),
            plan: Arc::clone(&pipeline.spec.plan),
            lane: lane.clone(),
        }));
        self.around.board.started(key, partition, position);
        tracing::info!(
            projection = %pipeline.spec.generation.projection, store = %key.store, %partition, %position,
            "track started"
        );
        if let Some(track) = self.tracks.get_mut(&(key, partition.clone())) {
            track.state = TrackState::Running(claim);
        }
    }

    fn ended(&mut self, key: PipelineKey, partition: &TopicPartition, end: &End) {
        let (Some(pipeline), Some(track)) = (
            self.pipelines.get(&key),
            self.tracks.get_mut(&(key, partition.clone())),
        ) else {
            return;
        };
        let was_running = matches!(track.state, TrackState::Running(_));
        if was_running {
            track.backoff.reset();
        }
        let (stall, again) = policy::decide(&pipeline.spec, end);
        if let Some(stall) = &stall {
            let (reason, detail) = (stall.reason.as_str(), &stall.detail);
            let (projection, store) = (&pipeline.spec.generation.projection, key.store);
            if was_running {
                tracing::warn!(%projection, %store, %partition, reason, detail, "track ended");
            } else {
                tracing::debug!(%projection, %store, %partition, reason, detail, "track could not be claimed");
            }
        }
        track.state = match again {
            Again::After(at_least) => {
                TrackState::Waiting(Instant::now() + at_least.max(track.backoff.next()))
            }
            Again::Decided(record) => TrackState::Undecided(record),
        };
        self.around.board.stall(key, partition, stall);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<(PipelineKey, TopicPartition)> = self
            .tracks
            .iter()
            .filter(|((key, _), track)| match &track.state {
                TrackState::Waiting(at) => *at <= now && self.is_created(*key),
                TrackState::Undecided(record) => self.is_decided(*key, record),
                TrackState::Claiming(_) | TrackState::Running(_) => false,
            })
            .map(|(name, _)| name.clone())
            .collect();
        for (key, partition) in due {
            self.start_claim(key, partition);
        }
        if now - self.last_second >= SECOND {
            self.last_second = now;
            self.each_second(now);
        }
    }

    fn is_created(&self, key: PipelineKey) -> bool {
        self.pipelines
            .get(&key)
            .is_some_and(|pipeline| pipeline.spec.created)
    }

    fn is_decided(&self, key: PipelineKey, record: &crate::position::RecordName) -> bool {
        let decided = (record.partition.clone(), record.offset);
        self.pipelines
            .get(&key)
            .is_some_and(|pipeline| pipeline.spec.skips.contains(&decided))
    }

    fn start_claim(&mut self, key: PipelineKey, partition: TopicPartition) {
        let Some(pipeline) = self.pipelines.get(&key) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(&(key, partition.clone())) else {
            return;
        };
        let claim = Uuid::new_v4();
        track.state = TrackState::Claiming(claim);
        let (claimant, spec) = (self.claimant.clone(), Arc::clone(&pipeline.spec));
        let (notices, claims) = (self.around.notices.clone(), Arc::clone(&self.claims));
        tokio::spawn(async move {
            let _permit = claims.acquire().await;
            let result = claimant.claim(&spec, &partition, claim).await;
            let _ = notices.send(Notice::Claimed {
                key,
                partition,
                claim,
                result,
            });
        });
    }

    fn each_second(&mut self, now: Instant) {
        telemetry::heartbeat("engine");
        self.heal();
        self.subscribe();
        self.around.board.tick(now);
        self.hint();
        if self.last_bounds.is_none_or(|at| now - at >= BOUNDS_PERIOD) {
            self.last_bounds = Some(now);
            for partition in self.owned.keys().cloned() {
                let (source, notices) = (
                    Arc::clone(&self.claimant.source),
                    self.around.notices.clone(),
                );
                tokio::spawn(async move {
                    if let Ok(bounds) = source.bounds(&partition).await {
                        let _ = notices.send(Notice::Bounds { partition, bounds });
                    }
                });
            }
        }
    }

    /// Builds anew what ended although nobody asked it to (a panic): its tracks are claimed again.
    fn heal(&mut self) {
        let dead = |pipeline: &&Pipeline| pipeline.lanes.iter().any(|(_, task)| task.is_finished());
        let pipelines: Vec<Arc<PipelineSpec>> = self
            .pipelines
            .values()
            .filter(dead)
            .map(|pipeline| Arc::clone(&pipeline.spec))
            .collect();
        for spec in pipelines {
            tracing::error!(pipeline = ?spec, "a lane ended unexpectedly; it is built anew");
            self.remove_pipeline(spec.key);
            self.set_pipeline((*spec).clone());
        }
        let feeders = self
            .owned
            .iter()
            .filter(|(_, owned)| owned.task.is_finished());
        let partitions: Vec<TopicPartition> =
            feeders.map(|(partition, _)| partition.clone()).collect();
        for partition in partitions {
            tracing::error!(%partition, "a feeder ended unexpectedly; it is built anew");
            self.disown(&partition);
            self.own(partition);
        }
    }

    /// Tells the group the lowest position of every partition over the live views that move.
    fn hint(&self) {
        let mut lowest: BTreeMap<TopicPartition, Position> = BTreeMap::new();
        for ((key, partition), status) in self.around.board.tracks() {
            let live = self
                .pipelines
                .get(&key)
                .is_some_and(|pipeline| pipeline.spec.role == Role::Live);
            if let (true, None, Some(position)) = (live, &status.stall, status.position) {
                lowest
                    .entry(partition)
                    .and_modify(|low| *low = position.min(*low))
                    .or_insert(position);
            }
        }
        let hints: Vec<(TopicPartition, Position)> = lowest.into_iter().collect();
        if !hints.is_empty() {
            self.claimant.member.hint(&hints);
        }
    }

    async fn finish(self, grace: Duration) {
        self.hint();
        for owned in self.owned.values() {
            owned.task.abort();
        }
        let lanes: Vec<_> = self
            .pipelines
            .into_values()
            .flat_map(|pipeline| pipeline.lanes)
            .collect();
        for (lane, _) in &lanes {
            let _ = lane.send(LaneInput::Finish);
        }
        let written = async {
            for (_, task) in lanes {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(grace.mul_f64(0.6), written)
            .await
            .is_err()
        {
            tracing::warn!(
                "a store did not answer in time; the batches under way are judged by their cursors"
            );
        }
        self.claimant.member.leave(grace.mul_f64(0.3)).await;
    }
}

/// A quarter of the budget for rings, a quarter for what is being read, half for lanes. A track may hold what its
/// pipeline's part is worth; with many tracks the budget itself is the bound.
fn shares_of(budget: &Budget, partitions: usize, pipelines: usize) -> Shares {
    let partitions = partitions.max(1);
    let limit = budget.limit();
    Shares {
        ring: (limit / 4 / partitions).max(64 << 10),
        window: (limit / 2 / partitions / pipelines.clamp(1, 4)).clamp(64 << 10, 8 << 20),
        chunk: (limit / 8 / partitions).clamp(16 << 10, 512 << 10),
    }
}

/// The labels of a pipeline.
struct SpecLabels<'s> {
    projection: &'s str,
    store: &'static str,
    role: &'static str,
}

impl<'s> SpecLabels<'s> {
    fn of(spec: &'s PipelineSpec) -> Self {
        Self {
            projection: &spec.generation.projection,
            store: spec.key.store.as_str(),
            role: spec.role.as_str(),
        }
    }

    fn info(&self, spec: &PipelineSpec) -> prometheus::IntGauge {
        let generation = spec.generation.number.to_string();
        let labels = [self.projection, &generation, self.store, self.role];
        telemetry::metrics()
            .projection_info
            .with_label_values(&labels)
    }

    fn forget(&self, spec: &PipelineSpec) {
        let generation = spec.generation.number.to_string();
        let labels = [self.projection, &generation, self.store, self.role];
        let _ = telemetry::metrics()
            .projection_info
            .remove_label_values(&labels);
    }
}
