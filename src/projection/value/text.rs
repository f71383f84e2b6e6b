//! Values to texts and to JSON (CONTRACT §6).

use std::borrow::Cow;

use super::Value;
use super::json::{elements, members, write_string};
use super::time::{format_date, format_timestamp};

impl Value {
    /// The canonical text: what Redis holds and keys are made of. None for null.
    pub fn canonical(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Numeric(number) => Cow::Owned(number.plain()),
            Self::Double(number) => Cow::Owned(double_text(*number)),
            Self::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Self::Time(micros) => Cow::Owned(format_timestamp(*micros)),
            Self::Date(days) => Cow::Owned(format_date(*days)),
            Self::Uuid(id) => Cow::Owned(id.hyphenated().to_string()),
            Self::TextArray(texts) => Cow::Owned(array_text(texts)),
        })
    }

    /// The value as JSON: numerics, times, dates and UUIDs are strings, integers and doubles
    /// numbers, JSON itself (of its numbers the value; see [`Value::json_text`] for their text).
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Int(number) => Json::from(*number),
            Self::Double(number) => serde_json::from_str(&double_text(*number)).unwrap_or_default(),
            Self::Bool(truth) => Json::from(*truth),
            Self::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| deep_tree(text)),
            Self::TextArray(texts) => texts.iter().map(|text| Json::from(&**text)).collect(),
            Self::Text(_) | Self::Numeric(_) | Self::Time(_) | Self::Date(_) | Self::Uuid(_) => {
                Json::from(self.canonical().unwrap_or_default())
            }
        }
    }

    /// [`Value::to_json`] as compact JSON text, without building a tree: numbers within `jsonb`
    /// stay exactly as they were written.
    pub fn json_text(&self) -> Cow<'_, str> {
        match (self, self.canonical()) {
            (_, None) => Cow::Borrowed("null"),
            (
                Self::Int(_) | Self::Double(_) | Self::Bool(_) | Self::Json(_) | Self::TextArray(_),
                Some(text),
            ) => text,
            (_, Some(text)) => {
                let mut json = String::with_capacity(text.len() + 2);
                write_string(&mut json, &text);
                Cow::Owned(json)
            }
        }
    }

    /// The text as a JSON string value.
    pub(super) fn json_string(text: &str) -> Self {
        let mut json = String::with_capacity(text.len() + 2);
        write_string(&mut json, text);
        Self::Json(json.into())
    }
}

/// The shortest digits that read back as the same double; with an exponent only where plain
/// digits would be long (below 1e-6, from 1e21), as JavaScript writes numbers. Valid JSON.
pub(super) fn double_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

pub(super) fn array_text(texts: &[Box<str>]) -> String {
    let mut json = String::from("[");
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_string(&mut json, text);
    }
    json.push(']');
    json
}

/// A tree of JSON nested as deep as we allow, which is one level more than serde_json reads.
fn deep_tree(text: &str) -> serde_json::Value {
    if let Ok(items) = elements(text) {
        items.into_iter().map(tree).collect()
    } else if let Ok(entries) = members(text) {
        entries
            .into_iter()
            .map(|(key, value)| (key.into_string(), tree(value)))
            .collect()
    } else {
        serde_json::Value::Null
    }
}

fn tree(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| deep_tree(text))
}
