//! Zombies: an owner that was stopped, lost its partitions, and wakes up (I5).

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::harness::{Deployment, Instance, caught_up, server, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const COUNTER: &str = r#"
topics = ["TOPIC"]
stores = ["postgres"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
amount = { type = "numeric(18,2)", default = "0.00" }
[on."*"]
add = { events = "1", amount = "data.amount" }
"#;

fn send(deployment: &Deployment, from: u64, to: u64) {
    let publisher = deployment.publisher();
    for number in from..to {
        let id = format!("k{}", number % 50);
        publisher.send(
            &id,
            &format!(r#"{{"id":"{id}","amount":"0.{:02}"}}"#, number % 100),
        );
    }
    publisher.flush();
}

async fn assert_sums(deployment: &Deployment, events: u64) {
    let rows = deployment.postgres_rows("counter", "id").await;
    let counted: i64 = rows
        .values()
        .map(|row| row["events"].as_i64().unwrap())
        .sum();
    assert_eq!(counted, events as i64);
    let cents: i64 = rows.values().map(|row| cents(&row["amount"])).sum();
    let expected: i64 = (0..events).map(|number| (number % 100) as i64).sum();
    assert_eq!(cents, expected);
}

fn cents(value: &Value) -> i64 {
    value.to_string().replace('.', "").parse().unwrap()
}

/// Waits until a zombie that woke up says that it does not own anything any more.
async fn says_that_it_was_fenced(zombie: &Instance) {
    wait_until("the zombie says that it was fenced", LIMIT, async || {
        let log = zombie.log();
        log.contains("kind=\"lost\"")
            || log.contains("reason=\"not owner\"")
            || zombie.counter("viewfold_fenced_writes_total", "") > 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_stopped_inside_its_transaction_keeps_nobody_waiting_and_writes_nothing() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    let zombie = deployment.start();
    send(&deployment, 0, 1000);
    caught_up(&zombie, 1000, LIMIT).await;

    // A lock of ours makes the next batch wait inside its transaction, its cursors locked. There it is stopped.
    let mut blocker = PgConnection::connect(&server("VIEWFOLD_TEST_POSTGRES"))
        .await
        .unwrap();
    let lock = format!(
        "BEGIN; SELECT * FROM \"{}\".counter_g1 FOR UPDATE",
        deployment.name
    );
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut blocker)
        .await
        .unwrap();
    send(&deployment, 1000, 1500);
    let waiting = format!(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%{}%'",
        deployment.name
    );
    wait_until("a batch waits inside its transaction", LIMIT, async || {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(waiting.clone()))
            .fetch_one(&deployment.pool)
            .await
            .unwrap();
        count > 0
    })
    .await;
    zombie.signal("-STOP");
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();

    let heir = deployment.start();
    caught_up(&heir, 1500, LIMIT).await;
    send(&deployment, 1500, 2000);
    caught_up(&heir, 2000, LIMIT).await;
    assert_sums(&deployment, 2000).await;

    zombie.signal("-CONT");
    says_that_it_was_fenced(&zombie).await;
    send(&deployment, 2000, 3000);
    // It takes its place in the group again, or is refused: either way the sums stay right.
    caught_up(&heir, 3000, LIMIT).await;
    assert_sums(&deployment, 3000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_wakes_up_late_is_fenced() {
    let deployment = Deployment::new(1, &[("counter", COUNTER)]).await;
    let zombie = deployment.start();
    send(&deployment, 0, 500);
    caught_up(&zombie, 500, LIMIT).await;
    zombie.signal("-STOP");
    let heir = deployment.start();
    send(&deployment, 500, 1000);
    caught_up(&heir, 1000, LIMIT).await;
    let positions = deployment.cursors("counter").await;
    zombie.signal("-CONT");
    says_that_it_was_fenced(&zombie).await;
    assert_eq!(deployment.cursors("counter").await, positions);
    send(&deployment, 1000, 1500);
    caught_up(&heir, 1500, LIMIT).await;
    assert_sums(&deployment, 1500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_comes_within_the_grace_period_and_leaves_nothing_half_applied() {
    let deployment = Deployment::new(3, &[("counter", COUNTER)]).await;
    for round in 0..4 {
        let mut instance = deployment.start();
        send(&deployment, round * 2000, (round + 1) * 2000);
        tokio::time::sleep(Duration::from_millis(300 * round)).await;
        let (code, took) = instance.stop();
        assert_eq!(code, Some(0), "{}", instance.log());
        assert!(took < Duration::from_secs(10), "took {took:?}");
    }
    let last = deployment.start();
    caught_up(&last, 8000, LIMIT).await;
    assert_sums(&deployment, 8000).await;
}
