//! Properties: the scanner against serde_json, and decoding against a walk over a tree.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::super::path::Segment;
use super::super::{Decoder, Envelope, Json, Path, PathSet, elements};
use super::{Sent, raw};

/// Random JSON as text, with odd spaces, escapes, duplicate members and number texts.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?",
    ];
    let content =
        "([a-zé😀 ]|\\\\n|\\\\u0000|\\\\u00e9|\\\\ud83d\\\\ude00|\\\\\"|\\\\\\\\|\\\\/){0,12}";
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        content.prop_map(|s| format!("\"{s}\"")),
    ];
    let name = prop_oneof!["[abc]", Just("\\u0061".to_owned()), Just("é".to_owned())];
    let space = "[ \\n\\t\\r]{0,2}";
    scalar.prop_recursive(6, 40, 5, move |inner| {
        let item = (space, inner, space).prop_map(|(a, v, b)| format!("{a}{v}{b}"));
        let member = (name.clone(), item.clone()).prop_map(|(n, v)| format!(" \"{n}\" :{v}"));
        prop_oneof![
            prop::collection::vec(item, 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|v| format!("{{{}}}", v.join(","))),
        ]
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        4 => "[abcé]".prop_map(|name| Segment::Key(name.into())),
        1 => (0u32..3).prop_map(Segment::Index),
    ]
}

fn some_paths() -> impl Strategy<Value = Vec<Path>> {
    prop::collection::vec(prop::collection::vec(segment(), 0..4).prop_map(Path), 0..8)
}

/// What a walk over the tree finds.
fn walk<'v>(mut value: &'v Value, path: &Path) -> Option<&'v Value> {
    for segment in &path.0 {
        value = match segment {
            Segment::Key(name) => value.as_object()?.get(&**name)?,
            Segment::Index(index) => value.as_array()?.get(*index as usize)?,
        };
    }
    Some(value)
}

fn agree(found: &Json<'_>, wanted: Option<&Value>) -> bool {
    match (found, wanted) {
        (Json::Missing, None) | (Json::Null, Some(Value::Null)) => true,
        (Json::Bool(a), Some(Value::Bool(b))) => a == b,
        (Json::String(a), Some(Value::String(b))) => a == b,
        // serde_json writes the sign of an exponent that has none.
        (Json::Number(a), Some(Value::Number(b))) => {
            serde_json::from_str::<Value>(a).unwrap() == Value::Number(b.clone())
        }
        (Json::Array(text), Some(value @ Value::Array(_)))
        | (Json::Object(text), Some(value @ Value::Object(_))) => {
            serde_json::from_str::<Value>(text).unwrap() == *value
        }
        _ => false,
    }
}

fn all(set: &PathSet, sent: &[Sent<'_>], envelope: Envelope) -> Vec<Vec<String>> {
    let chunk =
        Decoder::new(envelope, Arc::new(PathSet::new(set.paths().to_vec()))).decode(raw(sent));
    texts(&chunk, set)
}

fn texts(chunk: &super::Chunk, set: &PathSet) -> Vec<Vec<String>> {
    let map = chunk.map(set.paths()).unwrap();
    (0..chunk.len())
        .map(|index| {
            let event = chunk.event(index, &map);
            let mut texts = vec![
                format!("{:?}", event.fault()),
                event.event_type().into_owned(),
                format!(
                    "{:?} {:?} {:?}",
                    event.time_micros(),
                    event.data(),
                    event.match_version()
                ),
            ];
            texts.extend((0..set.paths().len()).map(|path| format!("{:?}", event.path(path))));
            texts
        })
        .collect()
}

fn envelopes() -> Vec<Envelope> {
    let mapped =
        Envelope::from_name(r#"{"type":["a","b.c"],"id":"a[0]","time":"c","data":["b","a"]}"#);
    vec![
        Envelope::Plain,
        Envelope::CloudEvents,
        Envelope::Debezium,
        mapped.unwrap(),
    ]
}

proptest! {
    #[test]
    fn extracting_finds_what_a_walk_over_the_tree_finds(text in json_text(), wanted in some_paths()) {
        let set = PathSet::new(wanted);
        let tree: Value = serde_json::from_str(&text).unwrap();
        let found = set.extract(&text).unwrap();
        prop_assert_eq!(found.len(), set.paths().len());
        for (found, path) in found.iter().zip(set.paths()) {
            prop_assert!(agree(found, walk(&tree, path)), "{} in {}: {:?}", path, text, found);
            if let Json::Number(number) = found {
                prop_assert!(text.contains(number));
            }
        }
    }

    #[test]
    fn decoding_gives_what_extracting_from_the_data_gives(text in json_text(), wanted in some_paths()) {
        let set = PathSet::new(wanted);
        let record = format!(r#"{{"x":[{text}],"kind":"t","data":{text}}}"#);
        let mapped = Envelope::from_name(r#"{"type":"kind","data":"data"}"#).unwrap();
        let chunk = Decoder::new(mapped, Arc::new(PathSet::new(set.paths().to_vec()))).decode(raw(&[Sent::json(&record)]));
        let map = chunk.map(set.paths()).unwrap();
        let event = chunk.event(0, &map);
        for (index, json) in set.extract(&text).unwrap().into_iter().enumerate() {
            prop_assert_eq!(event.path(index), json);
        }
        prop_assert_eq!(event.data(), Some(text.trim()));
    }

    #[test]
    fn the_scanner_accepts_what_serde_json_accepts(text in json_text(), at in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:0-9eE.+\\\\nu \\x01-]{0,2}") {
        let mut places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        places.push(text.len());
        let at = places[at.index(places.len())];
        let rest = text[at..].chars().skip(1).collect::<String>();
        let broken = format!("{}{put}{rest}", &text[..at]);
        let ours = PathSet::default().extract(&broken).is_ok();
        // serde_json refuses numbers only when it has to represent them; the text form accepts them all.
        let theirs = serde_json::from_str::<Value>(&broken).is_ok();
        prop_assert_eq!(ours, theirs, "{}", broken);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), wanted in some_paths()) {
        let set = PathSet::new(wanted);
        let headers: [(&str, &[u8]); 2] = [("ce_type", &bytes), ("ce_specversion", b"1.0")];
        for headers in [&headers[..0], &headers[..1], &headers[..]] {
            let sent = Sent { key: Some(&bytes), headers, value: Some(&bytes) };
            let _ = Envelope::detect(&raw(&[sent]));
            for envelope in envelopes() {
                let _ = all(&set, &[sent], envelope);
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = set.extract(&text);
        let _ = elements(&text);
        let _ = super::super::lines::chunk_from_lines("t", &text);
    }

    #[test]
    fn other_paths_give_what_a_fresh_decoding_gives(texts_in in prop::collection::vec(json_text(), 1..4), one in some_paths(), two in some_paths()) {
        let sent: Vec<Sent<'_>> = texts_in.iter().map(|text| Sent::json(text)).collect();
        let (one, two) = (PathSet::new(one), Arc::new(PathSet::new(two)));
        let detected = Envelope::detect(&raw(&sent)).unwrap();
        for envelope in envelopes().into_iter().chain([detected]) {
            let chunk = Decoder::new(envelope.clone(), Arc::new(PathSet::new(one.paths().to_vec()))).decode(raw(&sent));
            let again = chunk.with_paths(two.clone());
            prop_assert_eq!(texts(&again, &two), all(&two, &sent, envelope));
            // What one projection needs never decides whether another's event is a fault.
            let faults = |chunk: &super::Chunk| texts(chunk, &PathSet::default()).into_iter().map(|t| t[0].clone()).collect::<Vec<_>>();
            prop_assert_eq!(faults(&again), faults(&chunk));
        }
    }

    #[test]
    fn elements_are_those_of_the_array(texts in prop::collection::vec(json_text(), 0..5)) {
        let array = format!(" [{}] ", texts.join(" ,"));
        let found = elements(&array).unwrap();
        let wanted: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn only_arrays_have_elements() {
    for text in ["{}", "1", "null", "", "[1", "[1] 2", "[1,]"] {
        assert!(elements(text).is_err(), "{text}");
    }
}

#[test]
fn a_set_maps_only_paths_that_it_has() {
    let paths = super::paths(&["b", "a", "a.c", "b"]);
    let set = PathSet::new(paths.clone());
    assert_eq!(set.paths().len(), 3);
    let map = set.map(&paths).unwrap();
    assert_eq!(map.0[0], map.0[3]);
    assert_eq!(set.map(&super::paths(&["a", "z"])), None);
}
