//! Claiming a track: the only way in which a track starts.
//!
//! Read claim and position, prove membership, take the claim over where it still is the one that
//! was read, and only then trust the position (I5, I6). A zombie fails at the proof; one that was
//! overtaken between proof and claim finds another claim.

use std::sync::Arc;

use uuid::Uuid;

use super::spec::{End, PipelineSpec};
use super::stall::{Reason, Stall};
use crate::fault::{Fault, FaultKind};
use crate::position::{Position, TopicPartition};
use crate::source::{Bounds, EventSource, Member, same_topic};
use crate::store::{Claimed, Cursor};

/// Whom a claim asks.
#[derive(Clone)]
pub(super) struct Claimant {
    pub(super) source: Arc<dyn EventSource>,
    pub(super) member: Arc<dyn Member>,
}

impl Claimant {
    /// Claims the track's cursor for `claim`. The position is final: no earlier owner moves it any more.
    pub(super) async fn claim(
        &self,
        spec: &PipelineSpec,
        partition: &TopicPartition,
        claim: Uuid,
    ) -> Result<Position, End> {
        self.same_topic(spec, partition).await?;
        let bounds = self.source.bounds(partition).await.map_err(kafka_away)?;
        let cursor = read_cursor(spec, partition, bounds).await?;
        self.member
            .prove(partition, cursor.position)
            .await
            .map_err(kafka_away)?;
        failpoint!("claim::proven");
        let claimed = spec
            .store
            .claim(&spec.generation, &cursor, claim)
            .await
            .map_err(|fault| store_away(spec, fault))?;
        failpoint!("claim::taken");
        let position = match claimed {
            Claimed::Ours(position) => position,
            Claimed::Lost => return Err(End::Fenced),
            Claimed::Gone => return Err(End::Gone),
        };
        // The earlier owner may have moved on since the log's end was asked for.
        let bounds = if position > bounds.high {
            self.source.bounds(partition).await.map_err(kafka_away)?
        } else {
            bounds
        };
        within(bounds, position, partition)?;
        Ok(position)
    }
}

impl Claimant {
    /// Positions belong to one incarnation of a topic: in a recreated one they mean other records.
    async fn same_topic(&self, spec: &PipelineSpec, partition: &TopicPartition) -> Result<(), End> {
        let topic = &*partition.topic;
        let Some(known) = spec.topics.get(topic) else {
            return Err(End::Gone);
        };
        match self.source.topic_id(topic).await.map_err(kafka_away)? {
            Some(id) if same_topic(&known.id, &id) => Ok(()),
            Some(id) => Err(End::Log(Stall::recreated(topic, &known.id, &id))),
            None => Err(End::Away(
                Reason::KafkaUnreachable,
                Fault::transient(format!("topic {topic} does not exist (any more)")),
            )),
        }
    }
}

/// The track's cursor; a partition that was added since the generation was created begins at the
/// beginning of its log.
async fn read_cursor(
    spec: &PipelineSpec,
    partition: &TopicPartition,
    bounds: Bounds,
) -> Result<Cursor, End> {
    let away = |fault| store_away(spec, fault);
    for _ in 0..2 {
        let cursors = spec
            .store
            .cursors(&spec.generation)
            .await
            .map_err(away)?
            .ok_or(End::Gone)?;
        if let Some(cursor) = cursors
            .into_iter()
            .find(|cursor| cursor.partition == *partition)
        {
            return Ok(cursor);
        }
        if !spec
            .store
            .add_cursor(&spec.generation, partition, bounds.low)
            .await
            .map_err(away)?
        {
            return Err(End::Gone);
        }
    }
    Err(End::Gone)
}

/// Checks that the log holds what comes next.
fn within(bounds: Bounds, position: Position, partition: &TopicPartition) -> Result<(), End> {
    if position < bounds.low {
        let lost = position.distance_to(bounds.low);
        return Err(End::Log(Stall::now(
            Reason::RetentionLost,
            format!(
                "{partition}: the next record wanted is at offset {position}, the log begins at {}: {lost} offsets \
                 were removed by retention before they were read; rebuild from a source that still has them",
                bounds.low
            ),
        )));
    }
    if position > bounds.high {
        return Err(End::Log(Stall::now(
            Reason::CursorAheadOfLog,
            format!(
                "{partition}: the next record wanted is at offset {position}, the log ends at {}: the log was truncated \
                 or replaced; rebuild the projection",
                bounds.high
            ),
        )));
    }
    Ok(())
}

fn kafka_away(fault: Fault) -> End {
    match fault.kind {
        FaultKind::Fenced => End::Fenced,
        FaultKind::Transient => End::Away(Reason::KafkaUnreachable, fault),
        FaultKind::Poison | FaultKind::Misconfigured | FaultKind::Bug => End::Broken(fault),
    }
}

fn store_away(spec: &PipelineSpec, fault: Fault) -> End {
    match fault.kind {
        FaultKind::Transient => End::Away(Reason::StoreUnreachable, fault),
        _ => End::Broken(fault.during(spec.key.store)),
    }
}
