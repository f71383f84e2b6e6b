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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

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
        pieces in prop::collection::vec(piece(), 0..14),
        gap in prop::sample::select(vec!["", " "]),
    ) {
        survive(&pieces.join(gap));
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
