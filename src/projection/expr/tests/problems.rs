use std::sync::Arc;

use super::{Paths, Problem, Scope, Want, compile, compiled, want};
use crate::projection::ColumnType;

/// Source, what is wanted, the offset, and what the message contains.
type Case = (&'static str, &'static str, usize, &'static str);

fn refuse(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (source, wanted, at, expected) in cases {
        match compiled(source, want(wanted)) {
            Ok(compiled) => wrong.push(format!("{source} compiles: {:?}", compiled.expr)),
            Err(problems) => match problems.as_slice() {
                [one] if one.at == *at && one.message == *expected => {}
                other => wrong.push(format!("{source}\n  expected {at}: {expected}\n  found    {other:?}")),
            },
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_no_cel_is_explained_in_one_sentence() {
    refuse(&[
        ("", "text", 0, "x"),
        ("  // nothing", "text", 0, "x"),
        ("data.", "text", 5, "x"),
        ("data.a +", "bigint", 8, "x"),
        ("data.a data.b", "text", 7, "x"),
        ("data.a = 1", "condition", 7, "x"),
        ("data.a & data.b", "condition", 7, "x"),
        ("data.a and data.b", "condition", 7, "x"),
        ("data.a or true", "condition", 7, "x"),
        ("'abc", "text", 0, "x"),
        ("data.x + 'abc", "text", 9, "x"),
        ("'a\\qb'", "text", 0, "x"),
        ("(data.a", "text", 0, "x"),
        ("data.a)", "text", 6, "x"),
        ("[data.a)", "jsonb", 7, "x"),
        ("data.in", "text", 5, "x"),
        ("data.5", "text", 4, "x"),
        ("data.$x", "text", 5, "x"),
        ("data.größe", "text", 7, "x"),
        ("for", "text", 0, "x"),
        ("* 2", "bigint", 0, "x"),
        ("data.a ? 1", "bigint", 10, "x"),
        ("f(1,)", "bigint", 4, "x"),
        ("data.a;", "text", 6, "x"),
    ]);
}

#[test]
fn unknown_names_come_with_the_nearest_ones() {
    refuse(&[
        ("dta.x", "text", 0, "x"),
        ("customer", "text", 0, "x"),
        ("orders + 1", "bigint", 0, "x"),
        ("id", "text", 0, "x"),
        ("event.tme", "timestamptz", 0, "x"),
        ("event.data.x", "text", 0, "x"),
        ("event", "text", 0, "x"),
        ("event.id.x", "text", 0, "x"),
        ("row.spend + 1", "money", 0, "x"),
        ("row", "jsonb", 0, "x"),
        ("row.spent.x", "money", 0, "x"),
        ("key.x", "text", 0, "x"),
        ("headers", "text", 0, "x"),
        ("lower(data.x)", "text", 0, "x"),
        ("data.x.startWith('a')", "condition", 7, "x"),
        ("data.x.foo()", "text", 7, "x"),
        ("lowerAscii(data.x).y", "text", 0, "x"),
        ("data[data.x]", "text", 5, "x"),
        ("data[-1]", "text", 5, "x"),
        ("data[1.5]", "text", 5, "x"),
    ]);
}

#[test]
fn literals_that_do_not_fit_their_column_are_pointed_at() {
    refuse(&[
        ("'abc'", "bigint", 0, "x"),
        ("1.005", "money", 0, "x"),
        ("data.a + 'abc'", "bigint", 9, "x"),
        ("99999999999999999999", "bigint", 0, "x"),
        ("40000", "smallint", 0, "x"),
        ("data.a ? 'x' : 1.5", "bigint", 9, "x"),
        ("'2026-13-01'", "date", 0, "x"),
        ("'yesterday'", "timestamptz", 0, "x"),
        ("event.time > 'yesterday'", "condition", 13, "x"),
        ("'maybe'", "boolean", 0, "x"),
        ("'a\\u0000'", "text", 0, "x"),
        ("1e2000", "numeric", 0, "x"),
        ("1e999999999", "numeric", 0, "x"),
        ("0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "numeric", 0, "x"),
        ("1 / 3", "numeric", 0, "x"),
        ("1 / 0", "numeric", 0, "x"),
        ("data.x == b'a'", "condition", 10, "x"),
    ]);
}

#[test]
fn types_that_do_not_go_together_come_with_advice() {
    refuse(&[
        ("data.a + data.b > data.c", "condition", 0, "x"),
        ("data.a < data.b", "condition", 0, "x"),
        ("data.a + data.b", "jsonb", 0, "x"),
        ("data.seq", "order", 0, "x"),
        ("row.tags", "order", 0, "x"),
        ("true", "text", 0, "x"),
        ("event.time", "bigint", 0, "x"),
        ("event.time", "date", 0, "x"),
        ("row.day", "timestamptz", 0, "x"),
        ("offset", "timestamptz", 0, "x"),
        ("row.open + 1", "bigint", 0, "x"),
        ("event.time + 1", "timestamptz", 0, "x"),
        ("data.a && 1", "condition", 10, "x"),
        ("data.a % 2", "bigint", 0, "x"),
        ("row.rate", "money", 0, "x"),
        ("row.rate", "amount", 0, "x"),
        ("['a']", "text", 0, "x"),
        ("{'a': 1}", "bigint", 0, "x"),
        ("row.tags", "text", 0, "x"),
        ("data.a + 1", "array", 0, "x"),
        ("'x' in 'xyz'", "condition", 7, "x"),
        ("size(5)", "bigint", 5, "x"),
        ("date(5)", "date", 5, "x"),
        ("data.a && (1 + 2)", "condition", 10, "x"),
        ("!('a' + data.b)", "condition", 1, "x"),
        ("Foo{a: 1}", "jsonb", 3, "x"),
    ]);
}

#[test]
fn calls_are_checked_by_their_arguments() {
    refuse(&[
        ("data.list.all(x, x > 1)", "condition", 10, "x"),
        ("data.list.exists(x, x > 1)", "condition", 10, "x"),
        ("data.list.exists_one(x, x > 1)", "condition", 10, "x"),
        ("data.list.filter(x, x > 1)", "jsonb", 10, "x"),
        ("data.list.map(x, x + 1)", "jsonb", 10, "x"),
        ("has(1)", "condition", 4, "x"),
        ("has()", "condition", 0, "x"),
        ("size()", "bigint", 0, "x"),
        ("decimal(data.a, 2)", "numeric", 0, "x"),
        ("round(data.a, data.b)", "numeric", 14, "x"),
        ("round(data.a, -1)", "numeric", 14, "x"),
        ("trunc(event.time, 'hours')", "timestamptz", 18, "x"),
        ("trunc(event.time, data.u)", "timestamptz", 18, "x"),
        ("date(event.time, 'Berlin')", "date", 17, "x"),
        ("timestamp(5)", "timestamptz", 10, "x"),
        ("data.a.matches('[')", "condition", 15, "x"),
        ("data.a.matches(data.b)", "condition", 15, "x"),
        ("orValue(data.a, 1)", "bigint", 0, "x"),
        ("duration('1h')", "text", 0, "x"),
    ]);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_their_places() {
    let problems = compiled("row.spend + dta.x + 'abc'", want("money")).err().unwrap();
    let places: Vec<usize> = problems.iter().map(|p| p.at).collect();
    assert_eq!(places, [0, 12, 20]);
}

fn in_scope(source: &str, row_allowed: bool) -> Vec<Problem> {
    let columns: [(Arc<str>, ColumnType); 1] = [("a".into(), ColumnType::Text)];
    let mut scope = Scope {
        columns: &columns,
        data: &mut Paths::default(),
        item: None,
        row_allowed,
    };
    compile(source, Want::Column(ColumnType::Text), &mut scope)
        .err()
        .unwrap_or_default()
}

#[test]
fn item_and_row_have_a_meaning_only_where_they_exist() {
    let item = in_scope("'x' + item.sku", true);
    assert_eq!(item[0].at, 6);
    assert_eq!(item[0].message, "`item` has a meaning only in a handler with `each`");
    let row = in_scope("row.a", false);
    assert_eq!(
        row[0].message,
        "`row` cannot be read here: only what an op writes may depend on the current row"
    );
    assert_eq!(in_scope("row.a", true), []);
}

#[test]
fn size_and_depth_are_bounded() {
    for source in [
        "(".repeat(5000) + "1" + &")".repeat(5000),
        format!("{}1{}", "(".repeat(40), ")".repeat(40)),
        format!("1{}", " + 1".repeat(999)),
        format!("data{}", ".a".repeat(900)),
        format!("{}true", "!".repeat(1999)),
        format!("{}1", "true ? 1 : ".repeat(300)),
        format!("data.a{}", ".trim()".repeat(300)),
        "1 ".repeat(20_000),
        format!("'{}'", "x".repeat(20_000)),
    ] {
        let start = source.chars().take(20).collect::<String>();
        match compiled(&source, want("text")) {
            Ok(_) => assert!(source.starts_with('!'), "{start} compiles"),
            Err(problems) => assert_eq!(problems.len(), 1, "{start}"),
        }
    }
    let long = format!("1{}", " + 1".repeat(90));
    assert!(compiled(&long, want("bigint")).is_ok());
    let wide = format!("data.a in [{}]", vec!["'x'"; 900].join(","));
    assert!(compiled(&wide, want("condition")).is_ok());
    let deep = format!("data{}", ".a".repeat(90));
    assert!(compiled(&deep, want("text")).is_ok());
    let conditions = vec!["data.a == 'x'"; 150].join(" || ");
    assert!(compiled(&conditions, want("condition")).is_ok());
}
