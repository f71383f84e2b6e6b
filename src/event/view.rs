//! Events: one record of a decoded chunk, read through the paths of one projection.

use std::borrow::Cow;

use super::chunk::{Chunk, Meaning, SlotMap};
use super::cloudevents;
use super::field::Field;
use super::json::Json;
use super::scan::MISSING;
use crate::fault::Fault;
use crate::position::RecordName;
use crate::record::{RawRecord, Span};

/// One decoded record.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub(super) chunk: &'a Chunk,
    pub(super) index: usize,
    pub(super) map: &'a SlotMap,
}

impl<'a> Event<'a> {
    /// The record's name, for messages.
    pub fn record(&self) -> RecordName {
        self.chunk.partition().record(self.offset())
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        &self.chunk.raw.partition.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.chunk.raw.partition.partition
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.chunk.offset(self.index)
    }

    /// When the record was written, in milliseconds since the epoch; -1 when unknown.
    pub fn timestamp_ms(&self) -> i64 {
        self.raw().map_or(-1, |record| record.timestamp_ms)
    }

    /// Why the record could not be decoded, if so. Then only the record's own parts (name,
    /// timestamp, key, headers, bytes) say anything useful.
    pub fn fault(&self) -> Option<Fault> {
        match self.meaning() {
            Meaning::Fault(index) => self.chunk.faults.get(index).cloned(),
            _ => None,
        }
    }

    /// The type without a trailing `.vN`; `$tombstone` for a record without value.
    pub fn event_type(&self) -> Cow<'a, str> {
        match self.whole_type() {
            Cow::Borrowed(name) => Cow::Borrowed(split_version(name).0),
            Cow::Owned(mut name) => {
                name.truncate(split_version(&name).0.len());
                Cow::Owned(name)
            }
        }
    }

    /// The version for matching: the N of a trailing `.vN`, else the leading integer of the
    /// envelope's version (`"1"`, `1`, `"1.2"` and `"v1"` are all 1).
    pub fn match_version(&self) -> Option<u32> {
        split_version(&self.whole_type()).1.or_else(|| {
            let version = self.envelope_field(Field::Version)?;
            let digits = version.trim_start_matches(['v', 'V']);
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits.get(..end)?.parse().ok()
        })
    }

    /// An envelope field as text; none when the envelope has none (or null). The type is what
    /// [`Event::event_type`] says, the version falls back on the N of a trailing `.vN`, the time is as written.
    pub fn field(&self, field: Field) -> Option<Cow<'a, str>> {
        match field {
            Field::Type => Some(self.event_type()),
            Field::Version => self.envelope_field(field).or_else(|| {
                let (_, version) = split_version(&self.whole_type());
                version.map(|version| Cow::Owned(version.to_string()))
            }),
            Field::TraceId => self.envelope_field(field).map(cloudevents::trace_id),
            _ => self.envelope_field(field),
        }
    }

    /// When it happened, in microseconds since the epoch: the envelope's time, parsed once at
    /// decoding (RFC 3339 text, or epoch number: seconds below 10^11, milliseconds below 10^14,
    /// microseconds below 10^17, else nanoseconds); else the record's timestamp.
    pub fn time_micros(&self) -> Option<i64> {
        let time = self
            .chunk
            .records
            .get(self.index)
            .and_then(|record| record.time);
        time.or_else(|| {
            let millis = self.timestamp_ms();
            (millis >= 0).then(|| millis.saturating_mul(1000))
        })
    }

    /// The record key as text; none when there is no key. A key that is not UTF-8 is a poison fault.
    pub fn key(&self) -> Result<Option<&'a str>, Fault> {
        let text = self.key_bytes().map(std::str::from_utf8).transpose();
        text.map_err(|_| Fault::poison("the record key is not UTF-8"))
    }

    /// The last header called `name`, as text; none also when it has no value. A value that is not
    /// UTF-8 is a poison fault.
    pub fn header(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let mut headers = self.raw_headers().iter().rev();
        let found = headers.find(|(at, _)| self.chunk.bytes(*at) == name.as_bytes());
        let value = found.and_then(|(_, value)| *value);
        let text = value
            .map(|value| std::str::from_utf8(self.chunk.bytes(value)))
            .transpose();
        text.map_err(|_| Fault::poison(format!("header {name} is not UTF-8")))
    }

    /// The value at the projection's path number `index` (of `Projection::paths`).
    pub fn path(&self, index: usize) -> Json<'a> {
        let Some(&place) = self.map.0.get(index) else {
            return Json::Missing;
        };
        let plan = &self.chunk.plan;
        let slot = self.index * plan.stride() + plan.field_slots() + place as usize;
        let span = self.chunk.slots.get(slot).copied().unwrap_or(MISSING);
        Json::of(self.chunk.text(span))
    }

    /// The whole `data` as JSON text; none for a record without value, and for a CloudEvent
    /// without data.
    pub fn data(&self) -> Option<&'a str> {
        let record = self.chunk.records.get(self.index)?;
        (record.data != MISSING).then(|| self.chunk.text(record.data))
    }

    /// The record key as it was sent.
    pub fn key_bytes(&self) -> Option<&'a [u8]> {
        Some(self.chunk.bytes(self.raw()?.key?))
    }

    /// The value as it was sent; none for a tombstone.
    pub fn value_bytes(&self) -> Option<&'a [u8]> {
        Some(self.chunk.bytes(self.raw()?.value?))
    }

    /// The headers as they were sent, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let chunk = self.chunk;
        self.raw_headers()
            .iter()
            .map(move |(name, value)| (chunk.text(*name), value.map(|value| chunk.bytes(value))))
    }

    fn raw(&self) -> Option<&'a RawRecord> {
        self.chunk.raw.records.get(self.index)
    }

    fn raw_headers(&self) -> &'a [(Span, Option<Span>)] {
        self.raw()
            .map(|record| &record.headers[..])
            .unwrap_or_default()
    }

    fn meaning(&self) -> Meaning {
        let record = self.chunk.records.get(self.index);
        record.map_or(Meaning::Tombstone, |record| record.meaning)
    }

    /// The type with its `.vN`.
    fn whole_type(&self) -> Cow<'a, str> {
        match self.meaning() {
            Meaning::Tombstone => Cow::Borrowed("$tombstone"),
            Meaning::Composed(index) => Cow::Borrowed(
                self.chunk
                    .types
                    .get(index)
                    .map(|name| &**name)
                    .unwrap_or_default(),
            ),
            _ => {
                let named = self.envelope_field(Field::Type);
                named.unwrap_or(Cow::Borrowed(self.topic()))
            }
        }
    }

    /// A field as the envelope says it.
    fn envelope_field(&self, field: Field) -> Option<Cow<'a, str>> {
        let plan = &self.chunk.plan;
        if plan.field_slots() == 0 {
            return None;
        }
        let slot = self.index * plan.stride() + field.slot();
        let span = *self.chunk.slots.get(slot)?;
        match self.meaning() {
            Meaning::Headers if span != MISSING => {
                let text = std::str::from_utf8(self.chunk.bytes(span)).ok()?;
                Some(cloudevents::decoded(text))
            }
            Meaning::Json | Meaning::Composed(_) => Json::of(self.chunk.text(span)).into_text(),
            _ => None,
        }
    }
}

/// A type without its trailing `.vN`, and N.
fn split_version(name: &str) -> (&str, Option<u32>) {
    let split = name.rsplit_once(".v").filter(|(base, _)| !base.is_empty());
    match split.map(|(base, digits)| (base, digits.parse::<u32>(), digits)) {
        Some((base, Ok(version), digits)) if !digits.starts_with('+') => (base, Some(version)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_behind_the_last_dot_is_taken_off_a_type() {
        for (name, base, version) in [
            ("order.created.v2", "order.created", Some(2)),
            ("order.v1.created", "order.v1.created", None),
            ("order.created.v", "order.created.v", None),
            ("order.created.v+2", "order.created.v+2", None),
            ("order.created.v2b", "order.created.v2b", None),
            (
                "order.created.v99999999999",
                "order.created.v99999999999",
                None,
            ),
            ("orderv2", "orderv2", None),
            (".v2", ".v2", None),
            ("a.v1.v02", "a.v1", Some(2)),
        ] {
            assert_eq!(split_version(name), (base, version), "{name}");
        }
    }
}
