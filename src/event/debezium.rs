//! Debezium change events, with or without the `schema`/`payload` wrapper of the JSON converter.
//!
//! The type is `<table>.created` (also for snapshot reads), `.updated` or `.deleted`. The data is
//! the row after the change, and the row before it for deletes, so that `data.<column>` works for
//! all of them. `data["$before"].<column>` is the row before the change where there is one.

use super::field::Field;
use super::path::{Path, PathSet, Segment};
use super::plan::Shape;

/// The member of `data` under which the row before the change can be reached.
const BEFORE: &str = "$before";

/// The place of the data among a shape's bodies: the row after the change.
pub(super) const AFTER_BODY: usize = 0;
/// The place of the data among a shape's bodies: the row before the change.
pub(super) const BEFORE_BODY: usize = 1;

/// The parts of a change event. The type field holds `op`, the aggregate's type is the table.
pub(super) fn shape(paths: &PathSet) -> Shape {
    let mut shape = Shape::default();
    let place = |names: &[&str]| {
        Path(
            names
                .iter()
                .map(|&name| Segment::Key(name.into()))
                .collect(),
        )
    };
    shape.add_field(Field::Type, &[place(&["op"])]);
    shape.add_field(Field::Source, &[place(&["source", "name"])]);
    // When the change was made, else when Debezium saw it.
    shape.add_field(
        Field::Time,
        &[place(&["source", "ts_ms"]), place(&["ts_ms"])],
    );
    shape.add_field(Field::CorrelationId, &[place(&["transaction", "id"])]);
    shape.add_field(
        Field::AggregateType,
        &[
            place(&["source", "table"]),
            place(&["source", "collection"]),
        ],
    );
    let before = place(&["before"]);
    shape.add_body(&place(&["after"]), paths);
    shape.add_body(&before, paths);
    for (index, path) in paths.paths().iter().enumerate() {
        let Some((Segment::Key(first), rest)) = path.0.split_first() else {
            continue;
        };
        if &**first == BEFORE {
            let slot = shape.trie.add(before.0.iter().chain(rest));
            for body in &mut shape.bodies {
                body.paths[index] = slot;
            }
        }
    }
    shape.trie.unwrap_member("payload");
    shape
}

/// What an `op` means: the last part of the type, and which row is the data.
pub(super) fn change(op: &str) -> Option<(&'static str, usize)> {
    match op {
        "c" | "r" => Some(("created", AFTER_BODY)),
        "u" => Some(("updated", AFTER_BODY)),
        "d" => Some(("deleted", BEFORE_BODY)),
        "t" => Some(("truncated", AFTER_BODY)),
        _ => None,
    }
}
