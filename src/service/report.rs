//! What an instance says about its tracks, and the status of the whole deployment from all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::facts::Facts;
use super::parts::Connections;
use crate::api::status::{PartitionStatus, Stall};
use crate::generation::{Note, Notes, Pacing};
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
    /// The hash of the definition that it proposes, per projection.
    #[serde(default)]
    pub(super) proposed: BTreeMap<String, String>,
    /// How fast it lets a build catch up, per build.
    #[serde(default)]
    pub(super) limits: BTreeMap<Uuid, ReportedLimit>,
    /// What it does about generations as their coordinator, per build.
    #[serde(default)]
    pub(super) notes: BTreeMap<Uuid, ReportedNote>,
}

/// How fast an instance lets a build catch up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportedLimit {
    /// Records per second; none is unlimited.
    pub(super) rate: Option<f64>,
    /// Why not more.
    pub(super) reason: String,
}

/// What a coordinator does about a generation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportedNote {
    pub(super) phase: String,
    pub(super) trouble: Option<String>,
}

/// What an instance says about itself comes from here.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) board: Board,
    pub(super) pacing: Pacing,
    pub(super) notes: Notes,
    pub(super) proposed: BTreeMap<String, String>,
}

/// One track of one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportedTrack {
    pub(super) build: Uuid,
    pub(super) store: StoreKind,
    /// Offsets per second by which the log grows.
    #[serde(default)]
    pub(super) growth: f64,
    #[serde(flatten)]
    pub(super) partition: PartitionStatus,
}

/// Writes this instance's report. A database that is away is named elsewhere.
pub(super) async fn write(connections: &Connections, facts: &Facts, reporter: &Reporter) {
    let report = local(facts.instance(), reporter);
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
pub(super) fn local(instance: &str, reporter: &Reporter) -> Report {
    let board = &reporter.board;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() as i64);
    let limits = reporter.pacing.limits().into_iter().map(|(build, limit)| {
        let reason = limit.reason.to_owned();
        let rate = limit.rate;
        (build, ReportedLimit { rate, reason })
    });
    let notes = reporter.notes.all().into_iter().map(|(build, note)| {
        let Note { phase, trouble } = note;
        (build, ReportedNote { phase, trouble })
    });
    let mut report = Report {
        proposed: reporter.proposed.clone(),
        limits: limits.collect(),
        notes: notes.collect(),
        ..Report::default()
    };
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
            growth: status.growth,
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
#[derive(Default)]
pub(super) struct Tracks {
    by_name: HashMap<(PipelineKey, TopicPartition), ReportedTrack>,
    pub(super) unmatched: BTreeMap<Uuid, BTreeMap<String, u64>>,
    limits: BTreeMap<Uuid, Vec<ReportedLimit>>,
    notes: BTreeMap<Uuid, ReportedNote>,
    /// What every instance proposes.
    pub(super) proposals: Vec<BTreeMap<String, String>>,
}

impl Tracks {
    pub(super) async fn gather(
        connections: &Connections,
        facts: &Facts,
        reporter: &Reporter,
    ) -> Self {
        let mut tracks = Self::default();
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
        tracks.add(local(facts.instance(), reporter));
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
            let better = |now: &ReportedTrack| {
                now.partition.position.is_none()
                    || (track.partition.position.is_some() && track.partition.stalled.is_none())
            };
            if self.by_name.get(&name).is_none_or(better) {
                self.by_name.insert(name, track);
            }
        }
        for (build, types) in report.unmatched {
            let sum = self.unmatched.entry(build).or_default();
            for (name, count) in types {
                *sum.entry(name).or_default() += count;
            }
        }
        for (build, limit) in report.limits {
            self.limits.entry(build).or_default().push(limit);
        }
        self.notes.extend(report.notes);
        self.proposals.push(report.proposed);
    }

    pub(super) fn get(
        &self,
        key: PipelineKey,
        partition: &TopicPartition,
    ) -> Option<&PartitionStatus> {
        let name = (key, partition.clone());
        self.by_name.get(&name).map(|track| &track.partition)
    }

    /// How fast the log of a partition grows, in offsets per second.
    pub(super) fn growth(&self, key: PipelineKey, partition: &TopicPartition) -> f64 {
        let name = (key, partition.clone());
        self.by_name.get(&name).map_or(0.0, |track| track.growth)
    }

    /// What all instances together allow a build, and why not more: the reason of the one that allows least.
    pub(super) fn limit(&self, build: Uuid) -> ReportedLimit {
        let limits = self.limits.get(&build).map_or(&[][..], Vec::as_slice);
        let rates = limits.iter().map(|limit| limit.rate);
        let least = limits.iter().min_by(|a, b| {
            let rate = |limit: &ReportedLimit| limit.rate.unwrap_or(f64::INFINITY);
            rate(a).total_cmp(&rate(b))
        });
        ReportedLimit {
            rate: rates.sum(),
            reason: least.map_or("none".to_owned(), |least| least.reason.clone()),
        }
    }

    /// How many partitions of each build are not at the end of the log yet.
    pub(super) fn unfinished(&self) -> BTreeMap<Uuid, usize> {
        let mut partitions: BTreeMap<Uuid, BTreeSet<&TopicPartition>> = BTreeMap::new();
        for ((key, partition), track) in &self.by_name {
            if track.partition.lag_records != Some(0) {
                partitions.entry(key.build).or_default().insert(partition);
            }
        }
        let count =
            |(build, partitions): (Uuid, BTreeSet<&TopicPartition>)| (build, partitions.len());
        partitions.into_iter().map(count).collect()
    }

    /// What its coordinator does about a build.
    pub(super) fn note(&self, build: Uuid) -> Option<&ReportedNote> {
        self.notes.get(&build)
    }
}
