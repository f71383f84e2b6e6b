//! What the holder of a lease records. Each answers whether it holds now; repeating it is harmless.

use uuid::Uuid;

use super::{end, enter, mark, want_the_live_one};
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, Promote, State};

fn of(all: &mut [GenerationRecord], build: Uuid) -> Option<&mut GenerationRecord> {
    all.iter_mut().find(|record| record.build == build)
}

/// A building generation may be cut over.
pub(in crate::store) fn set_ready(
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
pub(in crate::store) fn set_failed(
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

/// Gives a cutover up in which no store took part yet.
pub(in crate::store) fn withdraw(all: &mut [GenerationRecord], build: Uuid, why: &str) -> bool {
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
pub(in crate::store) fn set_live(
    all: &mut [GenerationRecord],
    build: Uuid,
    store: StoreKind,
) -> bool {
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
pub(in crate::store) fn retire(all: &mut [GenerationRecord], build: Uuid) -> bool {
    let idle =
        |record: &&mut GenerationRecord| !record.wanted && record.is_everywhere(State::Standby);
    let Some(record) = of(all, build).filter(idle) else {
        return false;
    };
    end(record, State::Retired);
    true
}

/// A generation that is over is gone from a store.
pub(in crate::store) fn set_cleaned(
    all: &mut [GenerationRecord],
    build: Uuid,
    store: StoreKind,
) -> bool {
    let over = |record: &&mut GenerationRecord| record.state(store).is_some_and(|s| !s.runs());
    let Some(record) = of(all, build).filter(over) else {
        return false;
    };
    record.cleaned = mark(record, &record.cleaned, store);
    true
}
