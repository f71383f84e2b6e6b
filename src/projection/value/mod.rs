//! Typed values with one canonical text each, the same in every store.

mod cast;
mod json;
mod key;
mod order;
mod parse;
mod text;
mod time;

pub use json::canonical_json;
pub(super) use json::{elements, fits_inside, members, write_string};
pub use key::{RowKey, decode_percent};

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
    /// `numeric` (then without trailing zeros), `numeric(p,s)` (then with exactly `s` digits behind the point).
    Numeric(Decimal),
    /// `double`; never NaN or infinite, and no negative zero.
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

    /// About how many bytes its text takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::TextArray(texts) => texts.iter().map(|text| text.len() + 3).sum(),
            _ => 16,
        }
    }

    /// What it is, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a text",
            Self::Int(_) => "an integer",
            Self::Numeric(_) => "a decimal",
            Self::Double(_) => "a double",
            Self::Bool(_) => "a boolean",
            Self::Time(_) => "a timestamp",
            Self::Date(_) => "a date",
            Self::Uuid(_) => "a uuid",
            Self::Json(_) => "json",
            Self::TextArray(_) => "a list of texts",
        }
    }
}

#[cfg(test)]
mod tests;
