//! Seeing to it that a generation is in its store, and that readers see the live one.
//!
//! A generation that was never published is created and, being the first of its view, published
//! at once. One that was published and vanished (a flushed Redis) is created again from its
//! recorded start positions, refilled unpublished, and published when it has reached the end that
//! the log had when that began.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Result;
use crate::pipeline::PipelineKey;
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::source::EventSource;
use crate::store::control::Control;
use crate::store::{Generation, ViewStore};

/// How far one generation is in one store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody looked yet, or it was found absent.
    Unknown,
    /// A task is at it.
    Working,
    /// It is there; readers see it when it has reached these positions.
    Refilling(Vec<(TopicPartition, Position)>),
    /// It is there and published.
    Published,
}

/// What is to be ensured.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) generation: Generation,
    pub(super) store: Arc<dyn ViewStore>,
    pub(super) starts: Vec<(TopicPartition, Position)>,
    pub(super) published: bool,
    pub(super) intent: i64,
}

/// The stages of all generations in all stores.
#[derive(Clone)]
pub(super) struct Ensurer {
    control: Arc<dyn Control>,
    source: Arc<dyn EventSource>,
    stages: Arc<Mutex<HashMap<PipelineKey, Stage>>>,
}

impl Ensurer {
    pub(super) fn new(control: Arc<dyn Control>, source: Arc<dyn EventSource>) -> Self {
        Self {
            control,
            source,
            stages: Arc::default(),
        }
    }

    fn set(&self, key: PipelineKey, stage: Stage) {
        self.stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, stage);
    }

    fn stage(&self, key: PipelineKey) -> Stage {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.get(&key).cloned().unwrap_or(Stage::Unknown)
    }

    /// Whether tracks may claim cursors.
    pub(super) fn is_created(&self, key: PipelineKey) -> bool {
        matches!(self.stage(key), Stage::Refilling(_) | Stage::Published)
    }

    /// A track found the generation absent: look again.
    pub(super) fn absent(&self, key: PipelineKey) {
        if self.is_created(key) {
            self.set(key, Stage::Unknown);
        }
    }

    /// Takes the next step in the background, where there is one. A store that is away delays only itself.
    pub(super) fn advance(&self, wanted: Wanted) {
        let key = PipelineKey {
            build: wanted.generation.build,
            store: wanted.store.kind(),
        };
        let stage = self.stage(key);
        if matches!(stage, Stage::Working | Stage::Published) {
            return;
        }
        self.set(key, Stage::Working);
        let ensurer = self.clone();
        tokio::spawn(async move {
            let before = stage.clone();
            let next = ensurer.step(&wanted, stage).await.unwrap_or_else(|fault| {
                tracing::warn!(generation = %wanted.generation, store = %wanted.store.kind(), %fault, "generation could not be ensured; trying again");
                before
            });
            ensurer.set(key, next);
        });
    }

    async fn step(&self, wanted: &Wanted, stage: Stage) -> Result<Stage> {
        let Wanted {
            generation,
            store,
            starts,
            ..
        } = wanted;
        let targets = match stage {
            Stage::Refilling(targets) => targets,
            _ => {
                if store.cursors(generation).await?.is_none() {
                    store.create(generation, starts).await?;
                    tracing::info!(%generation, store = %store.kind(), "generation created");
                }
                if !wanted.published {
                    return self.publish(wanted).await;
                }
                self.ends(starts).await?
            }
        };
        let cursors = store.cursors(generation).await?.unwrap_or_default();
        let reached = targets.iter().all(|(partition, target)| {
            cursors
                .iter()
                .any(|cursor| cursor.partition == *partition && cursor.position >= *target)
        });
        if reached {
            self.publish(wanted).await
        } else {
            Ok(Stage::Refilling(targets))
        }
    }

    async fn publish(&self, wanted: &Wanted) -> Result<Stage> {
        let kind: StoreKind = wanted.store.kind();
        wanted
            .store
            .publish(&wanted.generation, wanted.intent.max(1))
            .await?;
        if !wanted.published {
            self.control
                .set_published(wanted.generation.build, kind)
                .await?;
        }
        Ok(Stage::Published)
    }

    async fn ends(
        &self,
        starts: &[(TopicPartition, Position)],
    ) -> Result<Vec<(TopicPartition, Position)>> {
        let mut ends = Vec::with_capacity(starts.len());
        for (partition, _) in starts {
            ends.push((partition.clone(), self.source.bounds(partition).await?.high));
        }
        Ok(ends)
    }
}
