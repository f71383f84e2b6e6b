//! The readers that other tests trust: silent while nothing is wrong, and loud about everything else.

use std::time::Duration;

use crate::harness::{COUNTER, Deployment, Instance, Readers, Traffic, caught_up, publish};

const LIMIT: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_millis(5);
const KEYS: u64 = 20;

async fn counted() -> (Deployment, Instance) {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, 1_000, KEYS);
    let instance = deployment.start();
    caught_up(&instance, 1_000, LIMIT).await;
    (deployment, instance)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_have_nothing_to_say_about_plain_traffic() {
    let (deployment, instance) = counted().await;
    let so_far = publish(&deployment, 1_000, 1_100, KEYS);
    let traffic = Traffic::start(&deployment, so_far, 500);
    let readers = Readers::start(&deployment, "counter", &[&instance], OFTEN);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = traffic.stop();
    caught_up(&instance, all.events as i64, LIMIT).await;
    let findings = readers.finish();
    findings.assert_unnoticed();
    findings.assert_seen("sql", &[1]);
    findings.assert_seen("http redis", &[1]);
    all.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_notice_mixed_rows_rows_that_go_back_and_rows_that_are_gone() {
    let (deployment, instance) = counted().await;
    let table = format!("\"{}\".counter_g1", deployment.name);
    let row = |key: &str| format!("{}:{{counter}}:1:r:{key}", deployment.name);
    let mut redis = deployment.redis_connection().await;
    let readers = Readers::start(&deployment, "counter", &[&instance], OFTEN);
    // Each reader goes round its ten keys a few times before and after.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for change in [
        "update TABLE set unit = 10 where id = 'k1'",
        "update TABLE set events = events - 1, weight = weight - 1 where id = 'k2'",
        "delete from TABLE where id = 'k3'",
    ] {
        deployment.execute(&change.replace("TABLE", &table)).await;
    }
    let mut changes = redis::pipe();
    changes.cmd("HINCRBY").arg(row("k4")).arg("unit").arg(9);
    changes.cmd("HINCRBY").arg(row("k5")).arg("events").arg(-1);
    changes.cmd("HINCRBY").arg(row("k5")).arg("weight").arg(-1);
    changes.cmd("DEL").arg(row("k6"));
    changes.exec_async(&mut redis).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let problems = readers.finish().problems.join("\n");
    for (reader, problem) in [
        ("sql", "units {1, 10}"),
        ("http postgres", "row k1 is mixed"),
        ("redis", "row k4 is mixed"),
        ("http redis", "row k4 is mixed"),
    ] {
        let seen = problems
            .lines()
            .any(|line| line.contains(reader) && line.contains(problem));
        assert!(seen, "{reader} did not see: {problem}\n{problems}");
    }
    for problem in [
        "row k2 went back",
        "row k3 is empty",
        "row k5 went back",
        "row k6 is empty",
    ] {
        assert!(problems.contains(problem), "{problem}\n{problems}");
    }
}
