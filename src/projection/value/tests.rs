use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::delta::Latest;
use super::super::schema::{ColumnType, Schema};
use super::*;
use crate::event::Json;

const CENTS: ColumnType = ColumnType::Decimal {
    precision: 18,
    scale: 2,
};

fn canonical(ty: ColumnType, text: &str) -> String {
    let value = Value::parse(ty, text);
    let value = value.unwrap_or_else(|reason| panic!("{ty} {text}: {reason}"));
    let canonical = value.canonical().unwrap().into_owned();
    assert_eq!(Value::parse(ty, &canonical), Ok(value), "{ty} {text}");
    canonical
}

#[test]
fn a_text_that_means_one_value_has_one_canonical_text() {
    for (ty, text, expected) in [
        (ColumnType::Bigint, "2.0", "2"),
        (ColumnType::Bigint, "2e3", "2000"),
        (ColumnType::Bigint, "+7", "7"),
        (
            ColumnType::Bigint,
            "-9223372036854775808.0",
            "-9223372036854775808",
        ),
        (ColumnType::Smallint, "-32768", "-32768"),
        (ColumnType::Numeric, "1.500", "1.5"),
        (ColumnType::Numeric, "-0.0", "0"),
        (ColumnType::Numeric, "1e-3", "0.001"),
        (CENTS, "1.5", "1.50"),
        (CENTS, "1.500", "1.50"),
        (CENTS, "1e2", "100.00"),
        (CENTS, "-0", "0.00"),
        (ColumnType::Double, "1.0", "1"),
        (ColumnType::Double, "-0.0", "0"),
        (ColumnType::Double, "1e2", "100"),
        (ColumnType::Double, "1e21", "1e21"),
        (ColumnType::Double, "0.0000001", "1e-7"),
        (ColumnType::Double, "0.1000", "0.1"),
        (
            ColumnType::Timestamptz,
            "2026-11-21 07:00:00+01",
            "2026-11-21T06:00:00Z",
        ),
        (
            ColumnType::Uuid,
            "0190A8E2-7C51-7D5B-9D0A-1F2E3D4C5B6A",
            "0190a8e2-7c51-7d5b-9d0a-1f2e3d4c5b6a",
        ),
        (
            ColumnType::Jsonb,
            " { \"b\" : 1.10 , \"a\" : [ ] } ",
            r#"{"a":[],"b":1.10}"#,
        ),
        (
            ColumnType::TextArray,
            r#"[ "a" , "\u00e9" ]"#,
            r#"["a","é"]"#,
        ),
    ] {
        assert_eq!(canonical(ty, text), expected, "{ty} {text}");
    }
}

#[test]
fn nothing_is_rounded_or_truncated_silently() {
    for (ty, text) in [
        (ColumnType::Bigint, "2.5"),
        (ColumnType::Bigint, "9223372036854775808"),
        (ColumnType::Integer, "2147483648"),
        (ColumnType::Smallint, "32768"),
        (ColumnType::Smallint, "1e999999999"),
        (CENTS, "0.001"),
        (CENTS, "10000000000000000"),
        (ColumnType::Numeric, "1e1000"),
        (ColumnType::Numeric, "NaN"),
        (ColumnType::Double, "1e400"),
        (ColumnType::Double, "1e-400"),
        (ColumnType::Double, "inf"),
        (ColumnType::Double, "nan"),
        (ColumnType::Boolean, "t"),
        (ColumnType::Boolean, "1"),
        (ColumnType::Date, "2026-11-21T00:00:00Z"),
        (ColumnType::Timestamptz, "2026-11-21"),
        (ColumnType::Uuid, "0190a8e2"),
        (ColumnType::Text, "a\0b"),
        (ColumnType::Jsonb, ""),
        (ColumnType::Jsonb, "\"a\\u0000b\""),
        (ColumnType::Jsonb, "{\"a\\u0000b\":1}"),
        (ColumnType::Jsonb, "1e1000"),
        (ColumnType::TextArray, "[1]"),
        (ColumnType::TextArray, "[null]"),
        (ColumnType::TextArray, "[\"\\u0000\"]"),
        (ColumnType::TextArray, "{a}"),
    ] {
        let reason = Value::parse(ty, text).unwrap_err();
        assert!(
            text.is_empty() || text.len() < 2 || !reason.contains(text),
            "{reason}"
        );
    }
}

#[test]
fn json_of_an_event_is_read_where_it_fits() {
    let number = |text| Json::Number(text);
    let string = |text: &'static str| Json::String(Cow::Borrowed(text));
    let read = |ty, json: Json<'static>| {
        let value = Value::from_json(ty, &json)?;
        Ok::<_, String>(value.canonical().map(|text| text.into_owned()))
    };
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(
        read(ColumnType::Text, Json::Missing),
        Err("is missing".into())
    );
    assert_eq!(
        read(ColumnType::Jsonb, Json::Missing),
        Err("is missing".into())
    );
    assert_eq!(read(ColumnType::Jsonb, Json::Null), Ok(None));
    assert_eq!(read(ColumnType::Bigint, number("2.0")), some("2"));
    assert_eq!(read(ColumnType::Bigint, string("12")), some("12"));
    assert_eq!(read(CENTS, number("0.1")), some("0.10"));
    assert_eq!(read(CENTS, string("12.30")), some("12.30"));
    assert_eq!(read(ColumnType::Text, number("1.50")), some("1.50"));
    assert_eq!(read(ColumnType::Boolean, Json::Bool(true)), some("true"));
    assert_eq!(read(ColumnType::Boolean, string("false")), some("false"));
    assert_eq!(read(ColumnType::Jsonb, string("a\"b")), some(r#""a\"b""#));
    assert_eq!(read(ColumnType::Jsonb, number("1.10")), some("1.10"));
    assert_eq!(read(ColumnType::Jsonb, Json::Bool(false)), some("false"));
    assert_eq!(read(ColumnType::Jsonb, Json::Object("{ }")), some("{}"));
    assert_eq!(
        read(ColumnType::TextArray, Json::Array("[\"a\"]")),
        some("[\"a\"]")
    );
    for (ty, json) in [
        (ColumnType::Bigint, number("2.5")),
        (ColumnType::Text, Json::Bool(true)),
        (ColumnType::Text, Json::Array("[]")),
        (ColumnType::Boolean, number("1")),
        (ColumnType::Bigint, Json::Bool(true)),
        (ColumnType::Timestamptz, number("1700000000")),
        (ColumnType::Numeric, Json::Object("{}")),
        (ColumnType::TextArray, Json::Array("[1]")),
        (ColumnType::TextArray, string("[\"a\"]")),
        (ColumnType::Text, string("a\0")),
        (ColumnType::Jsonb, string("a\0")),
    ] {
        assert!(read(ty, json.clone()).is_err(), "{ty} {json:?}");
    }
}

#[test]
fn a_cast_loses_nothing() {
    let cast = |from, text, to| Value::parse(from, text).unwrap().cast(to);
    let text_of =
        |from, text, to| cast(from, text, to).map(|v| v.canonical().unwrap().into_owned());
    use ColumnType::{Bigint, Date, Double, Integer, Jsonb, Numeric, Text, TextArray, Timestamptz};
    for (from, text, to, expected) in [
        (Bigint, "5", CENTS, "5.00"),
        (Bigint, "5", Text, "5"),
        (Bigint, "5", Double, "5"),
        (Numeric, "2.00", Bigint, "2"),
        (Numeric, "2.5", CENTS, "2.50"),
        (CENTS, "2.50", Numeric, "2.5"),
        (CENTS, "2.50", Jsonb, "2.50"),
        (Double, "0.1", Numeric, "0.1"),
        (Double, "3", Integer, "3"),
        (Text, "2026-11-21", Date, "2026-11-21"),
        (Text, "[1]", Jsonb, "\"[1]\""),
        (Jsonb, "\"a\\\"b\"", Text, "a\"b"),
        (Jsonb, "[\"a\"]", TextArray, "[\"a\"]"),
        (TextArray, "[\"a\"]", Jsonb, "[\"a\"]"),
        (
            Timestamptz,
            "2026-11-21T06:00:00Z",
            Text,
            "2026-11-21T06:00:00Z",
        ),
        (Date, "2026-11-21", Jsonb, "\"2026-11-21\""),
    ] {
        assert_eq!(
            text_of(from, text, to).unwrap(),
            expected,
            "{from} {text} as {to}"
        );
    }
    for (from, text, to) in [
        (Numeric, "2.5", Bigint),
        (Bigint, "2147483648", Integer),
        (Numeric, "0.001", CENTS),
        (Double, "2.5", Bigint),
        (Text, "x", Bigint),
        (Text, "[\"a\"]", TextArray),
        (Timestamptz, "2026-11-21T06:00:00Z", Date),
        (Date, "2026-11-21", Timestamptz),
        (ColumnType::Boolean, "true", Text),
        (ColumnType::Boolean, "true", Bigint),
        (Jsonb, "{}", Text),
    ] {
        assert!(cast(from, text, to).is_err(), "{from} {text} as {to}");
    }
    assert_eq!(Value::Null.cast(Bigint), Ok(Value::Null));
    assert!(Value::Text("\0".into()).cast(Text).is_err());
    assert!(Value::Time(i64::MAX).cast(Timestamptz).is_err());
    assert!(Value::Double(f64::NAN).cast(Double).is_err());
}

#[test]
fn json_columns_have_one_text() {
    for (text, expected) in [
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"a":1,"a":2,"a":3}"#, r#"{"a":3}"#),
        (r#"{"é":1,"z":2,"":3}"#, r#"{"":3,"z":2,"é":1}"#),
        (
            r#""\u0041\/\u00e9\n\u001f\ud83e\udd80""#,
            "\"A/é\\n\\u001f🦀\"",
        ),
        (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
        ("[1.0,1e2,-0,0.10]", "[1.0,1e2,-0,0.10]"),
        (" [ 1 , { } , [ ] ] ", "[1,{},[]]"),
        (
            r#"{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":0}"#,
            r#"{"a":0,"b":{"c":[{"e":2,"f":1}],"d":1}}"#,
        ),
    ] {
        let canonical = canonical_json(text).unwrap();
        assert_eq!(&*canonical, expected);
        assert_eq!(canonical_json(&canonical).unwrap(), canonical);
    }
    for wrong in [
        "",
        " ",
        "{",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "-",
        "tru",
        "nulll",
        "\"a",
        "\"\\x\"",
        "\"\n\"",
        "\"\\ud800\"",
        "\"\\",
        "[1]]",
        "'a'",
        "NaN",
        "\"\\u0000\"",
        "[",
        "]",
        ",",
        "{\"a\":1 \"b\":2}",
        "[,1]",
        "\u{feff}1",
    ] {
        assert!(canonical_json(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nesting_ends_at_128_levels() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let deepest = canonical_json(&nested(128)).unwrap();
    assert_eq!(&*deepest, nested(128));
    assert!(canonical_json(&nested(129)).is_err());
    assert!(canonical_json(&"{\"a\":".repeat(100_000)).is_err());
    assert!(fits_inside(&nested(127)));
    assert!(!fits_inside(&deepest));
    assert!(fits_inside(&format!("\"{}\"", nested(200))));
    let json = Value::Json(deepest).to_json();
    assert_eq!(serde_json::to_string(&json).unwrap(), nested(128));
}

#[test]
fn values_are_json_as_the_contract_says() {
    let json = |ty, text| Value::parse(ty, text).unwrap().to_json().to_string();
    assert_eq!(
        json(ColumnType::Bigint, "9007199254740993"),
        "9007199254740993"
    );
    assert_eq!(json(CENTS, "1.5"), "\"1.50\"");
    assert_eq!(json(ColumnType::Double, "1.0"), "1");
    assert_eq!(json(ColumnType::Boolean, "true"), "true");
    assert_eq!(json(ColumnType::Date, "2026-11-21"), "\"2026-11-21\"");
    assert_eq!(json(ColumnType::TextArray, "[\"a\"]"), "[\"a\"]");
    assert_eq!(
        json(ColumnType::Jsonb, "{\"a\":[],\"b\":1.10}"),
        "{\"a\":[],\"b\":1.10}"
    );
    assert_eq!(Value::Null.to_json().to_string(), "null");

    let text = |ty, text| Value::parse(ty, text).unwrap().json_text().into_owned();
    assert_eq!(text(ColumnType::Double, "1e300"), "1e300");
    assert_eq!(text(ColumnType::Jsonb, "[1e2, 1E+2]"), "[1e2,1E+2]");
    assert_eq!(text(ColumnType::Text, "a\"b"), r#""a\"b""#);
    assert_eq!(text(CENTS, "1.5"), "\"1.50\"");
    assert_eq!(text(ColumnType::Bigint, "-7"), "-7");
    assert_eq!(Value::Null.json_text(), "null");
}

fn schema(columns: &[(&str, ColumnType)]) -> Arc<Schema> {
    let start = Schema::builder("view");
    let keys = columns.iter().fold(start, |s, (name, ty)| s.key(name, *ty));
    keys.build().unwrap()
}

#[test]
fn a_key_is_compared_by_value() {
    let schema = schema(&[("price", ColumnType::Numeric), ("id", ColumnType::Text)]);
    let key = |price: &str, id: &str| RowKey::new(&schema, vec![price.into(), id.into()]).unwrap();
    assert_eq!(key("1.0", "a"), key("1.00", "a"));
    assert_eq!(key("1e0", "a").text(), "1,a");
    assert_eq!(key("-1.50", "ü/ ,%~.").text(), "-1.5,%C3%BC%2F%20%2C%25~.");
    assert_eq!(key("0", "").text(), "0,");
    let read = |text| RowKey::parse(&schema, text);
    assert_eq!(read("1.00,a").unwrap(), key("1", "a"));
    assert_eq!(
        read("-1.5,%c3%BC%2F ,%~.").unwrap_err(),
        "has 3 parts where 2 are needed: price,id"
    );
    assert_eq!(
        read("-1.5,%c3%BC%2F %2C%25~.").unwrap(),
        key("-1.5", "ü/ ,%~.")
    );
    assert_eq!(read("1,a+b").unwrap(), key("1", "a+b"));
    for wrong in ["", "1", "a,b", "1,%", "1,%4", "1,%ZZ", "1,%FF", "1,%00"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(RowKey::new(&schema, vec![Value::Null, "a".into()]).is_err());
    assert!(RowKey::new(&schema, vec![1.into()]).is_err());
    assert!(RowKey::new(&schema, vec!["x".into(), "a".into()]).is_err());
}

#[test]
fn a_key_of_one_empty_text_is_a_key() {
    let schema = schema(&[("id", ColumnType::Text)]);
    let key = RowKey::new(&schema, vec!["".into()]).unwrap();
    assert_eq!(key.text(), "");
    assert_eq!(RowKey::parse(&schema, "").unwrap(), key);
}

/// Values of one type, close together and far apart.
fn values() -> impl Strategy<Value = (Value, Value)> {
    fn pair(of: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<(Value, Value)> {
        let of = of.boxed();
        (of.clone(), of).boxed()
    }
    let decimal = prop_oneof![
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?",
        "-?[0-9]{1,45}",
        "-?0\\.[0-9]{1,45}",
        "-?[0-9]{1,2}e-?[0-9]{1,2}",
    ];
    let text = prop_oneof!["[ -\"x-~]{0,3}", "[a-c\u{0}\u{7f}é🦀]{0,4}", "\\PC{0,6}"];
    prop_oneof![
        pair(decimal.prop_map(|t| Value::Numeric(Decimal::parse(&t).unwrap()))),
        pair(prop_oneof![any::<i64>(), -3i64..3].prop_map(Value::Int)),
        pair(text.clone().prop_map(|t| Value::Text(t.into()))),
        pair(
            prop_oneof![any::<f64>(), -2.0f64..2.0]
                .prop_filter("finite", |n| n.is_finite())
                .prop_map(|n| Value::Double(n + 0.0))
        ),
        pair(any::<bool>().prop_map(Value::Bool)),
        pair(prop_oneof![any::<i64>(), -3i64..3].prop_map(Value::Time)),
        pair(any::<i32>().prop_map(Value::Date)),
        pair(any::<u128>().prop_map(|n| Value::Uuid(uuid::Uuid::from_u128(n)))),
        pair(prop::collection::vec(text.prop_map(Into::into), 0..3).prop_map(Value::TextArray)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn order_texts_sort_as_values_do((a, b) in values(), (x, y) in ("\\PC{0,3}", "\\PC{0,3}")) {
        let (of_a, of_b) = (a.order_text(), b.order_text());
        prop_assert!(of_a.bytes().all(|b| (b'!'..=b'~').contains(&b)), "{}", of_a);
        prop_assert_eq!(of_a.cmp(&of_b), a.compare(&b), "{:?} {:?}", a, b);
        prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
        prop_assert_eq!(Value::Null.compare(&a), Ordering::Less);
        prop_assert!(Value::Null.order_text() <= of_a);
        let latest = |by: &Value, id: &str| Latest::new(by, id, Value::Null).order;
        let expected = a.compare(&b).then_with(|| x.as_bytes().cmp(y.as_bytes()));
        prop_assert_eq!(latest(&a, &x).cmp(&latest(&b, &y)), expected);
    }

    #[test]
    fn integers_and_decimals_are_one_order(a in -300i64..300, b in -3000i64..3000) {
        let decimal = Value::Numeric(Decimal::parse(&format!("{b}e-1")).unwrap());
        let int = Value::Int(a);
        prop_assert_eq!(int.compare(&decimal), (a * 10).cmp(&b));
        prop_assert_eq!(int.order_text().cmp(&decimal.order_text()), (a * 10).cmp(&b));
    }

    #[test]
    fn canonical_json_means_the_same(text in "\\PC{0,8}", numbers in prop::collection::vec(any::<f64>(), 0..4)) {
        let mut tree = serde_json::json!({ text.clone(): [text.clone(), {}, []], "n": numbers });
        tree["again"] = serde_json::json!({ "b": text, "a": null });
        let pretty = serde_json::to_string_pretty(&tree).unwrap();
        let canonical = canonical_json(&pretty).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&canonical).unwrap(), tree);
        prop_assert_eq!(canonical_json(&canonical).unwrap(), canonical);
    }

    #[test]
    fn json_is_accepted_as_the_reference_parser_does(text in "[\\[\\]{}\",:0-9a.eE \\\\tru-]{0,12}") {
        let reference = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(canonical_json(&text).is_ok(), reference.is_ok(), "{}", text);
    }

    #[test]
    fn keys_read_back_from_their_text((id, at) in ("\\PC{0,8}", -62_135_596_800_000_000i64..253_402_300_800_000_000)) {
        let schema = schema(&[("id", ColumnType::Text), ("at", ColumnType::Timestamptz)]);
        let key = RowKey::new(&schema, vec![Value::Text(id.into()), Value::Time(at)]).unwrap();
        let read = RowKey::parse(&schema, key.text()).unwrap();
        prop_assert_eq!(&read, &key);
        prop_assert_eq!(read.parts(), key.parts());
    }
}
