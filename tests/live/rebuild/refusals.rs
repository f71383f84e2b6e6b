//! What is refused is refused before anything exists: by exit code 3, by 409, with the reason (I14).

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::{
    LIMIT, answers, assert_live, assert_nothing_begun, counter, is_removed, started,
    with_definition,
};
use crate::harness::{COUNTER, Deployment, Instance, caught_up, publish, wait_until};

const REBUILDS: &str = "/v1/projections/counter/rebuilds";

/// Fails unless the command is refused and says `reason`, and the same request over HTTP is a 409.
#[track_caller]
fn refused(instance: &Instance, arguments: &[&str], request: &Value, reason: &str) {
    let ran = instance.command_within(arguments, LIMIT).expect(3);
    assert!(ran.err.contains(reason), "{reason}: {ran:?}");
    let (code, answer) = instance.post(REBUILDS, request);
    assert_eq!(code, 409, "{answer}");
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(reason), "{reason}: {answer}");
}

fn offsets(topic: &str, offset: i64) -> (String, Value) {
    let partition = format!("{topic}/0");
    (
        format!("{partition}@{offset}"),
        json!({"offsets": {partition: offset}}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_the_log_does_not_hold_is_refused() {
    let (deployment, published) = counter(1, 500).await;
    let instance = started(&deployment, published).await;
    let (text, beyond) = offsets(&deployment.topic, 99_999);
    refused(
        &instance,
        &["rebuild", "counter", "--from", &text],
        &json!({"from": beyond}),
        &format!("{}/0", deployment.topic),
    );

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &deployment.kafka)
        .create()
        .unwrap();
    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset(&deployment.topic, 0, Offset::Offset(200))
        .unwrap();
    admin
        .delete_records(&gone, &AdminOptions::new())
        .await
        .unwrap();
    let (text, below) = offsets(&deployment.topic, 10);
    let arguments = ["rebuild", "counter", "--from", &text, "--dry-run"];
    wait_until("the log's new beginning is known", LIMIT, async || {
        let ran = instance.command(&arguments);
        ran.code != Some(0) || ran.text().contains("200")
    })
    .await;
    refused(
        &instance,
        &["rebuild", "counter", "--from", &text],
        &json!({"from": below}),
        &format!("{}/0", deployment.topic),
    );
    assert_nothing_begun(&deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_bad_usage_and_begins_nothing() {
    let (deployment, published) = counter(1, 100).await;
    let instance = started(&deployment, published).await;
    for nonsense in ["yesterday", "orders", "orders/0", "orders/x@1"] {
        let arguments = ["rebuild", "counter", "--from", nonsense];
        instance.command(&arguments).expect(2);
    }
    instance
        .command(&["rebuild", "counter", "--max-rate", "0"])
        .expect(2);
    for request in [
        json!({"from": "yesterday"}),
        json!({"base": "other"}),
        json!({"max_rate": 0}),
        json!({"unknown": 1}),
        json!([]),
    ] {
        let (code, answer) = instance.post(REBUILDS, &request);
        assert_eq!(code, 400, "{request}: {answer}");
    }
    let (code, answer) = instance.post("/v1/projections/other/rebuilds", &json!({}));
    assert_eq!((code, &answer["type"]), (404, &json!("unknown-projection")));
    assert_ne!(instance.command(&["rebuild", "other"]).code, Some(0));
    assert_nothing_begun(&deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rebuild_at_a_time_and_the_same_request_only_once() {
    let (deployment, published) = counter(2, 5_000).await;
    let instance = started(&deployment, published).await;
    let request = json!({"max_rate": 500});
    let ask = |key: &str| instance.try_post(REBUILDS, &request, Some(key)).unwrap();
    let (code, first) = ask("one");
    assert_eq!((code, &first["generation"]), (202, &json!(2)), "{first}");
    let (code, again) = ask("one");
    assert_eq!((code, &again["generation"]), (202, &json!(2)), "{again}");
    assert_eq!(again["build"], first["build"]);
    refused(&instance, &["rebuild", "counter"], &json!({}), "2");
    assert_eq!(ask("two").0, 409);
    // It is not ready, so it cannot be promoted; nothing was live before, so there is no way back.
    instance.command(&["promote", "counter", "2"]).expect(3);
    assert_eq!(instance.order("counter", 2, "promote").0, 409);
    instance.command(&["rollback", "counter"]).expect(3);
    assert_eq!(instance.roll_back("counter").0, 409);
    // The live one can neither be cancelled nor paused.
    for order in ["cancel", "pause", "resume"] {
        assert_eq!(instance.order("counter", 1, order).0, 409, "{order}");
    }
    for order in ["promote", "cancel", "pause", "resume"] {
        let (code, answer) = instance.order("counter", 7, order);
        assert!([404, 409].contains(&code), "{order}: {code} {answer}");
        let ran = instance.command(&[order, "counter", "7"]);
        assert!([Some(1), Some(3)].contains(&ran.code), "{order}: {ran:?}");
    }
    assert_eq!(instance.order("counter", 2, "cancel").0, 202);
    is_removed(&deployment, 2).await;
    assert_live(&deployment, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_not_built_on_live_rows_from_an_earlier_start() {
    let (deployment, published) = counter(1, 500).await;
    let instance = started(&deployment, published).await;
    let (text, start) = offsets(&deployment.topic, 100);
    refused(
        &instance,
        &["rebuild", "counter", "--base", "live", "--from", &text],
        &json!({"base": "live", "from": start}),
        "live",
    );
    refused(
        &instance,
        &["rebuild", "counter", "--base", "live", "--from", "earliest"],
        &json!({"base": "live", "from": "earliest"}),
        "live",
    );
    assert_nothing_begun(&deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_others_depend_on_keeps_its_columns() {
    let (deployment, published) = counter(1, 500).await;
    let _old = started(&deployment, published).await;
    let schema = deployment.views_schema();
    deployment
        .execute(&format!(
            "create view \"{schema}\".busiest as select id, last from \"{schema}\".counter"
        ))
        .await;
    let fewer = COUNTER
        .replace("last = \"bigint\"\n", "")
        .replace(", last = \"data.number\"", "");
    let new = with_definition(&deployment, "fewer", &fewer);
    answers(&new).await;
    refused(&new, &["rebuild", "counter"], &json!({}), "busiest");
    let dry = new.command(&["rebuild", "counter", "--dry-run"]);
    assert!(dry.text().contains("busiest"), "{dry:?}");
    assert_nothing_begun(&deployment).await;
    deployment
        .execute(&format!("drop view \"{schema}\".busiest"))
        .await;
    new.command_within(&["rebuild", "counter", "--wait"], LIMIT)
        .expect(0);
    assert_live(&deployment, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_topic_that_was_recreated_are_not_built_upon() {
    let (deployment, published) = counter(1, 500).await;
    let instance = started(&deployment, published).await;
    deployment.delete_topic(&deployment.topic).await;
    let mut created = false;
    wait_until("the name is free again", LIMIT, async || {
        if !created {
            created = deployment.try_create_topic(&deployment.topic, 1).await;
        }
        created
    })
    .await;
    publish(&deployment, 0, 700, 50);
    wait_until("the recreated topic is noticed", LIMIT, async || {
        let all = instance.partitions();
        all.iter()
            .any(|(_, _, at)| at["stalled"]["reason"] == "topic recreated")
    })
    .await;
    refused(
        &instance,
        &["rebuild", "counter", "--base", "live"],
        &json!({"base": "live"}),
        "created anew",
    );
    assert_nothing_begun(&deployment).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, 1_000, 50);
    let instance = deployment.start();
    caught_up(&instance, 1_000, LIMIT).await;
    let (code, plan) = instance.post(REBUILDS, &json!({"dry_run": true}));
    assert_eq!(code, 200, "{plan}");
    assert_eq!(
        (&plan["records"], &plan["generation"]),
        (&json!(1_000), &json!(2))
    );
    assert_eq!(plan["definition"], "unchanged");
    let ran = instance.command(&["rebuild", "counter", "--dry-run"]);
    assert!(ran.text().contains("000"), "{ran:?}");
    ran.expect(0);
    let ran = instance.command(&["plan", "--json"]).expect(0);
    serde_json::from_str::<Value>(&ran.out).unwrap();
    assert_nothing_begun(&deployment).await;
}
