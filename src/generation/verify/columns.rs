//! The columns of two generations side by side.

use std::borrow::Cow;
use std::sync::Arc;

use crate::fault::{Fault, Result};
use crate::projection::trial::row_json;
use crate::projection::{Decimal, Row, Schema, Value};
use crate::store::Generation;

/// How a row differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is on one side only.
    OneSided,
    /// These columns differ.
    Columns {
        names: Box<[Arc<str>]>,
        /// Whether the ops of all of them depend on the order in which they are applied.
        ordered: bool,
    },
}

/// The columns that both sides declare with the same type.
pub(super) struct Columns {
    shared: Vec<Shared>,
    first: Arc<Schema>,
    second: Arc<Schema>,
}

struct Shared {
    name: Arc<str>,
    first: usize,
    second: usize,
    ordered: bool,
}

impl Columns {
    /// # Errors
    /// `Misconfigured` when the rows have other keys.
    pub(super) fn new(first: &Generation, second: &Generation) -> Result<Self> {
        let key = |schema: &Schema| -> Vec<_> {
            let columns = schema.key_columns();
            columns
                .map(|column| (column.name.clone(), column.ty))
                .collect()
        };
        if key(&first.schema) != key(&second.schema) {
            return Err(Fault::misconfigured(format!(
                "{first} and generation {} have different keys: their rows cannot be compared",
                second.number
            )));
        }
        let shared = first.schema.columns.iter().enumerate();
        let shared = shared.filter_map(|(index, column)| {
            let other = second.schema.column(&column.name)?;
            let counterpart = second.schema.columns.get(other)?;
            (counterpart.ty == column.ty).then(|| Shared {
                name: column.name.clone(),
                first: index,
                second: other,
                ordered: !column.family.commutes() || !counterpart.family.commutes(),
            })
        });
        Ok(Self {
            shared: shared.collect(),
            first: Arc::clone(&first.schema),
            second: Arc::clone(&second.schema),
        })
    }

    /// How the rows differ, if they do.
    pub(super) fn compare(&self, first: Option<&Row>, second: Option<&Row>) -> Option<Finding> {
        let (first, second) = match (first, second) {
            (None, None) => return None,
            (Some(first), Some(second)) => (first, second),
            _ => return Some(Finding::OneSided),
        };
        let differs = |shared: &&Shared| match (
            first.values.get(shared.first),
            second.values.get(shared.second),
        ) {
            (Some(first), Some(second)) => !same(first, second),
            _ => true,
        };
        let mut differing = self.shared.iter().filter(differs).peekable();
        differing.peek()?;
        let differing: Vec<&Shared> = differing.collect();
        Some(Finding::Columns {
            ordered: differing.iter().all(|shared| shared.ordered),
            names: differing.iter().map(|shared| shared.name.clone()).collect(),
        })
    }

    /// Both rows as JSON objects; null where there is none.
    pub(super) fn json(
        &self,
        first: Option<&Row>,
        second: Option<&Row>,
    ) -> (serde_json::Value, serde_json::Value) {
        (object(&self.first, first), object(&self.second, second))
    }
}

fn object(schema: &Schema, row: Option<&Row>) -> serde_json::Value {
    let Some(row) = row else {
        return serde_json::Value::Null;
    };
    let columns = row_json(schema, row).into_iter();
    let members = columns.map(|(name, value)| (name.to_string(), value));
    serde_json::Value::Object(members.collect())
}

/// Whether two values are one to every store. Some stores write the numbers inside `jsonb` without
/// exponents, and have no negative zero: a row that was brought level in memory still has them.
fn same(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::Json(first), Value::Json(second)) => {
            first == second || plain_numbers(first) == plain_numbers(second)
        }
        _ => first == second,
    }
}

/// Canonical JSON with its numbers written out in digits.
fn plain_numbers(json: &str) -> Cow<'_, str> {
    if !json.contains(['e', 'E']) && !json.contains("-0") {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => {
                let outside = |c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
                rest.find(outside).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        match Decimal::parse(token) {
            Ok(number) if first != '"' => plain.push_str(&number.plain()),
            _ => plain.push_str(token),
        }
        rest = behind;
    }
    Cow::Owned(plain)
}

/// How many bytes the JSON string at the begin of `text` takes, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_json_are_compared_as_a_store_writes_them() {
        let json = |text: &str| Value::Json(text.into());
        assert!(same(
            &json(r#"{"a":1e2,"b":-0}"#),
            &json(r#"{"a":100,"b":0}"#)
        ));
        assert!(same(&json("[1.50e1]"), &json("[15.0]")));
        assert!(!same(&json("[1.50]"), &json("[1.5]")));
        assert!(!same(&json(r#"["1e2"]"#), &json(r#"["100"]"#)));
        assert!(!same(&json(r#"{"e\"1":1}"#), &json(r#"{"e\"1":2}"#)));
        assert!(same(&json(r#"{"e\"1e2":1e1}"#), &json(r#"{"e\"1e2":10}"#)));
        assert!(!same(&json("null"), &Value::Null));
    }
}
