//! What cannot be decoded is a fault beside its record, and nothing else.

use super::super::{Envelope, Json};
use super::{Sent, decode, fault};

fn mapped(name: &str) -> Envelope {
    Envelope::from_name(name).unwrap()
}

#[test]
fn a_record_that_does_not_fit_says_what_is_missing() {
    let fields = mapped(r#"{"type":"eventType","time":"timestamp","data":"data"}"#);
    let only_data = mapped(r#"{"data":"payload"}"#);
    let prefix = |label: &str, why: &str| {
        Some(format!(
            "the record does not fit the envelope `{label}` of topic orders: {why}"
        ))
    };
    for (envelope, value, why) in [
        (&fields, r#"{"data":{}}"#, "eventType is missing"),
        (
            &fields,
            r#"{"eventType":null,"data":{}}"#,
            "eventType is missing",
        ),
        (
            &fields,
            r#"{"eventType":"","data":{}}"#,
            "eventType is empty",
        ),
        (
            &fields,
            r#"{"eventType":5,"data":{}}"#,
            "eventType is not text",
        ),
        (&fields, "[1]", "eventType is missing"),
        (&only_data, r#"{"data":{}}"#, "data is missing"),
        (
            &fields,
            r#"{"eventType":"a","timestamp":"yesterday","data":{}}"#,
            "timestamp is neither an RFC 3339 time nor an epoch number",
        ),
        (
            &fields,
            r#"{"eventType":"a","timestamp":"2026-11-21T06:00:00","data":{}}"#,
            "timestamp is neither an RFC 3339 time nor an epoch number",
        ),
        (
            &fields,
            r#"{"eventType":"a","timestamp":[2026],"data":{}}"#,
            "timestamp is neither an RFC 3339 time nor an epoch number",
        ),
        (
            &Envelope::CloudEvents,
            r#"{"type":"a"}"#,
            "specversion is missing",
        ),
        (
            &Envelope::CloudEvents,
            r#"{"specversion":"0.3","type":"a"}"#,
            "specversion is not 1.0",
        ),
        (
            &Envelope::CloudEvents,
            r#"{"specversion":"1.0"}"#,
            "type is missing",
        ),
        (
            &Envelope::CloudEvents,
            r#"{"specversion":"1.0","type":"a","data_base64":"AA=="}"#,
            "data_base64 is not supported: send JSON as `data`",
        ),
        (&Envelope::Debezium, r#"{"after":{}}"#, "op is missing"),
        (
            &Envelope::Debezium,
            r#"{"op":"x","source":{"table":"t"}}"#,
            "op is none of c, r, u, d, t",
        ),
        (
            &Envelope::Debezium,
            r#"{"op":"c","after":{}}"#,
            "source.table is missing",
        ),
    ] {
        let wanted = prefix(envelope.label(), why);
        assert_eq!(fault(envelope, Sent::json(value)), wanted, "{value}");
    }
}

#[test]
fn a_binary_cloud_event_needs_a_type_and_a_good_time() {
    let with = |headers: &'static [(&'static str, &'static [u8])]| {
        let sent = Sent {
            headers,
            ..Sent::json("{}")
        };
        fault(&Envelope::CloudEvents, sent).unwrap_or_default()
    };
    assert_eq!(with(&[("ce_specversion", b"1.0"), ("ce_type", b"a")]), "");
    let wrong = with(&[("ce_specversion", b"1.0"), ("ce_type", b"\xff")]);
    assert!(wrong.ends_with("ce_type is missing"), "{wrong}");
    let wrong = with(&[("ce_specversion", b"2.0"), ("ce_type", b"a")]);
    assert!(wrong.ends_with("ce_specversion is not 1.0"), "{wrong}");
    let wrong = with(&[
        ("ce_specversion", b"1.0"),
        ("ce_type", b"a"),
        ("ce_time", b"noon"),
    ]);
    assert!(
        wrong.ends_with("ce_time is not an RFC 3339 time"),
        "{wrong}"
    );
}

#[test]
fn what_is_not_json_is_a_fault_in_every_envelope() {
    let fields = mapped(r#"{"type":"eventType"}"#);
    for envelope in [
        Envelope::Plain,
        Envelope::CloudEvents,
        Envelope::Debezium,
        fields,
    ] {
        for value in [
            &b""[..],
            b" ",
            b"{",
            b"{}}",
            b"{\"a\":1,}",
            b"[1,]",
            b"01",
            b"1.",
            b"-",
            b"+1",
            b".5",
            b"1e",
            b"nul",
            b"{a:1}",
            b"{\"a\" 1}",
            b"'a'",
            b"\"a",
            b"\"\n\"",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"\\ud800\"",
            b"\"\\ud800\\u0041\"",
            b"\"\\udc00\"",
            b"\xef\xbb\xbf{}",
            b"NaN",
            b"true false",
        ] {
            let sent = Sent {
                value: Some(value),
                ..Sent::default()
            };
            let fault = fault(&envelope, sent).unwrap_or_default();
            let text = String::from_utf8_lossy(value);
            assert!(
                fault.starts_with("the value is not JSON: "),
                "{text}: {fault}"
            );
        }
        let sent = Sent {
            value: Some(b"\"\xff\""),
            ..Sent::default()
        };
        assert_eq!(fault(&envelope, sent).unwrap(), "the value is not UTF-8");
    }
}

#[test]
fn nesting_is_counted_where_nobody_looks_too() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert_eq!(fault(&Envelope::Plain, Sent::json(&nested(128))), None);
        for levels in [129, 200, 100_000] {
            let wrong = fault(&Envelope::Plain, Sent::json(&nested(levels))).unwrap();
            assert!(wrong.contains("nesting beyond 128 levels"), "{wrong}");
        }
    }
}

#[test]
fn what_lies_side_by_side_is_not_nested() {
    for item in ["[]", "{}", "[1]", r#"{"a":[1,{}]}"#] {
        let value = format!("[{}]", vec![item; 300].join(","));
        assert_eq!(fault(&Envelope::Plain, Sent::json(&value)), None);
    }
}

#[test]
fn a_fault_leaves_its_neighbours_and_its_own_record_alone() {
    let bad = Sent {
        key: Some(b"k"),
        headers: &[("h", b"1"), ("h", b"2")],
        value: Some(br#"{"eventType":7}"#),
    };
    let good = Sent::json(r#"{"eventType":"a","n":"x"}"#);
    let envelope = mapped(r#"{"type":"eventType"}"#);
    let (chunk, map) = decode(envelope, &[good, bad, good, Sent::default()], &["n"]);
    for index in [0, 2] {
        assert_eq!(chunk.event(index, &map).fault(), None);
        assert_eq!(chunk.event(index, &map).path(0), Json::String("x".into()));
        assert_eq!(chunk.event(index, &map).event_type(), "a");
    }
    let event = chunk.event(1, &map);
    assert!(event.fault().is_some());
    assert_eq!(event.path(0), Json::Missing);
    assert_eq!(event.record().to_string(), "orders/3@12");
    assert_eq!(event.timestamp_ms(), 1_700_000_000_000);
    assert_eq!(event.key(), Ok(Some("k")));
    assert_eq!(event.header("h"), Ok(Some("2")));
    assert_eq!(event.header("H"), Ok(None));
    assert_eq!(event.value_bytes(), bad.value);
    let headers: Vec<_> = event.headers().collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", Some(&b"2"[..]))]);
}

#[test]
fn keys_and_headers_that_are_not_text_are_faults_only_when_used() {
    let sent = Sent {
        key: Some(b"\xff"),
        headers: &[("h", b"\xff"), ("g", b"ok")],
        value: Some(b"{}"),
    };
    let (chunk, map) = decode(Envelope::Plain, &[sent], &["n"]);
    let event = chunk.event(0, &map);
    assert_eq!(event.fault(), None);
    assert_eq!(
        event.key().unwrap_err().message,
        "the record key is not UTF-8"
    );
    assert_eq!(
        event.header("h").unwrap_err().message,
        "header h is not UTF-8"
    );
    assert_eq!(event.header("g"), Ok(Some("ok")));
    assert_eq!(event.key_bytes(), Some(&b"\xff"[..]));
}

#[test]
fn values_keep_their_text_and_the_last_of_equal_members_wins() {
    let value = r#"{"n":1.50e+03,"s":"a\u0000\n\ud83d\ude00","a":{"b":1,"c":2},"a":{"b":3},"k\u0065y":true,"key":false,
        "l":[null,{"x":"\\"}],"d":1,"d":null}"#;
    let wanted = [
        "n", "s", "a.b", "a.c", "key", "l[0]", "l[1].x", "l[2]", "l", "n.x", "l.x", "d", "d.x",
        "a[0]",
    ];
    let (chunk, map) = decode(Envelope::Plain, &[Sent::json(value)], &wanted);
    let event = chunk.event(0, &map);
    let found: Vec<Json<'_>> = (0..wanted.len()).map(|index| event.path(index)).collect();
    let expected = [
        Json::Number("1.50e+03"),
        Json::String("a\0\n😀".into()),
        Json::Number("3"),
        Json::Missing,
        Json::Bool(false),
        Json::Null,
        Json::String("\\".into()),
        Json::Missing,
        Json::Array(r#"[null,{"x":"\\"}]"#),
        Json::Missing,
        Json::Missing,
        Json::Null,
        Json::Missing,
        Json::Missing,
    ];
    assert_eq!(found, expected);
    assert_eq!(event.path(99), Json::Missing);
}
