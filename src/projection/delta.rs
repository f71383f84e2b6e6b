//! What the fold hands to a store: one delta per row.
//!
//! The laws: folding ops in any split and combining the deltas gives the same row as applying
//! the ops one by one (overflow is judged on the stored result, the one exception).

use std::collections::BTreeMap;

use super::apply::effect;
use super::decimal::Decimal;
use super::schema::Schema;
use super::value::{RowKey, Value};
use crate::fault::{Fault, Result};

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

impl Delta {
    /// This, then `next`, as one delta of the same family. False when the families differ.
    fn then(&mut self, next: Self) -> bool {
        match (self, next) {
            // What was set first stays.
            (Self::SetOnce(_), Self::SetOnce(_)) => {}
            (Self::Latest(first), Self::Latest(second)) => {
                if second.order >= first.order {
                    *first = second;
                }
            }
            (Self::Add(sum), Self::Add(amount)) => *sum = sum.plus(&amount),
            (Self::Max(first), Self::Max(second)) => {
                if second.compare(first).is_gt() {
                    *first = second;
                }
            }
            (Self::Min(first), Self::Min(second)) => {
                if second.compare(first).is_lt() {
                    *first = second;
                }
            }
            (
                Self::Append { items, keep },
                Self::Append {
                    items: more,
                    keep: now,
                },
            ) => {
                items.extend(more);
                *keep = now;
                keep_last(items, now);
            }
            (Self::Object(entries), Self::Object(more)) => entries.extend(more),
            _ => return false,
        }
        true
    }
}

/// Drops all but the last `keep` of `items`.
pub(super) fn keep_last<T>(items: &mut Vec<T>, keep: Option<u32>) {
    if let Some(keep) = keep {
        let excess = items.len().saturating_sub(keep as usize);
        items.drain(..excess);
    }
}

impl Cell {
    /// This, then `next`, as one cell of column `index`.
    pub(super) fn then(&mut self, next: Self, schema: &Schema, index: usize) -> Result<()> {
        let delta = match next {
            Self::Op(delta) => delta,
            replacement => {
                *self = replacement;
                return Ok(());
            }
        };
        let (value, order) = match self {
            Self::Op(first) => {
                return if first.then(delta) {
                    Ok(())
                } else {
                    Err(schema.bug(index, "mixes two families of ops"))
                };
            }
            Self::Replace(value) => (value, None),
            Self::ReplaceLatest(latest) => (&mut latest.value, Some(&mut latest.order)),
        };
        // The value is known: the op takes effect at once, as it would in the store.
        let mut value = std::mem::replace(value, Value::Null);
        let mut order = order.map(std::mem::take);
        effect(schema, index, (&mut value, &mut order), &delta)?;
        *self = match order {
            Some(order) => Self::ReplaceLatest(Latest { order, value }),
            None => Self::Replace(value),
        };
        Ok(())
    }

    /// About how many bytes it takes on its way to a store.
    pub(super) fn weight(&self) -> usize {
        const OVERHEAD: usize = 16;
        OVERHEAD
            + match self {
                Self::Replace(value) => value.weight(),
                Self::ReplaceLatest(latest) | Self::Op(Delta::Latest(latest)) => {
                    latest.order.len() + latest.value.weight()
                }
                Self::Op(Delta::SetOnce(value) | Delta::Max(value) | Delta::Min(value)) => {
                    value.weight()
                }
                Self::Op(Delta::Add(_)) => 8,
                Self::Op(Delta::Append { items, .. }) => items.iter().map(|i| i.len() + 2).sum(),
                Self::Op(Delta::Object(entries)) => entries
                    .iter()
                    .map(|(key, value)| key.len() + value.as_ref().map_or(0, |v| v.len()) + 4)
                    .sum(),
            }
    }
}

impl Schema {
    /// A fault of whoever wrote the handler, about column `index`.
    pub(super) fn bug(&self, index: usize, what: &str) -> Fault {
        Fault::bug(format!("{} {what}", self.place(index)))
    }

    /// A fault of the event, about column `index`.
    pub(super) fn poison(&self, index: usize, what: &str) -> Fault {
        Fault::poison(format!("{} {what}", self.place(index)))
    }

    fn place(&self, index: usize) -> String {
        let column = self.columns.get(index).map_or("?", |c| &*c.name);
        format!("projection {}: column {column}", self.name)
    }
}
