//! What may be asked of a projection's generations, and what it changes.
//!
//! Pure functions of all generations of one projection, by number, shared by every implementation
//! of the control tables: those only make sure that one caller at a time is at it. Whatever is
//! refused has changed nothing.

mod orders;
mod steps;

pub(super) use orders::{begin, drop_all, order};
pub(super) use steps::{retire, set_cleaned, set_failed, set_live, set_ready, withdraw};

use uuid::Uuid;

use super::control::{GenerationRecord, Promote, State};
use crate::projection::StoreKind;

/// The number of a projection's first generation.
const FIRST_NUMBER: u32 = 1;
/// The intent under which a first generation is published: it is live at once.
const FIRST_INTENT: i64 = 1;
/// Who asked for a first generation: its file was there.
const FIRST_ACTOR: &str = "viewfold";

/// A generation as it is recorded at first: in `state` in all of its stores.
fn record(projection: &str, number: u32, stores: &[StoreKind], state: State) -> GenerationRecord {
    GenerationRecord {
        projection: projection.into(),
        number,
        build: Uuid::new_v4(),
        stores: stores.iter().map(|store| (*store, state)).collect(),
        definition: "".into(),
        hash: "".into(),
        intent: 0,
        wanted: false,
        published: Vec::new(),
        cleaned: Vec::new(),
        options: Default::default(),
        paused: false,
        ready: false,
        verification: None,
        trouble: None,
        actor: String::new(),
        age_seconds: 0.0,
        state_age_seconds: 0.0,
    }
}

/// The first generation of a projection.
pub(super) fn first(
    projection: &str,
    stores: &[StoreKind],
    definition: &str,
    hash: &str,
) -> GenerationRecord {
    GenerationRecord {
        definition: definition.into(),
        hash: hash.into(),
        intent: FIRST_INTENT,
        wanted: true,
        actor: FIRST_ACTOR.into(),
        ..record(projection, FIRST_NUMBER, stores, State::Live)
    }
}

/// The generation that speaks for a projection: the live one, else the newest that runs. None
/// while its generations are only being removed.
pub(super) fn foremost(all: Vec<GenerationRecord>) -> Option<GenerationRecord> {
    all.into_iter()
        .filter(runs)
        .max_by_key(|record| (record.is_anywhere(State::Live), record.number))
}

fn runs(record: &GenerationRecord) -> bool {
    record.stores.iter().any(|(_, state)| state.runs())
}

/// The generation that is wanted and not live everywhere yet.
fn under_way(all: &[GenerationRecord]) -> Option<&GenerationRecord> {
    all.iter()
        .find(|record| record.wanted && !record.is_everywhere(State::Live))
}

/// Makes one generation the wanted one, under the next intent number.
fn want(all: &mut [GenerationRecord], index: usize, above: i64) {
    let greatest = all.iter().map(|record| record.intent).max();
    let intent = greatest.unwrap_or(0).max(above).saturating_add(1);
    for record in all.iter_mut().filter(|record| record.wanted) {
        unwant(record);
    }
    let record = &mut all[index];
    record.intent = intent;
    record.wanted = true;
    // A paused generation would never come level with the live one.
    record.paused = false;
    record.trouble = None;
}

/// One that was to be cut over waits for an operator from then on: else it would be at once again.
fn unwant(record: &mut GenerationRecord) {
    record.wanted = false;
    if record.is_anywhere(State::Building) {
        record.options.promote = Promote::Manual;
    }
}

/// Ends a generation wherever it runs.
fn end(record: &mut GenerationRecord, state: State) {
    for (_, current) in record.stores.iter_mut().filter(|(_, s)| s.runs()) {
        *current = state;
        record.state_age_seconds = 0.0;
    }
    record.wanted = false;
}

/// Sets the state in one store.
fn enter(record: &mut GenerationRecord, store: StoreKind, state: State) {
    for (kind, current) in &mut record.stores {
        if *kind == store && *current != state {
            *current = state;
            record.state_age_seconds = 0.0;
        }
    }
}

/// Adds the store to a list that is kept in the definition's order.
pub(super) fn mark(
    record: &GenerationRecord,
    list: &[StoreKind],
    store: StoreKind,
) -> Vec<StoreKind> {
    let stores = record.stores.iter().map(|(kind, _)| *kind);
    stores
        .filter(|kind| *kind == store || list.contains(kind))
        .collect()
}

/// Wants the generation again that readers see in all stores. Under an intent of its own: what
/// a former holder of the lease may still do under the one before comes too late then.
fn want_the_live_one(all: &mut [GenerationRecord]) -> bool {
    let live = all.iter().position(|r| r.is_everywhere(State::Live));
    if let Some(index) = live {
        want(all, index, 0);
    }
    live.is_some()
}

/// Whether nothing is left of a projection in any store: it was dropped and removed.
pub(super) fn is_gone(all: &[GenerationRecord]) -> bool {
    all.iter()
        .all(|record| record.cleaned.len() == record.stores.len())
}

/// Whether a generation is still to be listed: it runs, or it is over and not removed everywhere.
pub(super) fn is_listed(record: &GenerationRecord) -> bool {
    record.cleaned.len() < record.stores.len()
}
