//! Views, status, skips, tokens, probes, and what every request passes.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use viewfold::api::status::{Stall, StatusReport};
use viewfold::api::{self, Backend, Scope, Server};

use super::made::{Made, report};
use super::{get, send, start, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_comes_with_what_it_reflects() {
    let running = start(&[], 2).await;
    for address in [running.public, running.admin] {
        let answer = get(address, "/v1/views/totals/a%2Cb,1?store=postgres");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body, r#"{"shop":"a,b","day":1,"amount":"12.50"}"#);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("view-store"), "postgres");
        assert_eq!(answer.header("view-generation"), "3");
        assert_eq!(answer.header("view-position"), "orders/0@118,orders/1@117");
        assert_eq!(answer.header("view-as-of"), "2026-11-21T06:00:00.12Z");
        let etag = answer.header("etag");
        let unchanged = send(
            address,
            "GET",
            "/v1/views/totals/a%2Cb,1",
            &[("if-none-match", etag)],
        );
        assert_eq!((unchanged.status, &*unchanged.body), (304, ""));
        assert_eq!(unchanged.header("etag"), etag);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_split_before_it_is_decoded() {
    let running = start(&[], 0).await;
    let status = |path: &str| get(running.public, path).status;
    assert_eq!(status("/v1/views/totals/a%2Cb,1"), 200);
    assert_eq!(status("/v1/views/totals/a,b,1"), 400, "three parts");
    assert_eq!(status("/v1/views/totals/a%2Cb%2C1"), 400, "one part");
    assert_eq!(
        status("/v1/views/totals/a%2Fb,%FF"),
        404,
        "two parts, no row"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_positions_become_an_opaque_token() {
    let running = start(&[], 1000).await;
    let answer = get(running.public, "/v1/views/totals/a%2Cb,1");
    assert_eq!(answer.header("view-position"), "");
    assert!(
        answer
            .header("view-token")
            .starts_with("v1/orders:0.76:1.75")
    );
    let none = start(&[], 0).await;
    let answer = get(none.public, "/v1/views/totals/a%2Cb,1");
    assert!(
        answer
            .headers
            .iter()
            .all(|(name, _)| name != "view-position")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_with_a_stable_type() {
    let running = start(&[], 1).await;
    let (public, admin) = (running.public, running.admin);
    let table = [
        (public, "GET", "/v1/views/nothing/1", 404, "unknown-view"),
        (public, "GET", "/v1/views/totals/x,1", 404, "unknown-row"),
        (public, "GET", "/v1/views/totals/x", 400, "wrong-key"),
        (
            public,
            "GET",
            "/v1/views/totals/x,1?store=redis",
            400,
            "unknown-store",
        ),
        (
            public,
            "GET",
            "/v1/views/totals/x,1?store=mysql",
            400,
            "unknown-store",
        ),
        (public, "GET", "/v1/views/away/x,1", 503, "unavailable"),
        (public, "GET", "/nowhere", 404, "not-found"),
        (public, "GET", "/v1/views/totals/", 404, "not-found"),
        (public, "GET", "/metrics", 404, "not-found"),
        (public, "GET", "/v1/projections", 404, "not-found"),
        (public, "POST {}", "/v1/views", 405, "method-not-allowed"),
        (
            admin,
            "GET",
            "/v1/projections/none",
            404,
            "unknown-projection",
        ),
        (
            admin,
            "POST {",
            "/v1/projections/totals/skip",
            400,
            "bad-request",
        ),
        (
            admin,
            "POST {}",
            "/v1/projections/totals/skip",
            400,
            "bad-request",
        ),
        (
            admin,
            r#"POST {"record":"orders/0","reason":"r"}"#,
            "/v1/projections/totals/skip",
            400,
            "bad-request",
        ),
        (
            admin,
            r#"POST {"record":"orders/0@1","reason":" "}"#,
            "/v1/projections/totals/skip",
            400,
            "bad-request",
        ),
        (
            admin,
            r#"POST {"record":"orders/0@119","reason":"r"}"#,
            "/v1/projections/totals/skip",
            409,
            "refused",
        ),
        (
            admin,
            r#"POST {"record":"orders/0@1","reason":"r"}"#,
            "/v1/projections/none/skip",
            404,
            "unknown-projection",
        ),
    ];
    for (address, method, path, status, kind) in table {
        let answer = send(address, method, path, &[]);
        assert_eq!(
            answer.problem(),
            (status, kind.to_owned()),
            "{method} {path}"
        );
    }
    let large = format!("POST {}", "x".repeat(70_000));
    let answer = send(admin, &large, "/v1/projections/totals/skip", &[]);
    assert_eq!(answer.problem(), (413, "too-large".to_owned()));
    let away = get(public, "/v1/views/away/x,1");
    assert_eq!(away.header("retry-after"), "1");
    let absent = get(public, "/v1/views/totals/x,1");
    assert_eq!(absent.header("view-position"), "orders/0@118");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_status_have_the_shape_of_the_contract() {
    let running = start(&[], 1).await;
    let views = get(running.public, "/v1/views");
    assert_eq!(
        views.body,
        r#"{"views":[{"name":"totals","description":"","key":["shop","day"],"columns":{"shop":"text","day":"integer","amount":"numeric(18,2)"},"stores":["postgres"],"generation":3}]}"#
    );
    let wanted = json!({"name":"totals","definition":"unchanged","unmatched_types":[],"generations":[
        {"generation":1,"state":"live","stores":[{"store":"postgres","state":"live","stalled":null,"partitions":[
            {"topic":"orders","partition":0,"position":119,"end":119,"lag_records":0,"lag_seconds":0.0,
             "rate":0.0,"owner":"host-1","stalled":null}]}]}]});
    let all = get(running.admin, "/v1/projections").json();
    assert_eq!(all, json!({ "projections": [wanted] }));
    assert_eq!(get(running.admin, "/v1/projections/totals").json(), wanted);
}

#[test]
fn a_status_reads_back_as_it_was_written_and_knows_what_is_stalled() {
    let mut status = report();
    assert!(!status.is_stalled());
    let stall = Stall {
        reason: "poison".into(),
        since: "2026-11-21T06:00:00Z".into(),
        detail: "orders/0@118: data.total is missing".into(),
        record: None,
    };
    status.projections[0].generations[0].stores[0].partitions[0].stalled = Some(stall);
    assert!(status.is_stalled());
    status.control = Some("postgres unreachable".into());
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<StatusReport>(&text).unwrap(), status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skip_is_accepted_with_its_reason_and_actor() {
    let running = start(&[], 1).await;
    let body = r#"POST {"record":"orders/0@118","reason":"known bad"}"#;
    let answer = send(running.admin, body, "/v1/projections/totals/skip", &[]);
    assert_eq!(answer.status, 202, "{}", answer.body);
    let skips = running.made.skips.lock().unwrap();
    assert_eq!(skips.len(), 1);
    assert_eq!(skips[0].record.to_string(), "orders/0@118");
    assert_eq!(
        (&*skips[0].reason, &*skips[0].actor),
        ("known bad", "anonymous")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_scope_includes() {
    let tokens = [
        token("reader", Scope::Read, None),
        token("operator", Scope::Operate, Some("2999-01-01T00:00:00Z")),
        token("admin", Scope::Admin, None),
        token("old", Scope::Admin, Some("2020-01-01T00:00:00Z")),
    ];
    let running = start(&tokens, 1).await;
    let read = (running.public, "GET", "/v1/views/totals/a%2Cb,1");
    let look = (running.admin, "GET", "/v1/projections");
    let skip = (
        running.admin,
        r#"POST {"record":"orders/0@1","reason":"r"}"#,
        "/v1/projections/totals/skip",
    );
    let table = [
        ("", [401, 401, 401]),
        ("Bearer ", [401, 401, 401]),
        ("Bearer guess", [401, 401, 401]),
        ("Basic reader", [401, 401, 401]),
        ("Bearer old", [401, 401, 401]),
        ("Bearer reader", [200, 200, 403]),
        ("bearer operator", [200, 200, 202]),
        ("Bearer admin", [200, 200, 202]),
    ];
    for (authorization, wanted) in table {
        for ((address, method, path), wanted) in [read, look, skip].into_iter().zip(wanted) {
            let headers = [("authorization", authorization)];
            let answer = send(address, method, path, &headers);
            assert_eq!(answer.status, wanted, "{authorization} {path}");
            if wanted == 401 {
                assert_eq!(answer.problem().1, "unauthorized");
                let challenge = match authorization {
                    "Bearer guess" | "Bearer old" => r#"Bearer error="invalid_token""#,
                    _ => "Bearer",
                };
                assert_eq!(answer.header("www-authenticate"), challenge);
            }
        }
    }
    assert_eq!(running.made.skips.lock().unwrap()[0].actor, "operator");
    for open in ["/livez", "/startupz", "/metrics"] {
        assert_eq!(get(running.admin, open).status, 200, "{open}");
    }
    assert_eq!(get(running.admin, "/readyz").status, 503);
    assert_eq!(get(running.public, "/nowhere").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_say_what_is_wrong_and_with_verbose_everything() {
    let running = start(&[], 1).await;
    let ready = get(running.admin, "/readyz");
    assert_eq!(
        (ready.status, &*ready.body),
        (503, "not ok\n[-] postgres: unreachable\n")
    );
    let verbose = get(running.admin, "/readyz?verbose");
    assert_eq!(
        verbose.body,
        "not ok\n[+] kafka\n[-] postgres: unreachable\n"
    );
    let started = get(running.admin, "/startupz?verbose");
    assert_eq!((started.status, &*started.body), (200, "ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_measured_by_route_never_by_path() {
    let running = start(&[], 1).await;
    get(running.public, "/v1/views/totals/a%2Cb,1");
    get(running.public, "/made-up-path");
    let metrics = get(running.admin, "/metrics").body;
    let name = "viewfold_http_server_request_duration_seconds_count";
    let line = |route: &str, status: u16| {
        format!(
            "{name}{{http_request_method=\"GET\",http_response_status_code=\"{status}\",http_route=\"{route}\"}}"
        )
    };
    assert!(metrics.contains(&line("/v1/views/{view}/{key}", 200)));
    assert!(metrics.contains(&line("unmatched", 404)));
    assert!(!metrics.contains("made-up-path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_the_setting_to_change() {
    let local = "127.0.0.1:0".parse().unwrap();
    let first = Server::bind("admin.listen", local).await.unwrap();
    let taken = Server::bind("admin.listen", first.address())
        .await
        .unwrap_err();
    let text = taken.to_string();
    assert!(
        text.starts_with(&format!("listen on {}: ", first.address())),
        "{text}"
    );
    assert!(
        text.ends_with("free the port or change admin.listen"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_when_it_is_told_to() {
    let stop = CancellationToken::new();
    let local = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind("api.listen", local).await.unwrap();
    let made: Arc<dyn Backend> = Arc::new(Made::default());
    let serving = tokio::spawn(server.serve(api::public(made, &[]), stop.clone()));
    stop.cancel();
    serving.await.unwrap().unwrap();
}
