//! Tracks: they wait, are claimed, run, or stand still until an operator decided. Every end of a track
//! leads to `policy`, which says when it is claimed again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::super::backoff::Backoff;
use super::super::policy::{self, Again};
use super::super::spec::{
    End, FeedTrack, FeederInput, LaneInput, LaneTrack, Notice, PipelineKey, Role,
};
use super::{BUILDING_CLAIMS_AT_ONCE, CLAIMS_AT_ONCE, Running, Track, TrackState};
use crate::fault::Fault;
use crate::position::{Position, TopicPartition};

impl Running {
    /// Adds the track where the pipeline reads the partition's topic and may do so.
    pub(super) fn add_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        let Some(pipeline) = self.pipelines.get(&key) else {
            return;
        };
        let Some(topic) = pipeline.spec.topics.get(&partition.topic) else {
            return;
        };
        self.around.board.track(&pipeline.spec, partition);
        if let Some(refusal) = &topic.refusal {
            self.around.board.stall(key, partition, refusal.clone());
            return;
        }
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(3));
        let track = Track {
            state: TrackState::Waiting(Instant::now()),
            backoff,
        };
        self.tracks.entry((key, partition.clone())).or_insert(track);
    }

    pub(super) fn remove_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        if let Some(Track {
            state: TrackState::Running(claim),
            ..
        }) = self.tracks.remove(&(key, partition.clone()))
        {
            self.stop_feeding(key, partition, claim);
        }
        self.around.board.remove(key, partition);
    }

    pub(super) fn stop_feeding(&self, key: PipelineKey, partition: &TopicPartition, claim: Uuid) {
        if let Some(owned) = self.owned.get(partition) {
            let _ = owned.feeder.send(FeederInput::Stop { key, claim });
        }
        if let Some(lane) = self.lane_of(key, partition) {
            let _ = lane.send(LaneInput::Close {
                partition: partition.clone(),
                claim,
            });
        }
    }

    /// Stops a track whose topic must not be read (any more).
    pub(super) fn refuse_track(&mut self, key: PipelineKey, partition: &TopicPartition) {
        if let Some(Track {
            state: TrackState::Running(claim),
            ..
        }) = self.tracks.remove(&(key, partition.clone()))
        {
            self.stop_feeding(key, partition, claim);
        }
    }

    pub(super) fn start_claim(&mut self, key: PipelineKey, partition: TopicPartition) {
        let Some(pipeline) = self.pipelines.get(&key) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(&(key, partition.clone())) else {
            return;
        };
        let is_building = pipeline.spec.role == Role::Building;
        let claims = self
            .claims
            .entry((key.store, is_building))
            .or_insert_with(|| {
                let at_once = match is_building {
                    true => BUILDING_CLAIMS_AT_ONCE,
                    false => CLAIMS_AT_ONCE,
                };
                Arc::new(Semaphore::new(at_once))
            });
        let claim = Uuid::new_v4();
        track.state = TrackState::Claiming(claim);
        let (claimant, spec) = (self.claimant.clone(), Arc::clone(&pipeline.spec));
        let (notices, claims) = (self.around.notices.clone(), Arc::clone(claims));
        tokio::spawn(async move {
            let _permit = claims.acquire().await;
            let of = partition.clone();
            let claimed = tokio::spawn(async move { claimant.claim(&spec, &of, claim).await });
            // A claim that panics must not leave its track waiting for its answer.
            let result = claimed.await.unwrap_or_else(|error| {
                Err(End::Broken(Fault::bug(format!(
                    "claiming ended abnormally: {error}"
                ))))
            });
            let _ = notices.send(Notice::Claimed {
                key,
                partition,
                claim,
                result,
            });
        });
    }

    pub(super) fn start_track(
        &mut self,
        key: PipelineKey,
        partition: &TopicPartition,
        claim: Uuid,
        position: Position,
    ) {
        let (Some(owned), Some(pipeline)) = (self.owned.get(partition), self.pipelines.get(&key))
        else {
            return;
        };
        let Some(lane) = self.lane_of(key, partition) else {
            return;
        };
        let _ = lane.send(LaneInput::Open(LaneTrack {
            partition: partition.clone(),
            claim,
            feeder: owned.feeder.clone(),
        }));
        let _ = owned.feeder.send(FeederInput::Start(FeedTrack {
            spec: Arc::clone(&pipeline.spec),
            claim,
            position,
            topic_id: pipeline
                .spec
                .topics
                .get(&partition.topic)
                .map(|topic| topic.id.clone())
                .unwrap_or_default(),
            lane: lane.clone(),
        }));
        self.around.board.started(key, partition, position);
        tracing::info!(
            projection = %pipeline.spec.generation.projection, store = %key.store, %partition, %position,
            "track started"
        );
        if let Some(track) = self.tracks.get_mut(&(key, partition.clone())) {
            track.state = TrackState::Running(claim);
        }
    }

    pub(super) fn ended(&mut self, key: PipelineKey, partition: &TopicPartition, end: &End) {
        let (Some(pipeline), Some(track)) = (
            self.pipelines.get(&key),
            self.tracks.get_mut(&(key, partition.clone())),
        ) else {
            return;
        };
        if matches!(track.state, TrackState::Running(_)) {
            track.backoff.reset();
        }
        let (stall, again) = policy::decide(&pipeline.spec, end);
        track.state = match again {
            Again::After(at_least) => {
                TrackState::Waiting(Instant::now() + at_least.max(track.backoff.next()))
            }
            Again::Decided(record) => TrackState::Undecided(record),
        };
        self.around.board.stall(key, partition, stall);
    }

    pub(super) fn is_created(&self, key: PipelineKey) -> bool {
        self.pipelines
            .get(&key)
            .is_some_and(|pipeline| pipeline.spec.created)
    }

    pub(super) fn is_decided(
        &self,
        key: PipelineKey,
        record: &crate::position::RecordName,
    ) -> bool {
        let decided = (record.partition.clone(), record.offset);
        self.pipelines
            .get(&key)
            .is_some_and(|pipeline| pipeline.spec.skips.contains(&decided))
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Bounds { partition, bounds } => {
                if self.owned.contains_key(&partition) {
                    self.around.board.bounds_known(&partition, bounds);
                }
            }
            Notice::Claimed {
                key,
                partition,
                claim,
                result,
            } => {
                let track = self.tracks.get(&(key, partition.clone()));
                if !track.is_some_and(
                    |track| matches!(track.state, TrackState::Claiming(of) if of == claim),
                ) {
                    return;
                }
                match result {
                    Ok(position) => self.start_track(key, &partition, claim, position),
                    Err(end) => self.ended(key, &partition, &end),
                }
            }
            Notice::Ended {
                key,
                partition,
                claim,
                end,
            } => {
                let track = self.tracks.get(&(key, partition.clone()));
                if track.is_some_and(
                    |track| matches!(track.state, TrackState::Running(of) if of == claim),
                ) {
                    self.ended(key, &partition, &end);
                }
            }
        }
    }
}
