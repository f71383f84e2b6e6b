use super::{compiled, evaluated, row, want};

/// Source, what is wanted, `data`, and the canonical text of the result: `null`, or after `!` the fault.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn hold(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (source, wanted, data, expected) in cases {
        let result = match compiled(source, want(wanted)) {
            Err(problems) => format!("does not compile: {problems:?}"),
            Ok(compiled) => match evaluated(&compiled, data, Some(&row())) {
                Ok(value) => value
                    .canonical()
                    .map_or("null".into(), |text| text.into_owned()),
                Err(message) => format!("!{message}"),
            },
        };
        if result != *expected {
            wrong.push(format!(
                "{source} as {wanted} of {data}\n  expected {expected}\n  found    {result}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn literals_take_the_type_of_their_column() {
    hold(&[
        ("'created'", "text", "{}", "created"),
        ("\"1\"", "text", "{}", "1"),
        ("1", "bigint", "{}", "1"),
        ("-1", "amount", "{}", "-1"),
        ("- 1", "amount", "{}", "-1"),
        ("1.50", "money", "{}", "1.50"),
        ("1.5", "money", "{}", "1.50"),
        ("'1.5'", "money", "{}", "1.50"),
        (".5", "numeric", "{}", "0.5"),
        ("1e3", "bigint", "{}", "1000"),
        ("0x1F", "integer", "{}", "31"),
        ("5u", "smallint", "{}", "5"),
        ("2.0", "bigint", "{}", "2"),
        (
            "99999999999999999999999999",
            "numeric",
            "{}",
            "99999999999999999999999999",
        ),
        (
            "0.1234567890123456789012345678901234567890",
            "numeric",
            "{}",
            "0.123456789012345678901234567890123456789",
        ),
        ("1e400", "numeric", "{}", &BIG),
        ("true", "boolean", "{}", "true"),
        ("null", "text", "{}", "null"),
        (
            "'2026-11-21T07:00:00+01:00'",
            "timestamptz",
            "{}",
            "2026-11-21T06:00:00Z",
        ),
        ("'2026-11-21'", "date", "{}", "2026-11-21"),
        (
            "'0F1E2D3C-0000-0000-0000-00000000000A'",
            "uuid",
            "{}",
            "0f1e2d3c-0000-0000-0000-00000000000a",
        ),
        ("1.50", "jsonb", "{}", "1.50"),
        ("'a\"b'", "jsonb", "{}", r#""a\"b""#),
        ("r'a\\d'", "text", "{}", "a\\d"),
        ("'zwölf € \\u00e9\\n'", "text", "{}", "zwölf € é\n"),
        ("'''it's'''", "text", "{}", "it's"),
        ("1 // one\n + 1", "bigint", "{}", "2"),
    ]);
}

static BIG: std::sync::LazyLock<&'static str> =
    std::sync::LazyLock::new(|| format!("1{}", "0".repeat(400)).leak());

#[test]
fn paths_are_read_as_the_type_of_their_column() {
    hold(&[
        ("data.total", "money", r#"{"total":12.5}"#, "12.50"),
        ("data.total", "money", r#"{"total":"12.50"}"#, "12.50"),
        (
            "data.total",
            "money",
            r#"{"total":12.505}"#,
            "!data.total has more than 2 digits behind the point",
        ),
        ("data.total", "amount", r#"{"total":0.1}"#, "0.1"),
        ("data.n", "bigint", r#"{"n":2.0}"#, "2"),
        (
            "data.n",
            "bigint",
            r#"{"n":2.5}"#,
            "!data.n is not a whole number, as bigint needs",
        ),
        (
            "data.n",
            "bigint",
            r#"{"n":9007199254740993}"#,
            "9007199254740993",
        ),
        (
            "data.n",
            "smallint",
            r#"{"n":40000}"#,
            "!data.n is out of range for smallint",
        ),
        ("data.n", "text", r#"{"n":7}"#, "7"),
        ("data.a.b[1].c", "text", r#"{"a":{"b":[1,{"c":"x"}]}}"#, "x"),
        ("data[\"a-b\"]", "text", r#"{"a-b":"x"}"#, "x"),
        ("data['a']['b']", "text", r#"{"a":{"b":"x"}}"#, "x"),
        ("data.`a-b`", "text", r#"{"a-b":"x"}"#, "x"),
        ("data", "jsonb", r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        (
            "data.x",
            "jsonb",
            r#"{"x":[1.0,"a",null]}"#,
            r#"[1.0,"a",null]"#,
        ),
        ("data.x", "jsonb", r#"{"x":"a"}"#, r#""a""#),
        ("data.x", "text[]", r#"{"x":["a","b"]}"#, r#"["a","b"]"#),
        ("data.x", "text", r#"{"x":null}"#, "null"),
        ("data.x", "text", "{}", "!data.x is missing"),
        (
            "data.x",
            "text",
            r#"{"x":true}"#,
            "!data.x is a boolean, not a text",
        ),
        (
            "data.x",
            "text",
            r#"{"x":"a\u0000"}"#,
            "!data.x contains U+0000, which no store can hold",
        ),
        ("data.x", "boolean", r#"{"x":true}"#, "true"),
        ("data.x", "boolean", r#"{"x":"true"}"#, "true"),
        ("data.?x", "text", "{}", "null"),
        ("data.?x.y", "text", "{}", "null"),
        ("data.?x.y", "text", r#"{"x":{}}"#, "null"),
        ("data[?'x']", "text", "{}", "null"),
        ("data.list[?5]", "text", r#"{"list":[]}"#, "null"),
        ("data.a.?b", "text", r#"{"a":{}}"#, "null"),
        ("data.a.?b", "text", "{}", "!data.a is missing"),
        ("data.?x.orValue('n')", "text", "{}", "n"),
        ("data.?x.orValue('n')", "text", r#"{"x":null}"#, "n"),
        ("data.x.orValue(0)", "amount", "{}", "0"),
        ("data.?x.orValue(0)", "amount", r#"{"x":"5"}"#, "5"),
        ("item.sku", "text", "{}", "s-1"),
        ("item", "json", "{}", r#"{"qty":2,"sku":"s-1"}"#),
        (
            "item.qty * data.price",
            "amount",
            r#"{"price":"1.25"}"#,
            "2.5",
        ),
        ("item.price", "amount", "{}", "!item.price is missing"),
    ]);
}

#[test]
fn the_record_has_names_of_its_own() {
    hold(&[
        ("event.id", "text", "{}", "e-1"),
        ("event.id + key + headers.x", "order", "{}", "e-1k-117"),
        ("event.type", "text", "{}", "order.created"),
        ("event.time", "timestamptz", "{}", "2026-11-21T06:30:15.25Z"),
        ("event.time", "order", "{}", "2026-11-21T06:30:15.25Z"),
        ("event.time", "text", "{}", "2026-11-21T06:30:15.25Z"),
        ("event.subject", "text", "{}", "null"),
        ("event.?subject.orValue('none')", "text", "{}", "none"),
        ("event.version == '2'", "condition", "{}", "true"),
        ("event.version == 2", "condition", "{}", "true"),
        ("key", "text", "{}", "k-1"),
        ("headers[\"x\"]", "text", "{}", "17"),
        ("headers.x + 1", "bigint", "{}", "18"),
        ("headers['x'] > 16", "condition", "{}", "true"),
        ("headers[\"y\"]", "text", "{}", "!headers[\"y\"] is missing"),
        ("headers[?\"y\"]", "text", "{}", "null"),
        ("headers.?y", "text", "{}", "null"),
        ("headers['y'].orValue('d')", "text", "{}", "d"),
        ("topic", "text", "{}", "orders"),
        ("partition", "integer", "{}", "2"),
        ("offset", "bigint", "{}", "7"),
        ("topic + '/' + string(partition)", "text", "{}", "orders/2"),
        ("topic + '/' + partition", "text", "{}", "orders/2"),
    ]);
}

#[test]
fn numbers_are_exact() {
    hold(&[
        ("-data.total", "amount", r#"{"total":"10.10"}"#, "-10.1"),
        ("data.a + data.b", "amount", r#"{"a":0.1,"b":"0.2"}"#, "0.3"),
        ("data.a - data.b", "bigint", r#"{"a":0.5,"b":2.5}"#, "-2"),
        ("data.a * data.b", "money", r#"{"a":"1.05","b":3}"#, "3.15"),
        (
            "data.a * data.b",
            "money",
            r#"{"a":"1.05","b":0.5}"#,
            "!`data.a * data.b` has more than 2 digits behind the point",
        ),
        ("data.a / data.b", "numeric", r#"{"a":1,"b":8}"#, "0.125"),
        (
            "data.a / data.b",
            "numeric",
            r#"{"a":1,"b":3}"#,
            "!`data.a / data.b` has no exact decimal result: write round(a / b, n) to keep n digits",
        ),
        (
            "round(data.a / data.b, 2)",
            "money",
            r#"{"a":2,"b":3}"#,
            "0.67",
        ),
        (
            "round(data.a / data.b * 100, 1)",
            "numeric",
            r#"{"a":1,"b":3}"#,
            "33.3",
        ),
        (
            "round((data.a / data.b) * data.b, 5)",
            "numeric",
            r#"{"a":1,"b":3}"#,
            "1",
        ),
        ("round(1 / 3, 4)", "numeric", "{}", "0.3333"),
        ("round(-data.a, 1)", "numeric", r#"{"a":2.25}"#, "-2.3"),
        ("round(data.a)", "bigint", r#"{"a":2.5}"#, "3"),
        (
            "data.a / data.b",
            "numeric",
            r#"{"a":1,"b":0}"#,
            "!`data.a / data.b` divides by zero",
        ),
        (
            "round(data.a / data.b, 2)",
            "numeric",
            r#"{"a":1,"b":0}"#,
            "!`data.a / data.b` divides by zero",
        ),
        ("data.?a + data.b", "amount", r#"{"b":1}"#, "null"),
        ("round(data.?a / data.b, 1)", "amount", r#"{"b":1}"#, "null"),
        ("1 + 2 * 3", "bigint", "{}", "7"),
        ("(1 + 2) * 3", "bigint", "{}", "9"),
        ("10 / 4", "numeric", "{}", "2.5"),
        ("data.x", "double", r#"{"x":0.1}"#, "0.1"),
        ("data.x * 2", "double", r#"{"x":0.1}"#, "0.2"),
        (
            "double(data.x) / 3",
            "double",
            r#"{"x":1}"#,
            "0.3333333333333333",
        ),
        ("row.rate * 3", "double", "{}", "1.5"),
        ("decimal(row.rate) + 1", "numeric", "{}", "1.5"),
        ("int(data.x)", "bigint", r#"{"x":"4"}"#, "4"),
        (
            "int(data.x)",
            "bigint",
            r#"{"x":4.5}"#,
            "!`int(data.x)` is not a whole number of 64 bits: write round(x, 0) to round it",
        ),
        ("int(event.time)", "bigint", "{}", "1795242615"),
        (
            "data.x + 0",
            "bigint",
            r#"{"x":"abc"}"#,
            "!data.x is not a valid numeric",
        ),
    ]);
}

#[test]
fn texts_are_joined_and_taken_apart() {
    hold(&[
        ("data.a + '-' + data.b", "text", r#"{"a":"x","b":7}"#, "x-7"),
        ("data.a + data.b", "name", r#"{"a":"x","b":"y"}"#, "xy"),
        ("'a' + 'b'", "text", "{}", "ab"),
        ("data.?a + 'x'", "text", "{}", "null"),
        ("data.a.lowerAscii()", "text", r#"{"a":"ÄBC"}"#, "Äbc"),
        ("upperAscii(data.a)", "text", r#"{"a":"abc"}"#, "ABC"),
        ("data.a.trim()", "text", r#"{"a":" b "}"#, "b"),
        ("data.a.replace('-', '')", "text", r#"{"a":"1-2-3"}"#, "123"),
        (
            "data.a.split(',')",
            "text[]",
            r#"{"a":"1,2"}"#,
            r#"["1","2"]"#,
        ),
        (
            "data.a.startsWith('x')",
            "condition",
            r#"{"a":"xy"}"#,
            "true",
        ),
        (
            "data.a.endsWith('x')",
            "condition",
            r#"{"a":"xy"}"#,
            "false",
        ),
        ("data.a.contains('x')", "condition", r#"{"a":"xy"}"#, "true"),
        (
            "data.a.matches('^[a-z]+$')",
            "condition",
            r#"{"a":"xy1"}"#,
            "false",
        ),
        ("size(data.a)", "bigint", r#"{"a":"zwölf"}"#, "5"),
        ("data.a.size()", "bigint", r#"{"a":[1,2,3]}"#, "3"),
        ("size(data.a)", "bigint", r#"{"a":{"x":1}}"#, "1"),
        ("size(data.?a)", "bigint", "{}", "null"),
        (
            "size(data.a)",
            "bigint",
            r#"{"a":5}"#,
            "!`size(data.a)` has no size: it is neither a text nor an array nor an object",
        ),
        (
            "string(data.a) + string(data.b)",
            "text",
            r#"{"a":1.50,"b":true}"#,
            "1.50true",
        ),
        (
            "string(event.time)",
            "text",
            "{}",
            "2026-11-21T06:30:15.25Z",
        ),
        ("data.a + '0'", "bigint", r#"{"a":"1"}"#, "1"),
        ("string(data.a + '0')", "bigint", r#"{"a":"1"}"#, "10"),
    ]);
}

#[test]
fn conditions_compare_by_type_or_by_kind() {
    hold(&[
        ("data.?refunded == true", "condition", "{}", "false"),
        (
            "data.?refunded == true",
            "condition",
            r#"{"refunded":true}"#,
            "true",
        ),
        (
            "data.refunded",
            "condition",
            r#"{"refunded":false}"#,
            "false",
        ),
        (
            "!data.refunded",
            "condition",
            r#"{"refunded":false}"#,
            "true",
        ),
        (
            "data.a == data.b",
            "condition",
            r#"{"a":1.0,"b":1}"#,
            "true",
        ),
        (
            "data.a == data.b",
            "condition",
            r#"{"a":"1","b":1}"#,
            "false",
        ),
        (
            "data.a == data.b",
            "condition",
            r#"{"a":"x","b":"x"}"#,
            "true",
        ),
        (
            "data.a == data.b",
            "condition",
            r#"{"a":{"x":1,"y":2},"b":{"y":2,"x":1}}"#,
            "true",
        ),
        (
            "data.a != data.b",
            "condition",
            r#"{"a":null,"b":1}"#,
            "true",
        ),
        ("data.a == 'x'", "condition", r#"{"a":"x"}"#, "true"),
        ("data.a == 5", "condition", r#"{"a":"5.0"}"#, "true"),
        ("data.a > 5", "condition", r#"{"a":"10"}"#, "true"),
        ("data.a > '5'", "condition", r#"{"a":"10"}"#, "false"),
        (
            "decimal(data.a) > data.b",
            "condition",
            r#"{"a":"10","b":"9"}"#,
            "true",
        ),
        (
            "data.a * data.b > data.c",
            "condition",
            r#"{"a":2,"b":3,"c":"5"}"#,
            "true",
        ),
        (
            "timestamp(data.a) < event.time",
            "condition",
            r#"{"a":"2026-01-01T00:00:00Z"}"#,
            "true",
        ),
        (
            "event.time >= '2026-11-21T06:30:15.25Z'",
            "condition",
            "{}",
            "true",
        ),
        (
            "event.time > data.a",
            "condition",
            r#"{"a":"2026-01-01T00:00:00+02:00"}"#,
            "true",
        ),
        ("data.a == null", "condition", r#"{"a":null}"#, "true"),
        ("data.?a == null", "condition", "{}", "true"),
        ("null != data.a", "condition", r#"{"a":1}"#, "true"),
        ("data.?a > 5", "condition", "{}", "null"),
        ("!(data.?a > 5)", "condition", "{}", "null"),
        ("data.?a != 'x'", "condition", "{}", "true"),
        ("data.a in ['x', 'y']", "condition", r#"{"a":"y"}"#, "true"),
        ("data.a in [1, 2]", "condition", r#"{"a":"2"}"#, "true"),
        (
            "data.a in data.list",
            "condition",
            r#"{"a":2,"list":[1,2.0]}"#,
            "true",
        ),
        ("'x' in data.list", "condition", r#"{"list":["x"]}"#, "true"),
        ("'x' in data.map", "condition", r#"{"map":{"x":1}}"#, "true"),
        ("'x' in data.?map", "condition", "{}", "false"),
        ("'red' in row.tags", "condition", "{}", "true"),
        ("has(data.a)", "condition", r#"{"a":null}"#, "true"),
        ("has(data.a.b)", "condition", "{}", "false"),
        (
            "has(headers.x) && !has(headers['y'])",
            "condition",
            "{}",
            "true",
        ),
        ("has(event.subject)", "condition", "{}", "false"),
        ("has(row.doc.a.b)", "condition", "{}", "true"),
    ]);
}

#[test]
fn logic_stops_at_what_is_decided_even_beside_a_fault() {
    hold(&[
        ("false && data.gone", "condition", "{}", "false"),
        ("data.gone && false", "condition", "{}", "false"),
        (
            "data.gone && data.no",
            "condition",
            r#"{"no":false}"#,
            "false",
        ),
        (
            "data.gone || data.yes",
            "condition",
            r#"{"yes":true}"#,
            "true",
        ),
        (
            "data.yes || data.gone",
            "condition",
            r#"{"yes":true}"#,
            "true",
        ),
        (
            "data.gone && data.yes",
            "condition",
            r#"{"yes":true}"#,
            "!data.gone is missing",
        ),
        (
            "data.?n && data.yes",
            "condition",
            r#"{"yes":true}"#,
            "null",
        ),
        (
            "data.?n || data.yes",
            "condition",
            r#"{"yes":true}"#,
            "true",
        ),
        ("data.a ? data.gone : 'x'", "text", r#"{"a":false}"#, "x"),
        ("data.?a ? 'y' : 'x'", "text", "{}", "x"),
        ("data.a > 1 ? data.a : 1", "money", r#"{"a":2.5}"#, "2.50"),
        (
            "(data.a ? data.b : 0) + 1",
            "bigint",
            r#"{"a":true,"b":"2"}"#,
            "3",
        ),
        (
            "coalesce(data.?a, data.?b, 'c')",
            "text",
            r#"{"b":"x"}"#,
            "x",
        ),
        ("coalesce(data.?a, 0) + 1", "amount", "{}", "1"),
        ("coalesce(data.?a, data.?b)", "text", "{}", "null"),
        ("coalesce(data.a, 'c')", "text", "{}", "!data.a is missing"),
    ]);
}

#[test]
fn times_are_cut_and_converted() {
    hold(&[
        (
            "timestamp(data.a)",
            "timestamptz",
            r#"{"a":"2026-11-21T07:00:00+01:00"}"#,
            "2026-11-21T06:00:00Z",
        ),
        (
            "timestamp(data.a)",
            "order",
            r#"{"a":"2026-11-21T06:00:00Z"}"#,
            "2026-11-21T06:00:00Z",
        ),
        (
            "timestamp_ms(data.a)",
            "timestamptz",
            r#"{"a":1795242615250}"#,
            "2026-11-21T06:30:15.25Z",
        ),
        (
            "timestamp_ms(0)",
            "timestamptz",
            "{}",
            "1970-01-01T00:00:00Z",
        ),
        (
            "timestamp(row.day)",
            "timestamptz",
            "{}",
            "2026-11-20T00:00:00Z",
        ),
        ("date(event.time)", "date", "{}", "2026-11-21"),
        (
            "date(data.a, 'Asia/Tokyo')",
            "date",
            r#"{"a":"2026-11-21T20:00:00Z"}"#,
            "2026-11-22",
        ),
        (
            "date(data.a, 'America/New_York')",
            "text",
            r#"{"a":"2026-11-21T02:00:00Z"}"#,
            "2026-11-20",
        ),
        (
            "date(data.a)",
            "date",
            r#"{"a":"2026-11-21"}"#,
            "2026-11-21",
        ),
        (
            "trunc(event.time, 'second')",
            "timestamptz",
            "{}",
            "2026-11-21T06:30:15Z",
        ),
        (
            "trunc(event.time, 'minute')",
            "timestamptz",
            "{}",
            "2026-11-21T06:30:00Z",
        ),
        (
            "trunc(event.time, \"hour\")",
            "timestamptz",
            "{}",
            "2026-11-21T06:00:00Z",
        ),
        (
            "trunc(event.time, 'day')",
            "timestamptz",
            "{}",
            "2026-11-21T00:00:00Z",
        ),
        (
            "trunc(event.time, 'week')",
            "timestamptz",
            "{}",
            "2026-11-16T00:00:00Z",
        ),
        (
            "trunc(event.time, 'month')",
            "timestamptz",
            "{}",
            "2026-11-01T00:00:00Z",
        ),
        (
            "trunc(event.time, 'year')",
            "timestamptz",
            "{}",
            "2026-01-01T00:00:00Z",
        ),
        (
            "trunc(event.time, 'day', 'Asia/Tokyo')",
            "timestamptz",
            "{}",
            "2026-11-20T15:00:00Z",
        ),
        (
            "trunc(event.time, 'hour', 'Asia/Kolkata')",
            "timestamptz",
            "{}",
            "2026-11-21T06:30:00Z",
        ),
        (
            "trunc(data.a, 'hour')",
            "text",
            r#"{"a":"1969-12-31T23:59:59Z"}"#,
            "1969-12-31T23:00:00Z",
        ),
        ("trunc(data.?a, 'hour')", "timestamptz", "{}", "null"),
        ("date(event.time) == row.day", "condition", "{}", "false"),
        ("row.at < event.time", "condition", "{}", "true"),
    ]);
}

#[test]
fn json_is_built_and_rows_are_read() {
    hold(&[
        (
            "{\"b\": data.x, 'a': 1.50}",
            "jsonb",
            r#"{"x":[1]}"#,
            r#"{"a":1.50,"b":[1]}"#,
        ),
        (
            "[data.x, 'a', true, null]",
            "json",
            r#"{"x":1e2}"#,
            r#"[1e2,"a",true,null]"#,
        ),
        (
            "{'t': event.time, 'n': data.a * 2, 's': data.?s}",
            "jsonb",
            r#"{"a":1}"#,
            r#"{"n":2,"s":null,"t":"2026-11-21T06:30:15.25Z"}"#,
        ),
        ("{data.k: 1}", "jsonb", r#"{"k":"x"}"#, r#"{"x":1}"#),
        ("['a', data.b]", "text[]", r#"{"b":"c"}"#, r#"["a","c"]"#),
        ("[]", "jsonb", "{}", "[]"),
        ("{}", "jsonb", "{}", "{}"),
        ("data.a * 2", "json", r#"{"a":"1.5"}"#, "3"),
        ("event.time", "json", "{}", r#""2026-11-21T06:30:15.25Z""#),
        ("row.spent + data.a", "money", r#"{"a":1}"#, "13.50"),
        ("row.orders + 1", "bigint", "{}", "4"),
        ("row.customer_id", "text", "{}", "c-1"),
        ("row.doc", "jsonb", "{}", r#"{"a":{"b":7},"list":[1,2]}"#),
        ("row.doc.a.b", "bigint", "{}", "7"),
        ("row.doc.list[1]", "bigint", "{}", "2"),
        ("row.doc.gone.x", "bigint", "{}", "null"),
        ("row.tags", "text[]", "{}", r#"["red","blue"]"#),
        (
            "row.open && data.yes",
            "condition",
            r#"{"yes":true}"#,
            "true",
        ),
        ("size(row.tags) + size(row.doc.list)", "bigint", "{}", "4"),
    ]);
}

#[test]
fn a_row_that_does_not_exist_reads_as_null() {
    let compiled = compiled("coalesce(row.orders, 0) + 1", want("bigint")).unwrap();
    assert!(compiled.expr.reads_row());
    let value = evaluated(&compiled, "{}", None).unwrap();
    assert_eq!(value.canonical().unwrap(), "1");
}

#[test]
fn an_expression_without_row_does_not_read_it() {
    assert!(!compiled("data.x", want("text")).unwrap().expr.reads_row());
}

#[test]
fn paths_are_interned_once_in_the_order_of_first_use() {
    let compiled = compiled("data.b + data.a + data.b", want("numeric")).unwrap();
    let paths: Vec<String> = compiled.data.iter().map(|p| p.to_string()).collect();
    assert_eq!(paths, [".b", ".a"]);
}

#[test]
fn each_reads_arrays_and_says_what_else_it_found() {
    for (source, data, expected) in [
        (
            "data.items",
            r#"{"items":[{"a": 1},"x",[2]]}"#,
            Ok(vec![r#"{"a": 1}"#, "\"x\"", "[2]"]),
        ),
        ("data.items", r#"{"items":[]}"#, Ok(vec![])),
        ("data.items", "{}", Err("data.items is missing")),
        (
            "data.items",
            r#"{"items":null}"#,
            Err("data.items is null, not an array"),
        ),
        (
            "data.items",
            r#"{"items":{}}"#,
            Err("data.items is an object, not an array"),
        ),
        ("data.?items", "{}", Ok(vec![])),
        ("data.?items", r#"{"items":null}"#, Ok(vec![])),
        (
            "data.?items",
            r#"{"items":5}"#,
            Err("data.items is a number, not an array"),
        ),
        ("data.items.orValue([])", "{}", Ok(vec![])),
    ] {
        let compiled = compiled(source, want("array")).unwrap();
        let chunk = super::chunk(data, &compiled.data);
        let map = chunk.map(&compiled.data).unwrap();
        let event = chunk.event(0, &map);
        let env = super::Env {
            event: &event,
            item: None,
            row: None,
        };
        let found = compiled.expr.eval_array(&env).map_err(|f| f.message);
        assert_eq!(found, expected.map_err(str::to_owned), "{source} of {data}");
    }
}

#[test]
fn null_counts_as_false_in_a_condition() {
    let compiled = compiled("data.?a > 5", want("condition")).unwrap();
    let chunk = super::chunk("{}", &compiled.data);
    let map = chunk.map(&compiled.data).unwrap();
    let event = chunk.event(0, &map);
    let env = super::Env {
        event: &event,
        item: None,
        row: None,
    };
    assert!(!compiled.expr.eval_bool(&env).unwrap());
}
