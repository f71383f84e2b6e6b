//! Seeing to it that a generation is in its store, and that readers see the live one.
//!
//! A generation that was never published is created and, being the first of its view, published
//! at once. One that was published and vanished (a flushed Redis) is created again from its
//! recorded start positions, refilled unpublished, and published when it has reached the end that
//! the log had when that began.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::fault::{Fault, FaultKind, Result};
use crate::pipeline::{PipelineKey, Reason, Stall};
use crate::position::{Position, TopicPartition};
use crate::source::EventSource;
use crate::store::control::{Answered, Control, Order};
use crate::store::{BasePages, Generation, ViewStore};

/// How far one generation is in one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stage {
    /// It is there: tracks may claim its cursors.
    created: bool,
    /// Readers see it, or nothing has to be shown.
    published: bool,
    /// The intent under which the store was told that readers see it.
    confirmed: i64,
    /// A task is at it.
    working: bool,
    /// Readers see it (again) when it has reached these positions.
    targets: Option<Vec<(TopicPartition, Position)>>,
    /// When it was last seen to be there.
    seen: Option<Instant>,
    /// Why the last step failed, and when.
    failed: Option<(Stall, Instant)>,
    /// With which cursors its rows were copied, if they were.
    base: Option<Arc<BasePages>>,
}

/// What is known of one generation in one store.
pub(super) struct Known {
    /// Whether tracks may claim cursors.
    pub(super) created: bool,
    /// Why it is not there, once that is known.
    pub(super) waiting: Option<Stall>,
    /// With which cursors its rows were copied, if they were.
    pub(super) base: Option<Arc<BasePages>>,
}

/// How long after a failed step the next one is taken.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// How often it is made sure that a published generation is still there: an idle one would not notice.
const PRESENCE_PERIOD: Duration = Duration::from_secs(5);

/// What is to be ensured.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) generation: Generation,
    pub(super) store: Arc<dyn ViewStore>,
    pub(super) starts: Vec<(TopicPartition, Position)>,
    pub(super) published: bool,
    pub(super) intent: i64,
    /// Only a live generation is ever shown to readers.
    pub(super) live: bool,
    /// Whether it begins as a copy: then the log alone cannot fill it.
    pub(super) copied: bool,
    /// Whether records that the copy reflects already are left out. Not where all are meant to be folded again.
    pub(super) levelled: bool,
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

    fn change<T>(&self, key: PipelineKey, change: impl FnOnce(&mut Stage) -> T) -> T {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        change(stages.entry(key).or_default())
    }

    pub(super) fn stage(&self, key: PipelineKey) -> Known {
        self.change(key, |stage| Known {
            created: stage.created,
            waiting: stage.failed.as_ref().map(|(stall, _)| stall.clone()),
            base: stage.base.clone(),
        })
    }

    /// Forgets all builds but these.
    pub(super) fn retain(&self, builds: &HashSet<Uuid>) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.retain(|key, _| builds.contains(&key.build));
    }

    /// A track found the generation absent: look at once.
    pub(super) fn absent(&self, key: PipelineKey) {
        self.change(key, |stage| stage.seen = None);
    }

    /// Takes the next step in the background, where there is one. A store that is away delays only itself.
    pub(super) fn advance(&self, wanted: Wanted) {
        let key = PipelineKey {
            build: wanted.generation.build,
            store: wanted.store.kind(),
        };
        let begins = self.change(key, |stage| {
            let look = stage.seen.is_none_or(|at| at.elapsed() >= PRESENCE_PERIOD);
            let rests = stage
                .failed
                .as_ref()
                .is_some_and(|(_, at)| at.elapsed() < RETRY_PERIOD);
            let told = !wanted.live || stage.confirmed >= wanted.intent;
            let begins = !stage.working && !rests && (!stage.published || !told || look);
            stage.working |= begins;
            begins
        });
        if !begins {
            return;
        }
        let ensurer = self.clone();
        tokio::spawn(async move {
            let result = ensurer.step(key, &wanted).await;
            ensurer.change(key, |stage| {
                stage.working = false;
                stage.failed = result
                    .err()
                    .map(|fault| (failure(&wanted, &fault), Instant::now()));
            });
        });
    }

    async fn step(&self, key: PipelineKey, wanted: &Wanted) -> Result<()> {
        let Wanted {
            generation,
            store,
            starts,
            ..
        } = wanted;
        let cursors = match store.cursors(generation).await? {
            Some(cursors) => cursors,
            None if self.change(key, |stage| stage.created) => {
                tracing::warn!(%generation, store = %store.kind(), "generation vanished from its store; it is filled again");
                // Its tracks end before it is created again.
                self.change(key, |stage| {
                    *stage = Stage {
                        working: true,
                        ..Stage::default()
                    }
                });
                return Ok(());
            }
            // The copy comes first; whoever holds the lease is at it.
            None if wanted.copied && !wanted.published => return Ok(()),
            None if wanted.copied => return Err(not_copied()),
            // Looked at again right before: it may have been cancelled and removed meanwhile.
            None if !self.control.may_exist(key.build, key.store).await? => return Ok(()),
            None => {
                store.create(generation, starts).await?;
                if !wanted.live {
                    failpoint!("rebuild::created");
                }
                tracing::info!(%generation, store = %store.kind(), "generation created");
                Vec::new()
            }
        };
        if wanted.levelled && self.change(key, |stage| stage.base.is_none()) {
            let base = store.base_pages(generation).await?.map(Arc::new);
            self.change(key, |stage| stage.base = base);
        }
        let published = self.change(key, |stage| {
            stage.created = true;
            stage.seen = Some(Instant::now());
            stage.published
        });
        if published {
            return self.confirm(key, wanted).await;
        }
        if wanted.published {
            let targets = match self.change(key, |stage| stage.targets.clone()) {
                Some(targets) => targets,
                None => self.ends(starts).await?,
            };
            let reached = targets.iter().all(|(partition, target)| {
                cursors
                    .iter()
                    .any(|cursor| cursor.partition == *partition && cursor.position >= *target)
            });
            self.change(key, |stage| stage.targets = Some(targets));
            if !reached {
                return Ok(());
            }
        }
        self.confirm(key, wanted).await?;
        self.change(key, |stage| stage.published = true);
        Ok(())
    }

    /// Tells the store the newest intent for what readers see already: one that was given up meanwhile and
    /// comes late must not win.
    async fn confirm(&self, key: PipelineKey, wanted: &Wanted) -> Result<()> {
        let told = self.change(key, |stage| stage.confirmed);
        if !wanted.live || told >= wanted.intent {
            return Ok(());
        }
        self.publish(wanted).await?;
        let (store, projection) = (&wanted.store, &wanted.generation.projection);
        let pointer = store.pointer(projection).await?;
        let newer = pointer.filter(|pointer| pointer.intent > wanted.intent);
        let Some(newer) = newer else {
            self.change(key, |stage| stage.confirmed = wanted.intent);
            return Ok(());
        };
        // Another step may have moved readers since the control tables were read: then this changes nothing.
        let number = wanted.generation.number;
        let above = newer.intent;
        let order = Order::Reissue { above };
        let answered = self
            .control
            .order(projection, number, order, "viewfold")
            .await?;
        if matches!(answered, Answered::Done(_)) {
            tracing::warn!(
                generation = %wanted.generation, store = %store.kind(), intent = above,
                "the store follows a greater intent than the control tables know, which were restored from a \
                 backup, it seems; issuing a greater one"
            );
        }
        Ok(())
    }

    async fn publish(&self, wanted: &Wanted) -> Result<()> {
        wanted
            .store
            .publish(&wanted.generation, wanted.intent.max(1))
            .await?;
        if !wanted.published {
            self.control
                .set_published(wanted.generation.build, wanted.store.kind())
                .await?;
        }
        Ok(())
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

fn not_copied() -> Fault {
    Fault::misconfigured(
        "its rows began as a copy of another generation, so that the log alone cannot fill it again; rebuild it",
    )
}

/// Why a generation could not be created or looked for.
fn failure(wanted: &Wanted, fault: &Fault) -> Stall {
    let reason = match fault.kind {
        FaultKind::Transient => Reason::StoreUnreachable,
        FaultKind::Bug => Reason::Bug,
        FaultKind::Poison | FaultKind::Fenced | FaultKind::Misconfigured => Reason::Misconfigured,
    };
    Stall::now(reason, format!("{}: {fault}", wanted.store.kind()))
}
