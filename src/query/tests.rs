//! What lists may look like, and what is said about those that may not.

use std::sync::Arc;

use proptest::prelude::*;

use super::{BoundList, ListQuery, parameters};
use crate::projection::{ColumnType, Schema, Value};
use crate::store::list::{Comparison, Condition, OrderBy, Test};

fn schema() -> Arc<Schema> {
    Schema::builder("things")
        .key("shop", ColumnType::Text)
        .key("day", ColumnType::Date)
        .column("total", money())
        .column("rate", ColumnType::Double)
        .column("open", ColumnType::Boolean)
        .column("at", ColumnType::Timestamptz)
        .column("owner", ColumnType::Uuid)
        .column("extra", ColumnType::Jsonb)
        .column("tags", ColumnType::TextArray)
        .column("order", ColumnType::Integer)
        .column("count", ColumnType::Bigint)
        .build()
        .unwrap()
}

fn money() -> ColumnType {
    ColumnType::Decimal {
        precision: 18,
        scale: 2,
    }
}

fn bind(query: &str) -> Result<BoundList, String> {
    ListQuery::parse(query)?.bind(&schema())
}

fn test(query: &str) -> Test {
    let bound = bind(query).unwrap();
    assert_eq!(bound.read.conditions.len(), 1, "{query}");
    bound.read.conditions[0].test.clone()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn a_list_of_everything_is_in_the_order_of_the_key() {
    let read = bind("").unwrap().read;
    assert!(read.conditions.is_empty());
    let by = |column, descending| OrderBy { column, descending };
    assert_eq!(read.order, [by(0, false), by(1, false)]);
    assert_eq!((read.limit, read.after), (50, None));
    assert_eq!(read.columns, (0..11).collect::<Vec<_>>());
    let read = bind("order=total.desc,day&limit=1000&select=total,shop")
        .unwrap()
        .read;
    assert_eq!(read.order, [by(2, true), by(1, false), by(0, false)]);
    assert_eq!(read.limit, 1000);
    assert_eq!(read.columns, [0, 2], "in the order of the document");
}

#[test]
fn conditions_are_read_by_the_type_of_their_column() {
    let compare = |comparison, value| Test::Compare(comparison, value);
    assert_eq!(test("shop=eq."), compare(Comparison::Equal, text("")));
    assert_eq!(
        test("shop=neq.a.b%2Cc+d%2B%3D=%26"),
        compare(Comparison::NotEqual, text("a.b,c d+==&"))
    );
    assert_eq!(
        test("total=gte.1.5"),
        compare(
            Comparison::GreaterOrEqual,
            Value::parse(money(), "1.50").unwrap()
        )
    );
    assert_eq!(
        test("col.order=lt.7"),
        compare(Comparison::Less, Value::Int(7))
    );
    assert_eq!(
        test("count=gt.7"),
        compare(Comparison::Greater, Value::Int(7))
    );
    assert_eq!(
        test("day=lte.1970-01-02"),
        compare(Comparison::LessOrEqual, Value::Date(1))
    );
    assert_eq!(
        test("at=eq.1970-01-01T01:00:00%2B01:00"),
        compare(Comparison::Equal, Value::Time(0))
    );
    assert_eq!(
        test("open=is.true"),
        compare(Comparison::Equal, Value::Bool(true))
    );
    assert_eq!(test("open=is.null"), Test::Null);
    assert_eq!(test("extra=is.not_null"), Test::NotNull);
    assert_eq!(
        test(r#"extra=eq.{"b":1,"a":2}"#),
        compare(Comparison::Equal, Value::Json(r#"{"a":2,"b":1}"#.into()))
    );
    assert_eq!(
        test(r#"tags=eq.["a"]"#),
        compare(Comparison::Equal, Value::TextArray(vec!["a".into()]))
    );
    assert_eq!(test("shop=like.50\\%25%25"), Test::Like("50\\%%".into()));
    let list = r#"shop=in.(a b,"c,d","e\"f\\g)",h)"#;
    let values = ["a b", "c,d", "e\"f\\g)", "h"].map(text);
    assert_eq!(test(list), Test::In(values.into()));
    assert_eq!(
        bind("total=gt.1&total=lt.9").unwrap().read.conditions.len(),
        2
    );
}

#[test]
fn what_cannot_be_is_refused_with_what_is_possible() {
    for (query, said) in [
        ("limit=0", "limit: `0` is not a number from 1 to 1000"),
        ("limit=1001", "limit: `1001` is not a number from 1 to 1000"),
        ("limit=ten", "limit: `ten`"),
        ("limit=5&limit=5", "limit is given twice"),
        ("store=postgres&store=redis", "store is given twice"),
        ("shop", "`shop` has no value"),
        ("shop=eq.%zz", "has a % without two hexadecimal digits"),
        ("shop=eq.%ff", "is not valid UTF-8"),
        ("shop=eq.%00", "shop: "),
        (
            "nothing=eq.1",
            "`nothing` is neither a column of view things nor a parameter; columns: shop, day",
        ),
        (
            "nothing=eq.1",
            "parameters: order, select, limit, page_token, store",
        ),
        ("col.nothing=eq.1", "`col.nothing` is neither"),
        ("_mask=is.null", "is neither a column"),
        (
            "shop=a",
            "has no operator; conditions are written operator.value",
        ),
        (
            "shop=ilike.a",
            "`ilike` is no operator for text; possible: eq, neq",
        ),
        (
            "total=like.1%25",
            "`like` is no operator for numeric(18,2); possible: eq",
        ),
        (
            "extra=gt.1",
            "`gt` is no operator for jsonb; possible: eq, neq, in, is",
        ),
        ("tags=lt.[]", "`lt` is no operator for text[]"),
        ("tags=eq.a", "it is written as a JSON array"),
        (
            "total=eq.1.555",
            "total: `1.555` has more than 2 digits behind the point",
        ),
        ("rate=eq.NaN", "rate: `NaN` is not a valid double"),
        ("rate=gt.inf", "rate: `inf` is not a valid double"),
        ("count=eq.9223372036854775808", "is out of range for bigint"),
        ("at=eq.2026-11-21T06:00:00+01:00", "a + is written %2B"),
        ("owner=eq.1", "is not a valid uuid"),
        (
            "open=is.maybe",
            "`is.maybe` is no test; possible: is.null, is.not_null, is.true, is.false",
        ),
        (
            "shop=is.true",
            "`is.true` is no test for text; possible: is.null, is.not_null",
        ),
        (
            "shop=in.a,b",
            "is no list; a list is written in.(a,\"b,c\")",
        ),
        ("shop=in.()", "an empty item is written \"\""),
        ("shop=in.(a,)", "an empty item"),
        ("shop=in.(\"a)", "has an open quote"),
        ("shop=in.(\"a\"b)", "`b` stands behind a closing quote"),
        ("shop=in.(a),b)", "`a)` has to be quoted"),
        (
            "shop=like.a\\",
            "ends with a backslash that escapes nothing",
        ),
        ("order=nothing", "order: `nothing` is no column"),
        (
            "order=eq.5",
            "a condition on the column order is written col.order=…",
        ),
        ("order=", "order: `` is no column"),
        (
            "order=total.up",
            "order: `up` is no direction; possible: total.asc, total.desc",
        ),
        ("order=total.desc.nullsfirst", "nulls are always last"),
        ("order=total.nullslast", "nulls are always last"),
        ("order=total,total.desc", "is named twice"),
        ("order=extra", "column extra is jsonb, which has no order"),
        ("order=tags", "column tags is text[], which has no order"),
        (
            "select=shop,nothing",
            "select: `nothing` is no column; possible: shop, day",
        ),
        ("select=", "select: `` is no column"),
        ("select=shop,shop", "select: `shop` is named twice"),
        ("page_token=!", "page_token: it is damaged"),
        ("page_token=AQ", "page_token: it is damaged"),
        ("page_token=AgAAAAAAAAAAAA", "of another version"),
    ] {
        let error = bind(query).unwrap_err();
        assert!(error.contains(said), "{query}: {error}");
    }
    let many = ["total=gt.1"; 33].join("&");
    assert!(bind(&many).unwrap_err().contains("at most 32"));
    assert!(bind(&["total=gt.1"; 32].join("&")).is_ok());
    let long = format!("{}=eq.1", "x".repeat(5000));
    assert!(
        bind(&long).unwrap_err().len() < 400,
        "what was written is cut short"
    );
}

/// What a token carries: the values of the default order.
fn place() -> Vec<Value> {
    vec![text("a\u{1F600}"), Value::Date(-3)]
}

#[test]
fn a_token_goes_on_where_it_came_from() {
    let token = bind("total=gt.1&shop=neq.x")
        .unwrap()
        .token(&place())
        .unwrap();
    assert!(
        token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
    for same in [
        "shop=neq.x&total=gt.1",
        "col.shop=neq.x&total=gt.1",
        "total=gt.1&shop=neq.x&limit=3&select=day",
    ] {
        let bound = bind(&format!("{same}&page_token={token}")).unwrap();
        assert_eq!(bound.read.after, Some(place()), "{same}");
    }
    for other in [
        "",
        "total=gt.2&shop=neq.x",
        "total=gt.1",
        "shop=neq.x&total=gt.1&order=day",
    ] {
        let error = bind(&format!("{other}&page_token={token}")).unwrap_err();
        assert!(
            error.contains("belongs to another request"),
            "{other}: {error}"
        );
        assert!(error.contains("start anew"), "{error}");
    }
    assert_eq!(bind("page_token=").unwrap().read.after, None);
}

#[test]
fn a_mangled_token_is_noticed() {
    let token = bind("order=total").unwrap();
    let token = token
        .token(&[&[Value::Null][..], &place()].concat())
        .unwrap();
    assert!(bind(&format!("order=total&page_token={token}")).is_ok());
    for at in 0..token.len() {
        let mut mangled = token.clone().into_bytes();
        mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
        let mangled = String::from_utf8(mangled).unwrap();
        assert!(
            bind(&format!("order=total&page_token={mangled}")).is_err(),
            "{at}"
        );
        let cut = &token[..at];
        assert!(
            at == 0 || bind(&format!("order=total&page_token={cut}")).is_err(),
            "{at}"
        );
    }
}

#[test]
fn a_token_survives_a_generation_with_other_columns_but_not_another_order() {
    let build = |total: ColumnType| {
        Schema::builder("things")
            .key("shop", ColumnType::Text)
            .column("new", ColumnType::Text)
            .column("total", total)
            .build()
            .unwrap()
    };
    let older = Schema::builder("things")
        .key("shop", ColumnType::Text)
        .column("total", money())
        .build()
        .unwrap();
    let query =
        |token: &str| ListQuery::parse(&format!("order=total.desc&page_token={token}")).unwrap();
    let last = [Value::parse(money(), "2.50").unwrap(), text("k")];
    let token = query("").bind(&older).unwrap().token(&last).unwrap();
    let read = query(&token).bind(&build(money())).unwrap().read;
    assert_eq!(read.after.as_deref(), Some(&last[..]));
    assert_eq!(read.order[0].column, 2);
    let error = query(&token).bind(&build(ColumnType::Numeric)).unwrap_err();
    assert!(error.contains("earlier shape of the view"), "{error}");
}

#[test]
fn a_place_that_no_request_could_carry_is_refused() {
    let bound = bind("").unwrap();
    let longest_key = text(&"k".repeat(2700));
    assert!(bound.token(&[longest_key, Value::Date(0)]).unwrap().len() < 4000);
    for length in [4000, 70_000] {
        let error = bound.token(&[text(&"k".repeat(length)), Value::Date(0)]);
        assert!(
            error
                .unwrap_err()
                .contains("order by columns with shorter values")
        );
    }
}

/// A text in the form that a query string needs.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn written(condition: &Condition, schema: &Schema) -> String {
    let text = |value: &Value| value.canonical().unwrap().into_owned();
    let test = match &condition.test {
        Test::Null => "is.null".into(),
        Test::NotNull => "is.not_null".into(),
        Test::Like(pattern) => format!("like.{pattern}"),
        Test::In(values) => {
            let items: Vec<String> = values.iter().map(|value| quoted(&text(value))).collect();
            format!("in.({})", items.join(","))
        }
        Test::Compare(comparison, value) => {
            let operator = match comparison {
                Comparison::Equal => "eq",
                Comparison::NotEqual => "neq",
                Comparison::Greater => "gt",
                Comparison::GreaterOrEqual => "gte",
                Comparison::Less => "lt",
                Comparison::LessOrEqual => "lte",
            };
            format!("{operator}.{}", text(value))
        }
    };
    let name = &schema.columns[condition.column].name;
    format!("col.{name}={}", encoded(&test))
}

fn conditions() -> impl Strategy<Value = Condition> {
    let texts = || any::<String>().prop_map(|text| text.replace('\0', ""));
    let value = prop_oneof![
        texts().prop_map(|it| (0, text(&it))),
        any::<i16>().prop_map(|days| (1, Value::Date(days.into()))),
        any::<i32>().prop_map(|cents| {
            let total = format!("{}.{:02}", cents / 100, (cents % 100).abs());
            (2, Value::parse(money(), &total).unwrap())
        }),
        any::<i32>().prop_map(|number| (3, Value::Double(f64::from(number) / 8.0))),
        any::<bool>().prop_map(|truth| (4, Value::Bool(truth))),
        any::<i32>().prop_map(|micros| (5, Value::Time(micros.into()))),
        any::<u128>().prop_map(|id| (6, Value::Uuid(uuid::Uuid::from_u128(id)))),
        prop::collection::vec(texts(), 0..3).prop_map(|all| (
            8,
            Value::TextArray(all.into_iter().map(String::into).collect())
        )),
        any::<i64>().prop_map(|number| (10, Value::Int(number))),
    ];
    (value, 0..10).prop_map(|((column, value), which)| {
        let test = match (which, &value) {
            (0, _) => Test::Null,
            (1, _) => Test::NotNull,
            (2, _) => Test::In(vec![value.clone(), value]),
            (3, Value::Text(text)) if !text.ends_with('\\') => Test::Like(text.clone()),
            (4, _) => Test::Compare(Comparison::NotEqual, value),
            (5, _) if column != 8 => Test::Compare(Comparison::Greater, value),
            (6, _) if column != 8 => Test::Compare(Comparison::GreaterOrEqual, value),
            (7, _) if column != 8 => Test::Compare(Comparison::Less, value),
            (8, _) if column != 8 => Test::Compare(Comparison::LessOrEqual, value),
            _ => Test::Compare(Comparison::Equal, value),
        };
        Condition { column, test }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(wanted in prop::collection::vec(conditions(), 0..6)) {
        let schema = schema();
        let query: Vec<String> = wanted.iter().map(|it| written(it, &schema)).collect();
        let read = bind(&query.join("&")).unwrap().read;
        prop_assert_eq!(read.conditions, wanted);
    }

    #[test]
    fn any_text_is_read_or_refused(query in ".{0,200}") {
        let _ = parameters(&query);
        let _ = bind(&query);
        let _ = bind(&format!("shop=in.({query})&page_token={query}"));
    }

    #[test]
    fn a_token_gives_back_its_values(shop in any::<String>(), day in any::<i16>(), rate in any::<i32>()) {
        let shop = shop.replace('\0', "");
        let last = vec![Value::Double(f64::from(rate) / 3.0), text(&shop), Value::Date(day.into())];
        let token = bind("order=rate.desc").unwrap().token(&last).unwrap();
        let bound = bind(&format!("order=rate.desc&page_token={token}")).unwrap();
        prop_assert_eq!(bound.read.after, Some(last));
    }
}
