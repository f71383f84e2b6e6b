//! The change feed, from two instances, through a kill, a cutover and a rollback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    COUNTER, Deployment, Instance, Traffic, caught_up, publish, sized, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
const KEYS: u64 = 20;

/// One event as it came.
#[derive(Clone, Debug, Default)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

/// One connection to the change feed.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// None where the instance does not answer.
    fn open(instance: &Instance, view: &str, from: Option<&str>) -> Option<Self> {
        let mut stream = TcpStream::connect(&instance.api).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let from = from.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let request = format!("GET /v1/views/{view}/changes HTTP/1.1\r\nhost: x\r\n{from}\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).ok()?;
        status.contains(" 200 ").then_some(Self(reader))
    }

    /// The next event with data, and every id on the way; none when the stream has ended.
    fn next(&mut self, last: &mut String) -> Option<Event> {
        let mut event = Event::default();
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let text = line.trim_end();
            if let Some(id) = text.strip_prefix("id: ") {
                event.id = id.to_owned();
            } else if let Some(name) = text.strip_prefix("event: ") {
                event.name = name.to_owned();
            } else if let Some(data) = text.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).ok()?;
            } else if text.is_empty() && !event.id.is_empty() {
                last.clone_from(&event.id);
                if !event.data.is_null() {
                    return Some(event);
                }
                event = Event::default();
            }
        }
    }
}

/// Everything that a client was told.
#[derive(Default)]
struct Client {
    last: String,
    rows: BTreeMap<String, (u64, u64)>,
    generations: Vec<u64>,
    ids: BTreeMap<String, usize>,
}

impl Client {
    fn take(&mut self, event: &Event) {
        match event.name.as_str() {
            "" => {
                let row = &event.data["row"];
                assert_eq!(event.data["op"], "upsert");
                let now = (
                    row["events"].as_u64().unwrap(),
                    row["last"].as_u64().unwrap(),
                );
                let key = event.data["key"].as_str().unwrap().to_owned();
                let seen = self.rows.entry(key).or_default();
                assert!(now >= *seen, "{event:?} after {seen:?}");
                *seen = now;
                *self.ids.entry(event.id.clone()).or_default() += 1;
            }
            "generation" => self
                .generations
                .push(event.data["generation"].as_u64().unwrap()),
            other => panic!("{other}: {event:?}"),
        }
    }
}

/// What every key must have come to.
fn expected(events: u64) -> BTreeMap<String, (u64, u64)> {
    let mut rows: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for number in 0..events {
        let row = rows.entry(format!("k{}", number % KEYS)).or_default();
        *row = (row.0 + 1, number);
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_anywhere_misses_nothing_and_sees_nothing_twice() {
    let deployment = Deployment::new(3, &[("counter", COUNTER)]).await;
    let first = deployment.start();
    let mut second = deployment.start();
    let so_far = publish(&deployment, 0, KEYS, KEYS);
    caught_up(&first, KEYS as i64, LIMIT).await;
    caught_up(&second, KEYS as i64, LIMIT).await;
    let mut client = Client {
        rows: expected(KEYS),
        ..Client::default()
    };
    let mut stream = Stream::open(&first, "counter", None).unwrap();
    let traffic = Traffic::start(&deployment, so_far, 300);
    let rounds = sized(24, 200);
    for round in 0..rounds {
        if round == rounds / 2 {
            second.kill();
            second = deployment.start();
            caught_up_at_all(&second).await;
        }
        // A few hundred events here, then on to the other instance, in the middle of whatever comes.
        for _ in 0..97 + round {
            match tokio::task::block_in_place(|| stream.next(&mut client.last)) {
                Some(event) => client.take(&event),
                None => break,
            }
        }
        let instance = [&first, &second][round % 2];
        stream = Stream::open(instance, "counter", Some(&client.last)).unwrap();
    }
    let all = traffic.stop();
    let wanted = expected(all.events);
    let deadline = Instant::now() + LIMIT;
    while client.rows != wanted {
        assert!(
            Instant::now() < deadline,
            "{:?} instead of {wanted:?}",
            client.rows
        );
        let event = tokio::task::block_in_place(|| stream.next(&mut client.last));
        client.take(&event.expect("the stream ended before everything was told"));
    }
    let twice: Vec<_> = client.ids.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(client.generations, Vec::<u64>::new());
}

async fn caught_up_at_all(instance: &Instance) {
    wait_until("it answers reads", LIMIT, async || {
        let answer = instance.ask("/v1/views/counter/k1", &[]);
        answer.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_and_a_rollback_are_told_and_changes_go_on() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    let instance = deployment.start();
    let so_far = publish(&deployment, 0, 1_000, KEYS);
    caught_up(&instance, 1_000, LIMIT).await;
    let mut stream = Stream::open(&instance, "counter", None).unwrap();
    let traffic = Traffic::start(&deployment, so_far, 300);
    let mut client = Client::default();
    let mut follow = |until: &dyn Fn(&Client) -> bool| {
        let deadline = Instant::now() + LIMIT;
        while !until(&client) {
            assert!(Instant::now() < deadline, "{:?}", client.generations);
            let event = tokio::task::block_in_place(|| stream.next(&mut client.last));
            client.take(&event.expect("the stream ended"));
        }
    };
    follow(&|client| client.rows.len() == KEYS as usize);
    instance.rebuild("counter", json!({}));
    follow(&|client| client.generations == [2]);
    instance.reaches("counter", 2, "live", LIMIT).await;
    assert_eq!(instance.roll_back("counter").0, 202);
    follow(&|client| client.generations == [2, 1]);
    let stopped = traffic.stop();
    // Every key once more: what came between the last rows and the last cutover is for the client to read.
    let all = publish(&deployment, stopped.events, stopped.events + KEYS, KEYS);
    let wanted = expected(all.events);
    follow(&|client| client.rows == wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_is_told_to_read_again_and_redis_is_not_followed() {
    let only_redis = COUNTER.replace("[\"postgres\", \"redis\"]", "[\"redis\"]");
    let views = [("counter", COUNTER), ("other", &*only_redis)];
    let deployment = Deployment::new(1, &views).await;
    let instance = deployment.start();
    publish(&deployment, 0, 100, KEYS);
    caught_up(&instance, 100, LIMIT).await;
    let refused = instance.ask("/v1/views/other/changes", &[]).unwrap();
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (400, &json!("not-listable"))
    );

    let kept = format!("select count(*) from \"{}\".changes", deployment.name);
    assert!(deployment.count(&kept).await > 0);
    let age = format!(
        "update \"{}\".changes set at = at - interval '11 minutes'",
        deployment.name
    );
    deployment.execute(&age).await;
    wait_until("old changes are removed", LIMIT, async || {
        deployment.count(&kept).await == 0
    })
    .await;
    let from = format!("{}/0@5", deployment.topic);
    let mut last = String::new();
    let mut stream = Stream::open(&instance, "counter", Some(&from)).unwrap();
    let first = tokio::task::block_in_place(|| stream.next(&mut last)).unwrap();
    assert_eq!(first.name, "reset");
    publish(&deployment, 100, 101, KEYS);
    let then = tokio::task::block_in_place(|| stream.next(&mut last)).unwrap();
    assert_eq!(
        (then.name.as_str(), &then.data["row"]["last"]),
        ("", &json!(100))
    );
}
