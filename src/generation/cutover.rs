//! Cutting over, and back: the same thing. Store after store, in the definition's order, readers come to see
//! the wanted generation.
//!
//! An attempt changes everything in a store or nothing. Control state is the truth: a crash between two stores is
//! continued from there, by whoever holds the lease, under the same intent.

use std::time::{Duration, Instant};

use super::catalog::Entry;
use super::coordinator::Task;
use crate::fault::{Fault, FaultKind, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::control::State;
use crate::store::{CutOver, CutOverOutcome, Generation};

/// How long the first store may refuse before the cutover is given up. Later stores are never given up: readers of the
/// first one have moved already.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long it is waited between attempts, so that live batches and readers get through.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs until readers of every store see the generation, or it was given up or overtaken.
pub(super) async fn run(task: &Task) -> Result<()> {
    let record = &task.entry.record;
    let to = task
        .entry
        .generation()
        .ok_or_else(|| Fault::misconfigured(format!("this instance cannot run {}", task.entry)))?;
    let begun = Instant::now();
    let mut moved = record.is_anywhere(State::Live);
    for (kind, state) in &record.stores {
        if *state == State::Live {
            continue;
        }
        task.phase(format!("cutting over {kind}"));
        failpoint!("cutover::before");
        let cut = cut(task, *kind, &to).await?;
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
            tokio::time::sleep(PAUSE).await;
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
    let Some(from) = live.generation() else {
        return Err(Fault::misconfigured(format!(
            "this instance cannot run {live}"
        )));
    };
    Ok(Some(CutOver {
        from,
        to: to.clone(),
        intent: task.entry.record.intent,
        lease: task.lease.clone(),
        targets: targets(task, live).await?,
    }))
}

/// The ends of the topics that only the wanted generation reads.
async fn targets(task: &Task, live: &Entry) -> Result<Vec<(TopicPartition, Position)>> {
    let mut targets = Vec::new();
    let only_here = |topic: &&std::sync::Arc<str>| !live.topics.contains_key(*topic);
    for topic in task.entry.topics.keys().filter(only_here) {
        let read = task.entry.topics.get(topic);
        for number in 0..read.map_or(0, |read| read.partitions) {
            let partition = TopicPartition::new(std::sync::Arc::clone(topic), number);
            let end = task.workshop.source.bounds(&partition).await?.high;
            targets.push((partition, end));
        }
    }
    Ok(targets)
}

/// One attempt in one store. None when it is done, else what was in the way.
async fn attempt(
    task: &Task,
    kind: StoreKind,
    cut: Option<&CutOver>,
    to: &Generation,
) -> Result<Option<String>> {
    let store = task.workshop.stores.get(&kind);
    let store = store
        .ok_or_else(|| Fault::misconfigured(format!("this instance is not connected to {kind}")))?;
    let outcome = match cut {
        Some(cut) => store.cut_over(cut).await,
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
