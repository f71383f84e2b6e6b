//! What is left of generations that are over: removed store by store, then recorded as gone.

use std::sync::Arc;

use super::coordinator::Task;
use crate::fault::{FaultKind, Result};
use crate::projection::Schema;
use crate::store::Generation;

/// Ends a generation that was kept for long enough.
pub(super) async fn retire(task: &Task) -> Result<()> {
    let control = &task.workshop.control;
    if control.retire(&task.lease, task.entry.record.build).await? {
        tracing::info!(generation = %task.entry, "retired");
    }
    Ok(())
}

/// Removes a generation that is over from every store.
pub(super) async fn clean(task: &Task) -> Result<()> {
    let record = &task.entry.record;
    // Its rows may be gone for good even where its definition cannot be read here.
    let generation = task.entry.generation().unwrap_or_else(|| Generation {
        projection: Arc::clone(&record.projection),
        number: record.number,
        build: record.build,
        schema: Arc::new(Schema {
            name: Arc::clone(&record.projection),
            columns: Vec::new(),
            key: Vec::new(),
        }),
    });
    failpoint!("cleanup::before");
    for (kind, _) in &record.stores {
        if record.cleaned.contains(kind) {
            continue;
        }
        let store = task.store(*kind)?;
        store.remove(&generation).await?;
        if is_dropped(task) {
            // Refused while another of its generations is there: whoever removes the last one succeeds.
            match store.forget(&record.projection).await {
                Err(fault) if fault.kind == FaultKind::Misconfigured => {}
                forgotten => forgotten?,
            }
        }
        let control = &task.workshop.control;
        if !control
            .set_cleaned(&task.lease, record.build, *kind)
            .await?
        {
            return Ok(());
        }
        tracing::info!(generation = %task.entry, store = %kind, "removed");
        failpoint!("cleanup::between");
    }
    Ok(())
}

/// Whether no generation of the projection runs: it was dropped.
fn is_dropped(task: &Task) -> bool {
    let catalog = task.catalog();
    let mut all = catalog.of(&task.entry.record.projection);
    all.all(|entry| !entry.runs())
}
