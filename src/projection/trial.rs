//! Folding events in memory: what `viewfold try` and golden cases do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as JsonValue};

use super::{Definition, Handled, HeldRows, Row, RowKey, Schema, Value};
use crate::event::{Chunk, Json, PathSet};
use crate::fault::Fault;
use crate::position::RecordName;

/// What events come to.
#[derive(Debug)]
pub struct Trial {
    /// The shape of the rows.
    pub schema: Arc<Schema>,
    /// The rows, by key.
    pub rows: Vec<(RowKey, Row)>,
    /// The event types that no handler takes, and how many there were.
    pub unmatched: BTreeMap<String, u64>,
    /// The events that failed; each changed nothing.
    pub faults: Vec<(RecordName, Fault)>,
    /// How many events a handler applied.
    pub applied: u64,
    /// How many events a handler's `when` refused, or were tombstones without a handler.
    pub filtered: u64,
    /// How many records were in topics that the projection does not read.
    pub elsewhere: u64,
}

/// Folds the events of `chunks`, in order, onto no rows. An event that fails changes nothing and is listed.
pub fn trial(definition: &Definition, chunks: &[Chunk]) -> Trial {
    let plan = &definition.plan;
    let mut trial = Trial {
        schema: plan.schema().clone(),
        rows: Vec::new(),
        unmatched: BTreeMap::new(),
        faults: Vec::new(),
        applied: 0,
        filtered: 0,
        elsewhere: 0,
    };
    let mut held = HeldRows::new(plan.clone(), []);
    let paths = Arc::new(PathSet::new(plan.paths().iter().cloned()));
    for chunk in chunks {
        let topic = &chunk.partition().topic;
        if !plan.topics().iter().any(|wanted| wanted.selects(topic)) {
            trial.elsewhere += chunk.len() as u64;
            continue;
        }
        let decoded = chunk.with_paths(paths.clone());
        let Some(map) = decoded.map(plan.paths()) else {
            continue;
        };
        for index in 0..decoded.len() {
            let event = decoded.event(index, &map);
            match held.step(&event) {
                Ok(Handled::Applied) => trial.applied += 1,
                Ok(Handled::Filtered) => trial.filtered += 1,
                Ok(Handled::Unmatched) => {
                    let kind = event.event_type().into_owned();
                    *trial.unmatched.entry(kind).or_default() += 1;
                }
                Err(fault) => trial.faults.push((event.record(), fault)),
            }
        }
    }
    trial.rows = held.into_rows().collect();
    trial.rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    trial
}

/// A row as CONTRACT §6 writes it: column → value, in column order.
pub fn row_json(schema: &Schema, row: &Row) -> Vec<(Arc<str>, JsonValue)> {
    let columns = schema.columns.iter().zip(&row.values);
    columns
        .map(|(column, value)| (column.name.clone(), value.to_json()))
        .collect()
}

/// Why a file of expected rows cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpectError(String);

impl Trial {
    /// The rows as a JSON array of objects, one per line, columns in declared order.
    pub fn to_json(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|(_, row)| {
                let columns: Vec<String> = row_json(&self.schema, row)
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", columns.join(","))
            })
            .collect();
        if rows.is_empty() {
            return "[]\n".to_owned();
        }
        format!("[\n{}\n]\n", rows.join(",\n"))
    }

    /// What differs from `expected`, a JSON array of row objects in any order: one line per row that
    /// is missing or too many, and per column. A column that an expected row leaves out is expected
    /// to be null. Values are compared as the column's type, so `12.5` equals `"12.50"` for
    /// `numeric(18,2)`. Err = `expected` cannot be read.
    pub fn compare(&self, expected: &str) -> Result<Vec<String>, ExpectError> {
        let expected = self.read_expected(expected)?;
        let mut actual: BTreeMap<&RowKey, &Row> =
            self.rows.iter().map(|(key, row)| (key, row)).collect();
        let mut differences = Vec::new();
        for (key, wanted) in &expected {
            match actual.remove(key) {
                None => differences.push(format!("{key:?}: expected, but there is no such row")),
                Some(row) => self.compare_row(key, wanted, row, &mut differences),
            }
        }
        for key in actual.keys() {
            differences.push(format!("{key:?}: not expected, but there is such a row"));
        }
        Ok(differences)
    }

    fn compare_row(
        &self,
        key: &RowKey,
        wanted: &Map<String, JsonValue>,
        row: &Row,
        differences: &mut Vec<String>,
    ) {
        for (column, actual) in self.schema.columns.iter().zip(&row.values) {
            let null = JsonValue::Null;
            let json = wanted.get(&*column.name).unwrap_or(&null);
            let same = typed(column.ty, json).is_ok_and(|value| {
                value.is_null() == actual.is_null() && value.canonical() == actual.canonical()
            });
            if !same {
                let name = &column.name;
                let actual = actual.to_json();
                differences.push(format!("{key:?}: {name}: expected {json}, is {actual}"));
            }
        }
    }

    fn read_expected(
        &self,
        text: &str,
    ) -> Result<BTreeMap<RowKey, Map<String, JsonValue>>, ExpectError> {
        let rows: Vec<Map<String, JsonValue>> = serde_json::from_str(text).map_err(|error| {
            ExpectError(format!(
                "expected rows must be a JSON array of objects: {error}"
            ))
        })?;
        let mut expected = BTreeMap::new();
        for (index, row) in rows.into_iter().enumerate() {
            let wrong = |message: String| ExpectError(format!("expected row {index}: {message}"));
            if let Some(name) = row.keys().find(|name| self.schema.column(name).is_none()) {
                return Err(wrong(format!("there is no column `{name}`")));
            }
            let key = self.key_of(&row).map_err(wrong)?;
            let text = key.text().to_owned();
            if expected.insert(key, row).is_some() {
                return Err(wrong(format!("a second row with key {text}")));
            }
        }
        Ok(expected)
    }

    fn key_of(&self, row: &Map<String, JsonValue>) -> Result<RowKey, String> {
        let mut parts = Vec::new();
        for column in self
            .schema
            .key
            .iter()
            .filter_map(|&i| self.schema.columns.get(i))
        {
            let json = row.get(&*column.name).unwrap_or(&JsonValue::Null);
            let value =
                typed(column.ty, json).map_err(|e| format!("key column `{}` {e}", column.name))?;
            if value.is_null() {
                return Err(format!("key column `{}` is missing", column.name));
            }
            parts.push(value);
        }
        RowKey::new(&self.schema, parts)
    }
}

/// A JSON value as a column's.
fn typed(ty: super::ColumnType, json: &JsonValue) -> Result<Value, String> {
    let text = json.to_string();
    let json = match json {
        JsonValue::Null => Json::Null,
        JsonValue::Bool(value) => Json::Bool(*value),
        JsonValue::Number(_) => Json::Number(&text),
        JsonValue::String(value) => Json::String(value.as_str().into()),
        JsonValue::Array(_) => Json::Array(&text),
        JsonValue::Object(_) => Json::Object(&text),
    };
    Value::from_json(ty, &json)
}
