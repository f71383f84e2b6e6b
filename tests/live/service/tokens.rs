//! A read that asks for a position shows it, or says that it does not (I12).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Acknowledged, Answer, COUNTER, Deployment, Instance, caught_up, event, publish, sized,
};

const LIMIT: Duration = Duration::from_secs(60);
const KEYS: u64 = 20;

/// Reads the row with a token; none where the instance does not answer.
fn read(
    instance: &Instance,
    (key, store): (&str, &str),
    token: &str,
    wait: &str,
) -> Option<Answer> {
    let path = format!("/v1/views/counter/{key}?store={store}");
    let headers = [("consistency-token", token), ("prefer", wait)];
    instance.ask(&path, &headers)
}

/// What has been written so far: number of events and the last one, by key.
#[derive(Default)]
struct Written {
    rows: BTreeMap<String, (u64, u64)>,
    events: u64,
}

impl Written {
    /// Writes one event; answers its key and the name of its record.
    async fn write(&mut self, producer: &Acknowledged) -> (String, String) {
        let (key, value) = event(self.events, KEYS);
        let name = producer.send(&key, &value).await;
        let row = self.rows.entry(key.clone()).or_default();
        *row = (row.0 + 1, self.events);
        self.events += 1;
        (key, name)
    }

    /// Reads the row back until it is answered: every answer must show the event. Answers how often it was not.
    async fn read_back(
        &self,
        instances: &[&Instance],
        store: &str,
        (key, name): &(String, String),
    ) -> usize {
        let deadline = Instant::now() + LIMIT;
        let mut refused = 0;
        for turn in self.events as usize.. {
            let instance = instances[turn % instances.len()];
            match read(instance, (key, store), name, "wait=5") {
                Some(answer) if answer.status == 200 => {
                    let shown = (&answer.body["events"], &answer.body["last"]);
                    let (events, last) = self.rows[key];
                    assert_eq!(shown, (&json!(events), &json!(last)), "{name} {answer:?}");
                    assert_eq!(answer.headers["view-store"], store);
                    return refused;
                }
                Some(answer) => {
                    assert_eq!(answer.status, 503, "{name} {answer:?}");
                    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
                    assert!(answer.took < Duration::from_millis(5500), "{answer:?}");
                }
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            refused += 1;
            assert!(Instant::now() < deadline, "{name} cannot be read back");
        }
        refused
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_written_reads_it_through_kills_a_rebuild_and_a_rollback() {
    let rounds = sized(300, 10_000);
    let deployment = Deployment::new(3, &[("counter", COUNTER)]).await;
    let producer = Acknowledged::new(&deployment);
    let first = deployment.start();
    let mut second = deployment.start();
    let mut written = Written::default();
    written.write(&producer).await;
    caught_up(&first, 1, LIMIT).await;
    caught_up(&second, 1, LIMIT).await;
    let mut refused = 0;
    let mut rolled_back = false;
    for round in 0..rounds {
        if round == rounds / 6 {
            first.rebuild("counter", json!({}));
        }
        if round == rounds / 2 {
            first.reaches("counter", 2, "live", LIMIT).await;
            second.kill();
            second = deployment.start();
        }
        if round == rounds * 3 / 4 {
            let (code, answer) = first.roll_back("counter");
            assert_eq!(code, 202, "{answer:#}");
            rolled_back = true;
        }
        let record = written.write(&producer).await;
        let store = ["postgres", "redis"][round / 2 % 2];
        refused += written.read_back(&[&first, &second], store, &record).await;
    }
    assert!(rolled_back);
    first.reaches("counter", 1, "live", LIMIT).await;
    assert!(
        refused < rounds / 4,
        "{refused} of {rounds} reads were refused"
    );
    // What was seen in one store can be asked of the other one.
    let path = "/v1/views/counter/k1";
    let seen = first.ask(path, &[]).unwrap();
    let answer = read(
        &second,
        ("k1", "redis"),
        &seen.headers["view-position"],
        "wait=5",
    );
    assert_eq!(answer.unwrap().body, seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_yet_is_refused_in_time() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    let instance = deployment.start();
    publish(&deployment, 0, 100, KEYS);
    caught_up(&instance, 100, LIMIT).await;
    let topic = &deployment.topic;
    let beyond = format!("{topic}/0@99999");
    for store in ["postgres", "redis"] {
        for (wait, least, most) in [
            ("wait=0", 0, 500),
            ("wait=1", 1000, 1500),
            ("wait=2", 2000, 2500),
        ] {
            let answer = read(&instance, ("k1", store), &beyond, wait).unwrap();
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.body["type"], "not-caught-up");
            assert!(
                answer.body["reached"][format!("{topic}/0")].is_i64(),
                "{answer:?}"
            );
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            let took = answer.took.as_millis();
            assert!((least..most).contains(&took), "{wait} took {took} ms");
        }
    }
    for (token, status, kind) in [
        (format!("{topic}/7@0"), 400, "unknown-partition"),
        ("elsewhere/0@0".to_owned(), 400, "unknown-partition"),
        (format!("{topic}/0"), 400, "bad-request"),
    ] {
        let answer = read(&instance, ("k1", "postgres"), &token, "wait=2").unwrap();
        assert_eq!(
            (answer.status, &answer.body["type"]),
            (status, &json!(kind)),
            "{token}"
        );
    }
    let slow = instance.counter("viewfold_consistency_wait_seconds_count", "not_caught_up");
    assert!(slow >= 6.0, "{slow}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_new_partitions_keep_nobody_waiting() {
    let deployment = Deployment::new(4, &[("counter", COUNTER)]).await;
    let instance = deployment.start();
    // One key, so that three partitions never get a record.
    let producer = Acknowledged::new(&deployment);
    let (key, value) = event(0, 1);
    let name = producer.send(&key, &value).await;
    let answer = read(&instance, (&key, "postgres"), &name, "wait=10");
    let answer = match answer {
        Some(answer) if answer.status == 200 => answer,
        // It had only begun to start.
        _ => {
            caught_up(&instance, 1, LIMIT).await;
            read(&instance, (&key, "postgres"), &name, "wait=10").unwrap()
        }
    };
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["view-position"], name);
    // The new partition is known to the broker before it is known here: it is waited for, not refused.
    deployment.grow_topic(6).await;
    // One that knows all partitions: the other asks for them every few minutes only.
    let producer = Acknowledged::new(&deployment);
    let new = format!("{}/5@0", deployment.topic);
    let deadline = Instant::now() + LIMIT;
    let mut publishing = 0;
    loop {
        let answer = read(&instance, (&key, "redis"), &new, "wait=2").unwrap();
        assert_ne!(answer.status, 400, "{answer:?}");
        if answer.status == 200 {
            break;
        }
        for _ in 0..50 {
            publishing += 1;
            producer
                .send(&format!("n{publishing}"), &event(publishing, 1).1)
                .await;
        }
        assert!(Instant::now() < deadline, "the new partition is not read");
    }
}
