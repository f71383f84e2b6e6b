//! What one track is doing, as the board shows it.

use std::sync::Arc;
use std::time::Instant;

use super::meter::Meter;
use super::spec::{PipelineKey, PipelineSpec};
use super::stall::Stall;
use crate::position::{Position, TopicPartition};
use crate::source::Bounds;
use crate::telemetry::{self, TrackLabels};

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
    /// Offsets per second by which the log's end moves, over about the last five seconds.
    pub growth: f64,
    /// When the oldest record that is not applied was written, milliseconds since the epoch.
    pub oldest_unapplied_ms: Option<i64>,
    /// Why it stands still, if it does.
    pub stall: Option<Stall>,
    pub(super) applied_ms: Option<i64>,
    /// When everything was applied last, by this process's clock.
    pub(super) level_at: Option<Instant>,
    moves: Meter,
    grows: Meter,
}

impl TrackStatus {
    pub(super) fn new(spec: &PipelineSpec, bounds: Option<Bounds>) -> Self {
        Self {
            projection: Arc::clone(&spec.generation.projection),
            role: spec.role.as_str(),
            position: None,
            bounds,
            rate: 0.0,
            growth: 0.0,
            oldest_unapplied_ms: None,
            stall: None,
            applied_ms: None,
            level_at: None,
            moves: Meter::default(),
            grows: Meter::default(),
        }
    }

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

    /// For how long readers of the view have been waiting for what is in the log, in seconds: like the lag, but
    /// no longer than since everything was applied last, however old records say that they are.
    pub fn waiting_seconds(&self, now_ms: i64, now: Instant) -> Option<f64> {
        let lag = self.lag_seconds(now_ms)?;
        let level = self.level_at.map(|at| now.saturating_duration_since(at));
        Some(level.map_or(lag, |level| lag.min(level.as_secs_f64())))
    }

    /// A track begins at `position`, or was found to stand there.
    pub(super) fn started(&mut self, position: Position) {
        self.position = Some(position);
        self.stall = None;
        self.moves = Meter::default();
    }

    /// Notes when everything is applied. To be called when the position or the log's end is known anew.
    pub(super) fn note_level(&mut self, now: Instant) -> bool {
        let level = self.lag_records() == Some(0);
        if level {
            self.level_at = Some(now);
        }
        level
    }

    pub(super) fn sample(&mut self, now: Instant) {
        if let Some(position) = self.position {
            self.rate = self.moves.sample(now, position);
        }
        if let Some(bounds) = self.bounds {
            self.growth = self.grows.sample(now, bounds.high);
        }
    }

    pub(super) fn publish(&self, key: PipelineKey, partition: &TopicPartition) {
        if let (Some(position), Some(lag)) = (self.position, self.lag_records()) {
            let oldest = self
                .oldest_unapplied_ms
                .filter(|_| lag > 0)
                .map(|ms| ms as f64 / 1000.0);
            telemetry::track_at(self.labels(key, partition), position.offset(), lag, oldest);
        }
    }

    pub(super) fn labels<'s>(
        &'s self,
        key: PipelineKey,
        partition: &'s TopicPartition,
    ) -> TrackLabels<'s> {
        TrackLabels {
            projection: &self.projection,
            store: key.store.as_str(),
            role: self.role,
            partition,
        }
    }
}
