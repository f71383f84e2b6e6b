//! Lists of rows: conditions, orders, pages, and what is refused.

use serde_json::{Value, json};

use super::made::Made;
use super::shelf::Shelf;
use super::{Answer, Running, get, send, serve, start};

/// Texts that mean something to parsers of SQL, of URLs, of patterns, of headers or of our own.
const HOSTILE: &[&str] = &[
    "",
    ".",
    "..",
    "/",
    ",",
    "%",
    "_",
    "'",
    "\"",
    "{}",
    "\\",
    ";",
    "--",
    "';DROP TABLE totals;--",
    "$1",
    "a b",
    "&",
    "=",
    "+",
    "#",
    "?",
    "eq.",
    "in.(",
    "()",
    "\u{1}",
    "\r\n",
    "ä",
    "\u{1F600}",
    "\u{202e}",
    "%00",
    "../../x",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn shelf(shops: &[&str], days: i64) -> Running {
    let made = Made {
        partitions: 1,
        rows: Shelf::of(shops, days),
        ..Made::default()
    };
    serve(made, &[]).await
}

fn list(running: &Running, query: &str) -> Answer {
    get(running.public, &format!("/v1/views/totals?{query}"))
}

/// The shops and days of an answer.
fn keys(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.json()["rows"].as_array().unwrap().clone();
    let key = |row: &Value| format!("{}{}", row["shop"].as_str().unwrap(), row["day"]);
    rows.iter().map(key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_with_what_they_reflect() {
    let running = shelf(&["b", "a"], 2).await;
    for address in [running.public, running.admin] {
        let answer = get(address, "/v1/views/totals");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            answer.body,
            r#"{"rows":[{"shop":"a","day":1,"amount":null},{"shop":"a","day":2,"amount":"2.50"},{"shop":"b","day":1,"amount":null},{"shop":"b","day":2,"amount":"2.50"}],"next_page_token":""}"#
        );
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("view-store"), "postgres");
        assert_eq!(answer.header("view-generation"), "3");
        assert_eq!(answer.header("view-position"), "orders/0@118");
        assert_eq!(answer.header("view-as-of"), "2026-11-21T06:00:00.12Z");
        let known = [("if-none-match", answer.header("etag"))];
        let unchanged = send(address, "GET", "/v1/views/totals", &known);
        assert_eq!((unchanged.status, &*unchanged.body), (304, ""));
        let other = send(address, "GET", "/v1/views/totals?limit=1", &known);
        assert_eq!(other.status, 200);
        let head = send(address, "HEAD", "/v1/views/totals", &[]);
        assert_eq!((head.status, &*head.body), (200, ""));
        assert_eq!(head.header("etag"), answer.header("etag"));
    }
    assert_eq!(list(&running, "store=postgres").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_orders_and_columns_are_as_asked() {
    let running = shelf(&["a", "b"], 3).await;
    let found = |query: &str| keys(&list(&running, query)).join(" ");
    assert_eq!(found("shop=eq.a"), "a1 a2 a3");
    assert_eq!(found("day=gt.1&day=lte.2"), "a2 b2");
    assert_eq!(found("shop=in.(b,%22c,d%22)&col.day=neq.2"), "b1 b3");
    assert_eq!(found("shop=like.%25a%25&amount=is.null"), "a1");
    assert_eq!(found("order=amount.desc,shop.desc"), "b3 a3 b2 a2 b1 a1");
    assert_eq!(found("order=amount,shop.desc"), "b2 a2 b3 a3 b1 a1");
    assert_eq!(found("limit=1&order=shop.desc,day.desc"), "b3");
    let answer = list(&running, "select=amount,shop&limit=1");
    assert!(
        answer
            .body
            .starts_with(r#"{"rows":[{"shop":"a","amount":null}],"#),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_to_an_empty_token() {
    let running = shelf(&["a", "b", "c"], 4).await;
    for order in ["", "order=amount.desc", "order=day,shop.desc"] {
        let whole = keys(&list(&running, order));
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let answer = list(&running, &format!("{order}&limit=5&page_token={token}"));
            paged.extend(keys(&answer));
            token = answer.json()["next_page_token"]
                .as_str()
                .unwrap()
                .to_owned();
            if token.is_empty() {
                break;
            }
            let elsewhere = list(&running, &format!("{order}&shop=eq.a&page_token={token}"));
            assert_eq!(elsewhere.problem(), (400, "bad-request".into()));
            assert!(elsewhere.body.contains("start anew"), "{}", elsewhere.body);
        }
        assert_eq!(paged, whole, "{order}");
    }
    let last = list(&running, "limit=12").json();
    assert_eq!(last["next_page_token"], "", "no token where no row is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_where_that_is_preferred() {
    let running = shelf(&["a", "b"], 3).await;
    let count = |prefer: &str| {
        let path = "/v1/views/totals?shop=eq.a&limit=1";
        send(running.public, "GET", path, &[("prefer", prefer)])
    };
    for (prefer, applied) in [
        ("count=exact", "count=exact"),
        ("wait=1, Count=\"estimated\"", "count=estimated"),
    ] {
        let answer = count(prefer);
        assert_eq!(answer.json()["count"], 3, "{}", answer.body);
        assert_eq!(answer.header("preference-applied"), applied);
    }
    for ignored in ["count=all", "counted=exact", "return=minimal"] {
        let answer = count(ignored);
        assert_eq!(answer.json().get("count"), None);
        assert_eq!(answer.header("preference-applied"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_a_problem_that_helps() {
    let running = shelf(&["a"], 1).await;
    for (path, status, kind, said) in [
        ("nothing", 404, "unknown-view", "nothing"),
        ("keyed", 400, "not-listable", "postgres only"),
        ("totals?store=redis", 400, "not-listable", "postgres only"),
        ("totals?store=mysql", 400, "unknown-store", "mysql"),
        ("away", 503, "unavailable", "unreachable"),
        ("slow", 503, "list-too-slow", "narrow"),
        (
            "totals?limit=0",
            400,
            "bad-request",
            "limit: `0` is not a number from 1 to 1000",
        ),
        (
            "totals?page=2",
            400,
            "bad-request",
            "`page` is neither a column of view totals nor a parameter",
        ),
        (
            "totals?shop=a",
            400,
            "bad-request",
            "conditions are written operator.value",
        ),
        (
            "totals?amount=like.1",
            400,
            "bad-request",
            "`like` is no operator for numeric(18,2)",
        ),
        (
            "totals?day=eq.x",
            400,
            "bad-request",
            "day: `x` is not a valid integer",
        ),
        (
            "totals?order=shop.nullsfirst",
            400,
            "bad-request",
            "nulls are always last",
        ),
        (
            "totals?select=_mask",
            400,
            "bad-request",
            "possible: shop, day, amount",
        ),
        (
            "totals?page_token=x",
            400,
            "bad-request",
            "page_token: it is damaged",
        ),
        ("totals?shop", 400, "bad-request", "name=value"),
    ] {
        let answer = get(running.public, &format!("/v1/views/{path}"));
        assert_eq!(answer.problem(), (status, kind.to_owned()), "{path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{path}: {detail}");
    }
    let long = list(&running, &format!("shop=eq.{}", "x".repeat(9000)));
    assert_eq!(long.problem(), (414, "too-long".into()));
    let posted = send(running.public, "POST {}", "/v1/views/totals", &[]);
    assert_eq!(posted.problem().0, 405);
    let token = |record| [("consistency-token", record)];
    let shown = send(
        running.public,
        "GET",
        "/v1/views/totals",
        &token("orders/0@1"),
    );
    assert_eq!(shown.status, 200);
    let later = send(
        running.public,
        "GET",
        "/v1/views/totals",
        &token("orders/0@1000"),
    );
    assert_eq!(later.problem(), (503, "not-caught-up".into()), "I12");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_cut_to_the_selected_columns() {
    let running = start(&[], 1).await;
    let row = |query: &str| get(running.public, &format!("/v1/views/totals/a%2Cb,1?{query}"));
    assert_eq!(
        row("select=amount,shop").body,
        r#"{"shop":"a,b","amount":"12.50"}"#
    );
    assert_eq!(row("select=day&store=postgres").body, r#"{"day":1}"#);
    assert_ne!(row("select=day").header("etag"), row("").header("etag"));
    for (query, said) in [
        ("select=nothing", "possible: shop, day, amount"),
        ("select=", "is no column"),
        (
            "limit=1",
            "`limit` is no parameter of a row; possible: store, select",
        ),
        ("shop=eq.a", "`shop` is no parameter of a row"),
        ("store=postgres&store=redis", "store is given twice"),
        ("select", "has no value"),
    ] {
        let answer = row(query);
        assert_eq!(answer.problem(), (400, "bad-request".into()), "{query}");
        assert!(answer.body.contains(said), "{query}: {}", answer.body);
    }
}

/// Whatever is written anywhere, the answer is rows or a 400, and a row is found by what it is.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_texts() {
    let shops: Vec<&str> = HOSTILE.to_vec();
    let running = shelf(&shops, 1).await;
    for text in HOSTILE {
        let code = encoded(text);
        let quoted = encoded(&format!(
            "(\"{}\")",
            text.replace('\\', "\\\\").replace('"', "\\\"")
        ));
        for query in [format!("shop=eq.{code}"), format!("shop=in.{quoted}")] {
            let found = list(&running, &query).json();
            assert_eq!(
                found["rows"],
                json!([{"shop": text, "day": 1, "amount": null}]),
                "{query}"
            );
        }
        for query in [
            format!("{code}=eq.1"),
            format!("col.{code}=eq.1"),
            format!("shop={code}"),
            format!("shop={code}.a"),
            format!("shop=in.{code}"),
            format!("shop=like.{code}"),
            format!("day=eq.{code}"),
            format!("amount=gt.{code}"),
            format!("order={code}"),
            format!("order=shop.{code}"),
            format!("select={code}"),
            format!("limit={code}"),
            format!("page_token={code}"),
            format!("store={code}"),
        ] {
            let answer = list(&running, &query);
            assert!(
                [200, 400].contains(&answer.status),
                "{query}: {}",
                answer.body
            );
        }
    }
    // Every row of the hostile ones is on one page of one row.
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let answer = list(&running, &format!("limit=1&page_token={token}"));
        seen.extend(keys(&answer));
        token = answer.json()["next_page_token"]
            .as_str()
            .unwrap()
            .to_owned();
        if token.is_empty() {
            break;
        }
    }
    let mut wanted: Vec<String> = HOSTILE.iter().map(|shop| format!("{shop}1")).collect();
    wanted.sort();
    seen.sort();
    assert_eq!(seen, wanted);
}
