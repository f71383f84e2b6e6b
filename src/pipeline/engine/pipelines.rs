//! Pipelines come and go: their lanes, what is decoded for them, what is subscribed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::budget::Budget;
use super::super::lane::Lane;
use super::super::spec::{End, FeederInput, LaneInput, PipelineKey, PipelineSpec, Shares};
use super::super::stall::Reason;
use super::{Pipeline, Running, TrackState};
use crate::position::TopicPartition;
use crate::telemetry;

impl Running {
    pub(super) fn set_pipelines(&mut self, wanted: Vec<PipelineSpec>) {
        let keys: BTreeSet<PipelineKey> = wanted.iter().map(|spec| spec.key).collect();
        let gone: Vec<PipelineKey> = self
            .pipelines
            .keys()
            .filter(|key| !keys.contains(key))
            .copied()
            .collect();
        gone.into_iter().for_each(|key| self.remove_pipeline(key));
        self.need_paths(&wanted);
        let topics: BTreeMap<&Arc<str>, i32> = wanted
            .iter()
            .flat_map(|spec| &spec.topics)
            .map(|(name, topic)| (name, topic.partitions))
            .collect();
        let partitions: i32 = topics.values().sum();
        self.around
            .readers
            .size_for(usize::try_from(partitions).unwrap_or(1));
        for spec in wanted {
            self.set_pipeline(spec);
        }
        self.subscribe();
        self.share_out();
    }

    pub(super) fn need_paths(&self, wanted: &[PipelineSpec]) {
        let topics: BTreeSet<&Arc<str>> =
            wanted.iter().flat_map(|spec| spec.topics.keys()).collect();
        for topic in topics {
            let plans = wanted
                .iter()
                .filter(|spec| spec.topics.contains_key(topic))
                .map(|spec| &spec.plan);
            self.around.decoding.need(topic, plans);
        }
    }

    pub(super) fn remove_pipeline(&mut self, key: PipelineKey) {
        let partitions: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        for partition in &partitions {
            self.remove_track(key, partition);
        }
        if let Some(pipeline) = self.pipelines.remove(&key) {
            SpecLabels::of(&pipeline.spec).forget(&pipeline.spec);
            pipeline
                .lanes
                .iter()
                .for_each(|(lane, _)| drop(lane.send(LaneInput::Finish)));
        }
    }

    pub(super) fn set_pipeline(&mut self, spec: PipelineSpec) {
        let key = spec.key;
        let spec = Arc::new(spec);
        match self.pipelines.get_mut(&key) {
            Some(pipeline) => {
                let before = std::mem::replace(&mut pipeline.spec, Arc::clone(&spec));
                self.change_pipeline(&before, &spec);
            }
            None => {
                SpecLabels::of(&spec).begin(&spec);
                let lanes = (0..self.limits.lanes.max(1))
                    .map(|_| self.start_lane(&spec))
                    .collect();
                let pipeline = Pipeline {
                    spec: Arc::clone(&spec),
                    lanes,
                };
                self.pipelines.insert(key, pipeline);
            }
        }
        if !spec.created {
            self.wait_for_creation(&spec);
        }
        let partitions: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        for partition in partitions {
            let Some(topic) = spec.topics.get(&partition.topic) else {
                continue;
            };
            if let Some(refusal) = &topic.refusal {
                if refusal.reason == Reason::TopicRecreated
                    && self.tracks.contains_key(&(key, partition.clone()))
                {
                    self.around.decoding.forget(&partition.topic);
                }
                self.refuse_track(key, &partition);
            }
            self.add_track(key, &partition);
            if !spec.created
                && topic.refusal.is_none()
                && let Some(waiting) = &spec.waiting
            {
                self.around.board.stall(key, &partition, waiting.clone());
            }
        }
    }

    /// Tells lanes and feeders what changed. Tracks go on where they are, under the same claims.
    fn change_pipeline(&self, before: &Arc<PipelineSpec>, spec: &Arc<PipelineSpec>) {
        if before.role != spec.role {
            SpecLabels::of(before).forget(before);
            SpecLabels::of(spec).begin(spec);
            tracing::info!(pipeline = ?spec, from = before.role.as_str(), to = spec.role.as_str(), "role changed");
        }
        if before.runs_like(spec) {
            return;
        }
        let lanes = self
            .pipelines
            .get(&spec.key)
            .map(|pipeline| &pipeline.lanes);
        for (lane, _) in lanes.into_iter().flatten() {
            let _ = lane.send(LaneInput::Spec(Arc::clone(spec)));
        }
        for owned in self.owned.values() {
            let _ = owned.feeder.send(FeederInput::Spec(Arc::clone(spec)));
        }
    }

    /// Stops the tracks of a generation that is not in its store (any more); they are claimed when it is.
    pub(super) fn wait_for_creation(&mut self, spec: &PipelineSpec) {
        let running =
            self.tracks
                .iter()
                .filter_map(|((key, partition), track)| match track.state {
                    TrackState::Running(claim) if *key == spec.key => {
                        Some((partition.clone(), claim))
                    }
                    _ => None,
                });
        let running: Vec<(TopicPartition, Uuid)> = running.collect();
        for (partition, claim) in running {
            self.stop_feeding(spec.key, &partition, claim);
            self.ended(spec.key, &partition, &End::Gone);
        }
    }

    pub(super) fn start_lane(
        &self,
        spec: &Arc<PipelineSpec>,
    ) -> (UnboundedSender<LaneInput>, JoinHandle<()>) {
        let (lane, inputs) = mpsc::unbounded_channel();
        let limits = self.limits;
        let (notices, board) = (self.around.notices.clone(), self.around.board.clone());
        let task = tokio::spawn(Lane::new(Arc::clone(spec), limits, notices, board).run(inputs));
        (lane, task)
    }

    pub(super) fn subscribe(&mut self) {
        let topics: BTreeSet<Arc<str>> = self
            .pipelines
            .values()
            .flat_map(|pipeline| pipeline.spec.topics.keys().cloned())
            .collect();
        let topics: Vec<Arc<str>> = topics.into_iter().collect();
        if topics == self.subscribed {
            return;
        }
        match self.claimant.member.subscribe(&topics) {
            Ok(()) => self.subscribed = topics,
            Err(fault) => tracing::warn!(%fault, "subscription could not be changed; trying again"),
        }
    }

    /// Shares the budget between partitions and, within one, between the lanes of each store.
    pub(super) fn share_out(&mut self) {
        let shares = shares_of(&self.around.budget, self.owned.len(), self.pipelines.len());
        if shares != self.shares {
            self.shares = shares;
            for owned in self.owned.values() {
                let _ = owned.feeder.send(FeederInput::Shares(shares));
            }
        }
    }

    pub(super) fn lane_of(
        &self,
        key: PipelineKey,
        partition: &TopicPartition,
    ) -> Option<&UnboundedSender<LaneInput>> {
        let lanes = &self.pipelines.get(&key)?.lanes;
        let index = usize::try_from(partition.partition).unwrap_or(0) % lanes.len().max(1);
        lanes.get(index).map(|(lane, _)| lane)
    }
}

/// A quarter of the budget for rings, a quarter for what is being read, half for lanes. A track may hold what its
/// pipeline's part is worth; with many tracks the budget itself is the bound.
pub(super) fn shares_of(budget: &Budget, partitions: usize, pipelines: usize) -> Shares {
    let partitions = partitions.max(1);
    let limit = budget.limit();
    Shares {
        ring: (limit / 4 / partitions).max(64 << 10),
        window: (limit / 2 / partitions / pipelines.clamp(1, 4)).clamp(64 << 10, 8 << 20),
        chunk: (limit / 8 / partitions).clamp(16 << 10, 512 << 10),
    }
}

/// The labels of a pipeline.
struct SpecLabels<'s> {
    projection: &'s str,
    store: &'static str,
    role: &'static str,
}

impl<'s> SpecLabels<'s> {
    fn of(spec: &'s PipelineSpec) -> Self {
        Self {
            projection: &spec.generation.projection,
            store: spec.key.store.as_str(),
            role: spec.role.as_str(),
        }
    }

    fn begin(&self, spec: &PipelineSpec) {
        telemetry::pipeline_started(self.projection, self.store, self.role);
        self.info(spec).set(1);
    }

    fn info(&self, spec: &PipelineSpec) -> prometheus::IntGauge {
        let generation = spec.generation.number.to_string();
        let labels = [self.projection, &generation, self.store, self.role];
        telemetry::metrics()
            .projection_info
            .with_label_values(&labels)
    }

    fn forget(&self, spec: &PipelineSpec) {
        let generation = spec.generation.number.to_string();
        let labels = [self.projection, &generation, self.store, self.role];
        let _ = telemetry::metrics()
            .projection_info
            .remove_label_values(&labels);
    }
}
