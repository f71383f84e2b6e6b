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
                other => wrong.push(format!(
                    "{source}\n  expected {at}: {expected}\n  found    {other:?}"
                )),
            },
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_no_cel_is_explained_in_one_sentence() {
    refuse(&[
        ("", "text", 0, "the expression is empty"),
        ("  // nothing", "text", 0, "the expression is empty"),
        (
            "data.",
            "text",
            5,
            "the expression ends too early: a value is missing here",
        ),
        (
            "data.a +",
            "bigint",
            8,
            "the expression ends too early: a value is missing here",
        ),
        (
            "data.a data.b",
            "text",
            7,
            "an operator is missing before `data`",
        ),
        (
            "data.a = 1",
            "condition",
            7,
            "`=` is no operator here: compare with `==`",
        ),
        (
            "data.a & data.b",
            "condition",
            7,
            "`&` is no operator: write `&&`",
        ),
        (
            "data.a and data.b",
            "condition",
            7,
            "`and` is no operator: write `&&`",
        ),
        (
            "data.a or true",
            "condition",
            7,
            "`or` is no operator: write `||`",
        ),
        (
            "'abc",
            "text",
            0,
            "this text is never closed: its end quote is missing",
        ),
        (
            "data.x + 'abc",
            "text",
            9,
            "this text is never closed: its end quote is missing",
        ),
        (
            "'a\\qb'",
            "text",
            0,
            "this text has an escape that CEL does not know: write `\\\\` for a backslash",
        ),
        ("(data.a", "text", 0, "this `(` is never closed"),
        ("data.a)", "text", 6, "this `)` closes nothing"),
        ("[data.a)", "jsonb", 7, "expected `]`, found `)`"),
        (
            "data.in",
            "text",
            5,
            "`in` is a keyword: write [\"in\"] instead of .in",
        ),
        (
            "data.5",
            "text",
            4,
            "write [5] for an element of an array, not .5",
        ),
        (
            "data.$x",
            "text",
            5,
            "`$` is not part of a name: names like data.x need none",
        ),
        (
            "data.größe",
            "text",
            7,
            "names have no `ö` in CEL: write data[\"…\"] for such a field",
        ),
        ("for", "text", 0, "`for` is a reserved word in CEL"),
        (
            "* 2",
            "bigint",
            0,
            "unexpected `*`: a value is missing before it",
        ),
        (
            "data.a ? 1",
            "bigint",
            7,
            "this `?` needs a `:` and another value: a ? b : c",
        ),
        (
            "(data.a ? 1) + 2",
            "bigint",
            8,
            "this `?` needs a `:` and another value: a ? b : c",
        ),
        (
            "data.größe + 1",
            "bigint",
            7,
            "names have no `ö` in CEL: write data[\"…\"] for such a field",
        ),
        (
            "f(1,)",
            "bigint",
            4,
            "unexpected `)`: a value is missing before it",
        ),
        ("data.a;", "text", 6, "unexpected character `;`"),
    ]);
}

#[test]
fn unknown_names_come_with_the_nearest_ones() {
    refuse(&[
        (
            "dta.x",
            "text",
            0,
            "unknown name `dta`; did you mean `data`?",
        ),
        (
            "customer",
            "text",
            0,
            "unknown name `customer`; known are data, event, headers, item, key, offset, partition, row, topic",
        ),
        (
            "orders + 1",
            "bigint",
            0,
            "unknown name `orders`; did you mean data.orders, or row.orders for the column?",
        ),
        (
            "id",
            "text",
            0,
            "unknown name `id`; did you mean event.id or data.id?",
        ),
        (
            "event.tme",
            "timestamptz",
            0,
            "unknown field `event.tme`; did you mean `event.time` or `event.type`?",
        ),
        ("event.data.x", "text", 0, "`event.data` is written `data`"),
        (
            "event",
            "text",
            0,
            "`event` alone is no value: name a field, such as event.id",
        ),
        (
            "event.id.x",
            "text",
            0,
            "an envelope field is a single value: nothing can follow it",
        ),
        (
            "row.spend + 1",
            "money",
            0,
            "unknown column `spend`; did you mean `spent`?",
        ),
        (
            "row",
            "jsonb",
            0,
            "`row` alone is no value: name a column, row.<column>",
        ),
        (
            "row.spent.x",
            "money",
            0,
            "column `spent` is numeric(18,2): only jsonb columns have parts",
        ),
        (
            "key.x",
            "text",
            0,
            "`key` is a single value: nothing can follow it",
        ),
        (
            "headers",
            "text",
            0,
            "`headers` alone is no value: write headers[\"name\"]",
        ),
        (
            "lower(data.x)",
            "text",
            0,
            "unknown function `lower`; did you mean `lowerAscii`?",
        ),
        (
            "data.x.startWith('a')",
            "condition",
            7,
            "unknown function `startWith`; did you mean `startsWith`?",
        ),
        (
            "data.x.foo()",
            "text",
            7,
            "unknown function `foo`; known are coalesce, contains, date, decimal, double, endsWith, has, int, lowerAscii, matches, orValue, replace, round, size, split, startsWith, string, timestamp, timestamp_ms, trim, trunc, upperAscii",
        ),
        (
            "lowerAscii(data.x).y",
            "text",
            0,
            "only names such as data, item, row, event and headers have fields",
        ),
        (
            "data[data.x]",
            "text",
            5,
            "an index must be a literal: a number from 0, or a text such as [\"a-b\"]",
        ),
        ("data[-1]", "text", 5, "an index is a whole number from 0"),
        ("data[1.5]", "text", 5, "an index is a whole number from 0"),
    ]);
}

#[test]
fn literals_that_do_not_fit_their_column_are_pointed_at() {
    refuse(&[
        ("'abc'", "bigint", 0, "`'abc'` is not a valid bigint"),
        (
            "1.005",
            "money",
            0,
            "`1.005` has more than 2 digits behind the point",
        ),
        (
            "data.a + 'abc'",
            "bigint",
            9,
            "`'abc'` is not a valid numeric",
        ),
        (
            "99999999999999999999",
            "bigint",
            0,
            "`99999999999999999999` is out of range for bigint",
        ),
        (
            "40000",
            "smallint",
            0,
            "`40000` is out of range for smallint",
        ),
        (
            "data.a ? 'x' : 2",
            "bigint",
            9,
            "`'x'` is not a valid bigint",
        ),
        (
            "'2026-13-01'",
            "date",
            0,
            "`'2026-13-01'` is not a valid date",
        ),
        (
            "'yesterday'",
            "timestamptz",
            0,
            "`'yesterday'` is not a valid timestamptz",
        ),
        (
            "event.time > 'yesterday'",
            "condition",
            13,
            "`'yesterday'` is not a valid timestamptz",
        ),
        ("'maybe'", "boolean", 0, "`'maybe'` is not a valid boolean"),
        (
            "'a\\u0000'",
            "text",
            0,
            "`'a\\u0000'` contains U+0000, which no store can hold",
        ),
        (
            "1e2000",
            "numeric",
            0,
            "`1e2000` has more than 1000 digits on a side",
        ),
        (
            "1e999999999",
            "numeric",
            0,
            "`1e999999999` has more than 1000 digits on a side",
        ),
        (
            "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
            "numeric",
            0,
            "this hexadecimal number is too large",
        ),
        (
            "1 / 3",
            "numeric",
            0,
            "`1 / 3` has no exact decimal result: write round(a / b, n) to keep n digits",
        ),
        ("1 / 0", "numeric", 0, "`1 / 0` divides by zero"),
        (
            "data.x == b'a'",
            "condition",
            10,
            "byte literals have no type here: write a text without the `b`",
        ),
    ]);
}

#[test]
fn types_that_do_not_go_together_come_with_advice() {
    refuse(&[
        (
            "data.a + data.b > data.c",
            "condition",
            0,
            "it is not known whether this `+` adds or joins: write decimal(data.a) to add, or string(data.a) to join",
        ),
        (
            "data.a < data.b",
            "condition",
            0,
            "the types beside `<` are not known: write decimal(data.a), timestamp(data.a) or string(data.a)",
        ),
        (
            "data.a + data.b",
            "jsonb",
            0,
            "it is not known whether this `+` adds or joins: write decimal(data.a) to add, or string(data.a) to join",
        ),
        (
            "data.seq",
            "order",
            0,
            "the type of `data.seq` is not known here: write decimal(data.seq), timestamp(data.seq) or string(data.seq)",
        ),
        ("row.tags", "order", 0, "a list of texts has no order"),
        (
            "true",
            "text",
            0,
            "`true` is true or false, but a text is needed here: write string(…)",
        ),
        (
            "event.time",
            "bigint",
            0,
            "`event.time` is a timestamp, but a bigint is needed here: write int(…) for seconds since the epoch",
        ),
        (
            "event.time",
            "date",
            0,
            "`event.time` is a timestamp, but a date is needed here: write date(…)",
        ),
        (
            "row.day",
            "timestamptz",
            0,
            "`row.day` is a date, but a timestamptz is needed here: write timestamp(…)",
        ),
        (
            "offset",
            "timestamptz",
            0,
            "`offset` is a number, but a timestamptz is needed here: write timestamp_ms(…) for milliseconds since the epoch",
        ),
        (
            "row.open + 1",
            "bigint",
            0,
            "`row.open` is true or false, but a numeric is needed here",
        ),
        (
            "event.time + 1",
            "timestamptz",
            0,
            "`event.time` is a timestamp, but a numeric is needed here: write int(…) for seconds since the epoch",
        ),
        (
            "data.a && 1",
            "condition",
            10,
            "`1` is a number, but true or false is needed here",
        ),
        (
            "data.a % 2",
            "bigint",
            0,
            "the operator `%` is not supported",
        ),
        (
            "row.rate",
            "money",
            0,
            "`row.rate` is a double, but a numeric(18,2) is needed here: write decimal(…), or round(…, n)",
        ),
        (
            "row.rate",
            "amount",
            0,
            "`row.rate` is a double, but a numeric is needed here: write decimal(…), or round(…, n)",
        ),
        (
            "['a']",
            "text",
            0,
            "`['a']` is a JSON list or object, but a text is needed here: write string(…)",
        ),
        (
            "{'a': 1}",
            "bigint",
            0,
            "`{'a': 1}` is a JSON list or object, but a bigint is needed here",
        ),
        (
            "row.tags",
            "text",
            0,
            "`row.tags` is a list of texts, but a text is needed here: write string(…)",
        ),
        (
            "data.a + 1",
            "array",
            0,
            "a path to an array is needed here, such as data.items",
        ),
        (
            "'x' in 'xyz'",
            "condition",
            7,
            "`in` needs a list, an array or an object on its right, not a text: to look into a text write x.contains(y)",
        ),
        (
            "size(5)",
            "bigint",
            5,
            "size() counts the characters of a text, the elements of an array or the entries of an object, not a number",
        ),
        (
            "date(5)",
            "date",
            5,
            "date() takes a timestamp, not a number",
        ),
        (
            "data.a && (1 + 2)",
            "condition",
            10,
            "`(1 + 2)` is a number, but true or false is needed here",
        ),
        (
            "!('a' + data.b)",
            "condition",
            1,
            "`('a' + data.b)` is a text, but true or false is needed here: compare it, x == 'true'",
        ),
        (
            "Foo{a: 1}",
            "jsonb",
            0,
            "`Foo{…}` is a message, which views have no use for: write a map, {\"a\": data.a}",
        ),
    ]);
}

#[test]
fn calls_are_checked_by_their_arguments() {
    refuse(&[
        (
            "data.list.all(x, x > 1)",
            "condition",
            10,
            "the macro `all` is not supported: use `each = \"data.list\"` with `when` to act on the elements that matter",
        ),
        (
            "data.list.exists(x, x > 1)",
            "condition",
            10,
            "the macro `exists` is not supported: to look for a value write `x in data.list`; to act on elements use `each` with `when`",
        ),
        (
            "data.list.exists_one(x, x > 1)",
            "condition",
            10,
            "the macro `exists_one` is not supported: to look for a value write `x in data.list`; to act on elements use `each` with `when`",
        ),
        (
            "data.list.filter(x, x > 1)",
            "jsonb",
            10,
            "the macro `filter` is not supported: use `each = \"data.list\"` with a `when` that looks at `item`",
        ),
        (
            "data.list.map(x, x + 1)",
            "jsonb",
            10,
            "the macro `map` is not supported: use `each = \"data.list\"` for one row change per element, and `item` in it",
        ),
        (
            "has(1)",
            "condition",
            4,
            "has() takes a path: write has(data.x)",
        ),
        (
            "has()",
            "condition",
            0,
            "`has` does not take these arguments: write has(data.x)",
        ),
        (
            "size()",
            "bigint",
            0,
            "`size` does not take these arguments: write size(x)",
        ),
        (
            "decimal(data.a, 2)",
            "numeric",
            0,
            "`decimal` does not take these arguments: write decimal(x)",
        ),
        (
            "round(data.a, data.b)",
            "numeric",
            14,
            "the number of digits must be a literal: round(x, 2)",
        ),
        (
            "round(data.a, -1)",
            "numeric",
            14,
            "round() keeps 0 to 1000 digits",
        ),
        (
            "trunc(event.time, 'hours')",
            "timestamptz",
            18,
            "`hours` is no unit; did you mean `hour`?",
        ),
        (
            "trunc(event.time, data.u)",
            "timestamptz",
            18,
            "the unit must be a literal: trunc(ts, 'hour')",
        ),
        (
            "date(event.time, 'Berlin')",
            "date",
            17,
            "`Berlin` is no time zone: write a name such as Europe/Berlin",
        ),
        (
            "timestamp(5)",
            "timestamptz",
            10,
            "`5` is a number, but a timestamptz is needed here: write timestamp_ms(…) for milliseconds since the epoch",
        ),
        (
            "data.a.matches('[')",
            "condition",
            15,
            "this is no regular expression: unclosed character class",
        ),
        (
            "data.a.matches(data.b)",
            "condition",
            15,
            "the regular expression must be a literal: x.matches('^a+$')",
        ),
        (
            "orValue(data.a, 1)",
            "bigint",
            0,
            "`orValue` does not take these arguments: write data.?x.orValue(v)",
        ),
        (
            "duration('1h')",
            "text",
            0,
            "unknown function `duration`; known are coalesce, contains, date, decimal, double, endsWith, has, int, lowerAscii, matches, orValue, replace, round, size, split, startsWith, string, timestamp, timestamp_ms, trim, trunc, upperAscii",
        ),
    ]);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_their_places() {
    let problems = compiled("row.spend + dta.x + 'abc'", want("money"))
        .err()
        .unwrap();
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
    assert_eq!(
        item[0].message,
        "`item` has a meaning only in a handler with `each`"
    );
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
