use proptest::prelude::*;

use super::{compiled, evaluated, row, want};

const WANTS: [&str; 12] = [
    "text",
    "bigint",
    "money",
    "double",
    "boolean",
    "timestamptz",
    "jsonb",
    "text[]",
    "condition",
    "order",
    "amount",
    "array",
];

const DATA: &str =
    r#"{"a":1,"b":"x","c":[1,"y"],"d":{"e":null},"f":true,"t":"2026-01-01T00:00:00Z"}"#;

/// Compiles `source` for every want and evaluates what compiles.
fn survive(source: &str) {
    for name in WANTS {
        match compiled(source, want(name)) {
            Ok(compiled) if name == "array" => drop(compiled),
            Ok(compiled) => drop(evaluated(&compiled, DATA, Some(&row()))),
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    assert!(problem.at <= source.len(), "{source}: {problem:?}");
                    assert!(source.is_char_boundary(problem.at), "{source}: {problem:?}");
                    assert!(!problem.message.contains('\n'), "{source}: {problem:?}");
                    assert_ne!(
                        problem.message, "the parser cannot read this expression",
                        "{source}"
                    );
                }
            }
        }
    }
}

/// A token, or something like one.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "data",
        "data.a",
        "data.b",
        "data.c",
        "data.?x",
        "data.d.e",
        "data.t",
        "item",
        "item.qty",
        "row.spent",
        "row.doc",
        "row.tags",
        "row.at",
        "event.time",
        "event.id",
        "headers[\"x\"]",
        "key",
        "topic",
        "offset",
        "1",
        "2.5",
        "0",
        "-1",
        "'x'",
        "\"1\"",
        "true",
        "false",
        "null",
        "+",
        "-",
        "*",
        "/",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "!",
        "in",
        "?",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ".?",
        "[?",
        "has(",
        "size(",
        "round(",
        "decimal(",
        "string(",
        "date(",
        "trunc(",
        "timestamp(",
        "coalesce(",
        ".orValue(",
        ".contains(",
        ".matches(",
        "'hour'",
        "double(",
        "int(",
        "0x1F",
        "5u",
        "1e9",
        ".5",
        "//",
        "\n",
        "'",
        "\"\"\"",
        "r'",
        "b'",
        "`",
        "ä",
        "\u{0}",
        "\\",
        "_",
        "=",
    ];
    prop::sample::select(fixed.to_vec()).prop_map(str::to_owned)
}

/// A whole expression: most of them have a type for some want.
fn expression() -> impl Strategy<Value = String> {
    let leaves = [
        "data.a",
        "data.b",
        "data.c",
        "data.?x",
        "data.d",
        "data.d.e",
        "data.f",
        "data.t",
        "data",
        "item.qty",
        "item",
        "row.spent",
        "row.orders",
        "row.doc",
        "row.doc.a.b",
        "row.tags",
        "row.at",
        "row.day",
        "row.rate",
        "row.open",
        "event.time",
        "event.id",
        "event.subject",
        "event.aggregate_version",
        "headers.x",
        "headers.?y",
        "key",
        "topic",
        "offset",
        "1",
        "2.5",
        "0",
        "-3",
        "'x'",
        "'7'",
        "'2026-01-01'",
        "true",
        "null",
        "[]",
        "{'k': data.a}",
        "['x', data.b]",
    ];
    let leaf = prop::sample::select(leaves.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "==", "!=", "<", ">=", "&&", "||", "in",
        ]);
        let function = prop::sample::select(vec![
            "has", "size", "int", "double", "string", "decimal", "round", "timestamp", "date",
            "timestamp_ms", "lowerAscii", "trim", "!", "-", "",
        ]);
        let method = prop::sample::select(vec![
            "orValue", "contains", "startsWith", "split",
        ]);
        prop_oneof![
            3 => (inner.clone(), binary, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            2 => (function, inner.clone()).prop_map(|(f, x)| format!("{f}({x})")),
            1 => (inner.clone(), method, inner.clone()).prop_map(|(x, m, y)| format!("({x}).{m}({y})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, x, y)| format!("({c}) ? ({x}) : ({y})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(x, y)| format!("coalesce({x}, {y})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(x, y)| format!("[{x}, {y}]")),
            1 => inner.clone().prop_map(|x| format!("round({x}, 2)")),
            1 => inner.clone().prop_map(|x| format!("trunc({x}, 'month', 'Europe/Berlin')")),
            1 => inner.prop_map(|x| format!("{{'k': {x}}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_compiler_panic(source in ".{0,60}") {
        survive(&source);
    }

    #[test]
    fn no_bytes_of_the_alphabet_make_the_compiler_panic(source in "[-a-e0-9 .()'\"\\\\+*/<>=!&|?:,\\[\\]{}xurb`\n]{0,40}") {
        survive(&source);
    }

    #[test]
    fn no_sequence_of_tokens_makes_the_compiler_panic(
        pieces in prop::collection::vec(piece(), 0..9),
        gap in prop::sample::select(vec!["", " "]),
    ) {
        survive(&pieces.join(gap));
    }

    /// `evaluated` refuses every fault that is not the event's: the checker has settled all types.
    #[test]
    fn what_compiles_fails_only_by_what_the_event_holds(source in expression()) {
        survive(&source);
    }

    #[test]
    fn sums_of_decimals_are_exact(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000_000i64..1_000_000_000_000) {
        let compiled = compiled("data.a + data.b - data.a", want("numeric")).unwrap();
        let data = format!(r#"{{"a":"{}e-4","b":{}e-7}}"#, a, b);
        let sum = evaluated(&compiled, &data, None).unwrap();
        let b = crate::projection::Decimal::parse(&format!("{b}e-7")).unwrap();
        prop_assert_eq!(sum, crate::projection::Value::Numeric(b));
    }
}
