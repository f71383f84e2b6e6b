//! What operators ask for: builds, promotions, cancellations, pauses, and the end of it all.

use std::sync::Arc;

use super::{end, record, runs, under_way, want};
use crate::store::control::{Answered, GenerationRecord, NewGeneration, Order, State};

/// The greatest number that a generation can have: the tables keep 32 bits with a sign.
const GREATEST_NUMBER: u32 = i32::MAX as u32;

/// The record of a generation to be built, or why there is none.
pub(in crate::store) fn begin(
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
pub(in crate::store) fn order(all: &mut [GenerationRecord], number: u32, order: Order) -> Answered {
    let Some(index) = all.iter().position(|record| record.number == number) else {
        return Answered::Unknown;
    };
    let verdict = match order {
        Order::Promote { above } => promote(all, index, above),
        Order::Reissue { above } => reissue(all, index, above),
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

/// What readers should see stays the same, under a greater number.
fn reissue(all: &mut [GenerationRecord], index: usize, above: i64) -> Ruling {
    let record = &all[index];
    let needed = record.wanted && record.intent <= above;
    if needed {
        want(all, index, above);
    }
    Ok(needed)
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

/// Ends every generation that runs.
pub(in crate::store) fn drop_all(all: &mut [GenerationRecord]) {
    for record in all {
        end(record, State::Retired);
    }
}
