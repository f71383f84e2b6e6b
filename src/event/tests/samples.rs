//! JSON lines as records.

use super::super::lines::chunk_from_lines;
use crate::event::{Decoder, Envelope, PathSet};
use crate::position::Position;

#[test]
fn lines_are_values_or_whole_records() {
    let text = concat!(
        "{\"n\":1}\n\n",
        "  {\"value\":{\"n\": 2},\"key\":\"k\",\"headers\":{\"h\":\"x\",\"none\":null,\"num\":5},\"timestamp\":1700000000000}\r\n",
        "{\"value\":null,\"key\":7,\"offset\":9}\n",
        "{\"value\":{\"value\":1},\"topic\":\"customers\",\"partition\":2,\"timestamp\":\"2026-11-21T06:00:00Z\"}\n",
        "{\"value\":3,\"other\":1}\n",
        "[1]",
    );
    let chunks = chunk_from_lines("orders", text).unwrap();
    let names: Vec<String> = chunks
        .iter()
        .map(|c| format!("{} {:?}", c.partition, c.range))
        .collect();
    assert_eq!(
        names,
        [
            "orders/0 [0, 10)",
            "customers/2 [0, 1)",
            "orders/0 [10, 12)"
        ]
    );
    let decoder = Decoder::new(Envelope::Plain, PathSet::new([]).into());
    let mut found = Vec::new();
    for chunk in chunks {
        let chunk = decoder.decode(chunk);
        let map = chunk.map(&[]).unwrap();
        for index in 0..chunk.len() {
            let event = chunk.event(index, &map);
            assert_eq!(event.fault(), None);
            let key = event.key().unwrap();
            found.push(format!(
                "{} {key:?} {} {:?}",
                event.record(),
                event.timestamp_ms(),
                event.data()
            ));
            if event.offset() == 1 {
                assert_eq!(event.header("h"), Ok(Some("x")));
                assert_eq!(event.header("none"), Ok(None));
                assert_eq!(event.header("num"), Ok(Some("5")));
            }
        }
    }
    assert_eq!(
        found,
        [
            r#"orders/0@0 None -1 Some("{\"n\":1}")"#,
            r#"orders/0@1 Some("k") 1700000000000 Some("{\"n\": 2}")"#,
            r#"orders/0@9 Some("7") -1 None"#,
            r#"customers/2@0 None 1795240800000 Some("{\"value\":1}")"#,
            r#"orders/0@10 None -1 Some("{\"value\":3,\"other\":1}")"#,
            r#"orders/0@11 None -1 Some("[1]")"#,
        ]
    );
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    for (text, wrong) in [
        ("{}\n{", "line 2: not JSON: no member name at byte 1"),
        (
            "{\"value\":1,\"offset\":3}\n\n{\"value\":1,\"offset\":3}",
            "line 3: offset 3 is not above the one before it in t/0",
        ),
        (
            "{\"value\":1,\"partition\":-1}",
            "line 1: `partition` is no whole number from 0 on",
        ),
        (
            "{\"value\":1,\"timestamp\":\"noon\"}",
            "line 1: `timestamp` is no RFC 3339 time",
        ),
        (
            "{\"value\":1,\"headers\":[]}",
            "line 1: `headers` is no object",
        ),
        ("{\"value\":1,\"topic\":\"\"}", "line 1: `topic` is no name"),
    ] {
        assert_eq!(chunk_from_lines("t", text).unwrap_err(), wrong);
    }
}

#[test]
fn the_first_record_at_a_position_is_found_across_holes() {
    let text = "{\"value\":1,\"offset\":3}\n{\"value\":1,\"offset\":7}";
    let chunk = chunk_from_lines("t", text).unwrap().remove(0);
    let chunk = Decoder::new(Envelope::Plain, PathSet::default().into()).decode(chunk);
    let found = [0, 3, 4, 7, 8].map(|offset| chunk.first_at(Position::at(offset)));
    assert_eq!(found, [0, 0, 1, 1, 2]);
    assert_eq!(chunk.range().from, Position::at(3));
    assert_eq!(chunk.end(), Position::at(8));
}
