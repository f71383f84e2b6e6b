//! A wrong row is found and named, wherever it comes from; live never suffers (I4, I9).

use serde_json::json;

use super::{LIMIT, OFTEN, answers, assert_live, counter, is_removed, started, with_definition};
use crate::harness::{COUNTER, Deployment, Readers, Traffic, caught_up, publish, sized};

/// Counts one event in a thousand wrong.
fn with_a_bug() -> String {
    COUNTER.replace(
        "amount = \"data.amount\"",
        "amount = \"data.number == 777 ? data.amount * 2 : data.amount\"",
    )
}

async fn tamper(deployment: &Deployment, generation: u32, key: &str) {
    let table = format!("\"{}\".counter_g{generation}", deployment.name);
    deployment
        .execute(&format!(
            "update {table} set amount = amount + 1 where id = '{key}'"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_bug_in_a_thousandth_of_the_rows_stops_the_rebuild() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    let keys = 1_000;
    let published = publish(&deployment, 0, sized(3_000, 100_000), keys);
    let old = started(&deployment, published).await;
    let new = with_definition(&deployment, "buggy", &with_a_bug());
    answers(&new).await;
    let traffic = Traffic::start(&deployment, published, 300);
    let readers = Readers::start(&deployment, "counter", &[&old, &new], OFTEN);
    let arguments = ["rebuild", "counter", "--max-changed", "0.0005", "--wait"];
    let ran = new.command_within(&arguments, LIMIT).expect(1);
    assert!(ran.text().contains("k777"), "{ran:?}");
    assert!(ran.text().contains("amount"), "{ran:?}");
    assert_live(&deployment, 1).await;
    let detail = new.generation("counter", 2);
    assert_eq!(detail["state"], "failed");
    assert!(
        detail["verification"].to_string().contains("k777"),
        "{detail}"
    );
    let published = traffic.stop();
    caught_up(&new, published.events as i64, LIMIT).await;
    let findings = readers.finish();
    findings.assert_unnoticed();
    findings.assert_seen("http postgres", &[1]);
    published.assert_seen(&deployment, "counter", 1).await;
    is_removed(&deployment, 2).await;

    // The same change, let through by who asks for it.
    let arguments = ["rebuild", "counter", "--max-changed", "0.002", "--wait"];
    new.command_within(&arguments, LIMIT).expect(0);
    assert_live(&deployment, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn untouched_views_are_the_same_as_the_log_says_also_under_traffic() {
    let (deployment, published) = counter(3, 3_000).await;
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 500);
    let verify = |arguments: &[&str]| instance.command_within(arguments, LIMIT);
    verify(&["verify", "counter"]).expect(0);
    verify(&["verify", "counter", "--against", "log"]).expect(0);
    verify(&["verify", "counter", "--against", "log", "--sample", "0.5"]).expect(0);
    verify(&["rebuild", "counter", "--wait"]).expect(0);
    // Now there are two that are fed.
    verify(&["verify", "counter"]).expect(0);
    verify(&["verify", "counter", "--against", "1", "--strict"]).expect(0);
    drop(traffic);
    verify(&["verify", "counter", "--against", "9"]).expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_changed_is_named() {
    let (deployment, published) = counter(2, 3_000).await;
    let instance = started(&deployment, published).await;
    let verify = |arguments: &[&str]| instance.command_within(arguments, LIMIT);
    tamper(&deployment, 1, "k13").await;
    for arguments in [
        &["verify", "counter"][..],
        &["verify", "counter", "--against", "log"][..],
    ] {
        let ran = verify(arguments).expect(1);
        assert!(ran.text().contains("k13"), "{ran:?}");
        assert!(!ran.text().contains("k14"), "{ran:?}");
    }
    // Live is what it was: a verification changes nothing.
    tamper_back(&deployment).await;
    published.assert_seen(&deployment, "counter", 1).await;
    verify(&["verify", "counter"]).expect(0);
}

async fn tamper_back(deployment: &Deployment) {
    let table = format!("\"{}\".counter_g1", deployment.name);
    deployment
        .execute(&format!(
            "update {table} set amount = amount - 1 where id = 'k13'"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_standby_and_a_changed_redis_row_are_found() {
    let (deployment, published) = counter(2, 2_000).await;
    let instance = started(&deployment, published).await;
    let verify = |arguments: &[&str]| instance.command_within(arguments, LIMIT);
    verify(&["rebuild", "counter", "--wait"]).expect(0);
    verify(&["verify", "counter"]).expect(0);
    tamper(&deployment, 1, "k21").await;
    let ran = verify(&["verify", "counter"]).expect(1);
    assert!(ran.text().contains("k21"), "{ran:?}");
    // The log takes the live one's side.
    verify(&["verify", "counter", "--against", "log"]).expect(0);
    let row = format!("{}:{{counter}}:2:r:k22", deployment.name);
    redis::cmd("HINCRBY")
        .arg(row)
        .arg("events")
        .arg(1)
        .query_async::<()>(&mut deployment.redis_connection().await)
        .await
        .unwrap();
    let ran = verify(&["verify", "counter", "--against", "log"]).expect(1);
    assert!(ran.text().contains("k22"), "{ran:?}");
    let answer: serde_json::Value = {
        let ran = verify(&["verify", "counter", "--against", "log", "--json"]).expect(1);
        serde_json::from_str(&ran.out).unwrap()
    };
    assert_eq!(answer["state"], json!("differs"), "{answer}");
}
