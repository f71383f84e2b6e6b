//! Series that come and go with pipelines and their partitions.

use prometheus::core::{Atomic, GenericGaugeVec};

use super::metrics::metrics;
use super::names;
use crate::fault::FaultKind;
use crate::position::TopicPartition;

/// One partition of one pipeline, as labels.
#[derive(Clone, Copy, Debug)]
pub struct TrackLabels<'a> {
    /// The projection's name.
    pub projection: &'a str,
    /// `postgres` or `redis`.
    pub store: &'a str,
    /// One of [`names::ROLES`].
    pub role: &'a str,
    /// The partition.
    pub partition: &'a TopicPartition,
}

/// Starts the counters and histograms of a pipeline at 0.
pub fn pipeline_started(projection: &str, store: &str, role: &str) {
    let metrics = metrics();
    for outcome in names::OUTCOMES {
        metrics
            .events_processed
            .with_label_values(&[projection, store, role, outcome]);
    }
    let pipeline = [projection, store, role];
    metrics.batch_apply_duration.with_label_values(&pipeline);
    metrics.event_time_to_visible.with_label_values(&pipeline);
    let class = FaultKind::Transient.as_str();
    metrics
        .retries
        .with_label_values(&[projection, store, class]);
}

/// Starts the counters of a partition's records at 0.
pub fn partition_gained(partition: &TopicPartition) {
    let number = partition.partition.to_string();
    let labels = [&*partition.topic, &number];
    metrics().records_fetched.with_label_values(&labels);
    metrics().records_decoded.with_label_values(&labels);
}

/// Says where a track stands: its position, its distance to the end, and when the oldest record
/// that is not applied was written (seconds since the epoch; none when everything is applied or
/// the time is not known).
pub fn track_at(track: TrackLabels<'_>, position: i64, lag: u64, oldest_unapplied: Option<f64>) {
    let metrics = metrics();
    let number = track.partition.partition.to_string();
    let labels = track.labels(&number);
    metrics
        .applied_position
        .with_label_values(&labels)
        .set(position);
    let lag = i64::try_from(lag).unwrap_or(i64::MAX);
    metrics.lag_records.with_label_values(&labels).set(lag);
    match oldest_unapplied {
        Some(at) => metrics.oldest_unapplied.with_label_values(&labels).set(at),
        None => forget(&metrics.oldest_unapplied, &labels),
    }
}

/// Removes the gauges of a track that this instance no longer feeds, or whose role changed.
pub fn track_lost(track: TrackLabels<'_>) {
    let metrics = metrics();
    let number = track.partition.partition.to_string();
    let labels = track.labels(&number);
    forget(&metrics.oldest_unapplied, &labels);
    forget(&metrics.lag_records, &labels);
    forget(&metrics.applied_position, &labels);
}

/// Removes the gauges of a partition's log when this instance no longer reads it.
pub fn partition_lost(partition: &TopicPartition) {
    let number = partition.partition.to_string();
    let labels = [&*partition.topic, &number];
    forget(&metrics().log_end_position, &labels);
    forget(&metrics().log_start_position, &labels);
}

/// Removes one gauge; that there is none is fine.
fn forget<P: Atomic + 'static>(gauges: &GenericGaugeVec<P>, labels: &[&str]) {
    drop(gauges.remove_label_values(labels));
}

impl<'a> TrackLabels<'a> {
    fn labels(&self, number: &'a str) -> [&'a str; 5] {
        [
            self.projection,
            self.store,
            self.role,
            &self.partition.topic,
            number,
        ]
    }
}
