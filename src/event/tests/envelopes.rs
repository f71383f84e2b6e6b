//! Every kind of envelope, detected from its own first record, with all that it says.

use super::super::{Field, Json};
use super::{Sent, decode, detect_and_decode};
use crate::event::Envelope;

const T: i64 = 1_795_240_800_000_000; // 2026-11-21T06:00:00Z

struct Case {
    name: &'static str,
    headers: &'static [(&'static str, &'static [u8])],
    value: &'static str,
    label: &'static str,
    event_type: &'static str,
    match_version: Option<u32>,
    time: i64,
    /// All fields but the type that are not none.
    fields: &'static [(Field, &'static str)],
    /// What `data.orderId` gives.
    order_id: Json<'static>,
    data: Option<&'static str>,
}

const RECORD_TIME: i64 = 1_700_000_000_000_000;
const DATA: Option<&str> = Some(r#"{"orderId":"o-1"}"#);
const ORDER: Json<'static> = Json::String(std::borrow::Cow::Borrowed("o-1"));

const CASES: &[Case] = &[
    Case {
        name: "fields with everything",
        headers: &[],
        value: r#"{"eventId":"e-1","eventType":"order.created","eventVersion":"1.2","timestamp":"2026-11-21T06:00:00Z",
            "source":"shop","correlationId":"c-1","traceId":"t-1","data":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "order.created",
        match_version: Some(1),
        time: T,
        fields: &[
            (Field::Id, "e-1"),
            (Field::Version, "1.2"),
            (Field::Source, "shop"),
            (Field::Time, "2026-11-21T06:00:00Z"),
            (Field::CorrelationId, "c-1"),
            (Field::TraceId, "t-1"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "snake case, other words, a number as version, epoch seconds with a fraction",
        headers: &[],
        value: r#"{"event_id":17,"event_type":"order.created","event_version":2,"occurred_at":1795240800.25,
            "correlation_id":"c","causation_id":"b","trace_id":"t","user_id":9,"payload":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "order.created",
        match_version: Some(2),
        time: T + 250_000,
        fields: &[
            (Field::Id, "17"),
            (Field::Version, "2"),
            (Field::Time, "1795240800.25"),
            (Field::CorrelationId, "c"),
            (Field::CausationId, "b"),
            (Field::TraceId, "t"),
            (Field::UserId, "9"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "pascal case, and a version in the type that wins for matching",
        headers: &[],
        value: r#"{"EventId":"e","EventType":"order.created.v3","EventVersion":"v2","Timestamp":1795240800000,"Data":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "order.created",
        match_version: Some(3),
        time: T,
        fields: &[
            (Field::Id, "e"),
            (Field::Version, "v2"),
            (Field::Time, "1795240800000"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "id, type, timestamp, version, data",
        headers: &[],
        value: r#"{"id":"e-2","type":"OrderCreated.v4","timestamp":1795240800000000,"version":1,"data":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "OrderCreated",
        match_version: Some(4),
        time: T,
        fields: &[
            (Field::Id, "e-2"),
            (Field::Version, "1"),
            (Field::Time, "1795240800000000"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "id, name, timestamp, version, data",
        headers: &[],
        value: r#"{"id":"e-2","name":"OrderCreated","timestamp":"2026-11-21T07:00:00+01:00","version":"1","data":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "OrderCreated",
        match_version: Some(1),
        time: T,
        fields: &[
            (Field::Id, "e-2"),
            (Field::Version, "1"),
            (Field::Time, "2026-11-21T07:00:00+01:00"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "an aggregate's event with metadata",
        headers: &[],
        value: r#"{"aggregateId":"a-1","aggregateType":"Order","version":7,"eventType":"order.created",
            "metadata":{"userId":"u-1","correlationId":"c-1","causationId":"b-1","timestamp":"2026-11-21T06:00:00.1234567Z"},
            "payload":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "order.created",
        match_version: None,
        time: T + 123_456,
        fields: &[
            (Field::Time, "2026-11-21T06:00:00.1234567Z"),
            (Field::CorrelationId, "c-1"),
            (Field::CausationId, "b-1"),
            (Field::UserId, "u-1"),
            (Field::AggregateId, "a-1"),
            (Field::AggregateType, "Order"),
            (Field::AggregateVersion, "7"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "an aggregate's event with a bare type, and no time",
        headers: &[],
        value: r#"{"aggregateId":"a-1","aggregateType":"Order","version":7,"type":"order.created.v2","metadata":{"userId":"u"},"data":{"orderId":"o-1"}}"#,
        label: "fields",
        event_type: "order.created",
        match_version: Some(2),
        time: RECORD_TIME,
        fields: &[
            (Field::Version, "2"),
            (Field::UserId, "u"),
            (Field::AggregateId, "a-1"),
            (Field::AggregateType, "Order"),
            (Field::AggregateVersion, "7"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "an event that keeps its data beside its envelope",
        headers: &[],
        value: r#"{"eventType":"order.created","eventId":"e","orderId":"o-1"}"#,
        label: "fields",
        event_type: "order.created",
        match_version: None,
        time: RECORD_TIME,
        fields: &[(Field::Id, "e")],
        order_id: ORDER,
        data: Some(r#"{"eventType":"order.created","eventId":"e","orderId":"o-1"}"#),
    },
    Case {
        name: "structured CloudEvent",
        headers: &[],
        value: r#"{"specversion":"1.0","id":"e-3","source":"/shop","type":"order.created","time":"2026-11-21T06:00:00Z","subject":"o-1",
            "datacontenttype":"application/json","correlationid":"c","causationid":"b","userid":"u","dataversion":"2",
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"orderId":"o-1"}}"#,
        label: "cloudevents",
        event_type: "order.created",
        match_version: Some(2),
        time: T,
        fields: &[
            (Field::Id, "e-3"),
            (Field::Version, "2"),
            (Field::Source, "/shop"),
            (Field::Time, "2026-11-21T06:00:00Z"),
            (Field::Subject, "o-1"),
            (Field::CorrelationId, "c"),
            (Field::CausationId, "b"),
            (Field::TraceId, "0af7651916cd43dd8448eb211c80319c"),
            (Field::UserId, "u"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "CloudEvent without data",
        headers: &[],
        value: r#"{"specversion":"1.0","id":"e-3","source":"/shop","type":"order.erased"}"#,
        label: "cloudevents",
        event_type: "order.erased",
        match_version: None,
        time: RECORD_TIME,
        fields: &[(Field::Id, "e-3"), (Field::Source, "/shop")],
        order_id: Json::Missing,
        data: None,
    },
    Case {
        name: "binary CloudEvent",
        headers: &[
            ("ce_specversion", b"1.0"),
            ("ce_id", b"lost"),
            ("ce_id", b"e 4"),
            ("ce_source", b"/shop%20a%C3%BC%zz"),
            ("ce_type", b"order.created.v2"),
            ("ce_time", b"2026-11-21T06:00:00Z"),
            ("ce_correlationid", b"c"),
            (
                "ce_traceparent",
                b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            ("content-type", b"application/json"),
        ],
        value: r#"{"orderId":"o-1"}"#,
        label: "cloudevents",
        event_type: "order.created",
        match_version: Some(2),
        time: T,
        fields: &[
            (Field::Id, "e 4"),
            (Field::Version, "2"),
            (Field::Source, "/shop aü%zz"),
            (Field::Time, "2026-11-21T06:00:00Z"),
            (Field::CorrelationId, "c"),
            (Field::TraceId, "0af7651916cd43dd8448eb211c80319c"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "binary CloudEvent with hyphens, from an HTTP bridge",
        headers: &[
            ("Ce-Specversion", b"1.0"),
            ("Ce-Id", b"e-4"),
            ("Ce-Source", b"/shop"),
            ("Ce-Type", b"order.created"),
        ],
        value: r#"{"orderId":"o-1"}"#,
        label: "cloudevents",
        event_type: "order.created",
        match_version: None,
        time: RECORD_TIME,
        fields: &[(Field::Id, "e-4"), (Field::Source, "/shop")],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "Debezium insert",
        headers: &[],
        value: r#"{"before":null,"after":{"orderId":"o-1"},"source":{"name":"shop","table":"orders","ts_ms":1795240800000},
            "op":"c","ts_ms":1795240800500,"transaction":{"id":"571","total_order":1}}"#,
        label: "debezium",
        event_type: "orders.created",
        match_version: None,
        time: T,
        fields: &[
            (Field::Source, "shop"),
            (Field::Time, "1795240800000"),
            (Field::CorrelationId, "571"),
            (Field::AggregateType, "orders"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "Debezium snapshot read, wrapped with its schema, without a source time",
        headers: &[],
        value: r#"{"schema":{"type":"struct","fields":[]},"payload":{"before":null,"after":{"orderId":"o-1"},
            "source":{"name":"shop","table":"orders","ts_ms":0},"op":"r","ts_ms":1795240800000}}"#,
        label: "debezium",
        event_type: "orders.created",
        match_version: None,
        time: T,
        fields: &[
            (Field::Source, "shop"),
            (Field::Time, "0"),
            (Field::AggregateType, "orders"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "Debezium update",
        headers: &[],
        value: r#"{"before":{"orderId":"o-0"},"after":{"orderId":"o-1"},"source":{"table":"orders"},"op":"u","ts_ms":1795240800000}"#,
        label: "debezium",
        event_type: "orders.updated",
        match_version: None,
        time: T,
        fields: &[
            (Field::Time, "1795240800000"),
            (Field::AggregateType, "orders"),
        ],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "Debezium delete",
        headers: &[],
        value: r#"{"before":{"orderId":"o-1"},"after":null,"source":{"table":"orders"},"op":"d"}"#,
        label: "debezium",
        event_type: "orders.deleted",
        match_version: None,
        time: RECORD_TIME,
        fields: &[(Field::AggregateType, "orders")],
        order_id: ORDER,
        data: DATA,
    },
    Case {
        name: "plain",
        headers: &[("trace", b"x")],
        value: r#" {"orderId":"o-1"} "#,
        label: "plain",
        event_type: "orders",
        match_version: None,
        time: RECORD_TIME,
        fields: &[],
        order_id: ORDER,
        data: DATA,
    },
];

#[test]
fn every_envelope_is_detected_and_says_exactly_what_it_holds() {
    for case in CASES {
        let sent = Sent {
            headers: case.headers,
            ..Sent::json(case.value)
        };
        let (chunk, map) = detect_and_decode(&[sent], &["orderId", "orderId.deeper", ""]);
        let event = chunk.event(0, &map);
        let name = case.name;
        assert_eq!(event.fault(), None, "{name}");
        assert_eq!(chunk.envelope().label(), case.label, "{name}");
        assert_eq!(event.event_type(), case.event_type, "{name}");
        assert_eq!(event.match_version(), case.match_version, "{name}");
        assert_eq!(event.time_micros(), Some(case.time), "{name}");
        for field in Field::ALL {
            let wanted = case.fields.iter().find(|(at, _)| *at == field);
            let wanted = match field {
                Field::Type => Some(case.event_type),
                _ => wanted.map(|(_, text)| *text),
            };
            assert_eq!(event.field(field).as_deref(), wanted, "{name}: {field:?}");
        }
        assert_eq!(event.path(0), case.order_id, "{name}");
        assert_eq!(event.path(1), Json::Missing, "{name}");
        assert_eq!(event.data(), case.data, "{name}");
        let whole = case.data.map_or(Json::Missing, Json::Object);
        assert_eq!(event.path(2), whole, "{name}");
    }
}

#[test]
fn a_tombstone_has_a_type_of_its_own_in_every_envelope() {
    let headers: &[(&str, &[u8])] = &[("ce_specversion", b"1.0"), ("ce_type", b"x")];
    let tombstone = Sent {
        key: Some(b"k"),
        headers,
        value: None,
    };
    for envelope in [Envelope::Plain, Envelope::CloudEvents, Envelope::Debezium] {
        let (chunk, map) = decode(envelope, &[tombstone], &["id"]);
        let event = chunk.event(0, &map);
        assert_eq!(event.fault(), None);
        assert_eq!(event.event_type(), "$tombstone");
        assert_eq!(event.match_version(), None);
        assert_eq!(event.field(Field::Id), None);
        assert_eq!(event.data(), None);
        assert_eq!(event.path(0), Json::Missing);
        assert_eq!(event.key(), Ok(Some("k")));
        assert_eq!(event.time_micros(), Some(RECORD_TIME));
    }
}

#[test]
fn both_images_of_a_debezium_change_can_be_reached() {
    let updated = r#"{"before":{"n":1},"after":{"n":2},"source":{"table":"t"},"op":"u"}"#;
    let created = r#"{"before":null,"after":{"n":2},"source":{"table":"t"},"op":"c"}"#;
    let wrapped = format!(r#"{{"payload":{updated},"schema":null}}"#);
    let records = [updated, created, &wrapped].map(Sent::json);
    let (chunk, map) = detect_and_decode(&records, &["n", "$before.n", "$before"]);
    let found = |record: usize| [0, 1, 2].map(|path| chunk.event(record, &map).path(path));
    let both = [
        Json::Number("2"),
        Json::Number("1"),
        Json::Object(r#"{"n":1}"#),
    ];
    assert_eq!(found(0), both);
    assert_eq!(found(1), [Json::Number("2"), Json::Missing, Json::Null]);
    assert_eq!(found(2), both);
}

#[test]
fn a_topic_with_a_version_is_a_type_with_a_version() {
    let mut chunk = super::raw(&[Sent::json("{}")]);
    chunk.partition.topic = "orders.v2".into();
    let chunk = crate::event::Decoder::new(Envelope::Plain, Default::default()).decode(chunk);
    let map = chunk.map(&[]).unwrap();
    assert_eq!(chunk.event(0, &map).event_type(), "orders");
    assert_eq!(chunk.event(0, &map).match_version(), Some(2));
    assert_eq!(chunk.event(0, &map).topic(), "orders.v2");
}

#[test]
fn a_mapping_finds_what_the_configuration_names() {
    let name = r#"{"id":"head.no","type":"head.kind","time":["head.at","at"],"user_id":"who[1]","data":"body[0].rows"}"#;
    let envelope = Envelope::from_name(name).unwrap();
    let value =
        r#"{"head":{"no":5,"kind":"a.b.v7"},"at":0,"who":["x","y"],"body":[{"rows":{"n":1.50}}]}"#;
    let (chunk, map) = decode(envelope, &[Sent::json(value)], &["n"]);
    let event = chunk.event(0, &map);
    assert_eq!(event.fault(), None);
    assert_eq!(event.field(Field::Id).as_deref(), Some("5"));
    assert_eq!(event.event_type(), "a.b");
    assert_eq!(event.match_version(), Some(7));
    assert_eq!(event.field(Field::UserId).as_deref(), Some("y"));
    assert_eq!(event.time_micros(), Some(0));
    assert_eq!(event.path(0), Json::Number("1.50"));
    assert_eq!(event.data(), Some(r#"{"n":1.50}"#));
}

#[test]
fn without_a_place_for_the_data_the_whole_record_is_the_data() {
    let envelope = Envelope::from_name(r#"{"type":"kind"}"#).unwrap();
    let (chunk, map) = decode(
        envelope,
        &[Sent::json(r#"{"kind":"a","n":1}"#)],
        &["n", "kind"],
    );
    let event = chunk.event(0, &map);
    assert_eq!(event.event_type(), "a");
    assert_eq!(event.path(0), Json::Number("1"));
    assert_eq!(event.path(1), Json::String("a".into()));
}

#[test]
fn structured_and_binary_cloud_events_may_share_a_topic() {
    let structured = Sent::json(r#"{"specversion":"1.0","id":"1","type":"a","data":{"n":1}}"#);
    let binary = Sent {
        headers: &[("ce_specversion", b"1.0"), ("ce_type", b"b")],
        ..Sent::json(r#"{"n":2}"#)
    };
    for records in [[structured, binary], [binary, structured]] {
        let (chunk, map) = detect_and_decode(&records, &["n"]);
        let found = |index| {
            let event = chunk.event(index, &map);
            (event.event_type(), event.path(0))
        };
        let mut found = [found(0), found(1)];
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = [("a", "1"), ("b", "2")].map(|(t, n)| (t.into(), Json::Number(n)));
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_chunk_counts_all_that_it_holds() {
    let records = [Sent::json(r#"{"n":1}"#); 50];
    let raw_memory = super::raw(&records).memory();
    let (few, _) = decode(Envelope::Plain, &records, &["n"]);
    let (many, _) = decode(Envelope::Plain, &records, &["n", "a", "b", "c"]);
    assert!(few.memory() > raw_memory);
    // Eight bytes for each of three more slots.
    assert!(many.memory() >= few.memory() + 50 * 3 * 8);
}
