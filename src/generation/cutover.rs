//! Cutting over, and back: the same thing. Store after store, in the definition's order, readers come to see
//! the wanted generation.
//!
//! An attempt changes everything in a store or nothing. Control state is the truth: a crash between two stores is
//! continued from there, by whoever holds the lease, under the same intent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog::Entry;
use super::coordinator::Task;
use super::distance::{self, NEAR};
use crate::fault::{Fault, FaultKind, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::control::State;
use crate::store::{CutOver, CutOverOutcome, Generation};

/// How long the first store may refuse before the cutover is given up. Later stores are never given up: readers of the
/// first one have moved already.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long it is waited after an attempt, so that live batches and readers get through; longer after each.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs until readers of every store see the generation, or it was given up or overtaken.
pub(super) async fn run(task: &Task) -> Result<()> {
    let record = &task.entry.record;
    let to = task.entry.runnable()?;
    let begun = Instant::now();
    let mut moved = record.is_anywhere(State::Live);
    for (kind, state) in &record.stores {
        if *state == State::Live {
            continue;
        }
        task.phase(format!("cutting over {kind}"));
        failpoint!("cutover::before");
        let cut = cut(task, *kind, &to).await?;
        let mut pause = PAUSE;
        while let Some(blocker) = attempt(task, *kind, cut.as_ref(), &to).await? {
            if !moved && begun.elapsed() >= DEADLINE {
                let why = format!("cutover of {kind} given up after {DEADLINE:?}: {blocker}");
                tracing::warn!(generation = %task.entry, why);
                task.workshop
                    .control
                    .withdraw(&task.lease, to.build, &why)
                    .await?;
                return Ok(());
            }
            task.trouble(format!("cutover of {kind} waits: {blocker}"));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!(generation = %task.entry, store = %kind, "cut over");
        moved = true;
        failpoint!("cutover::between");
    }
    Ok(())
}

/// What is to be done in one store; none where nothing is live yet that it could replace.
async fn cut(task: &Task, kind: StoreKind, to: &Generation) -> Result<Option<CutOver>> {
    let catalog = task.catalog();
    let Some(live) = catalog.live(&to.projection, kind) else {
        return Ok(None);
    };
    Ok(Some(CutOver {
        from: live.runnable()?,
        to: to.clone(),
        intent: task.entry.record.intent,
        lease: task.lease.clone(),
        targets: targets(task, live).await?,
    }))
}

/// The ends of the topics that only the wanted generation reads.
async fn targets(task: &Task, live: &Entry) -> Result<Vec<(TopicPartition, Position)>> {
    let mut targets = Vec::new();
    let only_here = |topic: &&Arc<str>| !live.topics.contains_key(*topic);
    for topic in task.entry.topics.keys().filter(only_here) {
        for partition in task.entry.partitions_of(topic) {
            let end = task.workshop.source.bounds(&partition).await?.high;
            targets.push((partition, end));
        }
    }
    Ok(targets)
}

/// Whether the wanted generation is too far behind for live batches to wait for it; says by how much.
async fn far(task: &Task, kind: StoreKind, to: &Generation) -> Result<Option<String>> {
    let ends = distance::ends(task, kind).await?;
    let cursors = distance::cursors(task, kind, to).await?;
    Ok(distance::behind(&cursors, &ends, NEAR))
}

/// One attempt in one store. None when it is done, else what was in the way.
async fn attempt(
    task: &Task,
    kind: StoreKind,
    cut: Option<&CutOver>,
    to: &Generation,
) -> Result<Option<String>> {
    let store = task.store(kind)?;
    let outcome = match cut {
        Some(cut) => match far(task, kind, to).await {
            Ok(None) => store.cut_over(cut).await,
            Ok(Some(blocker)) => return Ok(Some(blocker)),
            Err(fault) => Err(fault),
        },
        None => store
            .publish(to, task.entry.record.intent)
            .await
            .map(|()| CutOverOutcome::Done),
    };
    let outcome = match outcome {
        Err(fault) if fault.kind == FaultKind::Transient => {
            return Ok(Some(fault.to_string()));
        }
        other => other?,
    };
    match outcome {
        CutOverOutcome::NotYet(blocker) => Ok(Some(blocker)),
        CutOverOutcome::Overtaken(why) => {
            Err(Fault::transient(format!("cutover of {kind}: {why}")))
        }
        CutOverOutcome::Done => {
            match kind {
                StoreKind::Postgres => {
                    failpoint!("cutover::postgres_done");
                }
                StoreKind::Redis => {
                    failpoint!("cutover::redis_done");
                }
            }
            let control = &task.workshop.control;
            match control.set_live(&task.lease, to.build, kind).await? {
                true => Ok(None),
                false => Err(Fault::transient(format!(
                    "cutover of {kind}: another instance coordinates, or another generation is wanted"
                ))),
            }
        }
    }
}
