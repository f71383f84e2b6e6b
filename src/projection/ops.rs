//! What one event does to rows: a closed set of ops, before folding.

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::delta::{Cell, Delta, Latest};
use super::schema::{Column, Family, Schema};
use super::value::{RowKey, Value, fits_inside};
use crate::fault::Result;

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

impl Op {
    /// Whether a column of `family` may have this op.
    const fn belongs_to(&self, family: Family) -> bool {
        match self {
            Self::Set(_) | Self::Unset => matches!(
                family,
                Family::Assign | Family::Sum | Family::Greatest | Family::Least
            ),
            Self::SetOnce(_) => matches!(family, Family::Assign),
            Self::Latest(_) => matches!(family, Family::Latest),
            Self::Add(_) => matches!(family, Family::Sum),
            Self::Max(_) => matches!(family, Family::Greatest),
            Self::Min(_) => matches!(family, Family::Least),
            Self::Append { .. } => matches!(family, Family::List),
            Self::Put { .. } | Self::Remove { .. } => matches!(family, Family::Object),
        }
    }

    /// What the op alone does to column `index`, with its value as the column's type has it; none
    /// when it changes nothing. A value that the column cannot hold is a poison fault, an op that
    /// the column cannot have a bug of the handler.
    pub(super) fn into_cell(self, schema: &Schema, index: usize) -> Result<Option<Cell>> {
        let Some(column) = schema.columns.get(index) else {
            return Err(schema.bug(index, "does not exist"));
        };
        if schema.is_key(index) {
            return Err(schema.bug(index, "belongs to the key, which no op may change"));
        }
        if !self.belongs_to(column.family) {
            return Err(schema.bug(index, "has an op of another family"));
        }
        self.into_typed_cell(column)
            .map_err(|reason| schema.poison(index, &reason))
    }

    fn into_typed_cell(self, column: &Column) -> std::result::Result<Option<Cell>, String> {
        let typed = |value: Value| {
            value
                .cast(column.ty)
                .map_err(|reason| format!("cannot take a value that {reason}"))
        };
        let nested = |json: Box<str>| {
            if fits_inside(&json) {
                Ok(json)
            } else {
                Err("would be nested too deep".to_owned())
            }
        };
        let delta = match self {
            Self::Set(value) => return typed(value).map(|value| Some(Cell::Replace(value))),
            Self::Unset => return Ok(Some(Cell::Replace(Value::Null))),
            Self::SetOnce(value) | Self::Max(value) | Self::Min(value) if value.is_null() => {
                return Ok(None);
            }
            Self::Latest(latest) if latest.value.is_null() => return Ok(None),
            Self::SetOnce(value) => Delta::SetOnce(typed(value)?),
            Self::Max(value) => Delta::Max(typed(value)?),
            Self::Min(value) => Delta::Min(typed(value)?),
            Self::Latest(Latest { order, value }) => Delta::Latest(Latest {
                order,
                value: typed(value)?,
            }),
            // An amount that the column could not hold by itself is refused here, so that it does
            // not depend on its neighbours in a batch whether it passes.
            Self::Add(amount) => match typed(Value::Numeric(amount))?.to_decimal() {
                Some(amount) => Delta::Add(amount),
                None => return Ok(None),
            },
            Self::Append { item, keep } => Delta::Append {
                items: vec![nested(item)?],
                keep,
            },
            Self::Put { key, .. } if key.as_bytes().contains(&0) => {
                return Err("cannot take an entry whose name contains U+0000".into());
            }
            Self::Put { key, value } => {
                Delta::Object(BTreeMap::from([(key, Some(nested(value)?))]))
            }
            Self::Remove { key } => Delta::Object(BTreeMap::from([(key, None)])),
        };
        Ok(Some(Cell::Op(delta)))
    }
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
