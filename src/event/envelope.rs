//! Envelopes: how a record says what it is.

use super::detect;
use super::mapping::Mapping;
use crate::record::RawChunk;

/// How the records of one topic are wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// No envelope: the record is the data, its topic the type.
    Plain,
    /// CloudEvents 1.0, structured or binary, told apart record by record.
    CloudEvents,
    /// Debezium change events.
    Debezium,
    /// A JSON object with envelope fields, by their places.
    Fields(Mapping),
}

impl Envelope {
    /// The envelope that the first record with a value suggests; none when the chunk has none.
    ///
    /// Values that are not JSON suggest nothing and are passed over: they are faults in every
    /// envelope, so a chunk that suggests nothing may be decoded as [`Envelope::Plain`], without
    /// remembering it.
    pub fn detect(raw: &RawChunk) -> Option<Self> {
        raw.records
            .iter()
            .find_map(|record| detect::record(raw, record))
    }

    /// A short text that [`Envelope::from_name`] reads back; kept in the control tables. A mapping
    /// is written as JSON, so that it says all that decoding depends on.
    pub fn name(&self) -> String {
        match self {
            Self::Fields(mapping) => serde_json::to_string(mapping).unwrap_or_default(),
            _ => self.label().to_owned(),
        }
    }

    /// Reads what [`Envelope::name`] wrote. `plain`, `cloudevents` and `debezium` are also what
    /// users write in the configuration (`auto` is none of them: detect).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "cloudevents" => Some(Self::CloudEvents),
            "debezium" => Some(Self::Debezium),
            json => serde_json::from_str(json).ok().map(Self::Fields),
        }
    }

    /// The kind of envelope in one word, for messages.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::CloudEvents => "cloudevents",
            Self::Debezium => "debezium",
            Self::Fields(_) => "fields",
        }
    }
}
