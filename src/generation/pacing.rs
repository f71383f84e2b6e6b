//! The pace of builds on this instance: follows the catalog, asks the governor a few times a second,
//! and says what it decided and why.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::catalog::Catalog;
use super::governor::{Governor, Limit, Surroundings, share};
use crate::pipeline::{Board, Pace};
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
}

#[derive(Debug)]
struct Build {
    projection: Arc<str>,
    /// All partitions that it reads, in the whole deployment.
    partitions: usize,
    max_rate: Option<u64>,
    paused: bool,
    /// Whether it is still building anywhere: nothing else is governed.
    building: bool,
    pace: Pace,
    governor: Governor,
    limit: Limit,
}

impl Build {
    fn new(record: &GenerationRecord) -> Self {
        Self {
            projection: Arc::clone(&record.projection),
            partitions: 0,
            max_rate: None,
            paused: record.paused,
            building: false,
            pace: Pace::default(),
            governor: Governor::default(),
            limit: Limit::default(),
        }
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
            let all = entry.topics.values().map(|topic| topic.partitions);
            build.partitions = all.map(|n| usize::try_from(n).unwrap_or(0)).sum();
            let limits = [record.options.max_rate, self.max_rate];
            build.max_rate = limits.into_iter().flatten().min();
            build.paused = record.paused;
            build.building = record.is_anywhere(State::Building);
            if !build.building {
                build.pace.set(None);
                build.limit = Limit::default();
            }
        }
        for build in gone {
            if let Some(build) = held.remove(&build) {
                forget(&build.projection);
            }
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
        let mut held = self.held();
        for (id, build) in held.iter_mut().filter(|(_, build)| build.building) {
            let around = Surroundings::of(&tracks, *id);
            let max_rate = build
                .max_rate
                .map(|most| share(most, around.partitions, build.partitions));
            let inputs = around.inputs(max_rate, self.live_lag_target, build.paused);
            build.limit = build.governor.decide(inputs, now);
            build.pace.set(build.limit.rate);
            let limit = telemetry::metrics().rebuild_rate_limit.clone();
            match build.limit.rate {
                Some(rate) => limit.with_label_values(&[&*build.projection]).set(rate),
                None => drop(limit.remove_label_values(&[&*build.projection])),
            }
        }
    }
}

/// A projection's build is over on this instance.
fn forget(projection: &str) {
    let limit = &telemetry::metrics().rebuild_rate_limit;
    let _ = limit.remove_label_values(&[projection]);
}
