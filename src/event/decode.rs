//! Raw chunks to decoded ones.

use std::sync::Arc;

use super::chunk::{Chunk, Decoded, Meaning};
use super::envelope::Envelope;
use super::field::Field;
use super::json::Json;
use super::path::{Path, PathSet};
use super::plan::{Body, Plan, Shape};
use super::scan::{MISSING, scan};
use super::{cloudevents, debezium, time};
use crate::fault::Fault;
use crate::record::{RawChunk, RawRecord, Span};

/// Decodes the chunks of one topic.
#[derive(Clone, Debug)]
pub struct Decoder {
    plan: Arc<Plan>,
}

impl Decoder {
    /// A decoder for a topic whose envelope is known.
    pub fn new(envelope: Envelope, paths: Arc<PathSet>) -> Self {
        Self {
            plan: Arc::new(Plan::new(envelope, paths)),
        }
    }

    /// Decodes a chunk. Never fails: what cannot be decoded is a fault beside its record.
    pub fn decode(&self, raw: RawChunk) -> Chunk {
        self.decode_shared(Arc::new(raw))
    }

    pub(super) fn decode_shared(&self, raw: Arc<RawChunk>) -> Chunk {
        let mut work = Work {
            plan: &self.plan,
            raw: &raw,
            scratch: Vec::new(),
            slots: Vec::with_capacity(raw.records.len() * self.plan.stride()),
            types: Vec::new(),
        };
        let mut records = Vec::with_capacity(raw.records.len());
        let mut faults = Vec::new();
        for (index, record) in raw.records.iter().enumerate() {
            work.slots.resize(index * self.plan.stride(), MISSING);
            records.push(work.record(record).unwrap_or_else(|wrong| {
                faults.push(Fault::poison(wrong));
                Decoded {
                    meaning: Meaning::Fault(faults.len() - 1),
                    data: MISSING,
                    time: None,
                }
            }));
        }
        let Work {
            mut slots, types, ..
        } = work;
        slots.resize(raw.records.len() * self.plan.stride(), MISSING);
        Chunk {
            plan: self.plan.clone(),
            raw,
            records,
            slots,
            types,
            faults,
        }
    }
}

/// What is in hand while a chunk is decoded.
struct Work<'w> {
    plan: &'w Plan,
    raw: &'w RawChunk,
    /// The trie's slots of the record in hand.
    scratch: Vec<Span>,
    /// The slots of all records: envelope fields, then paths.
    slots: Vec<Span>,
    /// Types that no record spells out.
    types: Vec<Box<str>>,
}

impl Work<'_> {
    /// Decodes one record and appends its slots.
    fn record(&mut self, record: &RawRecord) -> Result<Decoded, String> {
        let Some(value) = record.value else {
            return Ok(Decoded {
                meaning: Meaning::Tombstone,
                data: MISSING,
                time: None,
            });
        };
        let plan = self.plan;
        match &plan.envelope {
            Envelope::Plain => {
                self.scan(&plan.shape, value)?;
                Ok(self.finish(Meaning::Json, &plan.shape.bodies, 0, None))
            }
            Envelope::Fields(_) => self.fields(value),
            Envelope::CloudEvents => match self.header_fields(record)? {
                true => self.binary(value),
                false => self.structured(value),
            },
            Envelope::Debezium => self.change(value),
        }
    }

    fn fields(&mut self, value: Span) -> Result<Decoded, String> {
        let shape = &self.plan.shape;
        self.scan(shape, value)?;
        self.resolve(shape);
        let found = |body: &Body| self.found(body.data) != MISSING;
        let body = shape.bodies.iter().position(found);
        if !shape.places(Field::Type).is_empty() {
            self.typed()?;
        } else if body.is_none() {
            return Err(self.unfit("data", "is missing"));
        }
        let time = self.time()?;
        Ok(self.finish(Meaning::Json, &shape.bodies, body.unwrap_or(0), time))
    }

    fn structured(&mut self, value: Span) -> Result<Decoded, String> {
        let shape = &self.plan.shape;
        self.scan(shape, value)?;
        self.resolve(shape);
        let mark = |place: usize| {
            shape
                .marks
                .get(place)
                .map_or(MISSING, |&slot| self.found(slot))
        };
        match self.json(mark(0)) {
            Json::Missing => return Err(self.unfit(cloudevents::SPECVERSION, "is missing")),
            Json::String(version) if version.starts_with("1.") => {}
            _ => return Err(self.unfit(cloudevents::SPECVERSION, "is not 1.0")),
        }
        if !matches!(self.json(mark(1)), Json::Missing | Json::Null) {
            return Err(self.unfit("data_base64", "is not supported: send JSON as `data`"));
        }
        self.typed()?;
        let time = self.time()?;
        Ok(self.finish(Meaning::Json, &shape.bodies, 0, time))
    }

    fn binary(&mut self, value: Span) -> Result<Decoded, String> {
        let Some(shape) = &self.plan.bare else {
            return Err(self.unfit("the value", "is not structured"));
        };
        self.scan(shape, value)?;
        let time = match self.header_text(Field::Time) {
            Some(text) => match time::rfc3339(&cloudevents::decoded(text)) {
                Some(time) => Some(time),
                None => return Err(self.unfit("ce_time", "is not an RFC 3339 time")),
            },
            None => None,
        };
        Ok(self.finish(Meaning::Headers, &shape.bodies, 0, time))
    }

    fn change(&mut self, value: Span) -> Result<Decoded, String> {
        let shape = &self.plan.shape;
        self.scan(shape, value)?;
        self.resolve(shape);
        let op = match self.json(self.field(Field::Type)) {
            Json::String(op) => op,
            Json::Missing | Json::Null => return Err(self.unfit("op", "is missing")),
            _ => return Err(self.unfit("op", "is not text")),
        };
        let Some((verb, body)) = debezium::change(&op) else {
            return Err(self.unfit("op", "is none of c, r, u, d, t"));
        };
        let Json::String(table) = self.json(self.field(Field::AggregateType)) else {
            return Err(self.unfit("source.table", "is missing"));
        };
        let mut times = shape
            .places(Field::Time)
            .iter()
            .map(|&slot| self.json(self.found(slot)));
        let time = times.find_map(|time| match time {
            Json::Number(millis) => time::epoch_millis(millis).filter(|&micros| micros > 0),
            _ => None,
        });
        let is_known = |known: &str| {
            let base = known
                .strip_suffix(verb)
                .and_then(|base| base.strip_suffix('.'));
            base == Some(&*table)
        };
        let index = match self.types.iter().position(|known| is_known(known)) {
            Some(index) => index,
            None => {
                let name = format!("{table}.{verb}").into_boxed_str();
                self.types.push(name);
                self.types.len() - 1
            }
        };
        Ok(self.finish(Meaning::Composed(index), &shape.bodies, body, time))
    }

    /// Scans the value into the scratch slots.
    fn scan(&mut self, shape: &Shape, value: Span) -> Result<(), String> {
        let text = std::str::from_utf8(value.of(&self.raw.bytes))
            .map_err(|_| "the value is not UTF-8".to_owned())?;
        self.scratch.clear();
        self.scratch.resize(shape.trie.slots(), MISSING);
        scan(text, value.start, &shape.trie, &mut self.scratch)
            .map_err(|wrong| format!("the value is not JSON: {wrong}"))
    }

    /// Appends the slots of the envelope's fields: each the first of its places that holds something.
    fn resolve(&mut self, shape: &Shape) {
        let start = self.slots.len();
        self.slots.resize(start + Field::COUNT, MISSING);
        for (field, places) in &shape.fields {
            let mut spans = places.iter().map(|&slot| self.found(slot));
            let span = spans.find(|&span| span != MISSING && !self.is_null(span));
            if let Some(slot) = self.slots.get_mut(start + field.slot()) {
                *slot = span.unwrap_or(MISSING);
            }
        }
    }

    /// Appends the slots of the attributes that the record's headers carry; says whether there is a
    /// `ce_specversion` among them. If not, nothing is appended.
    fn header_fields(&mut self, record: &RawRecord) -> Result<bool, String> {
        let bytes = &self.raw.bytes;
        let mut version = None;
        let start = self.slots.len();
        for (name, value) in &record.headers {
            let (Some(name), Some(value)) = (cloudevents::attribute(name.of(bytes)), *value) else {
                continue;
            };
            if name.eq_ignore_ascii_case(cloudevents::SPECVERSION.as_bytes()) {
                version = Some(value.of(bytes));
                self.slots.resize(start + Field::COUNT, MISSING);
            }
        }
        let Some(version) = version else {
            return Ok(false);
        };
        if !version.starts_with(b"1.") {
            return Err(self.unfit("ce_specversion", "is not 1.0"));
        }
        for (field, names) in cloudevents::ATTRIBUTES {
            let span = names
                .iter()
                .find_map(|name| last_attribute(record, bytes, name));
            if let Some(slot) = self.slots.get_mut(start + field.slot()) {
                *slot = span.unwrap_or(MISSING);
            }
        }
        match self.header_text(Field::Type) {
            Some(_) => Ok(true),
            None => Err(self.unfit("ce_type", "is missing")),
        }
    }

    /// The event's type has to be there and to be text.
    fn typed(&self) -> Result<(), String> {
        let why = match self.json(self.field(Field::Type)) {
            Json::String(name) if !name.is_empty() => return Ok(()),
            Json::String(_) => "is empty",
            Json::Missing | Json::Null => "is missing",
            _ => "is not text",
        };
        Err(self.unfit(&self.place(Field::Type), why))
    }

    fn time(&self) -> Result<Option<i64>, String> {
        let time = match self.json(self.field(Field::Time)) {
            Json::Missing | Json::Null => return Ok(None),
            Json::String(text) => time::rfc3339(&text),
            Json::Number(number) => time::epoch(number),
            _ => None,
        };
        let wrong = || {
            self.unfit(
                &self.place(Field::Time),
                "is neither an RFC 3339 time nor an epoch number",
            )
        };
        time.map(Some).ok_or_else(wrong)
    }

    /// Appends the slots of the paths, from the body that counts.
    fn finish(
        &mut self,
        meaning: Meaning,
        bodies: &[Body],
        body: usize,
        time: Option<i64>,
    ) -> Decoded {
        let mut data = MISSING;
        if let Some(body) = bodies.get(body) {
            data = self.found(body.data);
            let scratch = &self.scratch;
            let span = |&slot: &u32| scratch.get(slot as usize).copied().unwrap_or(MISSING);
            self.slots.extend(body.paths.iter().map(span));
        }
        Decoded {
            meaning,
            data,
            time,
        }
    }

    /// What the scan put into one of the trie's slots.
    fn found(&self, slot: u32) -> Span {
        self.scratch.get(slot as usize).copied().unwrap_or(MISSING)
    }

    /// The slot of a field of the record in hand, which is the last one.
    fn field(&self, field: Field) -> Span {
        let start = self.slots.len().saturating_sub(Field::COUNT);
        self.slots
            .get(start + field.slot())
            .copied()
            .unwrap_or(MISSING)
    }

    fn json(&self, span: Span) -> Json<'_> {
        Json::of(std::str::from_utf8(span.of(&self.raw.bytes)).unwrap_or_default())
    }

    fn is_null(&self, span: Span) -> bool {
        span.of(&self.raw.bytes).first() == Some(&b'n')
    }

    /// An attribute of the record in hand as its header says it; none when it is absent, empty or not UTF-8.
    fn header_text(&self, field: Field) -> Option<&str> {
        let text = std::str::from_utf8(self.field(field).of(&self.raw.bytes)).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// How the envelope calls `field`.
    fn place(&self, field: Field) -> String {
        match &self.plan.envelope {
            Envelope::Fields(mapping) => mapping
                .places(field)
                .iter()
                .map(Path::to_dotted)
                .collect::<Vec<_>>()
                .join(" or "),
            _ => field.name().to_owned(),
        }
    }

    fn unfit(&self, what: &str, why: &str) -> String {
        format!(
            "the record does not fit the envelope `{}` of topic {}: {what} {why}",
            self.plan.envelope.label(),
            self.raw.partition.topic,
        )
    }
}

/// The value of the last header that carries the attribute `name`.
fn last_attribute(record: &RawRecord, bytes: &[u8], name: &str) -> Option<Span> {
    let carries = |header: &Span| {
        cloudevents::attribute(header.of(bytes))
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    let (_, value) = record
        .headers
        .iter()
        .rev()
        .find(|(header, _)| carries(header))?;
    *value
}
