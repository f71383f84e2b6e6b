//! The status of the whole deployment: what instances report, completed from the stores and the log, and a
//! named reason for whatever stands still.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::backend::ServiceBackend;
use super::report::{self, Tracks};
use crate::api::BuildStatus;
use crate::api::status::{
    DefinitionState, GenerationStatus, PartitionStatus, ProjectionStatus, Stall, StoreStatus,
    UnmatchedType,
};
use crate::generation::{Catalog, Entry, Progress, Relation, TrackProgress};
use crate::pipeline::{PipelineKey, Reason};
use crate::position::TopicPartition;
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, State};

/// How long Kafka is away before that counts as a stall: topics are asked for every five seconds.
const KAFKA_PATIENCE: Duration = Duration::from_secs(7);

impl ServiceBackend {
    pub(super) async fn projection_status(
        &self,
        name: &str,
        catalog: &Catalog,
        tracks: &Tracks,
    ) -> ProjectionStatus {
        let mut generations = Vec::new();
        let mut unmatched: std::collections::BTreeMap<String, u64> = Default::default();
        let definition = match catalog.relations.get(name) {
            Some(Relation::Unchanged) | None => DefinitionState::Unchanged,
            Some(Relation::New) => DefinitionState::New,
            Some(Relation::Changed) => DefinitionState::Changed,
            Some(Relation::Orphaned) => DefinitionState::Orphaned,
            Some(Relation::Dropped) => DefinitionState::Dropped,
        };
        for entry in catalog.of(name).filter(|entry| entry.runs()) {
            for (event_type, count) in tracks
                .unmatched
                .get(&entry.record.build)
                .into_iter()
                .flatten()
            {
                *unmatched.entry(event_type.clone()).or_default() += count;
            }
            generations.push(self.generation_status(entry, tracks).await);
        }
        let unmatched_types = unmatched
            .into_iter()
            .map(|(event_type, count)| UnmatchedType { event_type, count })
            .collect();
        ProjectionStatus {
            name: name.to_owned(),
            definition,
            generations,
            unmatched_types,
        }
    }

    pub(super) async fn generation_status(
        &self,
        entry: &Entry,
        tracks: &Tracks,
    ) -> GenerationStatus {
        let record = &entry.record;
        let stores = join_all(record.stores.iter().map(|(store, state)| async {
            let partitions = match state.runs() {
                true => self.partitions(entry, *store, tracks).await,
                false => Vec::new(),
            };
            let stalled = match &entry.definition {
                Err(detail) => Some(cannot_run(detail)),
                Ok(_) if partitions.is_empty() => self.kafka_stall(),
                Ok(_) => common_stall(&partitions),
            };
            StoreStatus {
                store: *store,
                state: state.as_str().to_owned(),
                stalled,
                partitions,
            }
        }))
        .await;
        let running = record.is_anywhere(State::Building)
            || (record.wanted && !record.is_everywhere(State::Live));
        let progress = running.then(|| progress(entry, &stores, tracks));
        GenerationStatus {
            generation: record.number,
            state: overall(record).to_owned(),
            stores,
            build: running.then(|| build_status(record, tracks, progress)),
        }
    }

    async fn partitions(
        &self,
        entry: &Entry,
        store: StoreKind,
        tracks: &Tracks,
    ) -> Vec<PartitionStatus> {
        let key = PipelineKey {
            build: entry.record.build,
            store,
        };
        let mut partitions: Vec<PartitionStatus> = Vec::new();
        let mut unowned = false;
        for (topic, read) in &entry.topics {
            for number in 0..read.partitions {
                let partition = TopicPartition::new(Arc::clone(topic), number);
                let known = tracks.get(key, &partition).cloned();
                unowned |= known
                    .as_ref()
                    .is_none_or(|known| known.position.is_none() || known.end.is_none());
                let mut status = known.unwrap_or_else(|| nobody(&partition));
                if let Some(refusal) = &read.refusal {
                    status.stalled = Some(report::stalled(refusal));
                }
                partitions.push(status);
            }
        }
        if unowned {
            self.complete(entry, store, &mut partitions).await;
        }
        let kafka = self.kafka_stall();
        for status in partitions
            .iter_mut()
            .filter(|status| status.stalled.is_none())
        {
            status.stalled = kafka.clone().or_else(|| ownerless(status));
        }
        partitions
    }

    /// What is wrong with Kafka, once it lasted longer than what one question in between would clear.
    fn kafka_stall(&self) -> Option<Stall> {
        let away = self.facts.kafka_away()?;
        let lasts = away
            .since
            .elapsed()
            .is_ok_and(|lasted| lasted >= KAFKA_PATIENCE);
        lasts.then(|| Stall {
            reason: Reason::KafkaUnreachable.as_str().to_owned(),
            since: report::when(away.since),
            detail: away.what,
            record: None,
        })
    }

    /// Fills in what nobody reported: positions from the store, ends from the log.
    async fn complete(&self, entry: &Entry, store: StoreKind, partitions: &mut [PartitionStatus]) {
        let Some(generation) = entry.generation() else {
            return;
        };
        let Some(view_store) = self.connections.stores.get(&store) else {
            return;
        };
        let cursors = view_store
            .cursors(&generation)
            .await
            .ok()
            .flatten()
            .unwrap_or_default();
        for status in partitions
            .iter_mut()
            .filter(|status| status.position.is_none() || status.end.is_none())
        {
            let partition = TopicPartition::new(status.topic.as_str(), status.partition);
            let cursor = cursors.iter().find(|cursor| cursor.partition == partition);
            let bounds = match self.reporter.board.bounds(&partition) {
                Some(bounds) => Some(bounds),
                None => self.connections.source.bounds(&partition).await.ok(),
            };
            let start = bounds.map(|bounds| bounds.low);
            let position = cursor.map(|cursor| cursor.position).or(start);
            status.position = status.position.or(position.map(|at| at.offset()));
            status.end = status.end.or(bounds.map(|bounds| bounds.high.offset()));
            if let (Some(position), Some(end)) = (status.position, status.end) {
                let lag = u64::try_from(end - position).unwrap_or(0);
                status.lag_records = Some(lag);
                if lag == 0 {
                    status.lag_seconds = Some(0.0);
                }
            }
        }
    }
}

/// The state of a generation as a whole: that of its default store, except that it counts as building until it is live
/// in all of them.
fn overall(record: &GenerationRecord) -> &'static str {
    if record.wanted && record.is_anywhere(State::Building) {
        return State::Building.as_str();
    }
    let first = record.stores.first();
    first.map_or(State::Retired, |(_, state)| *state).as_str()
}

/// A generation that no instance knows any more.
pub(super) fn bare(record: &GenerationRecord) -> GenerationStatus {
    let stores = record.stores.iter().map(|(store, state)| StoreStatus {
        store: *store,
        state: state.as_str().to_owned(),
        stalled: None,
        partitions: Vec::new(),
    });
    GenerationStatus {
        generation: record.number,
        state: overall(record).to_owned(),
        stores: stores.collect(),
        build: None,
    }
}

/// How far a build is, in its slowest store.
fn progress(entry: &Entry, stores: &[StoreStatus], tracks: &Tracks) -> Progress {
    let of_store = |store: &StoreStatus| {
        let key = PipelineKey {
            build: entry.record.build,
            store: store.store,
        };
        let tracks: Vec<TrackProgress> = store
            .partitions
            .iter()
            .filter_map(|status| track_progress(entry, key, status, tracks))
            .collect();
        let known = tracks.len() == store.partitions.len();
        let progress = Progress::of(&tracks);
        // What is left is not known before every partition is.
        let eta_seconds = progress.eta_seconds.filter(|_| known && !tracks.is_empty());
        Progress {
            eta_seconds,
            ..progress
        }
    };
    let all = stores.iter().map(of_store);
    all.reduce(Progress::slower).unwrap_or_default()
}

fn track_progress(
    entry: &Entry,
    key: PipelineKey,
    status: &PartitionStatus,
    tracks: &Tracks,
) -> Option<TrackProgress> {
    let partition = TopicPartition::new(status.topic.as_str(), status.partition);
    let mut starts = entry.starts.iter();
    let start = starts.find(|(of, _)| *of == partition);
    let position = status.position?;
    Some(TrackProgress {
        start: start.map_or(position, |(_, at)| at.offset()).min(position),
        position,
        end: status.end?.max(position),
        rate: status.rate,
        growth: tracks.growth(key, &partition),
    })
}

/// How a build stands.
pub(super) fn build_status(
    record: &GenerationRecord,
    tracks: &Tracks,
    progress: Option<Progress>,
) -> BuildStatus {
    let note = tracks.note(record.build);
    let limit = tracks.limit(record.build);
    let building = record.is_anywhere(State::Building);
    let phase = match note.filter(|note| !note.phase.is_empty()) {
        _ if record.paused && building => "paused".to_owned(),
        Some(note) => note.phase.clone(),
        None if record.wanted && building => "cutting over".to_owned(),
        None if building && record.ready => "ready".to_owned(),
        None if building => "catching up".to_owned(),
        None => overall(record).to_owned(),
    };
    let trouble = note.and_then(|note| note.trouble.clone());
    BuildStatus {
        // What readers saw once needs no more.
        ready: record.ready || !building,
        paused: record.paused,
        progress,
        rate_limit: limit.rate,
        limited_by: limit.reason,
        phase,
        verification: record
            .verification
            .clone()
            .and_then(|found| serde_json::from_value(found).ok()),
        trouble: trouble.or_else(|| record.trouble.clone()),
    }
}

/// A partition that is behind and that no instance feeds.
fn ownerless(status: &PartitionStatus) -> Option<Stall> {
    let behind = status.owner.is_none() && status.lag_records.is_some_and(|lag| lag > 0);
    behind.then(|| Stall {
        reason: "no owner".to_owned(),
        since: report::when(SystemTime::now()),
        detail: "no instance reports that it feeds this partition; is a worker running, and does it reach Kafka and Postgres?".to_owned(),
        record: None,
    })
}

fn nobody(partition: &TopicPartition) -> PartitionStatus {
    PartitionStatus {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        position: None,
        end: None,
        lag_records: None,
        lag_seconds: None,
        rate: 0.0,
        owner: None,
        stalled: None,
    }
}

fn cannot_run(detail: &str) -> Stall {
    Stall {
        reason: "misconfigured".to_owned(),
        since: report::when(std::time::SystemTime::now()),
        detail: detail.to_owned(),
        record: None,
    }
}

/// The stall of a store: the one that all of its partitions share by reason.
fn common_stall(partitions: &[PartitionStatus]) -> Option<Stall> {
    let first = partitions.first()?.stalled.clone()?;
    let shared = |at: &PartitionStatus| {
        at.stalled
            .as_ref()
            .is_some_and(|stall| stall.reason == first.reason)
    };
    partitions.iter().all(shared).then_some(first)
}
