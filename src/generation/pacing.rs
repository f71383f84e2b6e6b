//! The pace of builds on this instance: follows the catalog, asks the governor a few times a second,
//! and says what it decided and why.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::catalog::Catalog;
use super::governor::{self, Governor, Inputs, Limit};
use crate::pipeline::{Board, Pace, TrackName, TrackStatus};
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, State};
use crate::telemetry;

/// How often the governor is asked.
const PERIOD: Duration = Duration::from_millis(250);

/// The paces of all builds. Cheap to clone: shared.
#[derive(Clone, Debug)]
pub struct Pacing {
    held: Arc<Mutex<HashMap<Uuid, Build>>>,
    board: Board,
    live_lag_target: Duration,
    max_rate: Option<u64>,
    /// The greatest rate at which a build caught up here, in records per second.
    reached: Arc<Mutex<Option<f64>>>,
}

#[derive(Debug)]
struct Build {
    projection: Arc<str>,
    /// Its partitions that are not at the end of the log yet, in the whole deployment.
    unfinished: usize,
    stores: Vec<StoreKind>,
    max_rate: Option<u64>,
    paused: bool,
    /// Whether it is still building anywhere: nothing else is governed.
    building: bool,
    pace: Pace,
    governor: Governor,
    limit: Limit,
    /// Where it began to read.
    starts: HashMap<TopicPartition, Position>,
    state: &'static str,
}

/// Where there is nothing to limit.
const FREE: Limit = Limit {
    rate: None,
    reason: "none",
};

/// The states of a rebuild, as the metric shows them.
const STATES: [&str; 4] = ["building", "paused", "ready", "cutting over"];

impl Build {
    fn new(record: &GenerationRecord) -> Self {
        let pace = Pace::default();
        if record.is_anywhere(State::Building) {
            // Nothing is read before the governor has decided.
            pace.set(Some(0.0));
        }
        Self {
            projection: Arc::clone(&record.projection),
            unfinished: usize::MAX,
            stores: record.stores.iter().map(|(store, _)| *store).collect(),
            max_rate: None,
            paused: record.paused,
            building: false,
            pace,
            governor: Governor::default(),
            limit: FREE,
            starts: HashMap::new(),
            state: "building",
        }
    }

    /// How far this instance's tracks are, in the slowest store: offsets read, and offsets to read.
    fn progress(&self, id: Uuid, tracks: &[(TrackName, TrackStatus)]) -> (i64, i64) {
        let mut by_store: BTreeMap<StoreKind, (i64, i64)> = BTreeMap::new();
        for ((key, partition), status) in tracks.iter().filter(|((key, _), _)| key.build == id) {
            let (Some(position), Some(bounds)) = (status.position, status.bounds) else {
                continue;
            };
            let start = self.starts.get(partition).copied().unwrap_or(position);
            let offsets = |to: Position| i64::try_from(start.distance_to(to)).unwrap_or(i64::MAX);
            let sums = by_store.entry(key.store).or_default();
            sums.0 += offsets(position);
            sums.1 += offsets(bounds.high.max(position));
        }
        by_store.into_values().min().unwrap_or_default()
    }

    fn publish(&self, id: Uuid, tracks: &[(TrackName, TrackStatus)]) {
        let metrics = telemetry::metrics();
        let projection: &[&str] = &[&self.projection];
        let (done, target) = self.progress(id, tracks);
        metrics
            .rebuild_records_done
            .with_label_values(projection)
            .set(done);
        metrics
            .rebuild_records_target
            .with_label_values(projection)
            .set(target);
        for state in STATES {
            let labels = [&*self.projection, state];
            let now = i64::from(state == self.state);
            metrics.rebuild_state.with_label_values(&labels).set(now);
        }
        let limit = &metrics.rebuild_rate_limit;
        match self.limit.rate {
            Some(rate) => limit.with_label_values(projection).set(rate),
            None => drop(limit.remove_label_values(projection)),
        }
    }
}

/// What a rebuild shows, as the control tables say.
fn state_of(record: &GenerationRecord) -> &'static str {
    match record {
        record if record.wanted => "cutting over",
        record if record.paused => "paused",
        record if record.ready => "ready",
        _ => "building",
    }
}

impl Pacing {
    /// Paces that keep live lag below `live_lag_target`, and every build below `max_rate` records per second.
    pub fn new(board: Board, live_lag_target: Duration, max_rate: Option<u64>) -> Self {
        Self {
            held: Arc::default(),
            board,
            live_lag_target,
            max_rate,
            reached: Arc::default(),
        }
    }

    /// The greatest rate at which a build caught up on this instance since its start, in records per second.
    pub(super) fn reached(&self) -> Option<f64> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how fast a build caught up, in records per second.
    pub fn note_rate(&self, rate: f64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if rate > reached.unwrap_or(1.0) {
            *reached = Some(rate);
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, Build>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pace of a build.
    pub(super) fn of(&self, record: &GenerationRecord) -> Pace {
        let mut held = self.held();
        let build = held.entry(record.build);
        build.or_insert_with(|| Build::new(record)).pace.clone()
    }

    /// Takes over what the control tables say.
    pub(super) fn follow(&self, catalog: &Catalog) {
        let mut held = self.held();
        let mut gone: Vec<Uuid> = held.keys().copied().collect();
        for entry in catalog.entries.iter().filter(|entry| entry.runs()) {
            let record = &entry.record;
            gone.retain(|build| *build != record.build);
            let build = held.entry(record.build);
            let build = build.or_insert_with(|| Build::new(record));
            if build.unfinished == usize::MAX {
                let all = entry.topics.values().map(|topic| topic.partitions);
                build.unfinished = all.map(|n| usize::try_from(n).unwrap_or(0)).sum();
            }
            let limits = [record.options.max_rate, self.max_rate];
            build.max_rate = limits.into_iter().flatten().min();
            build.paused = record.paused;
            build.starts = entry.starts.iter().cloned().collect();
            build.state = state_of(record);
            let was_building = build.building;
            build.building = record.is_anywhere(State::Building);
            if was_building && !build.building {
                build.pace.set(None);
                build.limit = FREE;
                forget(&build.projection);
            }
        }
        for build in gone {
            if let Some(build) = held.remove(&build).filter(|build| build.building) {
                forget(&build.projection);
            }
        }
    }

    /// Takes over how many partitions of builds are not at the end of the log yet, as all instances report.
    pub fn set_unfinished(&self, unfinished: &BTreeMap<Uuid, usize>) {
        for (id, build) in self.held().iter_mut() {
            build.unfinished = unfinished.get(id).copied().unwrap_or(0);
        }
    }

    /// What is allowed now, and why not more, per build that is building.
    pub fn limits(&self) -> BTreeMap<Uuid, Limit> {
        let held = self.held();
        let building = held.iter().filter(|(_, build)| build.building);
        building.map(|(id, build)| (*id, build.limit)).collect()
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut clock = tokio::time::interval(PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.tick(Instant::now());
        }
    }

    fn tick(&self, now: Instant) {
        let tracks = self.board.tracks();
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as i64);
        let mut held = self.held();
        for (id, build) in held.iter_mut().filter(|(_, build)| build.building) {
            let found = governor::inputs_from(&self.board, *id, &build.stores, now_ms, now);
            let here = governor::unfinished_here(&self.board, *id);
            let share = |most| governor::share_of(most, here, build.unfinished);
            let inputs = Inputs {
                max_rate: build.max_rate.map(share),
                live_lag_target: self.live_lag_target.as_secs_f64(),
                paused: build.paused,
                ..found
            };
            self.note_rate(inputs.measured);
            build.limit = build.governor.decide(inputs, now);
            build.pace.set(build.limit.rate);
            build.publish(*id, &tracks);
        }
    }
}

/// A projection's build is over on this instance.
fn forget(projection: &str) {
    let metrics = telemetry::metrics();
    let _ = metrics
        .rebuild_rate_limit
        .remove_label_values(&[projection]);
    let _ = metrics
        .rebuild_records_done
        .remove_label_values(&[projection]);
    let _ = metrics
        .rebuild_records_target
        .remove_label_values(&[projection]);
    for state in STATES {
        let _ = metrics
            .rebuild_state
            .remove_label_values(&[projection, state]);
    }
}
