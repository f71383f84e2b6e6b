//! The decisions of a cutover, for the stores that take them in Rust. Redis takes the same ones in its script.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cursor, CutOver, Generation, Pointer};
use crate::position::{Position, TopicPartition};

/// What follows from the pointer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Readers see the old generation: whether they may be moved depends on the positions.
    Move,
    /// Readers see the new generation already: the intent and the states are brought up to date.
    Confirm,
    /// Somebody else decided later; says what.
    Overtaken(String),
}

/// What to do with a pointer that stands like this (I8).
pub(super) fn decide(pointer: Option<Pointer>, cut: &CutOver) -> Decision {
    let Some(Pointer { generation, intent }) = pointer else {
        return Decision::Move;
    };
    if intent > cut.intent {
        return Decision::Overtaken(format!("intent {intent} came after intent {}", cut.intent));
    }
    match generation {
        Some(seen) if seen == cut.to.number => Decision::Confirm,
        Some(seen) if intent == cut.intent => {
            Decision::Overtaken(format!("intent {intent} was for generation {seen}"))
        }
        Some(seen) if seen != cut.from.number => Decision::Overtaken(format!(
            "readers see generation {seen}, not generation {}",
            cut.from.number
        )),
        _ => Decision::Move,
    }
}

/// What is said when a generation is not in the store.
pub(super) fn gone(generation: &Generation) -> String {
    format!("{generation} is gone")
}

/// Why readers who see `from` would go back in position by seeing `to`; none when they would not (I8).
/// Both are the stored cursors of their generation.
pub(super) fn behind(cut: &CutOver, from: &[Cursor], to: &[Cursor]) -> Option<String> {
    let numbers = (cut.from.number, cut.to.number);
    let (from, to) = (positions(from), positions(to));
    let topics = |of: &BTreeMap<&TopicPartition, Position>| -> BTreeSet<String> {
        of.keys().map(|at| at.topic.to_string()).collect()
    };
    let (of_from, of_to) = (topics(&from), topics(&to));
    let in_both = |at: &TopicPartition| of_from.contains(&*at.topic) && of_to.contains(&*at.topic);
    let partitions: BTreeSet<&TopicPartition> = from.keys().chain(to.keys()).copied().collect();
    for at in partitions.into_iter().filter(|at| in_both(at)) {
        match (from.get(at), to.get(at)) {
            (Some(old), Some(new)) if new < old => {
                let by = new.distance_to(*old);
                let (from, to) = numbers;
                return Some(format!(
                    "{at}: generation {to} is {by} behind generation {from}"
                ));
            }
            (Some(_), Some(_)) => {}
            (Some(_), None) => return Some(lacks(numbers.1, at)),
            (None, _) => return Some(lacks(numbers.0, at)),
        }
    }
    cut.targets.iter().find_map(|(at, target)| {
        let Some(position) = to.get(at) else {
            return Some(lacks(numbers.1, at));
        };
        (position < target).then(|| {
            let by = position.distance_to(*target);
            format!("{at}: generation {} has {by} left to read", numbers.1)
        })
    })
}

fn lacks(number: u32, at: &TopicPartition) -> String {
    format!("{at}: generation {number} does not read it yet")
}

fn positions(cursors: &[Cursor]) -> BTreeMap<&TopicPartition, Position> {
    let at = |cursor: &Cursor| cursor.position;
    cursors.iter().map(|c| (&c.partition, at(c))).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projection::{ColumnType, Schema};
    use crate::store::control::Lease;

    fn cut(intent: i64, targets: &[(&str, i64)]) -> CutOver {
        let schema = Schema::builder("p")
            .key("id", ColumnType::Bigint)
            .build()
            .unwrap();
        let generation = |number| Generation {
            projection: "p".into(),
            number,
            build: Uuid::new_v4(),
            schema: schema.clone(),
        };
        CutOver {
            from: generation(1),
            to: generation(2),
            intent,
            lease: Lease {
                name: "coordinator/p".into(),
                epoch: 1,
            },
            targets: targets
                .iter()
                .map(|(at, to)| (at.parse().unwrap(), Position::at(*to)))
                .collect(),
        }
    }

    fn cursors(at: &[(&str, i64)]) -> Vec<Cursor> {
        at.iter()
            .map(|(at, position)| Cursor {
                partition: at.parse().unwrap(),
                position: Position::at(*position),
                claim: None,
                epoch: 0,
                newest_micros: None,
            })
            .collect()
    }

    #[test]
    fn the_pointer_decides_first() {
        let seen = |generation, intent| Some(Pointer { generation, intent });
        let overtaken = |pointer| matches!(decide(pointer, &cut(5, &[])), Decision::Overtaken(_));
        for pointer in [None, seen(Some(1), 4), seen(None, 4), seen(None, 5)] {
            assert_eq!(decide(pointer, &cut(5, &[])), Decision::Move, "{pointer:?}");
        }
        for pointer in [seen(Some(2), 4), seen(Some(2), 5)] {
            assert_eq!(decide(pointer, &cut(5, &[])), Decision::Confirm);
        }
        for pointer in [
            seen(Some(1), 5),
            seen(Some(1), 6),
            seen(Some(2), 6),
            seen(None, 6),
            seen(Some(3), 4),
        ] {
            assert!(overtaken(pointer), "{pointer:?}");
        }
    }

    #[test]
    fn every_shared_partition_and_every_target_counts() {
        let from = cursors(&[("a/0", 5), ("a/1", 7), ("old/0", 9)]);
        for (to, targets, ready) in [
            (vec![("a/0", 5), ("a/1", 7)], vec![], true),
            (vec![("a/0", 6), ("a/1", 7), ("b/0", 0)], vec![], true),
            (vec![("a/0", 5), ("a/1", 6)], vec![], false),
            (vec![("a/0", 5)], vec![], false),
            (vec![("a/0", 5), ("a/1", 7), ("a/2", 0)], vec![], false),
            (vec![("b/0", 3)], vec![("b/0", 3)], true),
            (vec![("b/0", 3)], vec![("b/0", 4)], false),
            (vec![("b/0", 3)], vec![("b/1", 0)], false),
        ] {
            let found = behind(&cut(1, &targets), &from, &cursors(&to));
            assert_eq!(found.is_none(), ready, "{to:?} {targets:?}: {found:?}");
        }
    }
}
