//! Plans, rebuilds, generations and their events, verifications, drop.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::{Value, json};
use viewfold::api::status::{GenerationStatus, StatusReport};
use viewfold::api::{GenerationDetail, Problem, Scope};

use super::made::{Made, build, detail, plan, report};
use super::{Running, get, send, serve, start, token};

const P: &str = "/v1/projections";

/// What was asked of the service, without who asked.
fn asked(running: &Running) -> Vec<String> {
    let asked = running.made.asked.lock().unwrap();
    asked.iter().map(|(what, _)| what.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_accepted_with_its_place_and_everything_that_was_asked() {
    let running = start(&[], 1).await;
    let path = format!("{P}/totals/rebuilds");
    let answer = send(
        running.admin,
        "POST",
        &path,
        &[("idempotency-key", " k-1 ")],
    );
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(
        answer.header("location"),
        "/v1/projections/totals/generations/2"
    );
    assert_eq!(answer.json()["state"], "building");
    let bodies = [
        (r#"{"from":"earliest"}"#, json!({"from":"earliest"})),
        (
            r#"{"from":{"timestamp":"2026-11-21T07:00:00+01:00"}}"#,
            json!({"from":{"timestamp":"2026-11-21T06:00:00Z"}}),
        ),
        (
            r#"{"from":{"offsets":{"orders/0":123}},"base":"live","max_rate":10,"promote":"manual","max_changed":0.5}"#,
            json!({"from":{"offsets":{"orders/0":123}},"base":"live","max_rate":10,"promote":"manual","max_changed":0.5}),
        ),
        (r#"{"from":null,"max_rate":null}"#, json!({})),
    ];
    for (body, wanted) in bodies {
        let answer = send(running.admin, &format!("POST {body}"), &path, &[]);
        assert_eq!(answer.status, 202, "{}", answer.body);
        let mut whole = json!({"base":"empty","promote":"auto","dry_run":false});
        for (name, value) in wanted.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let last = asked(&running).pop().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&last).unwrap(),
            whole,
            "{body}"
        );
    }
    let asked = running.made.asked.lock().unwrap();
    assert_eq!(asked[0].1.idempotency_key.as_deref(), Some("k-1"));
    assert_eq!(asked[1].1.idempotency_key, None);
    assert_eq!(asked[0].1.actor, "anonymous");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_the_plan_also_when_it_would_be_refused() {
    let running = start(&[], 1).await;
    for name in ["totals", "busy"] {
        let path = format!("{P}/{name}/rebuilds");
        let answer = send(running.admin, r#"POST {"dry_run":true}"#, &path, &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json(), serde_json::to_value(plan()).unwrap());
        assert_eq!(answer.json()["refused"], "generation 2 is being built");
    }
    let all = get(running.admin, "/v1/plan");
    assert_eq!(all.json(), json!({"plans":[plan()]}));
    let one = get(running.admin, "/v1/plan?projection=totals");
    assert_eq!(one.json(), json!({"plans":[plan()]}));
    let none = get(running.admin, "/v1/plan?projection=none");
    assert_eq!(none.problem(), (404, "unknown-projection".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_body_is_refused_with_every_field_and_what_is_allowed() {
    let running = start(&[], 1).await;
    let rebuilds = [
        (
            r#"{"from":"latest"}"#,
            r#"from must be "earliest", {"timestamp""#,
        ),
        (r#"{"from":{"offsets":{},"timestamp":""}}"#, "from must be"),
        (
            r#"{"from":{"timestamp":"2026-11-21"}}"#,
            "from timestamp must be a time such as",
        ),
        (
            r#"{"from":{"timestamp":1}}"#,
            "from timestamp must be a time such as",
        ),
        (
            r#"{"from":{"offsets":{}}}"#,
            "from offsets must name a record",
        ),
        (
            r#"{"from":{"offsets":{"orders":1}}}"#,
            "`orders` is not topic/partition",
        ),
        (
            r#"{"from":{"offsets":{"orders/0":-1}}}"#,
            "offset of orders/0 must be",
        ),
        (
            r#"{"from":{"offsets":{"o/0":1,"o/00":1}}}"#,
            "name o/0 twice",
        ),
        (r#"{"base":"full"}"#, r#"base must be "empty" or "live""#),
        (r#"{"promote":1}"#, r#"promote must be "auto" or "manual""#),
        (r#"{"max_rate":0}"#, "max_rate must be a whole number"),
        (r#"{"max_rate":1.5}"#, "max_rate must be a whole number"),
        (
            r#"{"max_changed":1.01}"#,
            "max_changed must be a part of all rows, from 0 to 1",
        ),
        (r#"{"dry_run":"yes"}"#, "dry_run must be true or false"),
        (
            r#"{"form":"earliest"}"#,
            "unknown field `form`, known are from, base, max_rate",
        ),
        (
            r#"{"base":1,"promote":1}"#,
            r#"base must be "empty" or "live"; promote must be"#,
        ),
        ("[]", "body: must be a JSON object"),
        ("{", "body: "),
    ];
    let verifications = [
        (
            r#"{"sample":0}"#,
            "sample must be a part of all keys, above 0 and at most 1",
        ),
        (
            r#"{"against":"nothing"}"#,
            r#"against must be "log" or the number"#,
        ),
        (r#"{"against":0}"#, r#"against must be "log" or the number"#),
        (
            r#"{"generation":"x"}"#,
            "generation must be the number of a generation",
        ),
        (r#"{"strict":1}"#, "strict must be true or false"),
    ];
    let tables = [
        ("rebuilds", &rebuilds[..]),
        ("verifications", &verifications[..]),
    ];
    for (what, table) in tables {
        for (body, wanted) in table {
            let path = format!("{P}/totals/{what}");
            let answer = send(running.admin, &format!("POST {body}"), &path, &[]);
            assert_eq!(answer.problem(), (400, "bad-request".to_owned()), "{body}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(wanted), "{body}: {detail}");
        }
    }
    let name = "k".repeat(256);
    for name in ["", &*name] {
        let path = format!("{P}/totals/rebuilds");
        let answer = send(running.admin, "POST", &path, &[("idempotency-key", name)]);
        assert_eq!(answer.problem(), (400, "bad-request".to_owned()));
    }
    assert_eq!(
        asked(&running),
        Vec::<String>::new(),
        "nothing was asked of the service"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_tells_unknown_refused_and_away_apart() {
    let running = start(&[], 1).await;
    let posts = [
        "rebuilds",
        "rollback",
        "promote",
        "cancel",
        "pause",
        "resume",
        "verifications",
        "generations/2/promote",
        "generations/2/cancel",
        "generations/2/pause",
        "generations/2/resume",
    ];
    for post in posts {
        let answers = ["totals", "none", "busy", "away"].map(|name| {
            let path = format!("{P}/{name}/{post}");
            send(running.admin, "POST", &path, &[])
        });
        let kinds = answers.map(|answer| match answer.status {
            202 => (
                202,
                answer.header("location").split('/').count().to_string(),
            ),
            _ => answer.problem(),
        });
        let wanted = [
            (202, "6"),
            (404, "unknown-projection"),
            (409, "refused"),
            (503, "unavailable"),
        ];
        let wanted = wanted.map(|(status, kind)| (status, kind.to_owned()));
        assert_eq!(kinds, wanted, "{post}");
    }
    let table = [
        ("GET", "none/generations/2", 404, "unknown-projection"),
        ("GET", "totals/generations/9", 404, "unknown-generation"),
        (
            "GET",
            "totals/generations/99999999999",
            404,
            "unknown-generation",
        ),
        ("GET", "totals/generations/two", 400, "bad-request"),
        ("GET", "away/generations/2", 503, "unavailable"),
        (
            "GET",
            "totals/generations/9/events",
            404,
            "unknown-generation",
        ),
        (
            "GET",
            "none/generations/2/events",
            404,
            "unknown-projection",
        ),
        (
            "POST",
            "totals/generations/9/promote",
            404,
            "unknown-generation",
        ),
        ("POST", "totals/generations/2/explode", 404, "not-found"),
        (
            "GET",
            "totals/generations/2/promote",
            405,
            "method-not-allowed",
        ),
        (
            r#"POST {"now":1}"#,
            "totals/generations/2/promote",
            400,
            "bad-request",
        ),
        ("GET", "totals/verifications/8", 404, "unknown-verification"),
        ("GET", "totals/verifications/x", 400, "bad-request"),
        ("GET", "none/verifications/7", 404, "unknown-projection"),
        ("DELETE", "totals", 400, "bad-request"),
        (
            r#"DELETE {"confirm":"other"}"#,
            "totals",
            400,
            "bad-request",
        ),
        (
            r#"DELETE {"confirm":"none"}"#,
            "none",
            404,
            "unknown-projection",
        ),
        (r#"DELETE {"confirm":"busy"}"#, "busy", 409, "refused"),
    ];
    for (method, path, status, kind) in table {
        let answer = send(running.admin, method, &format!("{P}/{path}"), &[]);
        assert_eq!(
            answer.problem(),
            (status, kind.to_owned()),
            "{method} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_names_its_generation_or_leaves_it_to_the_service() {
    let running = start(&[], 1).await;
    let posts = [
        "generations/3/promote",
        "generations/2/cancel",
        "pause",
        "resume",
        "rollback",
    ];
    for post in posts {
        let answer = send(running.admin, "POST {}", &format!("{P}/totals/{post}"), &[]);
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let dropped = send(
        running.admin,
        r#"DELETE {"confirm":"totals"}"#,
        &format!("{P}/totals"),
        &[],
    );
    assert_eq!(dropped.status, 202);
    assert_eq!(
        dropped.json(),
        json!({"projection":"totals","state":"dropped"})
    );
    let wanted = [
        "Promote Some(3)",
        "Cancel Some(2)",
        "Pause None",
        "Resume None",
        "Rollback None",
        "Drop",
    ];
    assert_eq!(asked(&running), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_started_and_looked_at_by_its_number() {
    let running = start(&[], 1).await;
    let body = r#"POST {"generation":2,"against":1,"sample":0.25,"strict":true}"#;
    let path = format!("{P}/totals/verifications");
    let answer = send(running.admin, body, &path, &[]);
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("location"), format!("{path}/7"));
    assert_eq!(
        answer.json(),
        json!({"id":7,"projection":"totals","state":"running","stores":[]})
    );
    assert_eq!(
        asked(&running),
        [r#"{"generation":2,"against":"1","sample":0.25,"strict":true}"#]
    );
    let found = get(running.admin, answer.header("location")).json();
    assert_eq!(found["state"], "same");
    assert_eq!(found["stores"][0]["differing"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_has_the_shape_of_the_contract_while_it_is_built_and_afterwards() {
    let running = start(&[], 1).await;
    let building = get(running.admin, &format!("{P}/totals/generations/2")).json();
    assert_eq!(
        building,
        json!({
            "projection":"totals","generation":2,"state":"building",
            "stores":[{"store":"postgres","state":"building","stalled":null,"partitions":[]}],
            "ready":false,"paused":false,
            "progress":{"done":50,"target":100,"rate":12.5,"eta_seconds":0.1,"converging":true},
            "rate_limit":1000.5,"limited_by":"live lag","phase":"catching up",
            "verification":null,"trouble":null,
            "build":"00000000-0000-0000-0000-000000000000",
            "options":{"base":"empty","explicit_starts":false,"promote":"auto"},
            "wanted":false,"actor":"ops","created_at":"2026-11-21T06:00:00Z",
        })
    );
    for (number, ready, eta) in [(1, true, json!(0.0)), (3, false, Value::Null)] {
        let over = get(running.admin, &format!("{P}/totals/generations/{number}")).json();
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&over), keys(&building));
        assert_eq!(over["ready"], ready);
        assert_eq!(
            over["progress"],
            json!({"done":0,"target":0,"rate":0.0,"eta_seconds":eta,"converging":true})
        );
    }
}

#[test]
fn a_build_reads_back_as_it_was_written_with_its_fractions() {
    let whole = detail(2, "building", Some(build(33)));
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(
        serde_json::from_str::<GenerationDetail>(&text).unwrap(),
        whole
    );
    let value = serde_json::to_value(&whole).unwrap();
    assert_eq!(
        serde_json::from_value::<GenerationDetail>(value).unwrap(),
        whole
    );
    let mut status = report();
    status.projections[0].generations.push(whole.status);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<StatusReport>(&text).unwrap(), status);
    let damaged = text.replace("\"limited_by\":\"live lag\"", "\"limited_by\":1");
    assert!(
        serde_json::from_str::<StatusReport>(&damaged).is_err(),
        "never silently without build"
    );
}

#[test]
fn a_status_keeps_its_shape_where_nothing_is_built() {
    let generation = report().projections.remove(0).generations.remove(0);
    let value = serde_json::to_value::<GenerationStatus>(generation).unwrap();
    let keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect();
    assert_eq!(keys, ["generation", "state", "stores"]);
}

#[test]
fn a_generation_is_settled_when_nothing_will_change_by_itself() {
    let settled = |state: &str, wanted: bool| {
        let mut detail = detail(2, state, None);
        detail.wanted = wanted;
        detail.is_settled()
    };
    for state in ["live", "standby", "retired", "failed", "cancelled"] {
        assert!(settled(state, false), "{state}");
    }
    assert!(!settled("building", false));
    assert!(!settled("standby", true), "it is being rolled back to");
    assert!(settled("live", true));
    let mut half = detail(2, "live", None);
    let mut other = half.status.stores[0].clone();
    other.state = "standby".into();
    half.status.stores.push(other);
    assert!(!half.is_settled(), "live in one store only");
}

/// The events of generation 2, as `name data`, until the stream ends.
fn events(running: &Running) -> Vec<(String, Value)> {
    let url = format!("http://{}{P}/totals/generations/2/events", running.admin);
    let mut answer = ureq::get(&url).call().unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let lines = BufReader::new(answer.body_mut().as_reader()).lines();
    let mut name = String::new();
    let mut events = Vec::new();
    for line in lines.map_while(Result::ok) {
        if let Some(text) = line.strip_prefix("event: ") {
            name = text.to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            events.push((name.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_what_changed_and_end_when_readers_see_it() {
    let building = |done| Ok(detail(2, "building", Some(build(done))));
    let made = Made {
        building: vec![
            building(1),
            building(2),
            Err(Problem::unavailable("postgres is unreachable")),
            building(2),
            Ok(detail(2, "live", None)),
        ]
        .into(),
        ..Made::default()
    };
    let running = serve(made, &[]).await;
    let events = tokio::task::block_in_place(|| events(&running));
    let told: Vec<(&str, &str, &Value)> = events
        .iter()
        .map(|(name, data)| {
            let state = data["state"].as_str().unwrap();
            (&**name, state, &data["progress"]["done"])
        })
        .collect();
    let wanted = [
        ("progress", "building", &json!(1)),
        ("progress", "building", &json!(2)),
        ("progress", "live", &json!(0)),
        ("end", "live", &json!(0)),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_at_once_for_a_generation_that_is_gone_and_when_it_is_removed() {
    let made = Made {
        building: vec![
            Ok(detail(2, "building", Some(build(1)))),
            Err(Problem::unknown_generation("totals", 2)),
        ]
        .into(),
        ..Made::default()
    };
    let running = serve(made, &[]).await;
    let names = |events: Vec<(String, Value)>| -> Vec<String> {
        events.into_iter().map(|(name, _)| name).collect()
    };
    let removed = tokio::task::block_in_place(|| events(&running));
    assert_eq!(names(removed), ["progress", "end"]);
    *running.made.building.lock().unwrap() = vec![Ok(detail(2, "failed", None))];
    let over = tokio::task::block_in_place(|| events(&running));
    assert_eq!(names(over), ["progress", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_stop_at_shutdown_without_an_end() {
    let running = start(&[], 1).await;
    let stop = running.stop.clone();
    let (told, begun) = std::sync::mpsc::channel();
    let url = format!("http://{}{P}/totals/generations/2/events", running.admin);
    let reading = std::thread::spawn(move || {
        let mut answer = ureq::get(&url).call().unwrap();
        let mut lines = BufReader::new(answer.body_mut().as_reader()).lines();
        let first = lines.next().unwrap().unwrap();
        told.send(first).unwrap();
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest
    });
    assert_eq!(
        begun.recv_timeout(Duration::from_secs(10)).unwrap(),
        "event: progress"
    );
    stop.cancel();
    let rest = reading.join().unwrap();
    assert!(
        !rest.iter().any(|line| line.contains("event: end")),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operating_needs_operate_and_dropping_needs_admin() {
    let tokens = [
        token("reader", Scope::Read, None),
        token("operator", Scope::Operate, None),
        token("admin", Scope::Admin, None),
    ];
    let running = start(&tokens, 1).await;
    let table = [
        ("GET", "/v1/plan", [401, 200, 200, 200]),
        (
            "GET",
            "/v1/projections/totals/generations/2",
            [401, 200, 200, 200],
        ),
        (
            "GET",
            "/v1/projections/totals/generations/3/events",
            [401, 200, 200, 200],
        ),
        (
            "GET",
            "/v1/projections/totals/verifications/7",
            [401, 200, 200, 200],
        ),
        (
            "POST",
            "/v1/projections/totals/rebuilds",
            [401, 403, 202, 202],
        ),
        (
            r#"POST {"dry_run":true}"#,
            "/v1/projections/totals/rebuilds",
            [401, 403, 200, 200],
        ),
        (
            "POST",
            "/v1/projections/totals/generations/2/promote",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/generations/2/cancel",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/generations/2/pause",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/generations/2/resume",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/promote",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/rollback",
            [401, 403, 202, 202],
        ),
        (
            "POST",
            "/v1/projections/totals/verifications",
            [401, 403, 202, 202],
        ),
        (
            r#"DELETE {"confirm":"totals"}"#,
            "/v1/projections/totals",
            [401, 403, 403, 202],
        ),
    ];
    for (method, path, wanted) in table {
        let got = ["guess", "reader", "operator", "admin"].map(|name| {
            let headers = [("authorization", &*format!("Bearer {name}"))];
            send(running.admin, method, path, &headers).status
        });
        assert_eq!(got, wanted, "{method} {path}");
        let public = send(running.public, method, path, &[]);
        assert_eq!(public.status, 404, "only the admin listener has {path}");
    }
    let asked = running.made.asked.lock().unwrap();
    assert_eq!(asked.last().unwrap().1.actor, "admin");
}
