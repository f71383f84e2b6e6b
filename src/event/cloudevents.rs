//! CloudEvents 1.0 over Kafka: the JSON event format (structured) and the binary content mode.

use std::borrow::Cow;

use super::field::Field;
use super::path::{Path, PathSet, Segment};
use super::plan::Shape;

/// The attributes that give each field, the first that is there counts. The specification allows
/// only lower-case letters and digits; we also understand what producers write instead.
pub(super) const ATTRIBUTES: [(Field, &[&str]); Field::COUNT] = [
    (Field::Id, &["id"]),
    (Field::Type, &["type"]),
    (
        Field::Version,
        &[
            "eventversion",
            "dataversion",
            "schemaversion",
            "eventVersion",
            "event_version",
        ],
    ),
    (Field::Source, &["source"]),
    (Field::Time, &["time"]),
    (Field::Subject, &["subject"]),
    (
        Field::CorrelationId,
        &["correlationid", "correlationId", "correlation_id"],
    ),
    (
        Field::CausationId,
        &["causationid", "causationId", "causation_id"],
    ),
    (
        Field::TraceId,
        &["traceparent", "traceid", "traceId", "trace_id"],
    ),
    (Field::UserId, &["userid", "userId", "user_id"]),
    (
        Field::AggregateId,
        &["aggregateid", "aggregateId", "aggregate_id"],
    ),
    (
        Field::AggregateType,
        &["aggregatetype", "aggregateType", "aggregate_type"],
    ),
    (
        Field::AggregateVersion,
        &["aggregateversion", "aggregateVersion", "aggregate_version"],
    ),
];

/// The attribute that marks a CloudEvent.
pub(super) const SPECVERSION: &str = "specversion";

/// The JSON event format: attributes are members, and so is `data`. Its marks are `specversion`
/// and `data_base64`.
pub(super) fn shape(paths: &PathSet) -> Shape {
    let mut shape = Shape::default();
    let member = |name: &str| Path(vec![Segment::Key(name.into())]);
    for (field, names) in ATTRIBUTES {
        let places: Vec<Path> = names.iter().map(|name| member(name)).collect();
        shape.add_field(field, &places);
    }
    shape.add_mark(SPECVERSION);
    shape.add_mark("data_base64");
    shape.add_body(&member("data"), paths);
    shape
}

/// The attribute that a header carries in binary mode: `ce_<name>`, or `ce-<name>` from bridges
/// that keep the spelling of HTTP.
pub(super) fn attribute(header: &[u8]) -> Option<&[u8]> {
    let (prefix, name) = header.split_at_checked(3)?;
    let marked = prefix.eq_ignore_ascii_case(b"ce_") || prefix.eq_ignore_ascii_case(b"ce-");
    (marked && !name.is_empty()).then_some(name)
}

/// An attribute's value without percent-encoding. A text that decodes to something else than
/// UTF-8 is taken as it is, as is a `%` without two hex digits behind it.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = |at: usize| {
            behind
                .get(at)
                .and_then(|&digit| char::from(digit).to_digit(16))
        };
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The trace id inside a W3C `traceparent` (`00-<trace id>-<parent id>-<flags>`); any other text
/// as it is.
pub(super) fn trace_id(text: Cow<'_, str>) -> Cow<'_, str> {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts: Vec<&str> = text.splitn(4, '-').collect();
    match parts[..] {
        [version, trace, parent, _] if hex(version, 2) && hex(trace, 32) && hex(parent, 16) => {
            match text {
                Cow::Borrowed(whole) => Cow::Borrowed(whole.get(3..35).unwrap_or(whole)),
                Cow::Owned(_) => Cow::Owned(trace.to_owned()),
            }
        }
        _ => text,
    }
}
