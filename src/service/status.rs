//! The status of the whole deployment: what instances report, completed from the stores and the log, and a
//! named reason for whatever stands still.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::backend::ServiceBackend;
use super::report::{self, Tracks};
use crate::api::status::{
    DefinitionState, GenerationStatus, PartitionStatus, ProjectionStatus, Stall, StoreStatus,
    UnmatchedType,
};
use crate::generation::{Catalog, Change, Entry};
use crate::pipeline::{PipelineKey, Reason};
use crate::position::TopicPartition;
use crate::projection::StoreKind;

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
        let mut definition = DefinitionState::Unchanged;
        let mut unmatched: std::collections::BTreeMap<String, u64> = Default::default();
        for entry in catalog.of(name) {
            definition = match entry.change {
                Change::Unchanged => DefinitionState::Unchanged,
                Change::Changed => DefinitionState::Changed,
                Change::Orphaned => DefinitionState::Orphaned,
            };
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

    async fn generation_status(&self, entry: &Entry, tracks: &Tracks) -> GenerationStatus {
        let record = &entry.record;
        let stores = join_all(record.stores.iter().map(|(store, state)| async {
            let partitions = self.partitions(entry, *store, tracks).await;
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
        let state = record
            .stores
            .first()
            .map_or("live", |(_, state)| state.as_str())
            .to_owned();
        GenerationStatus {
            generation: record.number,
            state,
            stores,
            build: None,
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
                unowned |= known.as_ref().is_none_or(|known| known.position.is_none());
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
            let bounds = match self.board.bounds(&partition) {
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
