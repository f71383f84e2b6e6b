//! What is taken for an event, and what is not.

use super::super::Envelope;
use super::{Sent, detect_and_decode, raw};
use crate::event::{Field, Json};

fn label(value: &str) -> &'static str {
    Envelope::detect(&raw(&[Sent::json(value)]))
        .unwrap()
        .label()
}

#[test]
fn business_json_is_not_mistaken_for_an_event() {
    for value in [
        // Happens to have `id` and `data`.
        r#"{"id":"p1","data":{"color":"red"}}"#,
        r#"{"id":"p1","name":"Chair","data":{"color":"red"}}"#,
        r#"{"id":"p1","name":"Chair","version":3,"createdAt":"2026-11-21T06:00:00Z","data":{"color":"red"}}"#,
        r#"{"id":"s1","name":"Sensor","timestamp":"2026-11-21T06:00:00Z","data":{"t":1}}"#,
        r#"{"id":"s1","name":"Sensor","timestamp":"2026-11-21T06:00:00Z","version":1,"data":{"t":1},"room":"b"}"#,
        r#"{"name":"Chair","timestamp":"2026-11-21T06:00:00Z","version":1,"data":{"t":1}}"#,
        r#"{"id":"c1","name":"Chair","version":1,"data":{"t":1}}"#,
        // Has a type and a time, and its data everywhere.
        r#"{"type":"invoice","timestamp":"2026-11-21T06:00:00Z","total":5}"#,
        r#"{"id":"i1","type":"invoice","timestamp":"2026-11-21T06:00:00Z","version":1,"total":5}"#,
        r#"{"id":"i1","type":"invoice","createdAt":"2026-11-21T06:00:00Z","title":"x","data":{"total":5}}"#,
        // Data that is no object.
        r#"{"id":"i1","type":"invoice","timestamp":"2026-11-21T06:00:00Z","version":1,"data":"base64"}"#,
        r#"{"type":"Point","data":{"x":1}}"#,
        r#"{"type":{"nested":1},"id":1,"timestamp":1,"version":1,"data":{}}"#,
        // A calendar's idea of an event type.
        r#"{"eventType":"concert","venue":"arena"}"#,
        // Debezium's words without its meaning.
        r#"{"op":"c","before":1,"after":2}"#,
        r#"{"op":"add","source":{"table":"t"},"before":null,"after":{}}"#,
        r#"{"op":"c","source":{"table":"t"}}"#,
        r#"{"specversion":"1.0"}"#,
        r#"{"aggregateId":"a","total":3}"#,
        "[]",
        "5",
        "null",
        r#""eventType""#,
        "{}",
    ] {
        assert_eq!(label(value), "plain", "{value}");
    }
}

#[test]
fn events_in_other_words_are_events() {
    for value in [
        r#"{"type":"order.created","data":{"total":5}}"#,
        r#"{"event":"order.created","timestamp":1795240800,"payload":{}}"#,
        r#"{"id":1,"type":"OrderCreated","created_at":"2026-11-21T06:00:00Z","data":{}}"#,
        r#"{"id":1,"type":"OrderCreated","timestamp":1795240800,"data":{},"tenant":"x"}"#,
        r#"{"id":1,"type":"OrderErased","timestamp":1795240800,"data":null}"#,
        r#"{"id":1,"name":"order.created","timestamp":1795240800,"data":{}}"#,
        r#"{"eventType":"concert","payload":{"venue":"arena"}}"#,
        r#"{"eventType":"order.created","occurredAt":"2026-11-21T06:00:00Z","total":5}"#,
        r#"{"metadata":{"eventType":"order.created","eventId":"x"},"data":{"total":5}}"#,
        r#"{"aggregateId":"a","aggregateType":"Order","version":1,"payload":{}}"#,
    ] {
        assert_eq!(label(value), "fields", "{value}");
    }
}

#[test]
fn values_that_are_not_json_suggest_nothing() {
    let broken = Sent::json("{");
    let bytes = Sent {
        value: Some(b"\xff"),
        ..Sent::default()
    };
    let tombstone = Sent::default();
    assert_eq!(Envelope::detect(&raw(&[])), None);
    assert_eq!(Envelope::detect(&raw(&[tombstone, broken, bytes])), None);
    let event = Sent::json(r#"{"specversion":"1.0","type":"x"}"#);
    let detected = Envelope::detect(&raw(&[tombstone, broken, bytes, event, Sent::json("{}")]));
    assert_eq!(detected, Some(Envelope::CloudEvents));
}

#[test]
fn fields_that_the_first_event_lacks_are_found_in_later_ones() {
    let first = r#"{"eventType":"a.b","eventId":"1","data":{"n":1}}"#;
    let later = r#"{"eventType":"a.b","eventId":"2","data":{"n":2},"user_id":"u","metadata":{"correlationId":"c"},"occurredAt":1795240800}"#;
    let (chunk, map) = detect_and_decode(&[first, later].map(Sent::json), &["n"]);
    let event = chunk.event(1, &map);
    assert_eq!(event.fault(), None);
    assert_eq!(event.field(Field::UserId).as_deref(), Some("u"));
    assert_eq!(event.field(Field::CorrelationId).as_deref(), Some("c"));
    assert_eq!(event.time_micros(), Some(1_795_240_800_000_000));
}

#[test]
fn a_first_event_without_data_does_not_hide_the_data_of_later_ones() {
    for first in [
        r#"{"eventType":"a.erased","eventId":"1","timestamp":1795240800}"#,
        r#"{"eventType":"a.erased","eventId":"1","timestamp":1795240800,"data":null}"#,
    ] {
        let later = r#"{"eventType":"a.b","eventId":"2","timestamp":1795240800,"data":{"n":2}}"#;
        let (chunk, map) = detect_and_decode(&[first, later].map(Sent::json), &["n"]);
        assert_eq!(chunk.event(0, &map).fault(), None);
        assert_eq!(chunk.event(0, &map).path(0), Json::Missing);
        assert_eq!(chunk.event(1, &map).path(0), Json::Number("2"));
    }
}

#[test]
fn names_read_back_and_others_do_not() {
    for name in ["plain", "cloudevents", "debezium"] {
        assert_eq!(Envelope::from_name(name).unwrap().name(), name);
    }
    for name in [
        "",
        "auto",
        "{",
        r#"{"colour":"x"}"#,
        r#"{"id":"a..b"}"#,
        r#"{"id":"a[x]"}"#,
        r#"{"id":3}"#,
    ] {
        assert_eq!(Envelope::from_name(name), None, "{name}");
    }
}
