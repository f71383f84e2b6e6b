//! What a delta means: the executable form of the contract of every store.

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::delta::{Cell, Delta, RowDelta, keep_last};
use super::schema::Schema;
use super::value::{RowKey, Value, elements, members, write_string};
use crate::fault::Result;

/// A whole row, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// One value per column of the schema.
    pub values: Vec<Value>,
    /// For columns of the latest family: the stored order; none elsewhere and where nothing was stored.
    pub orders: Vec<Option<Box<str>>>,
    /// With which page of a copy the row came into its generation (from 1); 0 when it was not
    /// copied. See [`crate::store::BasePages`].
    pub page: u32,
}

impl Row {
    /// The row of `key` as it is created: its key columns, and the defaults of the others.
    pub fn new(schema: &Schema, key: &RowKey) -> Self {
        let mut values: Vec<Value> = schema.columns.iter().map(|c| c.default.clone()).collect();
        for (&index, part) in schema.key.iter().zip(key.parts()) {
            if let Some(value) = values.get_mut(index) {
                *value = part.clone();
            }
        }
        Self {
            values,
            orders: vec![None; schema.columns.len()],
            page: 0,
        }
    }
}

/// The row after `delta`; none when it is deleted. A result that does not fit its column
/// (overflow) is a poison fault that names the column.
pub fn apply(schema: &Schema, row: Option<Row>, delta: &RowDelta) -> Result<Option<Row>> {
    match delta {
        RowDelta::Delete(_) => Ok(None),
        RowDelta::Upsert(key, cells) => {
            let mut row = row.unwrap_or_else(|| Row::new(schema, key));
            for (index, cell) in cells {
                apply_cell(schema, &mut row, *index, cell)?;
            }
            Ok(Some(row))
        }
    }
}

/// Applies one column's cell to `row`.
pub(super) fn apply_cell(schema: &Schema, row: &mut Row, index: usize, cell: &Cell) -> Result<()> {
    let (Some(value), Some(order)) = (row.values.get_mut(index), row.orders.get_mut(index)) else {
        return Err(schema.bug(index, "is not a column of the row"));
    };
    match cell {
        Cell::Replace(new) => {
            *value = new.clone();
            *order = None;
        }
        Cell::ReplaceLatest(latest) => {
            *value = latest.value.clone();
            *order = Some(latest.order.clone());
        }
        Cell::Op(delta) => effect(schema, index, (value, order), delta)?,
    }
    Ok(())
}

/// What `delta` does to a stored value and its order.
pub(super) fn effect(
    schema: &Schema,
    index: usize,
    (value, order): (&mut Value, &mut Option<Box<str>>),
    delta: &Delta,
) -> Result<()> {
    match delta {
        Delta::SetOnce(first) => {
            if value.is_null() {
                *value = first.clone();
            }
        }
        Delta::Latest(latest) => {
            if order.as_ref().is_none_or(|stored| latest.order >= *stored) {
                *value = latest.value.clone();
                *order = Some(latest.order.clone());
            }
        }
        Delta::Add(amount) => *value = sum(schema, index, value, amount)?,
        Delta::Max(other) => {
            if value.is_null() || other.compare(value).is_gt() {
                *value = other.clone();
            }
        }
        Delta::Min(other) => {
            if value.is_null() || other.compare(value).is_lt() {
                *value = other.clone();
            }
        }
        Delta::Append { items, keep } => *value = appended(schema, index, value, items, *keep)?,
        Delta::Object(entries) => *value = merged(schema, index, value, entries)?,
    }
    Ok(())
}

fn sum(schema: &Schema, index: usize, value: &Value, amount: &Decimal) -> Result<Value> {
    let stored = match value {
        Value::Null => Decimal::zero(),
        _ => value
            .to_decimal()
            .ok_or_else(|| schema.bug(index, "holds no number"))?,
    };
    let Some(column) = schema.columns.get(index) else {
        return Err(schema.bug(index, "does not exist"));
    };
    Value::Numeric(stored.plus(amount))
        .cast(column.ty)
        .map_err(|reason| schema.poison(index, &format!("cannot take the sum, which {reason}")))
}

/// The text of a JSON column; none when it is null.
fn json_text<'v>(schema: &Schema, index: usize, value: &'v Value) -> Result<Option<&'v str>> {
    match value {
        Value::Null => Ok(None),
        Value::Json(text) => Ok(Some(text)),
        _ => Err(schema.bug(index, "holds no json")),
    }
}

/// A JSON column that became empty: null unless it has a default.
fn emptied(schema: &Schema, index: usize, empty: &str) -> Value {
    let defaults_to_null = schema
        .columns
        .get(index)
        .is_none_or(|c| c.default.is_null());
    if defaults_to_null {
        Value::Null
    } else {
        Value::Json(empty.into())
    }
}

fn appended(
    schema: &Schema,
    index: usize,
    value: &Value,
    items: &[Box<str>],
    keep: Option<u32>,
) -> Result<Value> {
    let stored = json_text(schema, index, value)?.unwrap_or("[]");
    let mut all = elements(stored).map_err(|reason| schema.bug(index, &reason))?;
    all.extend(items.iter().map(|item| &**item));
    keep_last(&mut all, keep);
    if all.is_empty() {
        return Ok(emptied(schema, index, "[]"));
    }
    Ok(Value::Json(format!("[{}]", all.join(",")).into()))
}

fn merged(
    schema: &Schema,
    index: usize,
    value: &Value,
    entries: &BTreeMap<Box<str>, Option<Box<str>>>,
) -> Result<Value> {
    let stored = json_text(schema, index, value)?.unwrap_or("{}");
    let mut all = members(stored).map_err(|reason| schema.bug(index, &reason))?;
    for (key, entry) in entries {
        match entry {
            Some(json) => all.insert(key.clone(), json),
            None => all.remove(key),
        };
    }
    if all.is_empty() {
        return Ok(emptied(schema, index, "{}"));
    }
    let mut json = String::from("{");
    for (key, entry) in all {
        if json.len() > 1 {
            json.push(',');
        }
        write_string(&mut json, &key);
        json.push(':');
        json.push_str(entry);
    }
    json.push('}');
    Ok(Value::Json(json.into()))
}
