//! What one event does to rows: a closed set of ops, before folding.

use super::decimal::Decimal;
use super::delta::Latest;
use super::value::{RowKey, Value};

/// One op on one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The column becomes the value (null included). `set_present` with a null gives no op at all.
    Set(Value),
    /// The column becomes the value where it is null. A null value changes nothing.
    SetOnce(Value),
    /// The column becomes null.
    Unset,
    /// The value whose order is greatest stays.
    Latest(Latest),
    /// Adds exactly; null counts as 0.
    Add(Decimal),
    /// The greater stays; a null column takes the value. Never a null value.
    Max(Value),
    /// The lesser stays; a null column takes the value. Never a null value.
    Min(Value),
    /// Appends one element (canonical JSON text) to a JSON array, of which the last `keep` stay.
    Append {
        /// The element as canonical JSON.
        item: Box<str>,
        /// How many elements stay; all when none. The same for every op on a column.
        keep: Option<u32>,
    },
    /// Sets one entry of a JSON object.
    Put {
        /// The entry's name.
        key: Box<str>,
        /// The entry's value as canonical JSON.
        value: Box<str>,
    },
    /// Removes one entry of a JSON object.
    Remove {
        /// The entry's name.
        key: Box<str>,
    },
}

/// What happens to one row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowAction {
    /// The row is created with its defaults where it is missing; then the ops are applied, in
    /// order: column index and op.
    Upsert(Vec<(usize, Op)>),
    /// The row goes; what comes later starts from defaults.
    Delete,
}

/// One row's part of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct RowOps {
    /// Which row.
    pub key: RowKey,
    /// What happens to it.
    pub action: RowAction,
}

/// What one event does, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ops {
    /// The rows, in the order in which the handler named them. A row may occur more than once.
    pub rows: Vec<RowOps>,
}

impl Ops {
    /// No ops.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the row where it is missing and applies `ops` to it.
    pub fn upsert(&mut self, key: RowKey, ops: Vec<(usize, Op)>) {
        self.rows.push(RowOps {
            key,
            action: RowAction::Upsert(ops),
        });
    }

    /// Deletes the row.
    pub fn delete(&mut self, key: RowKey) {
        self.rows.push(RowOps {
            key,
            action: RowAction::Delete,
        });
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
    }
}
