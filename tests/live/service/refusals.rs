//! What must stop, stops by name, changes nothing, and says what to do (I1, I11, I14).

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Deployment, Instance, caught_up, free_port, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const LEDGER: &str = r#"
topics = ["TOPIC"]
stores = ["postgres", "redis"]
key = { account = "data.account" }
[columns]
account = "text"
balance = { type = "numeric(6,2)", default = "0.00" }
moves = { type = "bigint", default = 0 }
[on."*"]
add = { balance = "data.amount", moves = "1" }
"#;

async fn stalled(instance: &Instance, store: &str, reason: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{store} stalls: {reason}"), LIMIT, async || {
        let all = instance.partitions();
        let here = all
            .into_iter()
            .find(|(_, of, at)| of == store && at["stalled"]["reason"] == reason);
        found = here.map_or(Value::Null, |(_, _, at)| at);
        !found.is_null()
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_stops_its_track_at_its_position_and_skip_steps_over_it() {
    let deployment = Deployment::new(1, &[("ledger", LEDGER)]).await;
    let publisher = deployment.publisher();
    publisher.send("a", r#"{"account":"a","amount":"10.00"}"#);
    publisher.send("a", r#"{"account":"a"}"#);
    publisher.send("a", r#"{"account":"a","amount":"5.00"}"#);
    publisher.flush();
    let instance = deployment.start();
    for store in ["postgres", "redis"] {
        let at = stalled(&instance, store, "poison").await;
        assert_eq!(at["position"], 1);
        let detail = at["stalled"]["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("{}/0@1", deployment.topic)),
            "{detail}"
        );
        assert!(detail.contains("data.amount"), "{detail}");
    }
    instance.command(&["status"]).expect(1);

    let record = format!("{}/0@1", deployment.topic);
    let elsewhere = format!("{}/0@2", deployment.topic);
    let skip = |record: &str, reason: &str| {
        instance.command(&["skip", "ledger", record, "--reason", reason])
    };
    skip(&elsewhere, "no").expect(3);
    skip(&record, "amount was lost upstream").expect(0);
    caught_up(&instance, 3, LIMIT).await;
    let rows = deployment.postgres_rows("ledger", "account").await;
    assert_eq!(rows["a"]["balance"].to_string(), "15.00");
    assert_eq!(
        deployment.redis_rows("ledger").await["a"]["balance"],
        "15.00"
    );
    let audit = format!("select count(*) from \"{}\".audit", deployment.name);
    let audited: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(audit))
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    assert_eq!(audited, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_does_not_fit_its_column_is_refused_at_the_very_event() {
    let deployment = Deployment::new(1, &[("ledger", LEDGER)]).await;
    let publisher = deployment.publisher();
    for number in 0..100 {
        publisher.send(
            "b",
            &format!(r#"{{"account":"b{}","amount":"1.00"}}"#, number % 7),
        );
    }
    publisher.send("a", r#"{"account":"a","amount":"9999.00"}"#);
    publisher.send("a", r#"{"account":"a","amount":"0.99"}"#);
    publisher.send("a", r#"{"account":"a","amount":"0.01"}"#);
    publisher.send("a", r#"{"account":"c","amount":"1.00"}"#);
    publisher.flush();
    let instance = deployment.start();
    for store in ["postgres", "redis"] {
        let at = stalled(&instance, store, "poison").await;
        assert_eq!(at["position"], 102, "{store}: {at}");
    }
    assert_eq!(
        deployment.postgres_rows("ledger", "account").await["a"]["balance"].to_string(),
        "9999.99"
    );
    assert_eq!(
        deployment.redis_rows("ledger").await["a"]["balance"],
        "9999.99"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_refused_and_the_rows_stay() {
    let deployment = Deployment::new(1, &[("ledger", LEDGER)]).await;
    let publisher = deployment.publisher();
    (0..10).for_each(|_| publisher.send("a", r#"{"account":"a","amount":"1.00"}"#));
    publisher.flush();
    let instance = deployment.start();
    caught_up(&instance, 10, LIMIT).await;
    deployment.delete_topic(&deployment.topic).await;
    wait_until("the topic is gone", LIMIT, async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        true
    })
    .await;
    deployment.create_topic(&deployment.topic, 1).await;
    let publisher = deployment.publisher();
    (0..20).for_each(|_| publisher.send("a", r#"{"account":"a","amount":"1.00"}"#));
    publisher.flush();
    let at = stalled(&instance, "postgres", "topic recreated").await;
    assert!(
        at["stalled"]["detail"]
            .as_str()
            .unwrap()
            .contains("rebuild"),
        "{at}"
    );
    assert_eq!(
        deployment.postgres_rows("ledger", "account").await["a"]["balance"].to_string(),
        "10.00"
    );
    assert_eq!(
        deployment.redis_rows("ledger").await["a"]["balance"],
        "10.00"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_refused_where_sums_need_every_record() {
    let deployment =
        Deployment::new(1, &[("ledger", &LEDGER.replace("TOPIC", "TOPIC.kept"))]).await;
    deployment
        .create_compacted_topic(&format!("{}.kept", deployment.topic))
        .await;
    let instance = deployment.start();
    let at = stalled(&instance, "postgres", "topic compacted").await;
    assert!(
        at["stalled"]["detail"]
            .as_str()
            .unwrap()
            .contains("balance"),
        "{at}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_appear_later_and_partitions_that_are_added_are_read_from_their_beginning() {
    let pattern = LEDGER.replace("\"TOPIC\"", "\"^TOPIC.*\"");
    let deployment = Deployment::new(1, &[("ledger", &pattern)]).await;
    deployment
        .publisher()
        .send("a", r#"{"account":"a","amount":"1.00"}"#);
    let instance = deployment.start();
    caught_up(&instance, 1, LIMIT).await;
    let later = format!("{}.eu", deployment.topic);
    deployment.create_topic(&later, 2).await;
    deployment.grow_topic(3).await;
    for number in 0..30 {
        let value = r#"{"account":"a","amount":"1.00"}"#;
        let publisher = if number % 2 == 0 {
            deployment.publisher()
        } else {
            crate::harness::Publisher::new(&deployment.kafka, &later)
        };
        publisher.send(&format!("key-{number}"), value);
        publisher.flush();
    }
    wait_until("all thirty-one are in", LIMIT, async || {
        let rows = deployment.postgres_rows("ledger", "account").await;
        rows.get("a").is_some_and(|row| row["moves"] == 31)
    })
    .await;
    assert_eq!(deployment.redis_rows("ledger").await["a"]["moves"], "31");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_away_at_start_are_named_and_waited_for() {
    let mut deployment = Deployment::new(1, &[("ledger", LEDGER)]).await;
    let nowhere = free_port();
    deployment.environment.insert(
        "DATABASE_URL".into(),
        format!("postgres://x@127.0.0.1:{nowhere}/x"),
    );
    deployment
        .environment
        .insert("REDIS_URL".into(), format!("redis://127.0.0.1:{nowhere}"));
    deployment
        .environment
        .insert("KAFKA_BROKERS".into(), format!("127.0.0.1:{nowhere}"));
    let mut instance = deployment.start();
    wait_until("readiness explains", LIMIT, async || {
        let Some((code, body)) = instance.get("/readyz?verbose") else {
            return false;
        };
        code == 503
            && ["control tables", "redis", "postgres"]
                .iter()
                .all(|what| body.contains(what))
            && body.contains("unreachable")
    })
    .await;
    assert_eq!(instance.get("/livez").unwrap().0, 200);
    assert!(instance.is_running());
    let (code, took) = instance.stop();
    assert_eq!(code, Some(0), "{}", instance.log());
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_everything_is_filled_again_from_the_log() {
    let mut deployment = Deployment::new(2, &[("ledger", LEDGER)]).await;
    let mut server = crate::harness::RedisServer::start();
    deployment.redis_url = server.url();
    deployment.redis = redis::Client::open(server.url()).unwrap();
    let publisher = deployment.publisher();
    (0..500).for_each(|n| {
        publisher.send(
            &format!("k{}", n % 9),
            &format!(r#"{{"account":"k{}","amount":"0.01"}}"#, n % 9),
        )
    });
    publisher.flush();
    let instance = deployment.start();
    caught_up(&instance, 500, LIMIT).await;
    let before = deployment.redis_rows("ledger").await;
    server.stop();
    server = crate::harness::RedisServer::start_at(&server);
    wait_until("the view is back", LIMIT, async || {
        deployment.redis_rows("ledger").await == before
    })
    .await;
    let mut connection = deployment
        .redis
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    wait_until("and published", LIMIT, async || {
        let live: Option<String> = redis::cmd("GET")
            .arg(format!("{}:{{ledger}}:live", deployment.name))
            .query_async(&mut connection)
            .await
            .unwrap();
        live.as_deref() == Some("1")
    })
    .await;
    drop(server);
}
