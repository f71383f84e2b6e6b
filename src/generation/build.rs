//! Seeing a build through: copy its base where that was asked for, wait until it has caught up, verify it,
//! record that it is ready, promote it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::Entry;
use super::coordinator::Task;
use super::distance::{self, Ends, NEAR, behind};
use super::reconcile::skips;
use super::verify::{Side, Verification, Verifier};
use crate::fault::{Fault, FaultKind, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::control::{Answered, Base, Decision, Promote};

/// How often it is looked whether a build has caught up.
const PERIOD: Duration = Duration::from_millis(500);

/// Runs until the generation is ready (and promoted), has failed, or the lease is lost.
pub(super) async fn run(task: &Task) -> Result<()> {
    if !task.entry.record.ready {
        if task.entry.record.options.base == Base::Live {
            copy(task).await?;
        }
        catch_up(task).await?;
        let found = match verify(task).await {
            // Waiting would not help.
            Err(fault) if fault.kind == FaultKind::Misconfigured => {
                let why = format!("verification is not possible: {fault}");
                let (control, build) = (&task.workshop.control, task.entry.record.build);
                control.set_failed(&task.lease, build, &why, None).await?;
                return Ok(());
            }
            found => found?,
        };
        if !record(task, &found).await? {
            return Ok(());
        }
        failpoint!("rebuild::ready");
    }
    if task.entry.record.options.promote == Promote::Auto {
        let record = &task.entry.record;
        let starter = &task.workshop.starter;
        let answer = starter.promote(&record.projection, record.number, &record.actor);
        if let Answered::Refused(why) = answer.await? {
            return Err(Fault::transient(why));
        }
    }
    Ok(())
}

/// Copies the live rows in every store that does not hold the generation yet.
async fn copy(task: &Task) -> Result<()> {
    let to = task.entry.runnable()?;
    for (kind, _) in &task.entry.record.stores {
        let store = task.store(*kind)?;
        if store.cursors(&to).await?.is_some() {
            continue;
        }
        let catalog = task.catalog();
        let live = catalog.live(&to.projection, *kind);
        let live = live.ok_or_else(|| {
            Fault::transient(format!(
                "no generation is live in {kind} whose rows could be copied"
            ))
        })?;
        let from = live.runnable()?;
        task.phase(format!("copying {kind}"));
        let (notes, build) = (task.workshop.notes.clone(), to.build);
        let progress = move |rows: u64| {
            notes.set(build, format!("copying {kind}: {rows} rows"), None);
            failpoint!("copy::page");
        };
        let starts = explicit_starts(task);
        store.create_from(&from, &to, starts, &progress).await?;
        tracing::info!(generation = %to, store = %kind, "rows copied");
    }
    Ok(())
}

/// Where the copy begins to read, when it is not where its rows stand.
fn explicit_starts(task: &Task) -> &[(TopicPartition, Position)] {
    match task.entry.record.options.explicit_starts {
        true => &task.entry.starts,
        false => &[],
    }
}

/// Waits until the generation has caught up in all of its stores: it has passed what the live one reflected when
/// the waiting began, and is near it.
async fn catch_up(task: &Task) -> Result<()> {
    let to = task.entry.runnable()?;
    task.phase("catching up");
    let mut begun: BTreeMap<StoreKind, Ends> = BTreeMap::new();
    loop {
        let mut near = true;
        for (kind, _) in &task.entry.record.stores {
            let ends = distance::ends(task, *kind).await?;
            let cursors = distance::cursors(task, *kind, &to).await?;
            let passed = begun.entry(*kind).or_insert_with(|| ends.clone());
            near &=
                behind(&cursors, passed, 0).is_none() && behind(&cursors, &ends, NEAR).is_none();
        }
        if near {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Compares it with the live generation in every store that holds both.
async fn verify(task: &Task) -> Result<Vec<Verification>> {
    let decisions = task.workshop.control.decisions().await?;
    let mut found = Vec::new();
    for (kind, _) in &task.entry.record.stores {
        let catalog = task.catalog();
        let Some(live) = catalog.live(&task.entry.record.projection, *kind) else {
            continue;
        };
        let (first, second) = (side(&task.entry, &decisions)?, side(live, &decisions)?);
        if key_names(&first) != key_names(&second) {
            match task.entry.record.options.max_changed {
                None => continue,
                Some(_) => {
                    return Err(Fault::misconfigured(
                        "the key has other columns, so that max_changed cannot be judged: no row can be compared",
                    ));
                }
            }
        }
        task.phase(format!("verifying {kind}"));
        failpoint!("rebuild::verifying");
        let (notes, build) = (task.workshop.notes.clone(), task.entry.record.build);
        let progress = move |keys: u64| {
            notes.set(build, format!("verifying {kind}: {keys} keys"), None);
        };
        let excerpts = Arc::clone(&task.workshop.excerpts);
        let verifier = Verifier::new(Arc::clone(task.store(*kind)?), excerpts);
        found.push(verifier.compare(&first, &second, &progress).await?);
    }
    Ok(found)
}

fn key_names(side: &Side) -> Vec<&str> {
    let key = side.generation.schema.key_columns();
    key.map(|column| &*column.name).collect()
}

/// A generation as one side of a comparison.
pub(super) fn side(entry: &Entry, decisions: &[Decision]) -> Result<Side> {
    let definition = entry.definition.as_ref().map_err(Fault::misconfigured)?;
    Ok(Side {
        generation: entry.runnable()?,
        plan: Arc::clone(&definition.plan),
        hash: Arc::clone(&entry.record.hash),
        skips: Arc::new(skips(entry, decisions)),
    })
}

/// Records what verification found: whether the build may be cut over.
async fn record(task: &Task, found: &[Verification]) -> Result<bool> {
    let (control, record) = (&task.workshop.control, &task.entry.record);
    let json = serde_json::to_value(found)
        .map_err(|error| Fault::bug(format!("verification could not be rendered: {error}")))?;
    let max_changed = record.options.max_changed;
    let failed: Vec<String> = found
        .iter()
        .filter(|found| !found.passes(false, max_changed))
        .map(Verification::describe)
        .collect();
    if failed.is_empty() {
        tracing::info!(generation = %task.entry, "verified: ready");
        return control.set_ready(&task.lease, record.build, &json).await;
    }
    let why = format!("verification failed: {}", failed.join("; "));
    tracing::error!(generation = %task.entry, why, "not cut over; the live generation stays");
    let verification = Some(&json);
    control
        .set_failed(&task.lease, record.build, &why, verification)
        .await?;
    Ok(false)
}
