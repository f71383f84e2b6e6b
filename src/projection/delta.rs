//! What the fold hands to a store: one delta per row.
//!
//! The laws: folding ops in any split and combining the deltas gives the same row as applying
//! the ops one by one (overflow is judged on the stored result, the one exception).

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::value::{RowKey, Value};

/// A value of the `latest` family with what orders it.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// An order-preserving ASCII text: compares bytewise as (`by`, event id) do.
    pub order: Box<str>,
    /// The value.
    pub value: Value,
}

/// An op on the stored value, of one family; many ops combined.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Taken where the stored value is null. Never a null.
    SetOnce(Value),
    /// Taken where its order is greater than or equal to the stored order, or nothing is stored.
    Latest(Latest),
    /// Added to the stored value, null as 0.
    Add(Decimal),
    /// The greater of stored and this; never a null.
    Max(Value),
    /// The lesser of stored and this; never a null.
    Min(Value),
    /// Appended to the stored array (null as `[]`), of which the last `keep` stay.
    Append {
        /// Elements as canonical JSON, in order.
        items: Vec<Box<str>>,
        /// How many elements stay.
        keep: Option<u32>,
    },
    /// Entries put (some) and removed (none) in the stored object (null as `{}`). Where nothing
    /// is left and the column has no default, the result is null.
    Object(BTreeMap<Box<str>, Option<Box<str>>>),
}

/// What happens to one column of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// The column becomes the value, whatever was stored; in the latest family its order is forgotten.
    Replace(Value),
    /// The same for a column of the latest family, with its order.
    ReplaceLatest(Latest),
    /// An op on what is stored (on the column's default where the row is missing).
    Op(Delta),
}

/// What happens to one row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowDelta {
    /// The row is created with defaults where it is missing, then the cells are applied: column
    /// index and cell, by increasing index, each at most once. After a delete in the same fold,
    /// every non-key column is present as a `Replace`.
    Upsert(RowKey, Vec<(usize, Cell)>),
    /// The row goes, if it is there.
    Delete(RowKey),
}

impl RowDelta {
    /// The row's key.
    pub fn key(&self) -> &RowKey {
        match self {
            Self::Upsert(key, _) | Self::Delete(key) => key,
        }
    }
}
