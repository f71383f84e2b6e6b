//! Row keys and their canonical text.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::super::schema::Schema;
use super::Value;

/// A row's key: its values and its canonical text (CONTRACT §6), by which it is compared.
#[derive(Clone)]
pub struct RowKey {
    parts: Box<[Value]>,
    text: Box<str>,
}

impl RowKey {
    /// The key of these values, one per key column, in key order. They are cast to the columns'
    /// types first, so that 1.0 and 1.00 are one key. Null is refused. The error is a lowercase
    /// fragment without the payload.
    pub fn new(schema: &Schema, parts: Vec<Value>) -> Result<Self, String> {
        let count = schema.key.len();
        if parts.len() != count {
            return Err(format!("has {} parts, not {count}", parts.len()));
        }
        let parts = parts
            .into_iter()
            .zip(schema.key_columns())
            .map(|(part, column)| match part.cast(column.ty) {
                Ok(Value::Null) => Err(format!("column {} is null", column.name)),
                Ok(part) => Ok(part),
                Err(reason) => Err(format!("column {} {reason}", column.name)),
            })
            .collect::<Result<Box<[Value]>, String>>()?;
        let text = match &*parts {
            // Most keys are one plain text, which is its own canonical text.
            [Value::Text(text)] if text.bytes().all(is_unreserved) => text.clone(),
            _ => joined(&parts).into(),
        };
        Ok(Self { parts, text })
    }

    /// Reads the canonical text, as it stands in an HTTP path or in a Redis key: it is split at
    /// `,` before it is decoded. Every part may also be another text of the same value.
    pub fn parse(schema: &Schema, text: &str) -> Result<Self, String> {
        let count = schema.key.len();
        let given: Vec<&str> = text.split(',').collect();
        if given.len() != count {
            let names: Vec<&str> = schema.key_columns().map(|c| &*c.name).collect();
            return Err(format!(
                "has {} parts where {count} are needed: {}",
                given.len(),
                names.join(",")
            ));
        }
        let parts = given
            .into_iter()
            .zip(schema.key_columns())
            .map(|(part, column)| {
                decode_percent(part)
                    .and_then(|text| Value::parse(column.ty, &text))
                    .map_err(|reason| format!("part {} {reason}", column.name))
            })
            .collect::<Result<_, _>>()?;
        Self::new(schema, parts)
    }

    /// The values of the key columns, in key order. Never null.
    pub fn parts(&self) -> &[Value] {
        &self.parts
    }

    /// The canonical texts, every byte outside `A-Za-z0-9-._~` as `%XX`, joined by `,`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn joined(parts: &[Value]) -> String {
    let mut text = String::with_capacity(24 * parts.len());
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        encode(&mut text, &part.canonical().unwrap_or_default());
    }
    text
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.extend(HEX.get(usize::from(nibble)).map(|&hex| char::from(hex)));
            }
        }
    }
}

/// The text that percent-encoding stands for. The error is a lowercase fragment without the payload.
pub fn decode_percent(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let nibble = |byte: u8| char::from(byte).to_digit(16);
        let (high, low, tail) = match tail {
            [high, low, tail @ ..] => (nibble(*high), nibble(*low), tail),
            _ => (None, None, tail),
        };
        let (Some(high), Some(low)) = (high, low) else {
            return Err("has a % without two hexadecimal digits".into());
        };
        bytes.push((high * 16 + low) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| "is not valid UTF-8".into())
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
