//! Limits: how often, how much at once, how large, how slow; and what every answer carries.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use viewfold::api::{Access, RateLimit, Scope, Token};

use super::made::Made;
use super::{get, send, serve_with, start, token};

const STRICT: Option<RateLimit> = Some(RateLimit {
    per_second: 1,
    burst: 3,
});

#[tokio::test(flavor = "multi_thread")]
async fn each_token_has_an_allowance_of_its_own() {
    let tokens: &[Token] = &[token("a", Scope::Read, None), token("b", Scope::Read, None)];
    let access = Access {
        rate_limit: STRICT,
        ..Access::from(tokens)
    };
    let running = serve_with(Made::default(), access).await;
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        send(
            running.public,
            "GET",
            "/v1/views",
            &[("authorization", &bearer)],
        )
    };
    let statuses: Vec<u16> = (0..6).map(|_| ask("a").status).collect();
    assert_eq!(statuses[..3], [200; 3]);
    let refused = (0..20)
        .map(|_| ask("a"))
        .find(|answer| answer.status != 200)
        .unwrap();
    assert_eq!(refused.problem(), (429, "too-many-requests".into()));
    assert!((1..=2).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(ask("b").status, 200, "another token");
    // Guessing is paced by address.
    let guesses: Vec<u16> = (0..8).map(|n| ask(&format!("guess-{n}")).status).collect();
    assert_eq!(guesses[..3], [401; 3]);
    assert!(guesses.contains(&429), "{guesses:?}");
    // Probes are neither asked for tokens nor counted.
    assert!((0..20).all(|_| get(running.admin, "/metrics").status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_an_address_has_an_allowance() {
    let access = Access {
        rate_limit: STRICT,
        ..Access::default()
    };
    let running = serve_with(Made::default(), access).await;
    let statuses: Vec<u16> = (0..8)
        .map(|_| get(running.public, "/v1/views").status)
        .collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_instance_takes_is_turned_away_at_once() {
    let access = Access {
        max_concurrent: 1,
        ..Access::default()
    };
    let running = serve_with(Made::default(), access).await;
    // A request whose body does not come keeps its place.
    let mut slow = TcpStream::connect(running.admin).unwrap();
    let head = "POST /v1/projections/totals/skip HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = get(running.admin, "/v1/views");
    for _ in 0..100 {
        if answer.status == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = get(running.admin, "/v1/views");
    }
    assert_eq!(answer.problem(), (503, "overloaded".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(
        get(running.admin, "/livez").status,
        200,
        "probes are not counted"
    );
    drop(slow);
    for _ in 0..100 {
        if get(running.admin, "/v1/views").status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place was not given back");
}

/// What the server answers to these bytes.
fn raw(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The server may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_requests_are_bounded() {
    let running = start(&[], 1).await;
    let with = |headers: String| {
        format!("GET /v1/views HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
    };
    let ask = |headers| raw(running.public, with(headers).as_bytes());
    assert!(ask(String::new()).starts_with("HTTP/1.1 200"));
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert!(ask(many).starts_with("HTTP/1.1 431"), "number of headers");
    let long = format!("x: {}\r\n", "a".repeat(100_000));
    assert!(ask(long).starts_with("HTTP/1.1 431"), "size of headers");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_read_answers_only_where_that_is_configured() {
    let origin = ("origin", "https://shop.example");
    let none = start(&[], 1).await;
    let answer = send(none.public, "GET", "/v1/views", &[origin]);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let access = Access {
        tokens: vec![token("a", Scope::Read, None)],
        cors_origins: vec!["https://shop.example".into()],
        ..Access::default()
    };
    let running = serve_with(Made::default(), access).await;
    let asked = [
        origin,
        ("access-control-request-method", "GET"),
        (
            "access-control-request-headers",
            "authorization,consistency-token",
        ),
    ];
    let may = send(running.public, "OPTIONS", "/v1/views", &asked);
    assert_eq!(
        (may.status, may.header("access-control-allow-origin")),
        (200, origin.1)
    );
    assert!(
        may.header("access-control-allow-headers")
            .contains("consistency-token")
    );
    let answer = send(
        running.public,
        "GET",
        "/v1/views",
        &[origin, ("authorization", "Bearer a")],
    );
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, origin.1)
    );
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("view-position")
    );
    let other = [
        ("origin", "https://evil.example"),
        ("authorization", "Bearer a"),
    ];
    let answer = send(running.public, "GET", "/v1/views", &other);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_traceable_and_safe_to_show() {
    let running = start(&[], 1).await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{id}-00f067aa0ba902b7-01");
    let answer = send(
        running.public,
        "GET",
        "/v1/views/none/1",
        &[("traceparent", &parent)],
    );
    assert_eq!(answer.json()["trace_id"], id);
    let one = get(running.public, "/nowhere").json()["trace_id"].clone();
    assert_ne!(one, get(running.public, "/nowhere").json()["trace_id"]);
    for path in [
        "/nowhere",
        "/v1/views",
        "/v1/views/totals/a%2Cb,1",
        "/openapi.json",
    ] {
        let answer = get(running.public, path);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let row = get(running.public, "/v1/views/totals/a%2Cb,1");
    assert_eq!(row.header("cache-control"), "no-cache");
}
