//! Verifications that operators asked for: durable jobs, worked on by whichever instance takes the job's lease.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::build::side;
use super::catalog::{Catalog, Entry};
use super::coordinator::{LEASE, Workshop};
use super::verify::{Verification, Verifier};
use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::control::{Job, State};

/// What a verification job is called.
pub const VERIFY: &str = "verify";

/// What is to be verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyJob {
    /// The generation to look at.
    pub generation: u32,
    /// The generation to compare it with; the log when none.
    pub against: Option<u32>,
    /// The part of keys to look at, when compared with the log.
    pub sample: f64,
    /// Whether order-sensitive differences count.
    pub strict: bool,
}

/// What came of a verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyOutcome {
    /// Whether nothing differs that counts.
    pub same: bool,
    /// What was found, per store.
    pub stores: Vec<Verification>,
}

/// Takes up open jobs.
pub(super) async fn step(
    workshop: &Workshop,
    catalog: &Arc<Catalog>,
    at_work: &mut HashMap<i64, JoinHandle<()>>,
) -> Result<()> {
    let open = workshop.control.open_jobs().await?;
    at_work.retain(|id, task| {
        let goes_on = open.iter().any(|job| job.id == *id) && !task.is_finished();
        if !goes_on {
            task.abort();
        }
        goes_on
    });
    for job in open.into_iter().filter(|job| job.kind == VERIFY) {
        let name = format!("job/{}", job.id);
        let lease = workshop
            .control
            .lease(&name, &workshop.instance, LEASE)
            .await?;
        if lease.is_none() {
            // Somebody else is at it.
            if let Some(task) = at_work.remove(&job.id) {
                task.abort();
            }
            continue;
        }
        if at_work.contains_key(&job.id) {
            continue;
        }
        let (id, workshop, catalog) = (job.id, workshop.clone(), Arc::clone(catalog));
        let task = tokio::spawn(async move { work(&workshop, &catalog, &job).await });
        at_work.insert(id, task);
    }
    Ok(())
}

async fn work(workshop: &Workshop, catalog: &Catalog, job: &Job) {
    let outcome = verify(workshop, catalog, job).await.and_then(|outcome| {
        serde_json::to_value(outcome)
            .map_err(|error| Fault::bug(format!("outcome could not be rendered: {error}")))
    });
    let finished = match &outcome {
        Ok(outcome) => workshop.control.finish_job(job.id, Ok(outcome)).await,
        Err(fault) => {
            workshop
                .control
                .finish_job(job.id, Err(&fault.to_string()))
                .await
        }
    };
    if let Err(fault) = finished {
        tracing::warn!(job = job.id, %fault, "outcome could not be recorded; the verification is repeated");
    }
}

async fn verify(workshop: &Workshop, catalog: &Catalog, job: &Job) -> Result<VerifyOutcome> {
    let wanted: VerifyJob = serde_json::from_value(job.arguments.clone())
        .map_err(|error| Fault::misconfigured(format!("job {}: {error}", job.id)))?;
    let entry = |number: u32| {
        let mut entries = catalog.of(&job.projection);
        entries
            .find(|entry| entry.record.number == number && entry.runs())
            .ok_or_else(|| {
                Fault::misconfigured(format!(
                    "{} has no generation {number} that is fed",
                    job.projection
                ))
            })
    };
    let looked_at = entry(wanted.generation)?;
    let decisions = workshop.control.decisions().await?;
    let mut stores = Vec::new();
    for (kind, state) in &looked_at.record.stores {
        let Some(store) = workshop.stores.get(kind).filter(|_| state.runs()) else {
            continue;
        };
        let verifier = Verifier::new(Arc::clone(store), Arc::clone(&workshop.excerpts));
        let this = side(looked_at, &decisions)?;
        let found = match wanted.against {
            None => {
                let starts = &looked_at.starts;
                verifier
                    .against_log(&this, starts, wanted.sample, &|_| ())
                    .await?
            }
            Some(number) => {
                let other = entry(number)?;
                if !holds(other, *kind) {
                    continue;
                }
                let other = side(other, &decisions)?;
                verifier.compare(&this, &other, &|_| ()).await?
            }
        };
        stores.push(found);
    }
    if stores.is_empty() {
        return Err(Fault::misconfigured("no store holds both generations"));
    }
    let same = stores.iter().all(|found| found.is_same(wanted.strict));
    Ok(VerifyOutcome { same, stores })
}

fn holds(entry: &Entry, store: StoreKind) -> bool {
    entry.state(store).is_some_and(State::runs)
}
