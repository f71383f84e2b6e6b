//! The board: what every track of this process is doing, for status and metrics.
//!
//! Lanes, feeders and the engine write plain facts onto it; the engine reads back only the positions that it hints to the group.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::batch::Counts;
use super::commit::Commit;
use super::spec::{PipelineKey, PipelineSpec};
use super::stall::Stall;
use crate::event::{Chunk, SlotMap};
use crate::position::{Position, TopicPartition};
use crate::source::Bounds;
use crate::telemetry::{self, TrackLabels};

/// How many unknown event types are listed per pipeline.
const LISTED_TYPES: usize = 100;

/// What one track is doing.
#[derive(Clone, Debug)]
pub struct TrackStatus {
    /// The projection's name.
    pub projection: Arc<str>,
    /// The generation's role as a label.
    pub role: &'static str,
    /// The stored position, once it is known.
    pub position: Option<Position>,
    /// The log's bounds, once they are known.
    pub bounds: Option<Bounds>,
    /// Offsets per second, over about the last five seconds.
    pub rate: f64,
    /// Offsets per second by which the end of the log grows.
    pub growth: f64,
    /// When the oldest record that is not applied was written, milliseconds since the epoch.
    pub oldest_unapplied_ms: Option<i64>,
    /// Why it stands still, if it does.
    pub stall: Option<Stall>,
    applied_ms: Option<i64>,
    sampled: Option<(Instant, Position)>,
}

impl TrackStatus {
    /// Offsets between the position and the end of the log (an upper bound of records).
    pub fn lag_records(&self) -> Option<u64> {
        Some(self.position?.distance_to(self.bounds?.high))
    }

    /// How far behind the log the track is, in seconds: the age of the oldest record that it
    /// has not applied; 0 when there is none.
    pub fn lag_seconds(&self, now_ms: i64) -> Option<f64> {
        if self.lag_records()? == 0 {
            return Some(0.0);
        }
        let oldest = self.oldest_unapplied_ms.or(self.applied_ms)?;
        Some((now_ms - oldest).max(0) as f64 / 1000.0)
    }
}

/// A track by pipeline and partition.
pub type TrackName = (PipelineKey, TopicPartition);

#[derive(Debug, Default)]
struct Facts {
    tracks: HashMap<TrackName, TrackStatus>,
    unmatched: HashMap<PipelineKey, BTreeMap<String, u64>>,
    bounds: HashMap<TopicPartition, Bounds>,
}

/// What every track of this process is doing. Cheap to clone: shared.
#[derive(Clone, Debug, Default)]
pub struct Board {
    facts: Arc<Mutex<Facts>>,
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of everything, by pipeline and partition.
    pub fn tracks(&self) -> Vec<(TrackName, TrackStatus)> {
        let mut tracks: Vec<_> = self
            .facts()
            .tracks
            .iter()
            .map(|(name, status)| (name.clone(), status.clone()))
            .collect();
        tracks.sort_by(|(a, _), (b, _)| a.cmp(b));
        tracks
    }

    /// Event types that matched no handler, with how often.
    pub fn unmatched(&self, key: PipelineKey) -> BTreeMap<String, u64> {
        self.facts()
            .unmatched
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    /// The log's bounds of a partition that this process owns.
    pub fn bounds(&self, partition: &TopicPartition) -> Option<Bounds> {
        self.facts().bounds.get(partition).copied()
    }

    /// A track exists (its position may not be known yet).
    pub(super) fn track(&self, spec: &PipelineSpec, partition: &TopicPartition) {
        let mut facts = self.facts();
        let bounds = facts.bounds.get(partition).copied();
        let name = (spec.key, partition.clone());
        let status = facts.tracks.entry(name).or_insert_with(|| TrackStatus {
            projection: Arc::clone(&spec.generation.projection),
            role: spec.role.as_str(),
            position: None,
            bounds,
            rate: 0.0,
            growth: 0.0,
            oldest_unapplied_ms: None,
            stall: None,
            applied_ms: None,
            sampled: None,
        });
        status.role = spec.role.as_str();
    }

    /// A track is gone from this process.
    pub(super) fn remove(&self, key: PipelineKey, partition: &TopicPartition) {
        let removed = self.facts().tracks.remove(&(key, partition.clone()));
        if let Some(status) = removed {
            telemetry::track_lost(status.labels(key, partition));
        }
    }

    /// A partition is gone from this process.
    pub(super) fn partition_lost(&self, partition: &TopicPartition) {
        self.facts().bounds.remove(partition);
        telemetry::partition_lost(partition);
    }

    /// A track begins at `position`, or was found to stand there.
    pub(super) fn started(&self, key: PipelineKey, partition: &TopicPartition, position: Position) {
        if let Some(status) = self.facts().tracks.get_mut(&(key, partition.clone())) {
            status.position = Some(position);
            status.stall = None;
            status.sampled = None;
        }
    }

    /// A track stands still. The time since when stays while the reason does; a new reason is logged.
    pub(super) fn stall(&self, key: PipelineKey, partition: &TopicPartition, stall: Stall) {
        let mut facts = self.facts();
        let Some(status) = facts.tracks.get_mut(&(key, partition.clone())) else {
            return;
        };
        let same = status
            .stall
            .as_ref()
            .filter(|old| old.reason == stall.reason);
        let Some(since) = same.map(|old| old.since) else {
            let (reason, detail) = (stall.reason.as_str(), &stall.detail);
            let (projection, store) = (&status.projection, key.store);
            tracing::warn!(%projection, %store, %partition, reason, detail, "track stands still");
            status.stall = Some(stall);
            return;
        };
        status.stall = Some(Stall { since, ..stall });
    }

    /// The log's bounds as the broker says.
    pub(super) fn bounds_known(&self, partition: &TopicPartition, bounds: Bounds) {
        let mut facts = self.facts();
        facts.bounds.insert(partition.clone(), bounds);
        for ((_, of), status) in &mut facts.tracks {
            if of == partition {
                status.bounds = Some(bounds);
            }
        }
    }

    /// A chunk was read at the head or by a catch-up reader.
    pub(super) fn chunk_read(&self, chunk: &Chunk) {
        let mut facts = self.facts();
        let partition = chunk.partition();
        let Some(bounds) = facts.bounds.get_mut(partition) else {
            return;
        };
        bounds.high = bounds.high.max(chunk.end());
        let bounds = *bounds;
        let from = chunk.range().from;
        let blank = SlotMap(Box::default());
        let first_ms = (!chunk.is_empty()).then(|| chunk.event(0, &blank).timestamp_ms());
        for ((_, of), status) in &mut facts.tracks {
            if of == partition {
                status.bounds = Some(bounds);
                if status.position == Some(from) {
                    status.oldest_unapplied_ms = first_ms;
                }
            }
        }
    }

    /// A batch is in the store.
    pub(super) fn applied(&self, spec: &PipelineSpec, commit: &Commit, counts: &Counts) {
        let blank = SlotMap(Box::default());
        let mut facts = self.facts();
        for segment in commit.segments() {
            let Some(status) = facts.tracks.get_mut(&(spec.key, segment.partition.clone())) else {
                continue;
            };
            // An answer that comes late never shows less than was known.
            status.position = status.position.max(Some(segment.to));
            if segment.end > segment.start {
                let last = segment.chunk.chunk().event(segment.end - 1, &blank);
                status.applied_ms = Some(last.timestamp_ms());
            }
            let caught_up = status.lag_records() == Some(0);
            status.oldest_unapplied_ms = if caught_up { None } else { status.applied_ms };
        }
        let listed = facts.unmatched.entry(spec.key).or_default();
        for (name, count) in &counts.unmatched {
            if listed.len() < LISTED_TYPES || listed.contains_key(name) {
                *listed.entry(name.clone()).or_default() += count;
            }
        }
        drop(facts);
        count(spec, commit, counts);
    }

    /// Brings rates and per-partition metrics up to date. Called about once a second.
    pub(super) fn tick(&self, now: Instant) {
        let mut facts = self.facts();
        for ((key, partition), status) in &mut facts.tracks {
            status.sample(now);
            status.publish(*key, partition);
        }
        let metrics = telemetry::metrics();
        metrics.stalled.reset();
        for ((key, _), status) in &facts.tracks {
            if let Some(stall) = &status.stall {
                let labels = [
                    &*status.projection,
                    key.store.as_str(),
                    stall.reason.as_str(),
                ];
                metrics.stalled.with_label_values(&labels).set(1);
            }
        }
        for (partition, bounds) in &facts.bounds {
            let labels = [&*partition.topic, &partition.partition.to_string()];
            metrics
                .log_end_position
                .with_label_values(&labels)
                .set(bounds.high.offset());
            metrics
                .log_start_position
                .with_label_values(&labels)
                .set(bounds.low.offset());
        }
    }
}

impl TrackStatus {
    fn sample(&mut self, now: Instant) {
        let Some(position) = self.position else {
            return;
        };
        if let Some((at, before)) = self.sampled {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            if elapsed < 0.2 {
                return;
            }
            let moved = before.distance_to(position) as f64 / elapsed;
            self.rate = if moved == 0.0 && self.rate < 0.5 {
                0.0
            } else {
                0.7 * self.rate + 0.3 * moved
            };
        }
        self.sampled = Some((now, position));
    }

    fn publish(&self, key: PipelineKey, partition: &TopicPartition) {
        if let (Some(position), Some(lag)) = (self.position, self.lag_records()) {
            let oldest = self
                .oldest_unapplied_ms
                .filter(|_| lag > 0)
                .map(|ms| ms as f64 / 1000.0);
            telemetry::track_at(self.labels(key, partition), position.offset(), lag, oldest);
        }
    }

    fn labels<'s>(&'s self, key: PipelineKey, partition: &'s TopicPartition) -> TrackLabels<'s> {
        TrackLabels {
            projection: &self.projection,
            store: key.store.as_str(),
            role: self.role,
            partition,
        }
    }
}

/// Counts a batch that is in the store.
fn count(spec: &PipelineSpec, commit: &Commit, counts: &Counts) {
    let metrics = telemetry::metrics();
    let (projection, store, role) = (
        &*spec.generation.projection,
        spec.key.store.as_str(),
        spec.role.as_str(),
    );
    for (outcome, events) in [
        ("applied", counts.applied),
        ("filtered", counts.filtered),
        ("skipped", counts.skipped),
    ] {
        metrics
            .events_processed
            .with_label_values(&[projection, store, role, outcome])
            .inc_by(events);
    }
    let newest = commit
        .moves()
        .iter()
        .filter_map(|wanted| wanted.newest_micros)
        .max();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_micros() as i64);
    if let Some(newest) = newest {
        metrics
            .event_time_to_visible
            .with_label_values(&[projection, store, role])
            .observe((now - newest).max(0) as f64 / 1e6);
    }
}
