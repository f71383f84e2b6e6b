//! Lists of a real view, over HTTP, while its rows are written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Deployment, Instance, caught_up, sized};

const LIMIT: Duration = Duration::from_secs(180);

/// One row per id. `born` and `parity` never change; `changes` and `last` do.
const THINGS: &str = r#"
topics = ["TOPIC"]
stores = ["redis", "postgres"]
key = { id = "data.id" }
[columns]
id = "text"
born = { type = "bigint", index = true }
parity = "text"
changes = { type = "bigint", default = 0 }
last = { type = "bigint", index = true }
[on."*"]
set = { last = "data.number" }
set_once = { born = "data.born", parity = "data.parity" }
add = { changes = "1" }
"#;

/// Event `number` of the row `id`.
fn event(deployment: &Deployment) -> impl Fn(u64, u64) + use<> {
    let publisher = deployment.publisher();
    move |id, number| {
        // Not in the order of their ids; every seventh row has no parity.
        let born = id.wrapping_mul(2_654_435_761) % 1_000_003;
        let parity = match id % 7 {
            0 => json!(null),
            _ => json!(["even", "odd"][(id % 2) as usize]),
        };
        let value =
            json!({"id": format!("k{id:08}"), "number": number, "born": born, "parity": parity});
        publisher.send(&format!("k{id:08}"), &value.to_string());
    }
}

/// The rows of one walk, and the generations that were seen.
fn walk(instance: &Instance, query: &str) -> Vec<Value> {
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/views/things?{query}&page_token={token}");
        let (code, body) = instance.get(&path).expect("an answer");
        assert_eq!(code, 200, "{path}: {body}");
        let mut page: Value = serde_json::from_str(&body).unwrap();
        rows.append(page["rows"].as_array_mut().unwrap());
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return rows;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_stays_is_seen_once_while_rows_come_and_change() {
    let rows: u64 = sized(20_000, 100_000);
    let deployment = Deployment::new(4, &[("things", THINGS)]).await;
    let send = event(&deployment);
    // Even ids stand from the start, odd ones come while pages are turned.
    (0..rows).for_each(|row| send(row * 2, row));
    let instance = deployment.start();
    caught_up(&instance, rows as i64, LIMIT).await;

    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let traffic = std::thread::spawn(move || {
        let mut number = rows;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for _ in 0..10 {
                // New rows and changed ones, all over the range.
                send((number.wrapping_mul(7919) % rows) * 2 + 1, number);
                send((number.wrapping_mul(104_729) % rows) * 2, number);
                number += 1;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        number
    });
    let wanted: BTreeSet<String> = (0..rows).map(|row| format!("k{:08}", row * 2)).collect();
    for order in [
        "",
        "order=id.desc",
        "order=born.desc",
        "order=parity,born.desc",
    ] {
        let found = walk(
            &instance,
            &format!("{order}&limit=487&select=id,born,changes"),
        );
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for row in &found {
            *seen.entry(row["id"].as_str().unwrap()).or_default() += 1;
        }
        let wrong: Vec<_> = seen
            .iter()
            .filter(|(_, times)| **times != 1)
            .take(5)
            .collect();
        assert!(wrong.is_empty(), "{order}: more than once: {wrong:?}");
        let missed = wanted.iter().filter(|id| !seen.contains_key(id.as_str()));
        let missed: Vec<_> = missed.take(5).collect();
        assert!(missed.is_empty(), "{order}: never: {missed:?}");
        if order == "order=born.desc" {
            let born: Vec<i64> = found
                .iter()
                .map(|row| row["born"].as_i64().unwrap())
                .collect();
            assert!(born.is_sorted_by(|a, b| a >= b));
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let number = traffic.join().unwrap();
    caught_up(&instance, (rows + (number - rows) * 2) as i64, LIMIT).await;

    let total = deployment
        .count(&format!(
            "select count(*) from \"{}\".things",
            deployment.views_schema()
        ))
        .await;
    let all = walk(&instance, "limit=1000&order=last.desc&select=id");
    assert_eq!(all.len() as i64, total, "nothing moves any more");
    let shell = instance.command_within(
        &[
            "query",
            "things",
            "parity=eq.even",
            "--select",
            "id",
            "--all",
            "--format",
            "jsonl",
        ],
        LIMIT,
    );
    let shell = shell.expect(0);
    let even = deployment
        .count(&format!(
            "select count(*) from \"{}\".things where parity = 'even'",
            deployment.views_schema()
        ))
        .await;
    assert_eq!(shell.out.lines().count() as i64, even);
    assert!(
        shell.out.starts_with("{\"id\":\"k0000"),
        "{}",
        &shell.out[..40]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_survives_a_cutover_and_whatever_is_written_into_it() {
    let deployment = Deployment::new(2, &[("things", THINGS)]).await;
    let send = event(&deployment);
    (0..300).for_each(|row| send(row, row));
    let instance = deployment.start();
    caught_up(&instance, 300, LIMIT).await;
    let get = |query: &str| {
        let (code, body) = instance.get(&format!("/v1/views/things?{query}")).unwrap();
        (code, serde_json::from_str::<Value>(&body).unwrap())
    };

    // Redis is the view's first store; lists come from Postgres all the same.
    let (code, first) = get("order=born&limit=100");
    assert_eq!((code, first["rows"].as_array().unwrap().len()), (200, 100));
    let (code, problem) = get("store=redis");
    assert_eq!((code, &problem["type"]), (400, &json!("not-listable")));

    // Names, operators, values and tokens that mean something elsewhere.
    let hostile = [
        "'",
        "\"",
        "';DROP TABLE things;--",
        "\\",
        "%",
        "{}",
        "/",
        ",",
        "..",
        "$1",
        "ä",
        "\u{1F600}",
        "\u{1}",
        ") OR (1=1",
    ];
    for text in hostile {
        let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for query in [
            format!("id=eq.{text}"),
            format!("id=like.{text}"),
            format!("id=in.(%22{text}%22)"),
            format!("id=gt.{text}&order=parity.desc"),
            format!("born=eq.{text}"),
            format!("{text}=eq.1"),
            format!("id={text}.1"),
            format!("order={text}"),
            format!("select={text}"),
            format!("page_token={text}"),
        ] {
            let (code, answer) = get(&query);
            assert!([200, 400].contains(&code), "{query}: {code} {answer}");
        }
    }

    // Turned while readers are moved to a generation with another shape.
    let changed = THINGS.replace(
        "changes = {",
        "doubled = { type = \"bigint\", default = 0 }\nchanges = {",
    );
    let changed = changed.replace("changes = \"1\" }", "changes = \"1\", doubled = \"2\" }");
    let token = first["next_page_token"].as_str().unwrap().to_owned();
    deployment.write_projection("things", &changed);
    drop(instance);
    let instance = deployment.start();
    caught_up(&instance, 300, LIMIT).await;
    let number = instance.rebuild("things", json!({"from": "earliest", "promote": "auto"}));
    instance.reaches("things", number, "live", LIMIT).await;
    let get = |query: &str| {
        let (code, body) = instance.get(&format!("/v1/views/things?{query}")).unwrap();
        (code, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (code, second) = get(&format!("order=born&limit=1000&page_token={token}"));
    assert_eq!(code, 200, "{second}");
    assert_eq!(second["rows"].as_array().unwrap().len(), 200);
    assert_eq!(second["rows"][0]["doubled"], 2, "{}", second["rows"][0]);
    let (_, exact) = get("limit=1&doubled=eq.2");
    // Also where this instance still takes the former generation for the live one, which lacks the column.
    assert_eq!(exact["rows"].as_array().map(Vec::len), Some(1), "{exact}");

    let table = instance
        .command(&[
            "query",
            "things",
            "id=like.k0000000%",
            "--format",
            "table",
            "--order",
            "id.desc",
            "--limit",
            "2",
        ])
        .expect(0);
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(
        lines[0].trim_start().starts_with("id") && lines[0].contains("doubled"),
        "{table:?}"
    );
    assert!(lines[1].contains("k00000009"), "{table:?}");
    assert!(table.err.contains("there are more rows"), "{table:?}");
    let wrong = instance
        .command(&["query", "things", "id=near.k"])
        .expect(2);
    assert!(
        wrong.err.contains("`near` is no operator for text"),
        "{wrong:?}"
    );
    let json = instance
        .command(&["query", "things", "--limit", "1", "--select", "id"])
        .expect(0);
    assert!(
        json.out
            .starts_with("{\"rows\":[{\"id\":\"k00000000\"}],\"next_page_token\":\""),
        "{json:?}"
    );
}
