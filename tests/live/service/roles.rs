//! Instances that do one part of the work.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{COUNTER, Deployment, Instance, caught_up, publish, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// GET on the public listener.
fn read(instance: &Instance, path: &str) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let mut answer = agent
        .get(format!("http://{}{path}", instance.api))
        .header("prefer", "stale-ok")
        .call()
        .ok()?;
    let text = answer.body_mut().read_to_string().ok()?;
    Some((
        answer.status().as_u16(),
        serde_json::from_str(&text).unwrap_or_default(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_for_queries_answers_without_any_broker_and_says_what_it_cannot() {
    let mut deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, 1_000, 20);
    let worker = deployment.launch().role("worker").start();
    caught_up(&worker, 1_000, LIMIT).await;
    assert!(
        read(&worker, "/v1/views").is_none(),
        "a worker has no public listener"
    );
    // Nothing listens there, and nobody asks.
    deployment.brokers = "127.0.0.1:1".to_owned();
    let query = deployment.launch().role("query").start();
    wait_until("the instance for queries is ready", LIMIT, async || {
        query.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;
    let (_, verbose) = query.get("/readyz?verbose").unwrap();
    assert!(
        verbose.contains("control tables") && verbose.contains("postgres"),
        "{verbose}"
    );
    assert!(
        !verbose.contains("kafka") && !verbose.contains("consumer group"),
        "{verbose}"
    );
    for store in ["postgres", "redis"] {
        let (code, row) = read(&query, &format!("/v1/views/counter/k1?store={store}")).unwrap();
        assert_eq!((code, &row["events"]), (200, &json!(50)), "{row}");
    }
    let (code, views) = read(&query, "/v1/views").unwrap();
    assert_eq!((code, &views["views"][0]["name"]), (200, &json!("counter")));
    // The whole deployment, as the worker reports it.
    wait_until("status shows both partitions", LIMIT, async || {
        let partitions = query.partitions();
        partitions.len() == 4
            && partitions
                .iter()
                .all(|(_, _, at)| at["owner"].is_string() && at["end"].is_i64())
    })
    .await;
    let (code, problem) = query.post("/v1/projections/counter/rebuilds", &json!({}));
    assert_eq!(code, 409, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("--role query"),
        "{problem}"
    );
    // It follows what others do.
    publish(&deployment, 1_000, 1_020, 20);
    wait_until("the new event is read", LIMIT, async || {
        read(&query, "/v1/views/counter/k1").is_some_and(|(_, row)| row["events"] == 51)
    })
    .await;
    let log = query.log();
    assert!(
        !log.contains("127.0.0.1:1/") && !log.contains("Connection refused"),
        "{log}"
    );
}
