//! The command line, as a process: what is printed where, and exit codes.
#![cfg(test)]

mod rebuilding;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};
use viewfold::api::Token;

/// `viewfold` in an empty folder, without any of our variables.
fn viewfold(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viewfold"));
    command.current_dir(folder).args(args);
    for (name, _) in std::env::vars() {
        let conventional = [
            "KAFKA_",
            "DATABASE_",
            "REDIS_",
            "OTEL_",
            "RUST_LOG",
            "SCHEMA_",
        ];
        if name.starts_with("VIEWFOLD_") || conventional.iter().any(|c| name.starts_with(c)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it and gives exit code, standard output and standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    done(viewfold(folder.path(), args).output().unwrap())
}

fn done(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Answers one request with `status` and `body`, and tells what was asked.
fn service(status: &str, body: &Value) -> (SocketAddr, Receiver<String>) {
    script(vec![(status, body.clone())])
}

/// Answers one request after the other with status and body, and tells what was asked. An answer without
/// status is lost: the request is read, and nothing comes back.
fn script(answers: Vec<(&str, Value)>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers: Vec<(String, String)> = answers
        .into_iter()
        .map(|(status, body)| (status.to_owned(), body.to_string()))
        .collect();
    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().unwrap();
            told.send(read_request(&mut socket)).unwrap();
            if status.is_empty() {
                continue;
            }
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            socket.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    (address, asked)
}

fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    let whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split("content-length: ").nth(1).unwrap_or("0");
        let length: usize = length.split("\r\n").next()?.parse().ok()?;
        (body.len() >= length).then_some(())
    };
    while whole(&request).is_none() {
        let read = socket.read(&mut part).unwrap();
        request.extend_from_slice(&part[..read]);
    }
    String::from_utf8(request).unwrap()
}

fn status(stalled: &Value) -> Value {
    json!({"projections":[{"name":"totals","definition":"changed","generations":[
        {"generation":1,"state":"live","stores":[{"store":"postgres","state":"live","stalled":null,"partitions":[
            {"topic":"orders","partition":0,"position":119,"end":120,"lag_records":1,"lag_seconds":0.5,
             "rate":12.0,"owner":"host-1","stalled":stalled}]}]}],
        "unmatched_types":[{"type":"order.lost","count":3}]}]})
}

#[test]
fn bad_usage_is_2_and_help_is_0() {
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["nonsense"]).0, 2);
    assert_eq!(run(&["run", "--role", "boss"]).0, 2);
    assert_eq!(run(&["skip", "p", "orders/1", "--reason", "r"]).0, 2);
    assert_eq!(run(&["token", "ops", "--scope", "root"]).0, 2);
    for wrong in [
        vec!["rebuild"],
        vec!["rebuild", "p", "--from", "latest"],
        vec!["rebuild", "p", "--from", "2026-11-21"],
        vec!["rebuild", "p", "--base", "full"],
        vec!["rebuild", "p", "--max-rate", "0"],
        vec!["rebuild", "p", "--max-changed", "101%"],
        vec!["rebuild", "p", "--promote", "maybe"],
        vec!["promote", "p", "two"],
        vec!["verify", "p", "--against", "nothing"],
        vec!["verify", "p", "--sample", "0"],
        vec!["drop", "p"],
    ] {
        assert_eq!(run(&wrong).0, 2, "{wrong:?}");
    }
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Usage: viewfold"));
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, &*out), (0, "viewfold 0.1.0\n"));
}

#[test]
fn a_wrong_configuration_is_2_with_all_problems_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    let wrong = "[kafka]\ngroup = 1\n[pipeline]\nlanes = 0\n";
    std::fs::write(folder.path().join("config/viewfold.toml"), wrong).unwrap();
    for args in [vec!["run"], vec!["status"]] {
        let mut command = viewfold(folder.path(), &args);
        let (code, out, err) = done(command.env("VIEWFOLD_REDIS__PREFIX", "{").output().unwrap());
        assert_eq!((code, &*out), (2, ""), "{args:?}");
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 3, "{err}");
        assert!(lines[0].starts_with("config/viewfold.toml:2:1: unknown key `group`"));
        assert!(lines[1].starts_with("config/viewfold.toml:4:9: pipeline.lanes must be"));
        assert!(lines[2].starts_with("VIEWFOLD_REDIS__PREFIX: redis.prefix must be"));
    }
    let missing = run(&["--config", "missing.toml", "status"]);
    assert_eq!(missing.0, 2);
}

#[test]
fn a_service_that_is_away_is_1_with_advice() {
    for args in [
        vec!["status"],
        vec!["healthcheck"],
        vec!["get", "v", "k"],
        vec!["query", "v"],
        vec!["skip", "p", "t/0@1", "--reason", "r"],
        vec!["plan"],
        vec!["rebuild", "p", "--wait"],
        vec!["promote", "p", "2", "--wait"],
        vec!["rollback", "p"],
        vec!["verify", "p"],
        vec!["drop", "p", "--confirm", "p"],
    ] {
        let mut args = args.clone();
        args.extend(["--admin-url", "http://127.0.0.1:1"]);
        let (code, out, err) = run(&args);
        assert_eq!((code, &*out), (1, ""), "{args:?}");
        assert!(err.starts_with("error: failed to reach viewfold at http://127.0.0.1:1: "));
        assert!(err.contains("--admin-url"), "{err}");
    }
}

#[test]
fn status_prints_plain_lines_without_a_terminal() {
    let (address, asked) = service("200 OK", &status(&Value::Null));
    let (code, out, err) = run(&[
        "status",
        "--admin-url",
        &address.to_string(),
        "--token",
        "t",
    ]);
    assert_eq!((code, &*err), (0, ""));
    let rows: Vec<Vec<&str>> = out
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[1],
        [
            "totals", "1", "postgres", "live", "orders/0", "119", "120", "1", "0.5", "12", "host-1"
        ]
    );
    assert!(out.contains("totals: definition changed, rebuild to apply\n"));
    assert!(out.contains("totals: no handler for order.lost (3 events)\n"));
    assert!(!out.contains(['│', '\u{1b}']), "{out}");
    let request = asked.recv().unwrap().to_lowercase();
    assert!(request.starts_with("get /v1/projections http/1.1\r\n"));
    assert!(request.contains("authorization: bearer t\r\n"));
}

#[test]
fn status_is_1_when_something_is_stalled_and_json_is_the_services_own() {
    let stall =
        json!({"reason":"poison","since":"2026-11-21T06:00:00Z","detail":"data.total is missing"});
    let (address, _asked) = service("200 OK", &status(&stall));
    let folder = tempfile::tempdir().unwrap();
    let mut command = viewfold(folder.path(), &["status", "--json"]);
    let url = format!("http://{address}/");
    let (code, out, _) = done(command.env("VIEWFOLD_ADMIN_URL", url).output().unwrap());
    assert_eq!(code, 1);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), status(&stall));
}

#[test]
fn the_admin_listener_of_the_configuration_is_asked_by_default() {
    let (address, _asked) = service("200 OK", &json!({"projections":[]}));
    let everywhere = format!("admin.listen=0.0.0.0:{}", address.port());
    let tokens = format!(
        "admin.tokens=[{{ name = \"ops\", scope = \"read\", sha256 = \"{}\" }}]",
        Token::hex(&Token::hash("t"))
    );
    let (code, out, err) = run(&["status", "--set", &everywhere, "--set", &tokens]);
    assert_eq!((code, &*out, &*err), (0, "no projections\n", ""));
}

#[test]
fn refusals_are_3_and_say_why() {
    let problem = json!({"type":"refused","status":409,"title":"Conflict","detail":"orders/0@119 does not exist yet"});
    let skip = ["skip", "totals", "orders/0@119", "--reason", "known bad"];
    for (status, advice) in [
        ("409 Conflict", "error: orders/0@119 does not exist yet\n"),
        ("404 Not Found", "error: orders/0@119 does not exist yet\n"),
        (
            "403 Forbidden",
            "error: orders/0@119 does not exist yet; --token or VIEWFOLD_TOKEN presents a token\n",
        ),
    ] {
        let (address, asked) = service(status, &problem);
        let address = address.to_string();
        let mut args = skip.to_vec();
        args.extend(["--admin-url", &address]);
        let (code, out, err) = run(&args);
        assert_eq!((code, &*out, &*err), (3, "", advice), "{status}");
        let request = asked.recv().unwrap();
        assert!(request.starts_with("POST /v1/projections/totals/skip "));
        assert!(request.ends_with(r#"{"reason":"known bad","record":"orders/0@119"}"#));
    }
}

#[test]
fn get_prints_the_row_as_it_came_and_1_when_there_is_none() {
    let (address, asked) = service("200 OK", &json!({"a":1}));
    let (code, out, _) = run(&[
        "get",
        "v",
        "-1,a b",
        "--store",
        "redis",
        "--admin-url",
        &address.to_string(),
    ]);
    assert_eq!((code, &*out), (0, "{\"a\":1}\n"));
    let request = asked.recv().unwrap();
    assert!(
        request.starts_with("GET /v1/views/v/-1,a%20b?store=redis "),
        "{request}"
    );
    for (status, wanted) in [("404 Not Found", 1), ("400 Bad Request", 2)] {
        let (address, _asked) = service(status, &json!({"detail":"no"}));
        let (code, _, err) = run(&["get", "v", "k", "--admin-url", &address.to_string()]);
        assert_eq!((code, &*err), (wanted, "error: no\n"));
    }
}

#[test]
fn query_asks_for_what_is_written_and_goes_on_to_the_end() {
    let page = |rows: Value, token: &str| json!({"rows": rows, "next_page_token": token});
    let first = page(json!([{"b": 1.50, "a": "x"}]), "T-1");
    let last = page(json!([{"b": null, "a": "y|z"}]), "");
    let ask = |answers: &[&Value], args: &[&str]| {
        let answers = answers.iter().map(|answer| ("200 OK", (*answer).clone()));
        let (address, asked) = script(answers.collect());
        let address = address.to_string();
        let ran = run(&[&["query", "v", "--admin-url", &address][..], args].concat());
        (ran, asked.iter().collect::<Vec<_>>())
    };
    let path = |request: &str| request.split(' ').nth(1).unwrap().to_owned();

    let args = [
        "s=eq.a b&c=d",
        "n=in.(1,2)",
        "--order",
        "s.desc",
        "--select",
        "a,b",
    ];
    let ((code, out, err), asked) = ask(&[&first], &[&args[..], &["--limit", "2"]].concat());
    assert_eq!((code, &*err), (0, ""));
    assert_eq!(
        out,
        "{\"rows\":[{\"a\":\"x\",\"b\":1.5}],\"next_page_token\":\"T-1\"}\n"
    );
    assert_eq!(
        path(&asked[0]),
        "/v1/views/v?s=eq.a%20b%26c%3Dd&n=in.%281%2C2%29&order=s.desc&select=a%2Cb&limit=2"
    );

    let ((code, out, _), asked) = ask(&[&first, &last], &["--all", "--format", "jsonl"]);
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
    let paths: Vec<String> = asked.iter().map(|request| path(request)).collect();
    assert_eq!(
        paths,
        [
            "/v1/views/v?limit=1000",
            "/v1/views/v?limit=1000&page_token=T-1"
        ]
    );
    let ((_, out, _), _) = ask(&[&first, &last], &["--all", "--json"]);
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (
            rows["rows"].as_array().unwrap().len(),
            &rows["next_page_token"]
        ),
        (2, &json!(""))
    );
    let ((_, out, err), _) = ask(&[&first], &["--format", "table", "--page-token", "T-0"]);
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["a", "b", "x", "1.5"]);
    assert!(err.contains("--page-token T-1 goes on"), "{err}");
    let empty = page(json!([]), "");
    let ((code, out, err), _) = ask(&[&empty], &["--format", "table"]);
    assert_eq!((code, &*out, &*err), (0, "", "no rows\n"));
    let ((_, out, _), _) = ask(&[&empty], &["--json"]);
    assert_eq!(out, "{\"rows\":[],\"next_page_token\":\"\"}\n");
    assert_eq!(run(&["query", "v", "status"]).0, 2, "no condition");
    let (address, _asked) = service("400 Bad Request", &json!({"detail":"no"}));
    assert_eq!(
        run(&["query", "v", "--admin-url", &address.to_string()]).0,
        2
    );
}

#[test]
fn healthcheck_is_0_only_when_the_service_is_ready() {
    let (address, _asked) = service("200 OK", &json!("ok"));
    assert_eq!(
        run(&["healthcheck", "--admin-url", &address.to_string()]).0,
        0
    );
    let (address, _asked) = service("503 Service Unavailable", &json!("no"));
    assert_eq!(
        run(&["healthcheck", "--admin-url", &address.to_string()]).0,
        1
    );
}

#[test]
fn a_new_token_is_random_and_its_entry_is_valid_configuration() {
    let (code, out, _) = run(&[
        "token",
        "o\"ps",
        "--scope",
        "operate",
        "--expires",
        "2030-01-01T00:00:00Z",
    ]);
    assert_eq!(code, 0);
    let (token, entry) = out.split_once('\n').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("viewfold.toml");
    std::fs::write(&file, entry).unwrap();
    let sources = viewfold::config::Sources {
        files: vec![file],
        ..Default::default()
    };
    let config = viewfold::config::Config::load(&sources).unwrap();
    let configured = &config.admin.tokens[0];
    assert_eq!(configured.name, "o\"ps");
    assert_eq!(configured.sha256, Token::hash(token));
    assert!(configured.expires.is_some());

    let (_, out, _) = run(&["token", "ci", "--scope", "read", "--json"]);
    let other: Value = serde_json::from_str(&out).unwrap();
    assert_ne!(other["token"], token);
    let hash = Token::hash(other["token"].as_str().unwrap());
    let wanted = json!({"name":"ci","scope":"read","sha256":Token::hex(&hash)});
    assert_eq!(other["entry"], wanted);
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!(code, 0);
        for command in ["healthcheck", "rebuild", "rollback", "verify"] {
            assert!(out.contains(command), "{shell}: {command}");
        }
    }
}

const DEFINITION: &str = r#"topics = ["orders"]
key = { customer = "data.customer" }

[columns]
customer = "text"
orders = { type = "bigint", default = 0 }
spent = { type = "numeric(18,2)", default = "0.00" }

[on."order.created"]
add = { orders = "1", spent = "data.total" }
"#;

const EVENTS: &str = r#"{"id":"1","type":"order.created","data":{"customer":"ann","total":"12.5"}}
{"id":"2","type":"order.created","data":{"customer":"bob","total":3}}
{"id":"3","type":"order.created","data":{"customer":"ann","total":0.25}}
{"id":"4","type":"order.lost","data":{"customer":"ann"}}
{"id":"5","type":"order.created","data":{"customer":"ann"}}
"#;

/// A folder with one projection `totals` and a file of events.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("projections")).unwrap();
    std::fs::write(path.join("projections/totals.toml"), DEFINITION).unwrap();
    std::fs::write(path.join("events.jsonl"), EVENTS).unwrap();
    folder
}

fn run_in(folder: &Path, args: &[&str]) -> (i32, String, String) {
    done(viewfold(folder, args).output().unwrap())
}

#[test]
fn check_is_0_when_everything_is_right_and_describes_it() {
    let folder = folder();
    let (code, out, err) = run_in(folder.path(), &["check"]);
    assert_eq!((code, &*err), (0, ""));
    assert!(out.starts_with("totals: orders → postgres\n"), "{out}");
    assert!(out.ends_with("ok: 1 projection\n"), "{out}");
    let (code, out, _) = run_in(folder.path(), &["check", "--json"]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["projections"][0]["name"], "totals");
    let file = "projections/totals.toml";
    assert_eq!(run_in(folder.path(), &["check", file]).0, 0);
}

#[test]
fn check_is_2_with_all_problems_of_configuration_and_definitions() {
    let folder = folder();
    let wrong = DEFINITION
        .replace("data.total", "data.")
        .replace("bigint", "bigcount");
    std::fs::write(folder.path().join("projections/wrong.toml"), wrong).unwrap();
    let (code, out, err) = run_in(folder.path(), &["check"]);
    assert_eq!((code, &*out), (2, ""));
    assert!(err.contains("projections/wrong.toml:6:"), "{err}");
    assert!(err.contains("projections/wrong.toml:10:"), "{err}");

    let args = [
        "check",
        "projections/wrong.toml",
        "--set",
        "pipeline.lanes=0",
    ];
    let (code, _, err) = run_in(folder.path(), &args);
    assert_eq!(code, 2);
    assert!(err.starts_with("--set pipeline.lanes: "), "{err}");
    assert!(err.contains("projections/wrong.toml:6:"), "{err}");

    // What check refuses, run refuses before anything is touched.
    assert_eq!(run_in(folder.path(), &["run"]).0, 2);
    let nowhere = ["check", "--projections", "nowhere"];
    assert_eq!(run_in(folder.path(), &nowhere).0, 2);
}

#[test]
fn a_sample_shows_how_often_each_path_was_found() {
    let folder = folder();
    let args = ["check", "--sample", "events.jsonl", "--json"];
    let (code, out, err) = run_in(folder.path(), &args);
    assert_eq!((code, &*err), (0, ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    let sample = &report["projections"][0]["sample"];
    assert_eq!(sample["events"], 5);
    assert_eq!(sample["unmatched"], json!({"order.lost": 1}));
    let paths = sample["paths"].as_array().unwrap();
    let total = paths
        .iter()
        .find(|path| path["path"] == "data.total")
        .unwrap();
    assert_eq!(
        (&total["present"], &total["missing"]),
        (&json!(3), &json!(1))
    );
    let (code, out, _) = run_in(folder.path(), &["check", "--sample", "events.jsonl"]);
    assert_eq!(code, 0);
    assert!(out.contains("data.total"), "{out}");
}

#[test]
fn try_prints_the_rows_and_says_what_failed() {
    let folder = folder();
    let args = ["try", "totals", "--events", "events.jsonl"];
    let (code, out, err) = run_in(folder.path(), &args);
    assert_eq!(code, 0);
    let wanted = json!([
        {"customer":"ann","orders":2,"spent":"12.75"},
        {"customer":"bob","orders":1,"spent":"3.00"},
    ]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), wanted);
    assert!(err.contains("orders/0@4: "), "{err}");
    assert!(
        err.contains("no handler for order.lost (1 events)"),
        "{err}"
    );

    let args = [
        "try",
        "totals",
        "--events",
        "events.jsonl",
        "--format",
        "table",
    ];
    let (code, out, _) = run_in(folder.path(), &args);
    assert_eq!(code, 0);
    assert!(out.contains("12.75") && out.contains("customer"), "{out}");
}

#[test]
fn try_compares_with_what_is_expected() {
    let folder = folder();
    let expect = |rows: &str| {
        std::fs::write(folder.path().join("expect.json"), rows).unwrap();
        let args = [
            "try",
            "totals",
            "--events",
            "events.jsonl",
            "--expect",
            "expect.json",
        ];
        run_in(folder.path(), &args)
    };
    let bob = r#"{"customer":"bob","orders":1,"spent":3}"#;
    let ann = r#"{"customer":"ann","orders":2,"spent":"12.75"}"#;
    assert_eq!(expect(&format!("[{bob},{ann}]")).0, 0);
    let (code, _, err) = expect(&format!("[{bob},{}]", ann.replace("12.75", "12.76")));
    assert_eq!(code, 1);
    assert!(err.contains("ann: spent: "), "{err}");
    assert_eq!(expect(&format!("[{bob}]")).0, 1);
    assert_eq!(expect("nonsense").0, 2);
}

#[test]
fn try_is_2_when_there_is_nothing_to_try() {
    let folder = folder();
    let unknown = run_in(folder.path(), &["try", "total", "--events", "events.jsonl"]);
    assert_eq!(unknown.0, 2);
    assert!(unknown.2.contains("known are totals"), "{}", unknown.2);
    let missing = run_in(
        folder.path(),
        &["try", "totals", "--events", "missing.jsonl"],
    );
    assert_eq!(missing.0, 2);
    std::fs::write(folder.path().join("broken.jsonl"), "{}\n{\"a\n").unwrap();
    let broken = run_in(
        folder.path(),
        &["try", "totals", "--events", "broken.jsonl"],
    );
    assert_eq!(broken.0, 2);
    assert!(broken.2.contains("broken.jsonl: line 2: "), "{}", broken.2);
}
