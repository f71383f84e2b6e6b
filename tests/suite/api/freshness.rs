//! Consistency tokens, waiting, and which store answers (I12).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Answer, send, start};

const ROW: &str = "/v1/views/totals/a%2Cb,1";

/// Reads the row with these `Consistency-Token` and `Prefer` headers.
fn read(address: SocketAddr, tokens: &[&str], prefer: &[&str]) -> Answer {
    let tokens = tokens.iter().map(|token| ("consistency-token", *token));
    let prefer = prefer.iter().map(|prefer| ("prefer", *prefer));
    let headers: Vec<(&str, &str)> = tokens.chain(prefer).collect();
    send(address, "GET", ROW, &headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_reached_is_answered_at_once() {
    let running = start(&[], 2).await;
    for token in [
        "orders/0@118",
        "orders/1@117, orders/0@0",
        "orders/0@118,orders/1@117",
        "v1/orders:0.76:1.75",
        "v1",
    ] {
        let answer = read(running.public, &[token], &["wait=5"]);
        assert_eq!(answer.status, 200, "{token}: {}", answer.body);
        assert_eq!(answer.header("view-position"), "orders/0@118,orders/1@117");
        assert_eq!(answer.header("preference-applied"), "wait=5");
    }
    let seen = send(running.public, "GET", ROW, &[]);
    let again = read(running.public, &[seen.header("view-position")], &[]);
    assert_eq!(again.status, 200);
    assert_eq!(again.header("preference-applied"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_reached_is_not_answered() {
    let running = start(&[], 2).await;
    let begun = Instant::now();
    let answer = read(
        running.public,
        &["orders/0@119,orders/1@117,orders/2@0"],
        &[],
    );
    assert_eq!(answer.problem(), (503, "not-caught-up".into()));
    assert_eq!(answer.header("retry-after"), "1");
    let reached = json!({"orders/0": 118, "orders/2": null});
    assert_eq!(answer.json()["reached"], reached);
    assert!(
        answer.body.contains("orders/0@119 and 1 more"),
        "{}",
        answer.body
    );
    assert!(begun.elapsed() < Duration::from_millis(500));
    // Each of several headers counts.
    let answer = read(running.public, &["orders/0@118", "orders/1@118"], &[]);
    assert_eq!(answer.json()["reached"], json!({"orders/1": 117}));
    // A row that is not there is an answer too, and has to be as fresh.
    let absent = "/v1/views/totals/x,1";
    let token = |token| {
        send(
            running.public,
            "GET",
            absent,
            &[("consistency-token", token)],
        )
    };
    assert_eq!(token("orders/0@119").problem().1, "not-caught-up");
    assert_eq!(token("orders/0@118").problem().1, "unknown-row");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_records_are_in_or_the_time_is_over() {
    let running = start(&[], 2).await;
    let begun = Instant::now();
    let answer = read(running.public, &["orders/0@120"], &["wait=0.3"]);
    assert_eq!(answer.problem(), (503, "not-caught-up".into()));
    assert_eq!(answer.header("preference-applied"), "wait=0.3");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_millis(800), "{took:?}");

    let made = running.made.clone();
    let moving = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        made.moved.store(2, Ordering::Relaxed);
    });
    let answer = read(running.public, &["orders/0@120"], &["stale-ok", "wait=5"]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("view-position"), "orders/0@120,orders/1@119");
    assert!(begun.elapsed() < Duration::from_secs(4));
    moving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_may_come_back_in_time() {
    let running = start(&[], 1).await;
    running.made.away.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let answer = read(running.public, &["orders/0@1"], &["wait=0.3"]);
    assert_eq!(answer.problem(), (503, "unavailable".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert!(begun.elapsed() < Duration::from_millis(800));
    let made = running.made.clone();
    let back = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        made.away.store(false, Ordering::Relaxed);
    });
    let answer = read(running.public, &["orders/0@1"], &["wait=5"]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_refused_with_the_right_form() {
    let running = start(&[], 2).await;
    for token in ["orders", "orders/0@x", "", "orders/0@1;orders/1@1", "ö/0@1"] {
        let answer = read(running.public, &[token], &["wait=5"]);
        assert_eq!(answer.problem(), (400, "bad-request".into()), "{token}");
        assert!(answer.body.contains("orders/1@97"), "{}", answer.body);
    }
    for token in ["payments/0@1", "orders/4@0", "orders/0@1,orders/7@1"] {
        let answer = read(running.public, &[token], &["wait=5"]);
        assert_eq!(
            answer.problem(),
            (400, "unknown-partition".into()),
            "{token}"
        );
    }
    let answer = read(running.public, &["orders/0@1"], &["wait=soon"]);
    assert_eq!(answer.problem(), (400, "bad-request".into()));
    let longest = read(running.public, &["orders/0@1"], &["wait=3600"]);
    assert_eq!(longest.header("preference-applied"), "wait=10");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_than_the_first_answers_only_whom_it_suits() {
    let running = start(&[], 2).await;
    let redis = "/v1/views/both/a%2Cb,1?store=redis";
    let get = |path: &str, headers: &[(&str, &str)]| send(running.public, "GET", path, headers);
    let answer = get(redis, &[]);
    assert_eq!(answer.problem(), (400, "bad-request".into()));
    assert!(answer.body.contains("Prefer: stale-ok"), "{}", answer.body);
    let answer = get(redis, &[("prefer", "stale-ok")]);
    assert_eq!((answer.status, answer.header("view-store")), (200, "redis"));
    assert_eq!(answer.header("preference-applied"), "stale-ok");
    let answer = get(redis, &[("consistency-token", "orders/0@118")]);
    assert_eq!((answer.status, answer.header("view-store")), (200, "redis"));
    assert_eq!(
        get("/v1/views/both/a%2Cb,1?store=postgres", &[]).status,
        200
    );
    assert_eq!(get("/v1/views/both/a%2Cb,1", &[]).status, 200);
    // A token is honoured even by those whom any age would suit.
    let both = [
        ("consistency-token", "orders/0@119"),
        ("prefer", "stale-ok"),
    ];
    assert_eq!(get(redis, &both).problem().1, "not-caught-up");
}
