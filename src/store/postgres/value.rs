//! Values on their way into and out of SQL, without a loss.
//!
//! In: the text that a cast to the column's type reads exactly. Out: an expression per type
//! whose text does not depend on any setting of the session.

use std::io::Write as _;

use crate::fault::{Fault, Result};
use crate::projection::{ColumnType, Value};

/// The type in SQL.
pub(super) fn sql_type(ty: ColumnType) -> String {
    match ty {
        ColumnType::Double => "double precision".into(),
        other => other.to_string(),
    }
}

/// Whether columns of this type have a collation; ours is always `"C"`: bytewise.
pub(super) fn has_collation(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Text | ColumnType::TextArray)
}

/// Writes what a cast to the value's type reads. Nulls write nothing.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = match value {
        Value::Text(text) | Value::Json(text) => out.write_all(text.as_bytes()),
        Value::Int(number) => write!(out, "{number}"),
        Value::Double(number) => write!(out, "{number:e}"),
        Value::Bool(yes) => write!(out, "{yes}"),
        Value::Numeric(number) => write!(out, "{number}"),
        Value::Uuid(id) => write!(out, "{id}"),
        Value::TextArray(items) => {
            write_list(items.iter().map(|item| &**item), out);
            Ok(())
        }
        Value::Null | Value::Time(_) | Value::Date(_) => {
            out.write_all(value.canonical().unwrap_or_default().as_bytes())
        }
    };
}

/// Writes a Postgres array literal of texts.
pub(super) fn write_list<'a>(items: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        for &byte in item.as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b'}');
}

/// The text that a value has in SQL; none for null.
pub(super) fn to_text(value: &Value) -> Option<String> {
    let mut out = Vec::new();
    write(value, &mut out);
    (!value.is_null())
        .then(|| String::from_utf8(out).ok())
        .flatten()
}

/// An expression that gives `column` of type `ty` as a text that [`read`] understands.
pub(super) fn read_expression(ty: ColumnType, column: &str) -> String {
    match ty {
        ColumnType::Timestamptz => {
            format!("(extract(epoch FROM {column}) * 1000000)::bigint::text")
        }
        ColumnType::Date => format!("({column} - DATE '1970-01-01')::text"),
        ColumnType::TextArray => format!("to_json({column})::text"),
        _ => format!("{column}::text"),
    }
}

/// Reads what [`read_expression`] gave.
pub(super) fn read(ty: ColumnType, text: &str) -> Result<Value> {
    let unreadable = || Fault::bug(format!("postgres: a stored {ty} cannot be read back"));
    Ok(match ty {
        ColumnType::Text => Value::Text(text.into()),
        ColumnType::Bigint | ColumnType::Integer | ColumnType::Smallint => {
            Value::Int(text.parse().map_err(|_| unreadable())?)
        }
        ColumnType::Timestamptz => Value::Time(text.parse().map_err(|_| unreadable())?),
        ColumnType::Date => Value::Date(text.parse().map_err(|_| unreadable())?),
        ColumnType::TextArray => {
            Value::TextArray(serde_json::from_str(text).map_err(|_| unreadable())?)
        }
        ColumnType::Numeric
        | ColumnType::Decimal { .. }
        | ColumnType::Double
        | ColumnType::Boolean
        | ColumnType::Uuid
        | ColumnType::Jsonb => Value::parse(ty, text).map_err(|_| unreadable())?,
    })
}

/// Whether the value is the JSON text `empty`.
pub(super) fn is_json(value: &Value, empty: &str) -> bool {
    matches!(value, Value::Json(text) if &**text == empty)
}

/// A JSON array of elements that are JSON already.
pub(super) fn write_json_array<'a>(items: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item.as_bytes());
    }
    out.push(b']');
}

/// A JSON object of values that are JSON already.
pub(super) fn write_json_object<'a>(
    entries: impl Iterator<Item = (&'a str, &'a str)>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (index, (name, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // A text always has a JSON form.
        let _ = serde_json::to_writer(&mut *out, name);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
}
