//! What may be asked of a projection's generations, and what it changes.
//!
//! Pure functions of all generations of one projection, by number, shared by every implementation
//! of the control tables: those only make sure that one caller at a time is at it. Whatever is
//! refused has changed nothing.

use std::sync::Arc;

use uuid::Uuid;

use super::control::{Answered, GenerationRecord, NewGeneration, Order, Promote, State};
use crate::projection::StoreKind;

/// The number of a projection's first generation.
pub(super) const FIRST_NUMBER: u32 = 1;
/// The intent under which a first generation is published: it is live at once.
pub(super) const FIRST_INTENT: i64 = 1;
/// Who asked for a first generation: its file was there.
pub(super) const FIRST_ACTOR: &str = "viewfold";
/// The greatest number that a generation can have: the tables keep 32 bits with a sign.
const GREATEST_NUMBER: u32 = i32::MAX as u32;

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

/// The record of a generation to be built, or why there is none.
pub(super) fn begin(
    all: &[GenerationRecord],
    new: &NewGeneration,
) -> Result<GenerationRecord, String> {
    let projection = &*new.projection;
    if !all.iter().any(runs) {
        return Err(format!(
            "{projection} was dropped and is being removed: try again when it is gone"
        ));
    }
    if let Some(other) = under_way(all) {
        return Err(format!(
            "generation {} of {projection} is being cut over: try again when readers see it \
             everywhere (viewfold status)",
            other.number
        ));
    }
    if let Some(other) = all.iter().find(|r| r.is_anywhere(State::Building)) {
        return Err(format!(
            "generation {number} of {projection} is being built: cancel it first: \
             viewfold cancel {projection} {number}",
            number = other.number
        ));
    }
    let greatest = all.iter().map(|r| r.number).chain([new.above]).max();
    let number = greatest.unwrap_or(0).saturating_add(1);
    if number > GREATEST_NUMBER {
        return Err(format!(
            "the generation numbers of {projection} are used up"
        ));
    }
    Ok(GenerationRecord {
        definition: Arc::clone(&new.definition),
        hash: Arc::clone(&new.hash),
        options: new.options.clone(),
        actor: new.actor.clone(),
        ..record(projection, number, &new.stores, State::Building)
    })
}

/// Carries out what an operator asked of the generation `number`.
pub(super) fn order(all: &mut [GenerationRecord], number: u32, order: Order) -> Answered {
    let Some(index) = all.iter().position(|record| record.number == number) else {
        return Answered::Unknown;
    };
    let verdict = match order {
        Order::Promote { above } => promote(all, index, above),
        Order::Cancel => cancel(&mut all[index]),
        Order::Pause => pause(&mut all[index], true),
        Order::Resume => pause(&mut all[index], false),
    };
    match verdict {
        Ok(true) => Answered::Done(all[index].clone()),
        Ok(false) => Answered::Before(all[index].clone()),
        Err(why) => Answered::Refused(why),
    }
}

/// `Ok(true)` when it was done, `Ok(false)` when it had been done before.
type Ruling = Result<bool, String>;

fn promote(all: &mut [GenerationRecord], index: usize, above: i64) -> Ruling {
    let record = &all[index];
    let name = format!("generation {} of {}", record.number, record.projection);
    if record.wanted {
        return Ok(false);
    }
    if let Some(other) = under_way(all).filter(|other| other.is_anywhere(State::Live)) {
        return Err(format!(
            "the cutover of {} to generation {} is half way, some stores show it already: try \
             again when all do (viewfold status)",
            other.projection, other.number
        ));
    }
    let settled = [State::Live, State::Standby];
    if record.is_everywhere(State::Building) {
        if !record.ready {
            return Err(format!(
                "{name} is not ready: it is still being built or verified (viewfold status)"
            ));
        }
    } else if !settled.iter().any(|state| record.is_everywhere(*state)) {
        return Err(format!(
            "{name} is {}: only one that is ready or standby can be promoted; rebuild instead",
            states_of(record)
        ));
    }
    want(all, index, above);
    Ok(true)
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

fn cancel(record: &mut GenerationRecord) -> Ruling {
    let name = format!("generation {} of {}", record.number, record.projection);
    if record.is_everywhere(State::Cancelled) {
        return Ok(false);
    }
    if record.is_anywhere(State::Live) || record.is_anywhere(State::Standby) {
        let advice = if record.is_everywhere(State::Standby) && !record.wanted {
            "it is kept for a rollback and removed when its time is over"
        } else if record.is_everywhere(State::Live) {
            "roll back first"
        } else {
            "it is being cut over; roll back when that is done"
        };
        let states = states_of(record);
        return Err(format!(
            "{name} is {states}, and only a build can be cancelled: {advice}"
        ));
    }
    if record.wanted {
        return Err(format!(
            "{name} is being cut over: wait until readers see it, then roll back"
        ));
    }
    if !record.is_everywhere(State::Building) {
        return Err(format!("{name} is {} already", states_of(record)));
    }
    end(record, State::Cancelled);
    Ok(true)
}

fn pause(record: &mut GenerationRecord, paused: bool) -> Ruling {
    let name = format!("generation {} of {}", record.number, record.projection);
    if !record.is_everywhere(State::Building) {
        return Err(format!(
            "{name} is {}: only one that is being built can be paused or resumed",
            states_of(record)
        ));
    }
    if record.paused == paused {
        return Ok(false);
    }
    if record.wanted {
        return Err(format!(
            "{name} is being cut over, and would never get there: pause it when that was given up"
        ));
    }
    record.paused = paused;
    Ok(true)
}

/// The record's states for people, each once: `standby`, or `live and standby`.
fn states_of(record: &GenerationRecord) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (_, state) in &record.stores {
        if !names.contains(&state.as_str()) {
            names.push(state.as_str());
        }
    }
    names.join(" and ")
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

/// Ends every generation that runs.
pub(super) fn drop_all(all: &mut [GenerationRecord]) {
    for record in all {
        end(record, State::Retired);
    }
}

fn of(all: &mut [GenerationRecord], build: Uuid) -> Option<&mut GenerationRecord> {
    all.iter_mut().find(|record| record.build == build)
}

/// A building generation may be cut over.
pub(super) fn set_ready(
    all: &mut [GenerationRecord],
    build: Uuid,
    verification: &serde_json::Value,
) -> bool {
    let building = |record: &&mut GenerationRecord| record.is_anywhere(State::Building);
    let Some(record) = of(all, build).filter(building) else {
        return false;
    };
    record.ready = true;
    record.verification = Some(verification.clone());
    true
}

/// A building generation failed. One that already is stays as it is.
pub(super) fn set_failed(
    all: &mut [GenerationRecord],
    build: Uuid,
    why: &str,
    verification: Option<&serde_json::Value>,
) -> bool {
    let Some(record) = of(all, build) else {
        return false;
    };
    if record.is_everywhere(State::Failed) {
        return true;
    }
    if !record.is_everywhere(State::Building) {
        return false;
    }
    let was_wanted = record.wanted;
    end(record, State::Failed);
    record.ready = false;
    record.trouble = Some(why.to_owned());
    if let Some(verification) = verification {
        record.verification = Some(verification.clone());
    }
    if was_wanted {
        want_the_live_one(all);
    }
    true
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

/// Gives a cutover up in which no store took part yet.
pub(super) fn withdraw(all: &mut [GenerationRecord], build: Uuid, why: &str) -> bool {
    let untouched =
        |record: &&mut GenerationRecord| record.wanted && !record.is_anywhere(State::Live);
    if of(all, build).filter(untouched).is_none() || !want_the_live_one(all) {
        return false;
    }
    if let Some(record) = of(all, build) {
        record.options.promote = Promote::Manual;
        record.trouble = Some(why.to_owned());
    }
    true
}

/// Readers of `store` see the build, if it is the wanted one. Repeating it changes nothing.
pub(super) fn set_live(all: &mut [GenerationRecord], build: Uuid, store: StoreKind) -> bool {
    let wanted = |record: &&mut GenerationRecord| {
        record.wanted && record.state(store).is_some_and(State::runs)
    };
    let Some(record) = of(all, build).filter(wanted) else {
        return false;
    };
    enter(record, store, State::Live);
    record.published = mark(record, &record.published, store);
    let everywhere = record.is_everywhere(State::Live);
    let stores: Vec<StoreKind> = record.stores.iter().map(|(kind, _)| *kind).collect();
    for other in all.iter_mut().filter(|other| other.build != build) {
        let shown: Vec<StoreKind> = other
            .stores
            .iter()
            .filter(|(_, state)| *state == State::Live)
            .map(|(kind, _)| *kind)
            .collect();
        for kind in shown {
            // A store that the new one does not use has nothing to wait for.
            if kind == store || (everywhere && !stores.contains(&kind)) {
                enter(other, kind, State::Standby);
            }
        }
    }
    true
}

/// Ends a standby generation.
pub(super) fn retire(all: &mut [GenerationRecord], build: Uuid) -> bool {
    let idle =
        |record: &&mut GenerationRecord| !record.wanted && record.is_everywhere(State::Standby);
    let Some(record) = of(all, build).filter(idle) else {
        return false;
    };
    end(record, State::Retired);
    true
}

/// A generation that is over is gone from a store.
pub(super) fn set_cleaned(all: &mut [GenerationRecord], build: Uuid, store: StoreKind) -> bool {
    let over = |record: &&mut GenerationRecord| record.state(store).is_some_and(|s| !s.runs());
    let Some(record) = of(all, build).filter(over) else {
        return false;
    };
    record.cleaned = mark(record, &record.cleaned, store);
    true
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
