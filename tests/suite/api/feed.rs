//! The change feed over HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use viewfold::query::{FeedEvent, FeedKind};

use super::made::Made;
use super::{get, send, serve, start};

const PATH: &str = "/v1/views/totals/changes";

fn event(kind: FeedKind, id: &str, data: &str) -> FeedEvent {
    FeedEvent {
        kind,
        id: id.into(),
        data: data.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_as_events_with_their_position() {
    let told = vec![
        event(FeedKind::Position, "orders/0@1;g1", ""),
        event(
            FeedKind::Change,
            "orders/0@2;g1",
            r#"{"key":"a","op":"upsert","row":{}}"#,
        ),
        event(FeedKind::Generation, "orders/0@2;g2", r#"{"generation":2}"#),
        event(FeedKind::Reset, "orders/0@9;g2", r#"{"reason":"r"}"#),
    ];
    let made = Made {
        told: told.into(),
        ..Made::default()
    };
    let running = serve(made, &[]).await;
    for address in [running.public, running.admin] {
        let answer = get(address, PATH);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/event-stream");
        let expected = [
            "retry: 1000",
            "id: orders/0@1;g1",
            "id: orders/0@2;g1\ndata: {\"key\":\"a\",\"op\":\"upsert\",\"row\":{}}",
            "id: orders/0@2;g2\nevent: generation\ndata: {\"generation\":2}",
            "id: orders/0@9;g2\nevent: reset\ndata: {\"reason\":\"r\"}",
        ];
        assert_eq!(answer.body.trim_end(), expected.join("\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_to_begin_and_what_to_follow_is_passed_on() {
    let made = Made {
        told: vec![event(FeedKind::Position, "v1", "")].into(),
        ..Made::default()
    };
    let running = serve(made, &[]).await;
    let headers = [("last-event-id", "orders/0@1;g2;45.3")];
    let path = format!("{PATH}?key=a%2Cb,1&store=postgres");
    assert_eq!(send(running.public, "GET", &path, &headers).status, 200);
    let asked = running.made.asked.lock().unwrap().remove(0).0;
    assert!(
        asked.contains("generation: Some(2), within: Some((45, 3))"),
        "{asked}"
    );
    assert!(asked.ends_with("Some(\"a%2Cb,1\")"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_refused() {
    let running = start(&[], 1).await;
    for (path, status, kind) in [
        ("/v1/views/nothing/changes", 404, "unknown-view"),
        ("/v1/views/redis_only/changes", 400, "not-listable"),
        ("/v1/views/totals/changes?store=redis", 400, "not-listable"),
        ("/v1/views/totals/changes?limit=1", 400, "bad-request"),
        ("/v1/views/both/changes", 503, "too-many-streams"),
    ] {
        let answer = get(running.public, path);
        assert_eq!(answer.problem(), (status, kind.into()), "{path}");
    }
    let wrong = send(running.public, "GET", PATH, &[("last-event-id", "12")]);
    assert_eq!(wrong.problem(), (400, "bad-request".into()));
}

/// Begins to follow, and answers what comes before the stream is silent.
fn listen(address: SocketAddr) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(stream, "GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("retry: 1000") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    reader
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_ends_at_shutdown_and_a_client_that_goes_is_noticed() {
    let running = start(&[], 1).await;
    let reader = tokio::task::block_in_place(|| listen(running.public));
    let sender = running.made.listener.lock().unwrap().take().unwrap();
    drop(reader);
    let gone = tokio::time::timeout(Duration::from_secs(5), sender.closed());
    gone.await.unwrap();

    let mut reader = tokio::task::block_in_place(|| listen(running.public));
    running.stop.cancel();
    let ended = tokio::task::block_in_place(|| {
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 0 {}
        line
    });
    assert!(ended.ends_with("0\r\n\r\n"), "{ended:?}");
}
