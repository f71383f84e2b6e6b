//! Typed values with one canonical text each, the same in every store.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::decimal::Decimal;

/// One column's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL null; no field in Redis.
    Null,
    /// `text`.
    Text(Box<str>),
    /// `smallint`, `integer`, `bigint`.
    Int(i64),
    /// `numeric`, `numeric(p,s)` (then with exactly `s` digits behind the point).
    Numeric(Decimal),
    /// `double`; never NaN or infinite.
    Double(f64),
    /// `boolean`.
    Bool(bool),
    /// `timestamptz`: microseconds since the epoch.
    Time(i64),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `uuid`.
    Uuid(uuid::Uuid),
    /// `jsonb`: canonical JSON text (compact, keys sorted, numbers as written).
    Json(Box<str>),
    /// `text[]`.
    TextArray(Vec<Box<str>>),
}

impl Value {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A row's key: its values and its canonical text (CONTRACT §6), by which it is compared.
#[derive(Clone)]
pub struct RowKey {
    parts: Box<[Value]>,
    text: Box<str>,
}

impl RowKey {
    /// The values of the key columns, in key order. Never null.
    pub fn parts(&self) -> &[Value] {
        &self.parts
    }

    /// The canonical texts, every byte outside `A-Za-z0-9-._~` as `%XX`, joined by `,`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RowKey {}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for RowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
