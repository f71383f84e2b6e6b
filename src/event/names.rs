//! The names under which producers write envelope fields, however they spell them.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::field::Field;
use super::json::Json;

/// The words of a field's names: those that say enough alone, and those that only mean the envelope
/// in a record that keeps its data apart.
pub(super) struct Names {
    pub(super) field: Field,
    pub(super) telling: &'static [&'static str],
    pub(super) vague: &'static [&'static str],
}

const fn names(
    field: Field,
    telling: &'static [&'static str],
    vague: &'static [&'static str],
) -> Names {
    Names {
        field,
        telling,
        vague,
    }
}

pub(super) static FIELDS: [Names; 12] = [
    names(Field::Id, &["event id", "message id"], &["id"]),
    names(
        Field::Version,
        &["event version", "schema version"],
        &["version"],
    ),
    names(Field::Source, &["event source"], &["source"]),
    names(
        Field::Time,
        &[
            "occurred at",
            "occurred on",
            "event time",
            "event timestamp",
            "timestamp",
            "time",
        ],
        &["created at", "ts"],
    ),
    names(Field::Subject, &[], &["subject"]),
    names(Field::CorrelationId, &["correlation id"], &[]),
    names(Field::CausationId, &["causation id"], &[]),
    names(Field::TraceId, &["trace id", "traceparent"], &[]),
    names(Field::UserId, &["user id"], &[]),
    names(Field::AggregateId, &["aggregate id"], &[]),
    names(Field::AggregateType, &["aggregate type"], &[]),
    names(Field::AggregateVersion, &["aggregate version"], &[]),
];

pub(super) fn names_of(field: Field) -> &'static Names {
    static NONE: Names = names(Field::Type, &[], &[]);
    let mut all = FIELDS.iter();
    all.find(|names| names.field == field).unwrap_or(&NONE)
}

/// The usual spellings of `words`: `eventId` and `event_id`.
pub(super) fn spellings(words: &str) -> Vec<String> {
    let mut camel = String::new();
    for (index, word) in words.split(' ').enumerate() {
        let (first, rest) = word.split_at(usize::from(index > 0));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    let snake = words.replace(' ', "_");
    if camel == snake {
        vec![camel]
    } else {
        vec![camel, snake]
    }
}

/// The members of an object, the last of equal ones.
pub(super) struct Object<'a> {
    pub(super) members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// None when the text is no object.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let members = serde_json::from_str(text).ok()?;
        Some(Self { members })
    }

    pub(super) fn get(&self, name: &str) -> Json<'a> {
        self.members
            .get(name)
            .map_or(Json::Missing, |raw| Json::of(raw.get()))
    }

    /// The text of a member that is a string and not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Json::String(text) if !text.is_empty() => Some(text.into_owned()),
            _ => None,
        }
    }

    /// The name, as it is spelled here, of the first of `words` that is a member and not null.
    pub(super) fn spelled(&self, words: &[&str]) -> Option<&str> {
        self.member(words, |raw| raw.get() != "null")
    }

    /// The name, as it is spelled here, of the first of `words` that is a member and `fits`.
    pub(super) fn member(&self, words: &[&str], fits: impl Fn(&RawValue) -> bool) -> Option<&str> {
        words.iter().find_map(|word| {
            let wanted = word.replace(' ', "");
            let mut members = self.members.iter();
            let (name, _) = members.find(|(name, raw)| plain(name) == wanted && fits(raw))?;
            Some(name.as_str())
        })
    }

    /// The same, only if it is text.
    pub(super) fn spelled_text(&self, words: &[&str]) -> Option<&str> {
        self.spelled(words).filter(|name| self.text(name).is_some())
    }
}

/// A name without what differs between spellings.
pub(super) fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '_' | '-'));
    kept.map(|c| c.to_ascii_lowercase()).collect()
}
