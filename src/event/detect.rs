//! Which envelope a record suggests.
//!
//! The rules, in order; the first that holds decides:
//!
//! 1. A header `ce_specversion` (or `ce-specversion`), or string members `specversion` and `type`:
//!    CloudEvents.
//! 2. `op` is one of Debezium's letters, `source` says a `table` or `collection`, and there is
//!    `before` or `after`; at the root or inside `payload`: Debezium.
//! 3. Text under a name that only events have (`eventType`, `eventName`): with `data` or `payload`,
//!    these are the data. Without, the whole record is (unless nothing but envelope stands in it),
//!    and it needs an event id, an aggregate id or a time beside the type to be taken for an event.
//! 4. `aggregateId` with text under `type`, `event` or `name`, or with `data` or `payload` and one of
//!    `aggregateType` and `version`: the same. A bare `version` is then the aggregate's.
//! 5. Text under `type` or `event`, and an object under `data` or `payload`: with an id and a time,
//!    or if nothing but envelope members stands beside them and there is an id, a time, a version,
//!    or a dot in the type (`order.created`).
//! 6. Text under `name`, and an object under `data` or `payload`: only with an id, a time, nothing but
//!    envelope members, and a version or a dot in the name.
//! 7. Everything else is plain. So business JSON that happens to have `id` and `data`, `type` and
//!    `timestamp`, or `id`, `name`, `createdAt` and `data` stays what it is.
//!
//! Names are recognised in any case and with or without `_` and `-` between words. A field that the
//! first record lacks is looked for under its usual names in later records, at the root and in
//! `metadata` or `meta`.

use super::envelope::Envelope;
use super::field::Field;
use super::json::Json;
use super::mapping::Mapping;
use super::names::{FIELDS, Names, Object, names_of, plain, spellings};
use super::path::{Path, Segment};
use super::scan::scan;
use super::trie::Trie;
use super::{cloudevents, debezium, time};
use crate::record::{RawChunk, RawRecord};

const TELLING_TYPES: [&str; 2] = ["event type", "event name"];
const VAGUE_TYPES: [&str; 2] = ["type", "event"];
const DATA: [&str; 3] = ["data", "payload", "event data"];
const METADATA: [&str; 2] = ["metadata", "meta"];

/// The envelope that one record suggests; none when it has no value or one that is not JSON.
pub(super) fn record(raw: &RawChunk, record: &RawRecord) -> Option<Envelope> {
    let value = record.value?;
    if has_specversion(raw, record) {
        return Some(Envelope::CloudEvents);
    }
    let text = std::str::from_utf8(value.of(&raw.bytes)).ok()?;
    scan(text, 0, &Trie::default(), &mut []).ok()?;
    Some(value_text(text))
}

fn has_specversion(raw: &RawChunk, record: &RawRecord) -> bool {
    record.headers.iter().any(|(name, value)| {
        let name = cloudevents::attribute(name.of(&raw.bytes)).unwrap_or_default();
        value.is_some() && name.eq_ignore_ascii_case(cloudevents::SPECVERSION.as_bytes())
    })
}

fn value_text(text: &str) -> Envelope {
    let Some(root) = Object::read(text) else {
        return Envelope::Plain;
    };
    if root.text("specversion").is_some() && root.text("type").is_some() {
        return Envelope::CloudEvents;
    }
    let payload = root.members.get("payload");
    if is_change(&root)
        || payload.is_some_and(|raw| Object::read(raw.get()).is_some_and(|p| is_change(&p)))
    {
        return Envelope::Debezium;
    }
    Candidate::new(&root)
        .mapping()
        .map_or(Envelope::Plain, Envelope::Fields)
}

fn is_change(object: &Object<'_>) -> bool {
    let source = object
        .members
        .get("source")
        .and_then(|raw| Object::read(raw.get()));
    let table = source.is_some_and(|s| s.text("table").or(s.text("collection")).is_some());
    let images = ["before", "after"]
        .iter()
        .any(|&name| object.members.contains_key(name));
    let op = object.text("op");
    table && images && op.is_some_and(|op| debezium::change(&op).is_some())
}

/// A record that may be an event with envelope members.
struct Candidate<'r, 'a> {
    root: &'r Object<'a>,
    /// The objects under `metadata` or `meta`.
    metadata: Vec<(String, Object<'a>)>,
    data: Option<String>,
    aggregate: bool,
}

impl<'r, 'a> Candidate<'r, 'a> {
    fn new(root: &'r Object<'a>) -> Self {
        let metadata = root
            .members
            .iter()
            .filter(|(name, _)| METADATA.contains(&&*plain(name)))
            .filter_map(|(name, raw)| Some((name.clone(), Object::read(raw.get())?)))
            .collect();
        Self {
            root,
            metadata,
            data: root.member(&DATA, |_| true).map(str::to_owned),
            aggregate: root.spelled(&["aggregate id"]).is_some(),
        }
    }

    /// The mapping, if it is an event.
    fn mapping(&self) -> Option<Mapping> {
        let mut mapping = Mapping::default();
        if let Some(place) = self.type_place() {
            mapping.add(Field::Type, place);
        } else if !self.aggregate_alone() {
            return None;
        }
        match &self.data {
            Some(data) => mapping.add_data(path(&[data])),
            // Nothing but envelope: this event has no data, others may have.
            None if self.is_closed("") => {
                mapping.add_data(path(&["data"]));
                mapping.add_data(path(&["payload"]));
            }
            None => {}
        }
        for names in &FIELDS {
            for place in self.places(names) {
                mapping.add(names.field, place);
            }
        }
        Some(mapping)
    }

    /// Where the type is, if the record is an event that says its type.
    fn type_place(&self) -> Option<Path> {
        let at_root = self
            .root
            .spelled_text(&TELLING_TYPES)
            .map(|name| path(&[name]));
        let mut inside = self
            .metadata
            .iter()
            .filter_map(|(name, object)| Some(path(&[name, object.spelled_text(&TELLING_TYPES)?])));
        if let Some(place) = at_root.or_else(|| inside.next()) {
            let beside = self.found(Field::Id) || self.found(Field::Time) || self.aggregate;
            return (self.data.is_some() || beside).then_some(place);
        }
        let vague = self.root.spelled_text(&VAGUE_TYPES);
        let name = vague.or_else(|| self.root.spelled_text(&["name"]))?;
        let dotted = self.root.text(name).is_some_and(|text| is_dotted(&text));
        let id = self.found(Field::Id);
        let time =
            self.root.spelled(names_of(Field::Time).telling).is_some() && self.found(Field::Time);
        let version = self.found(Field::Version);
        let closed = self.is_closed(name);
        let event = match vague {
            _ if self.aggregate => true,
            _ if !self.data_is_object(closed) => false,
            Some(_) => id && time || closed && (id || self.found(Field::Time) || version || dotted),
            None => closed && id && time && (version || dotted),
        };
        event.then(|| path(&[name]))
    }

    /// An aggregate's event that does not say its type.
    fn aggregate_alone(&self) -> bool {
        self.aggregate
            && self.data.is_some()
            && self.root.spelled(&["aggregate type", "version"]).is_some()
    }

    /// Whether the data can be an event's; a null only where nothing else could hold data.
    fn data_is_object(&self, closed: bool) -> bool {
        match self.data.as_deref().map(|name| self.root.get(name)) {
            Some(Json::Object(_)) => true,
            Some(Json::Null) => closed,
            _ => false,
        }
    }

    /// Whether the record holds nothing beside its type but members of envelopes.
    fn is_closed(&self, type_name: &str) -> bool {
        let known = |name: &str| {
            let name = plain(name);
            let is = |words: &[&str]| words.iter().any(|word| word.replace(' ', "") == name);
            is(&TELLING_TYPES)
                || is(&DATA)
                || is(&METADATA)
                || FIELDS
                    .iter()
                    .any(|names| is(names.telling) || is(names.vague))
        };
        let mut members = self.root.members.keys();
        members.all(|name| name == type_name || known(name))
    }

    /// Whether the record itself holds the field.
    fn found(&self, field: Field) -> bool {
        self.place(names_of(field)).is_some()
    }

    /// Where the record holds a field.
    fn place(&self, names: &Names) -> Option<Path> {
        let fits = |object: &Object<'_>, name: &str| match (names.field, object.get(name)) {
            (Field::Time, Json::String(text)) => time::rfc3339(&text).is_some(),
            (Field::Time, Json::Number(number)) => time::epoch(number).is_some(),
            (_, Json::String(_)) => true,
            (field, Json::Number(_)) => field != Field::Time,
            _ => false,
        };
        for words in [names.telling, self.vague(names)] {
            if let Some(name) = self.root.spelled(words)
                && fits(self.root, name)
            {
                return Some(path(&[name]));
            }
        }
        self.metadata.iter().find_map(|(outer, object)| {
            let name = object.spelled(names.telling)?;
            fits(object, name).then(|| path(&[outer, name]))
        })
    }

    /// Where to look for a field in this and in later records.
    fn places(&self, names: &Names) -> Vec<Path> {
        if let Some(place) = self.place(names) {
            return vec![place];
        }
        // A time that does not parse is a fault, so only names that promise one are looked at.
        let vague = if names.field == Field::Time {
            &[]
        } else {
            self.vague(names)
        };
        let words = || names.telling.iter().chain(vague);
        let mut places: Vec<Path> = words()
            .flat_map(|word| spellings(word))
            .map(|name| path(&[&name]))
            .collect();
        for name in names.telling.iter().flat_map(|word| spellings(word)) {
            places.push(path(&["metadata", &name]));
        }
        places.retain(|place| !self.is_taken(place));
        places
    }

    /// Whether something that cannot be the field stands at this place in the root.
    fn is_taken(&self, place: &Path) -> bool {
        match &place.0[..] {
            [Segment::Key(name)] => !matches!(self.root.get(name), Json::Missing | Json::Null),
            _ => false,
        }
    }

    /// The names that mean a field only because the data is apart.
    fn vague(&self, names: &Names) -> &'static [&'static str] {
        match names.field {
            Field::Version if self.aggregate_version() => &[],
            Field::AggregateVersion if self.aggregate_version() => &["version"],
            _ if self.data.is_none() => &[],
            _ => names.vague,
        }
    }

    /// Whether a bare `version` is the aggregate's.
    fn aggregate_version(&self) -> bool {
        self.aggregate && self.root.spelled(&["aggregate version"]).is_none()
    }
}

fn path(names: &[&str]) -> Path {
    Path(
        names
            .iter()
            .map(|&name| Segment::Key(name.into()))
            .collect(),
    )
}

/// Whether a text reads like `order.created`: words of letters, digits, `_` and `-` with dots between.
fn is_dotted(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    text.contains('.') && text.split('.').all(word)
}
