//! Commands for rebuilding, in front of a service that is made up: what they ask, print, and answer.

use serde_json::{Value, json};

use super::{run, script, service};

/// Runs a command against a service that gives these answers; the requests beside what [`run`] gives.
fn against(answers: Vec<(&str, Value)>, args: &[&str]) -> ((i32, String, String), Vec<String>) {
    let (address, asked) = script(answers);
    let address = address.to_string();
    let mut args = args.to_vec();
    args.extend(["--admin-url", &address]);
    let done = run(&args);
    (done, asked.try_iter().collect())
}

fn first_line(request: &str) -> &str {
    request
        .lines()
        .next()
        .unwrap()
        .trim_end_matches(" HTTP/1.1")
}

fn body(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// Generation 2 of `totals` in this state, with further or other fields.
fn generation(state: &str, more: Value) -> Value {
    let mut detail = json!({
        "projection":"totals","generation":2,"state":state,
        "stores":[{"store":"postgres","state":state,"stalled":null,"partitions":[]}],
        "ready":false,"paused":false,
        "progress":{"done":50,"target":200,"rate":12.5,"eta_seconds":12.0,"converging":true},
        "rate_limit":null,"limited_by":"none","phase":"catching up",
        "verification":null,"trouble":null,
        "build":"00000000-0000-0000-0000-000000000000",
        "options":{"base":"empty","promote":"auto"},
        "wanted":false,"actor":"ops","created_at":"2026-11-21T06:00:00Z",
    });
    for (name, value) in more.as_object().unwrap() {
        detail[name] = value.clone();
    }
    detail
}

fn found() -> Value {
    json!({
        "store":"postgres","against":"generation 1","same_definition":true,
        "rows_first":10,"rows_second":11,"compared":11,"differing":2,"order_sensitive":1,
        "by_column":{"spent":1,"(row)":1},
        "examples":[
            {"key":"ann","columns":["spent"],"first":{"spent":"1.50"},"second":{"spent":"2.00"},"order_sensitive":true},
            {"key":"bob","columns":[],"first":null,"second":{"spent":"3.00"},"order_sensitive":false},
        ],
        "seconds":1.2,
    })
}

fn problem(detail: &str) -> Value {
    json!({"type":"refused","title":"Conflict","status":409,"detail":detail})
}

const OK: &str = "200 OK";
const ACCEPTED: &str = "202 Accepted";

#[test]
fn rebuild_asks_for_what_was_said_under_a_name_of_its_own() {
    let args = [
        "rebuild",
        "totals",
        "--from",
        "orders/0@123,orders/1@0",
        "--base",
        "live",
        "--max-rate",
        "500",
        "--max-changed",
        "5%",
        "--promote",
        "manual",
    ];
    let (done, asked) = against(vec![(ACCEPTED, generation("building", json!({})))], &args);
    assert_eq!(done.0, 0, "{}", done.2);
    assert!(
        done.1.starts_with("totals: generation 2 is being built; "),
        "{}",
        done.1
    );
    assert_eq!(
        first_line(&asked[0]),
        "POST /v1/projections/totals/rebuilds"
    );
    assert!(asked[0].to_lowercase().contains("idempotency-key: "));
    assert_eq!(
        body(&asked[0]),
        json!({"from":{"offsets":{"orders/0":123,"orders/1":0}},"base":"live","max_rate":500,
               "max_changed":0.05,"promote":"manual","dry_run":false})
    );
}

#[test]
fn rebuild_waits_until_readers_see_it_in_every_store() {
    let half = json!([
        {"store":"postgres","state":"live","stalled":null,"partitions":[]},
        {"store":"redis","state":"building","stalled":null,"partitions":[]}
    ]);
    let whole = json!([
        {"store":"postgres","state":"live","stalled":null,"partitions":[]},
        {"store":"redis","state":"live","stalled":null,"partitions":[]}
    ]);
    let answers = vec![
        (ACCEPTED, generation("building", json!({}))),
        (OK, generation("building", json!({"ready":true}))),
        (
            OK,
            generation("live", json!({"stores":half,"wanted":true,"ready":true})),
        ),
        (
            OK,
            generation("live", json!({"stores":whole,"wanted":true,"ready":true})),
        ),
    ];
    let ((code, out, err), asked) = against(answers, &["rebuild", "totals", "--wait"]);
    assert_eq!(
        (code, &*out),
        (0, "totals: generation 2 is live in postgres and redis\n"),
        "{err}"
    );
    assert!(
        err.contains("totals 2: catching up: 50 of 200 records (25 %), 13/s, 12 s left\n"),
        "{err}"
    );
    assert_eq!(asked.len(), 4);
    assert_eq!(
        first_line(&asked[3]),
        "GET /v1/projections/totals/generations/2"
    );
}

#[test]
fn rebuild_that_is_promoted_by_hand_waits_until_it_is_ready_and_says_how() {
    let manual = json!({"base":"empty","promote":"manual"});
    let answers = vec![
        (ACCEPTED, generation("building", json!({"options":manual}))),
        (
            OK,
            generation("building", json!({"options":manual,"ready":true})),
        ),
    ];
    let args = ["rebuild", "totals", "--promote", "manual", "--wait"];
    let ((code, out, _), _) = against(answers, &args);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "totals: generation 2 is ready: `viewfold promote totals 2` lets readers see it\n"
    );
}

#[test]
fn a_build_that_fails_is_1_with_the_keys_that_differ() {
    let more = json!({"trouble":"2 rows differ from generation 1","verification":[found()]});
    let answers = vec![
        (ACCEPTED, generation("building", json!({}))),
        (OK, generation("failed", more)),
    ];
    let ((code, out, err), _) = against(answers, &["rebuild", "totals", "--wait"]);
    assert_eq!((code, &*out), (1, ""));
    let rows: Vec<Vec<&str>> = err
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        rows.contains(&vec!["ann", "spent", "1.50", "2.00", "order-sensitive"]),
        "{err}"
    );
    assert!(
        err.contains("bob  (row)") && err.contains("absent"),
        "{err}"
    );
    assert!(err.ends_with("error: totals: generation 2 failed: 2 rows differ from generation 1; the live one goes on unchanged\n"), "{err}");
}

#[test]
fn waiting_is_1_when_the_build_cannot_get_there_any_more() {
    let given_up = json!({"ready":true,"trouble":"the view is locked by pid 7","options":{"base":"empty","promote":"manual"}});
    let table = [
        (
            generation("building", given_up),
            "its cutover was given up: the view is locked by pid 7; `viewfold promote totals 2`",
        ),
        (generation("cancelled", json!({})), "was cancelled"),
        (generation("retired", json!({})), "was removed"),
    ];
    for (last, wanted) in table {
        let answers = vec![
            (ACCEPTED, generation("building", json!({}))),
            (OK, last.clone()),
        ];
        let ((code, out, err), _) = against(answers, &["rebuild", "totals", "--wait", "--json"]);
        assert_eq!(code, 1, "{err}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), last);
        assert!(err.contains(wanted), "{err}");
    }
}

#[test]
fn waiting_goes_on_while_the_service_starts_again() {
    let answers = vec![
        (ACCEPTED, generation("building", json!({}))),
        ("", Value::Null),
        (
            "503 Service Unavailable",
            json!({"detail":"postgres is unreachable"}),
        ),
        (OK, generation("live", json!({"wanted":true}))),
    ];
    let ((code, out, err), _) = against(answers, &["rebuild", "totals", "--wait"]);
    assert_eq!(
        (code, &*out),
        (0, "totals: generation 2 is live in postgres\n"),
        "{err}"
    );
    assert_eq!(err.matches("; trying again for 60 s").count(), 1, "{err}");
}

#[test]
fn a_rebuild_whose_answer_was_lost_is_asked_for_again_under_the_same_name() {
    let answers = vec![
        ("", Value::Null),
        (ACCEPTED, generation("building", json!({}))),
    ];
    let ((code, _, err), asked) = against(answers, &["rebuild", "totals"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("; asking again"), "{err}");
    let names: Vec<String> = asked
        .iter()
        .map(|request| {
            let request = request.to_lowercase();
            let (_, name) = request.split_once("idempotency-key: ").unwrap();
            name.lines().next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], names[1]);
}

fn plan(refused: Value) -> Value {
    json!({
        "projection":"totals","definition":"changed","needs_rebuild":true,
        "changes":["column spent: numeric(18,2) → numeric"],"generation":2,
        "stores":["postgres","redis"],
        "partitions":[{"topic":"orders","partition":0,"start":10,"end":12345,"log_start":10}],
        "records":12335,"bytes":3_670_016,"estimated_seconds":12.3,"rate":1000.0,
        "rate_source":"assumed","disk_bytes":null,"dependants":["view public.top_customers"],
        "warnings":["the log begins at orders/0@10"],"refused":refused,
    })
}

#[test]
fn a_plan_says_what_changed_what_it_costs_and_what_speaks_against_it() {
    let both = json!({"plans":[plan(json!("generation 2 is being built"))]});
    let ((code, out, err), asked) = against(vec![(OK, both.clone())], &["plan", "totals"]);
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(first_line(&asked[0]), "GET /v1/plan?projection=totals");
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    for wanted in [
        "totals: changed, needs a rebuild",
        "column spent: numeric(18,2) → numeric",
        "a rebuild is generation 2 in postgres and redis",
        "reads at most 12,335 records, about 3.5 MiB; about 12 s at 1,000/s (assumed)",
        "depends on the view: view public.top_customers",
        "warning: the log begins at orders/0@10",
        "would be refused: generation 2 is being built",
    ] {
        assert!(lines.contains(&wanted), "{wanted}: {out}");
    }
    let table: Vec<Vec<&str>> = lines
        .iter()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert!(
        table.contains(&vec!["orders/0", "10", "12345", "10"]),
        "{out}"
    );
    let ((code, out, _), asked) = against(vec![(OK, both.clone())], &["plan", "--json"]);
    assert_eq!((code, first_line(&asked[0])), (0, "GET /v1/plan"));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), both);
}

#[test]
fn a_dry_run_prints_the_plan_and_is_3_when_it_would_be_refused() {
    for (refused, wanted) in [(Value::Null, 0), (json!("no records left"), 3)] {
        let answers = vec![(OK, plan(refused.clone()))];
        let ((code, out, err), asked) = against(answers, &["rebuild", "totals", "--dry-run"]);
        assert_eq!(code, wanted, "{err}");
        assert!(
            out.starts_with("totals: changed, needs a rebuild\n"),
            "{out}"
        );
        assert_eq!(body(&asked[0])["dry_run"], true);
        let answers = vec![(OK, plan(refused.clone()))];
        let args = ["rebuild", "totals", "--dry-run", "--json"];
        let ((code, out, _), _) = against(answers, &args);
        assert_eq!(
            (
                code,
                &serde_json::from_str::<Value>(&out).unwrap()["refused"]
            ),
            (wanted, &refused)
        );
    }
}

#[test]
fn an_order_goes_to_the_generation_that_is_named_or_to_the_one_it_concerns() {
    for (command, done) in [
        ("promote", "is being cut over"),
        ("cancel", "is cancelled"),
        ("pause", "is paused"),
        ("resume", "goes on"),
    ] {
        for (number, place) in [(Some("2"), "generations/2/"), (None, "")] {
            let mut args = vec![command, "totals"];
            args.extend(number);
            let answers = vec![(ACCEPTED, generation("building", json!({})))];
            let ((code, out, err), asked) = against(answers, &args);
            assert_eq!((code, &*err), (0, ""));
            assert_eq!(out, format!("totals: generation 2 {done}\n"));
            assert_eq!(
                first_line(&asked[0]),
                format!("POST /v1/projections/totals/{place}{command}")
            );
        }
    }
}

#[test]
fn every_command_is_3_when_it_is_refused_or_the_projection_is_unknown() {
    for args in [
        vec!["plan", "totals"],
        vec!["rebuild", "totals", "--wait"],
        vec!["rebuild", "totals", "--dry-run"],
        vec!["promote", "totals", "--wait"],
        vec!["rollback", "totals", "--wait"],
        vec!["rollback", "totals", "1"],
        vec!["cancel", "totals", "2"],
        vec!["pause", "totals"],
        vec!["resume", "totals"],
        vec!["verify", "totals"],
        vec!["drop", "totals", "--confirm", "totals"],
    ] {
        for status in ["404 Not Found", "409 Conflict", "401 Unauthorized"] {
            let ((code, out, err), _) = against(vec![(status, problem("not so"))], &args);
            assert_eq!((code, &*out), (3, ""), "{args:?} {status}");
            assert!(err.contains("error: not so"), "{args:?} {err}");
        }
        let ((code, _, _), _) = against(vec![("500 Oops", problem("broken"))], &args);
        assert_eq!(code, 1, "{args:?}");
    }
}

#[test]
fn promote_and_rollback_wait_until_it_is_live_everywhere() {
    for command in ["promote", "rollback"] {
        let wanted = json!({"wanted":true,"ready":true});
        let answers = vec![
            (ACCEPTED, generation("standby", wanted.clone())),
            (OK, generation("standby", wanted.clone())),
            (OK, generation("live", wanted)),
        ];
        let ((code, out, err), _) = against(answers, &[command, "totals", "--wait"]);
        assert_eq!(
            (code, &*out),
            (0, "totals: generation 2 is live in postgres\n"),
            "{err}"
        );
        let answers = vec![
            (
                ACCEPTED,
                generation("building", json!({"wanted":true,"ready":true})),
            ),
            (
                OK,
                generation("building", json!({"ready":true,"trouble":"too late"})),
            ),
        ];
        let ((code, _, err), _) = against(answers, &[command, "totals", "--wait"]);
        assert_eq!(code, 1);
        assert!(err.contains("its cutover was given up: too late"), "{err}");
    }
}

#[test]
fn only_a_standby_generation_can_be_rolled_back_to_by_number() {
    let standby = generation("standby", json!({}));
    let answers = vec![(OK, standby.clone()), (ACCEPTED, standby)];
    let ((code, _, err), asked) = against(answers, &["rollback", "totals", "2"]);
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(
        first_line(&asked[1]),
        "POST /v1/projections/totals/generations/2/promote"
    );
    let building = generation("building", json!({"ready":true}));
    let ((code, _, err), _) = against(vec![(OK, building)], &["rollback", "totals", "2"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("generation 2 is building: only to a standby one"),
        "{err}"
    );
}

#[test]
fn cancel_waits_until_it_is_cancelled_everywhere_or_gone() {
    for last in [
        (OK, generation("cancelled", json!({}))),
        ("404 Not Found", problem("no generation 2")),
    ] {
        let answers = vec![(ACCEPTED, generation("building", json!({}))), last];
        let ((code, out, err), _) = against(answers, &["cancel", "totals", "--wait"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("totals: generation 2 is "), "{out}");
    }
}

#[test]
fn drop_is_refused_unless_the_name_is_confirmed() {
    let (code, out, err) = run(&[
        "drop",
        "totals",
        "--confirm",
        "total",
        "--admin-url",
        "http://127.0.0.1:1",
    ]);
    assert_eq!((code, &*out), (3, ""));
    assert!(err.contains("--confirm totals"), "{err}");
    let answer = json!({"projection":"totals","state":"dropped"});
    let ((code, out, _), asked) = against(
        vec![(ACCEPTED, answer)],
        &["drop", "totals", "--confirm", "totals"],
    );
    assert_eq!(code, 0);
    assert!(out.starts_with("totals: dropped; "), "{out}");
    assert_eq!(first_line(&asked[0]), "DELETE /v1/projections/totals");
    assert_eq!(body(&asked[0]), json!({"confirm":"totals"}));
}

#[test]
fn verify_is_0_for_the_same_and_1_with_the_keys_that_differ() {
    let at = |state: &str, stores: Value| json!({"id":7,"projection":"totals","state":state,"stores":stores});
    let args = [
        "verify",
        "totals",
        "2",
        "--against",
        "log",
        "--sample",
        "10%",
        "--strict",
    ];
    let answers = vec![
        (ACCEPTED, at("running", json!([]))),
        (OK, at("running", json!([]))),
        (OK, at("differs", json!([found()]))),
    ];
    let ((code, out, err), asked) = against(answers, &args);
    assert_eq!((code, &*err), (1, "error: totals: differs\n"));
    assert!(
        out.starts_with("postgres: 2 of 11 keys compared with generation 1 differ, 1 of them only"),
        "{out}"
    );
    let rows: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        rows.contains(&vec!["ann", "spent", "1.50", "2.00", "order-sensitive"]),
        "{out}"
    );
    assert_eq!(
        first_line(&asked[0]),
        "POST /v1/projections/totals/verifications"
    );
    assert_eq!(
        body(&asked[0]),
        json!({"generation":2,"against":"log","sample":0.1,"strict":true})
    );
    assert_eq!(
        first_line(&asked[2]),
        "GET /v1/projections/totals/verifications/7"
    );

    let same = at("same", json!([]));
    let answers = vec![(ACCEPTED, at("running", json!([]))), (OK, same.clone())];
    let ((code, out, _), _) = against(answers, &["verify", "totals", "--json"]);
    assert_eq!(
        (code, serde_json::from_str::<Value>(&out).unwrap()),
        (0, same)
    );
    let mut failed = at("failed", json!([]));
    failed["trouble"] = json!("the log is away");
    let answers = vec![(ACCEPTED, at("running", json!([]))), (OK, failed)];
    let ((code, _, err), _) = against(answers, &["verify", "totals"]);
    assert_eq!(
        (code, &*err),
        (1, "error: totals: could not be verified: the log is away\n")
    );
}

#[test]
fn status_shows_how_a_build_goes_on_and_is_0_while_nothing_is_stalled() {
    let mut building = generation(
        "building",
        json!({
        "rate_limit":10.0,"limited_by":"live lag","trouble":"the view is locked"}),
    );
    building["stores"][0]["partitions"] = json!([
        {"topic":"orders","partition":0,"position":50,"end":200,"lag_records":150,"lag_seconds":9.5,
         "rate":12.5,"owner":"host-1","stalled":null}]);
    let report = json!({"projections":[
        {"name":"totals","definition":"changed","generations":[building],"unmatched_types":[]}]});
    let (address, _asked) = service(OK, &report);
    let (code, out, err) = run(&["status", "--admin-url", &address.to_string()]);
    assert_eq!((code, &*err), (0, ""));
    assert!(
        out.contains("totals: definition changed, rebuild to apply\n"),
        "{out}"
    );
    assert!(
        out.contains("totals: generation 2: catching up: 50 of 200 records (25 %), 13/s, 12 s left, limited by live lag to 10/s\n"),
        "{out}"
    );
    assert!(
        out.contains("totals: generation 2: the view is locked\n"),
        "{out}"
    );
}
