//! What the clock brings: due claims, hints, metrics, the repair of what ended unexpectedly; and the orderly end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::spec::{LaneInput, Notice, PipelineKey, PipelineSpec, Role};
use super::{BOUNDS_PERIOD, Pipeline, Running, SECOND, TrackState};
use crate::position::{Position, TopicPartition};
use crate::telemetry;

impl Running {
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<(PipelineKey, TopicPartition)> = self
            .tracks
            .iter()
            .filter(|((key, _), track)| match &track.state {
                TrackState::Waiting(at) => *at <= now && self.is_created(*key),
                TrackState::Undecided(record) => self.is_decided(*key, record),
                TrackState::Claiming(_) | TrackState::Running(_) => false,
            })
            .map(|(name, _)| name.clone())
            .collect();
        for (key, partition) in due {
            self.start_claim(key, partition);
        }
        if now - self.last_second >= SECOND {
            self.last_second = now;
            self.each_second(now);
        }
    }

    pub(super) fn each_second(&mut self, now: Instant) {
        telemetry::heartbeat("engine");
        self.heal();
        self.subscribe();
        self.around.board.tick(now);
        self.hint();
        let all = self.last_bounds.is_none_or(|at| now - at >= BOUNDS_PERIOD);
        if all {
            self.last_bounds = Some(now);
        }
        // How fast the log grows decides when a build will be done, so there it is looked at more often.
        let specs = self.pipelines.values().map(|pipeline| &pipeline.spec);
        let building: BTreeSet<&Arc<str>> = specs
            .filter(|spec| spec.role == Role::Building)
            .flat_map(|spec| spec.topics.keys())
            .collect();
        for (partition, owned) in &mut self.owned {
            let is_due = all || building.contains(&partition.topic);
            let is_asking = owned
                .asking
                .as_ref()
                .is_some_and(|task| !task.is_finished());
            if !is_due || is_asking {
                continue;
            }
            let (source, notices) = (
                Arc::clone(&self.claimant.source),
                self.around.notices.clone(),
            );
            let partition = partition.clone();
            owned.asking = Some(tokio::spawn(async move {
                if let Ok(bounds) = source.bounds(&partition).await {
                    let _ = notices.send(Notice::Bounds { partition, bounds });
                }
            }));
        }
    }

    /// Builds anew what ended although nobody asked it to (a panic): its tracks are claimed again.
    pub(super) fn heal(&mut self) {
        let dead = |pipeline: &&Pipeline| pipeline.lanes.iter().any(|(_, task)| task.is_finished());
        let pipelines: Vec<Arc<PipelineSpec>> = self
            .pipelines
            .values()
            .filter(dead)
            .map(|pipeline| Arc::clone(&pipeline.spec))
            .collect();
        for spec in pipelines {
            tracing::error!(pipeline = ?spec, "a lane ended unexpectedly; it is built anew");
            self.remove_pipeline(spec.key);
            self.set_pipeline((*spec).clone());
        }
        let feeders = self
            .owned
            .iter()
            .filter(|(_, owned)| owned.task.is_finished());
        let partitions: Vec<TopicPartition> =
            feeders.map(|(partition, _)| partition.clone()).collect();
        for partition in partitions {
            tracing::error!(%partition, "a feeder ended unexpectedly; it is built anew");
            self.disown(&partition);
            self.own(partition);
        }
    }

    /// Tells the group the lowest position of every partition over the live views that move.
    pub(super) fn hint(&self) {
        let mut lowest: BTreeMap<TopicPartition, Position> = BTreeMap::new();
        for ((key, partition), status) in self.around.board.tracks() {
            let live = self
                .pipelines
                .get(&key)
                .map(|pipeline| &pipeline.spec)
                .is_some_and(|spec| spec.role == Role::Live && !spec.paused);
            if let (true, None, Some(position)) = (live, &status.stall, status.position) {
                lowest
                    .entry(partition)
                    .and_modify(|low| *low = position.min(*low))
                    .or_insert(position);
            }
        }
        let hints: Vec<(TopicPartition, Position)> = lowest.into_iter().collect();
        if !hints.is_empty() {
            self.claimant.member.hint(&hints);
        }
    }

    pub(super) async fn finish(mut self, grace: Duration) {
        for owned in self.owned.values() {
            owned.task.abort();
        }
        let pipelines = self.pipelines.values_mut();
        let lanes: Vec<_> = pipelines
            .flat_map(|pipeline| std::mem::take(&mut pipeline.lanes))
            .collect();
        for (lane, _) in &lanes {
            let _ = lane.send(LaneInput::Finish);
        }
        let written = async {
            for (_, task) in lanes {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(grace.mul_f64(0.6), written)
            .await
            .is_err()
        {
            tracing::warn!(
                "a store did not answer in time; the batches under way are judged by their cursors"
            );
        }
        // The hint of what was written last, for scalers that look at the group's lag.
        self.hint();
        self.claimant.member.leave(grace.mul_f64(0.3)).await;
    }
}
