//! What an instance says about its tracks, and the status of the whole deployment from all of them.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::facts::Facts;
use super::parts::Connections;
use crate::api::status::{PartitionStatus, Stall};
use crate::pipeline::{Board, PipelineKey, TrackStatus};
use crate::position::TopicPartition;
use crate::projection::StoreKind;

/// How old a report may be and still count, in seconds.
const FRESH_SECONDS: f64 = 5.0;

/// What one instance says about itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) tracks: Vec<ReportedTrack>,
    /// Event types without handler, per build.
    pub(super) unmatched: BTreeMap<Uuid, BTreeMap<String, u64>>,
}

/// One track of one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportedTrack {
    pub(super) build: Uuid,
    pub(super) store: StoreKind,
    #[serde(flatten)]
    pub(super) partition: PartitionStatus,
}

/// Writes this instance's report. A database that is away is named elsewhere.
pub(super) async fn write(connections: &Connections, facts: &Facts, board: &Board) {
    let report = local(facts.instance(), board);
    match serde_json::to_value(&report) {
        Ok(report) => {
            if let Err(fault) = connections.control.report(facts.instance(), &report).await {
                tracing::debug!(%fault, "report could not be written");
            }
        }
        Err(error) => tracing::error!(%error, "report could not be rendered"),
    }
}

/// What this instance has to say.
pub(super) fn local(instance: &str, board: &Board) -> Report {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as i64);
    let mut report = Report::default();
    for ((key, partition), status) in board.tracks() {
        let unmatched = report
            .unmatched
            .entry(key.build)
            .or_insert_with(|| board.unmatched(key));
        if unmatched.is_empty() {
            unmatched.extend(board.unmatched(key));
        }
        report.tracks.push(ReportedTrack {
            build: key.build,
            store: key.store,
            partition: partition_status(instance, &partition, &status, now),
        });
    }
    report
}

fn partition_status(
    instance: &str,
    partition: &TopicPartition,
    status: &TrackStatus,
    now_ms: i64,
) -> PartitionStatus {
    PartitionStatus {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        position: status.position.map(|at| at.offset()),
        end: status.bounds.map(|bounds| bounds.high.offset()),
        lag_records: status.lag_records(),
        lag_seconds: status.lag_seconds(now_ms),
        rate: (status.rate * 10.0).round() / 10.0,
        owner: Some(instance.to_owned()),
        stalled: status.stall.as_ref().map(stalled),
    }
}

/// A stall as it is shown.
pub(super) fn stalled(stall: &crate::pipeline::Stall) -> Stall {
    Stall {
        reason: stall.reason.as_str().to_owned(),
        since: when(stall.since),
        detail: stall.detail.clone(),
        record: stall.record.as_ref().map(ToString::to_string),
    }
}

/// An instant as RFC 3339 text, to the second.
pub(super) fn when(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The tracks of the whole deployment by pipeline and partition: this instance's as it knows
/// them now, the others' as they last reported.
pub(super) struct Tracks {
    by_name: HashMap<(PipelineKey, TopicPartition), PartitionStatus>,
    pub(super) unmatched: BTreeMap<Uuid, BTreeMap<String, u64>>,
}

impl Tracks {
    pub(super) async fn gather(connections: &Connections, facts: &Facts, board: &Board) -> Self {
        let mut tracks = Self {
            by_name: HashMap::new(),
            unmatched: BTreeMap::new(),
        };
        let others = connections
            .control
            .reports(FRESH_SECONDS)
            .await
            .unwrap_or_default();
        for other in others
            .into_iter()
            .filter(|other| other.instance != facts.instance())
        {
            if let Ok(report) = serde_json::from_value::<Report>(other.report) {
                tracks.add(report);
            }
        }
        tracks.add(local(facts.instance(), board));
        tracks
    }

    fn add(&mut self, report: Report) {
        for track in report.tracks {
            let key = PipelineKey {
                build: track.build,
                store: track.store,
            };
            let partition =
                TopicPartition::new(track.partition.topic.as_str(), track.partition.partition);
            let name = (key, partition);
            // Around a hand-over two instances may report a track: the one that knows its position counts.
            let better = |now: &PartitionStatus| {
                now.position.is_none()
                    || (track.partition.position.is_some() && track.partition.stalled.is_none())
            };
            if self.by_name.get(&name).is_none_or(better) {
                self.by_name.insert(name, track.partition);
            }
        }
        for (build, types) in report.unmatched {
            let sum = self.unmatched.entry(build).or_default();
            for (name, count) in types {
                *sum.entry(name).or_default() += count;
            }
        }
    }

    pub(super) fn get(
        &self,
        key: PipelineKey,
        partition: &TopicPartition,
    ) -> Option<&PartitionStatus> {
        self.by_name.get(&(key, partition.clone()))
    }
}
