//! The rows equal an independent computation, whatever happens to the processes (I1, I2, I4).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Deployment, Instance, caught_up, full, wait_until};
use crate::shop::expect::{Expected, Rows};
use crate::shop::stream::{Shape, Stream};

const LIMIT: Duration = Duration::from_secs(90);

fn shape(seed: u64) -> Shape {
    Shape {
        seed,
        customers: 2000,
        products: 300,
        duplicates: 0.01,
        late: 0.01,
        start: 1_795_000_000,
    }
}

/// The JSON of Postgres says numerics as numbers; the views' own form is text.
fn same_in_postgres(expected: &BTreeMap<&'static str, Value>, found: &Value) -> bool {
    let canonical = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text
            .parse::<jiff::Timestamp>()
            .map_or_else(|_| text.clone(), |at| at.to_string()),
        other => other.to_string(),
    };
    let columns = found.as_object().unwrap();
    columns.len() == expected.len()
        && expected
            .iter()
            .all(|(column, value)| canonical(value) == canonical(&columns[*column]))
}

fn same_in_redis(
    expected: &BTreeMap<&'static str, Value>,
    found: &BTreeMap<String, String>,
) -> bool {
    let canonical = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let expected: BTreeMap<String, String> = expected
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(column, value)| ((*column).to_owned(), canonical(value)))
        .collect();
    expected == *found
}

async fn assert_right(deployment: &Deployment, expected: &Expected) {
    for (view, key) in [
        ("orders", "order_id"),
        ("customer_orders", "customer_id"),
        ("product_sales", "sku"),
    ] {
        let rows: Rows = expected.rows(view).unwrap();
        let found = deployment.postgres_rows(view, key).await;
        let wrong: Vec<&String> = rows
            .iter()
            .filter(|(key, row)| {
                !found
                    .get(*key)
                    .is_some_and(|found| same_in_postgres(row, found))
            })
            .map(|(key, _)| key)
            .collect();
        let first = wrong.first().map(|key| (&rows[*key], found.get(*key)));
        assert!(
            wrong.is_empty(),
            "postgres {view}: {} rows differ, first {first:#?}",
            wrong.len()
        );
        assert_eq!(found.len(), rows.len(), "postgres {view}");
        if view == "orders" {
            continue;
        }
        let found = deployment.redis_rows(view).await;
        let wrong: Vec<&String> = rows
            .iter()
            .filter(|(key, row)| {
                !found
                    .get(*key)
                    .is_some_and(|found| same_in_redis(row, found))
            })
            .map(|(key, _)| key)
            .collect();
        let first = wrong.first().map(|key| (&rows[*key], found.get(*key)));
        assert!(
            wrong.is_empty(),
            "redis {view}: {} rows differ, first {first:#?}",
            wrong.len()
        );
        assert_eq!(found.len(), rows.len(), "redis {view}");
    }
}

/// Publishes `count` events of `stream` in the background, at most `rate` a second.
fn publish(
    deployment: &Deployment,
    stream: &mut Stream,
    expected: &mut Expected,
    count: usize,
) -> std::thread::JoinHandle<()> {
    let publisher = deployment.publisher();
    let events: Vec<_> = stream.take(count).collect();
    events.iter().for_each(|event| expected.apply(event));
    std::thread::spawn(move || {
        for (index, event) in events.iter().enumerate() {
            publisher.send(&event.customer, &event.value.to_string());
            if index % 200 == 199 {
                std::thread::sleep(Duration::from_millis(15));
            }
        }
        publisher.flush();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_stay_exact_while_one_is_killed_again_and_again() {
    let (events, kills) = if full() { (200_000, 10) } else { (60_000, 4) };
    let deployment = Deployment::shop(6).await;
    let mut stream = Stream::new(shape(7));
    let mut expected = Expected::default();
    let publishing = publish(&deployment, &mut stream, &mut expected, events);
    let steady = deployment.start();
    let mut victim = deployment.start();
    for round in 0..kills {
        tokio::time::sleep(Duration::from_millis(1500 + 211 * (round % 5))).await;
        victim.kill();
        // Every second time somebody else joins and leaves in an orderly way meanwhile.
        if round % 2 == 1 {
            let mut guest = deployment.start();
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(guest.stop().0, Some(0));
        }
        victim = deployment.start();
    }
    publishing.join().unwrap();
    caught_up(&steady, events as i64, LIMIT).await;
    assert_right(&deployment, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kip_848_protocol_stays_exact_through_joins_and_leaves() {
    let mut deployment = Deployment::shop(4).await;
    deployment.environment.insert(
        "VIEWFOLD_KAFKA__PROPERTIES__GROUP_PROTOCOL".into(),
        "consumer".into(),
    );
    let mut stream = Stream::new(shape(11));
    let mut expected = Expected::default();
    let publishing = publish(&deployment, &mut stream, &mut expected, 20_000);
    let steady = deployment.start();
    for _ in 0..2 {
        let mut guest = deployment.start();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(guest.stop().0, Some(0), "{}", guest.log());
    }
    publishing.join().unwrap();
    caught_up(&steady, 20_000, LIMIT).await;
    assert_right(&deployment, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_on_while_redis_is_away_and_redis_catches_up_exactly() {
    let mut deployment = Deployment::shop(3).await;
    let mut server = crate::harness::RedisServer::start();
    deployment.redis_url = server.url();
    deployment.redis = redis::Client::open(server.url()).unwrap();
    let mut stream = Stream::new(shape(13));
    let mut expected = Expected::default();
    publish(&deployment, &mut stream, &mut expected, 10_000)
        .join()
        .unwrap();
    let instance = deployment.start();
    caught_up(&instance, 10_000, LIMIT).await;

    server.stop();
    publish(&deployment, &mut stream, &mut expected, 20_000)
        .join()
        .unwrap();
    // I3, I14: Postgres is at the end, while Redis says why it is not.
    wait_until("postgres catches up alone", LIMIT, async || {
        let partitions = instance.partitions();
        let postgres = partitions
            .iter()
            .filter(|(_, store, _)| store == "postgres");
        let total: i64 = postgres
            .clone()
            .filter(|(view, _, _)| view == "orders")
            .map(|(_, _, at)| at["position"].as_i64().unwrap_or(0))
            .sum();
        total == 30_000 && postgres.clone().all(|(_, _, at)| at["lag_records"] == 0)
    })
    .await;
    wait_until("redis is named", LIMIT, async || {
        let partitions = instance.partitions();
        let mut redis = partitions.iter().filter(|(_, store, _)| store == "redis");
        redis.all(|(_, _, at)| at["stalled"]["reason"] == "store unreachable")
    })
    .await;
    if full() {
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    server.restart();
    caught_up(&instance, 30_000, LIMIT).await;
    assert_right(&deployment, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_added_later_catches_up_beside_the_others() {
    let deployment = Deployment::shop(3).await;
    let late =
        std::fs::read_to_string(deployment.projections().join("product_sales.toml")).unwrap();
    std::fs::remove_file(deployment.projections().join("product_sales.toml")).unwrap();
    let mut stream = Stream::new(shape(17));
    let mut expected = Expected::default();
    publish(&deployment, &mut stream, &mut expected, 20_000)
        .join()
        .unwrap();
    let mut first = deployment.start();
    caught_up(&first, 20_000, LIMIT).await;

    let publishing = publish(&deployment, &mut stream, &mut expected, 20_000);
    deployment.write_projection("product_sales", &late);
    let second = deployment.start();
    wait_until("the new projection is known", LIMIT, async || {
        second
            .partitions()
            .iter()
            .any(|(view, _, _)| view == "product_sales")
    })
    .await;
    publishing.join().unwrap();
    caught_up(&second, 40_000, LIMIT).await;
    // The instance that does not have the file runs the definition from the control tables.
    assert_eq!(first.stop().0, Some(0));
    publish(&deployment, &mut stream, &mut expected, 1_000)
        .join()
        .unwrap();
    caught_up(&second, 41_000, LIMIT).await;
    assert_right(&deployment, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_projections_on_one_topic_cost_one_fetch_and_one_decode() {
    let text = std::fs::read_to_string("projections/customer_orders.toml")
        .unwrap()
        .replace("[\"orders\"]", "[\"TOPIC\"]")
        .replace(
            "stores = [\"postgres\", \"redis\"]",
            "stores = [\"postgres\"]",
        );
    let names: Vec<String> = (0..20).map(|number| format!("copy_{number}")).collect();
    let projections: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), text.as_str()))
        .collect();
    let deployment = Deployment::new(2, &projections).await;
    let mut stream = Stream::new(shape(19));
    let mut expected = Expected::default();
    publish(&deployment, &mut stream, &mut expected, 5_000)
        .join()
        .unwrap();
    let instance: Instance = deployment.start();
    // All twenty are in place before the stream goes on: from there on, one read serves all.
    caught_up(&instance, 5_000, LIMIT).await;
    let (fetched, decoded) = counters(&instance);
    publish(&deployment, &mut stream, &mut expected, 10_000)
        .join()
        .unwrap();
    caught_up(&instance, 15_000, LIMIT).await;
    let (fetched_after, decoded_after) = counters(&instance);
    assert_eq!(fetched_after - fetched, 10_000.0);
    assert_eq!(decoded_after - decoded, 10_000.0);
    let rows = expected.rows("customer_orders").unwrap();
    for name in &names {
        let found = deployment.postgres_rows(name, "customer_id").await;
        assert_eq!(found.len(), rows.len());
        assert!(
            rows.iter()
                .all(|(key, row)| same_in_postgres(row, &found[key])),
            "{name}"
        );
    }
}

fn counters(instance: &Instance) -> (f64, f64) {
    (
        instance.counter("viewfold_records_fetched_total", ""),
        instance.counter("viewfold_records_decoded_total", ""),
    )
}
