//! Clients of the change feed: they miss nothing and see nothing twice, wherever they come back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{Cell, ColumnType, Decimal, Delta, RowDelta, RowKey, Schema, StoreKind};
use viewfold::query::{FeedEvent, FeedId, FeedKind, FeedSource, Feeds};
use viewfold::store::control::Lease;
use viewfold::store::memory::MemoryStore;
use viewfold::store::{Batch, CutOver, CutOverOutcome, Generation, Move, Outcome, ViewStore};

/// A view with one partition, and two generations of it.
struct View {
    store: Arc<MemoryStore>,
    generations: Vec<Generation>,
    claims: Vec<Uuid>,
}

impl View {
    async fn new() -> Self {
        let schema: Arc<Schema> = Schema::builder("counters")
            .key("id", ColumnType::Text)
            .column("count", ColumnType::Bigint)
            .sum()
            .default_value(0)
            .build()
            .unwrap();
        let store = Arc::new(MemoryStore::new(StoreKind::Postgres));
        let generations = [1, 2].map(|number| Generation {
            projection: "counters".into(),
            number,
            build: Uuid::new_v4(),
            schema: Arc::clone(&schema),
        });
        let claims = [1, 2].map(|_| Uuid::new_v4());
        let starts = [(TopicPartition::new("events", 0), Position::ZERO)];
        for (generation, claim) in generations.iter().zip(claims) {
            store.create(generation, &starts).await.unwrap();
            let cursor = store.cursors(generation).await.unwrap().unwrap().remove(0);
            store.claim(generation, &cursor, claim).await.unwrap();
        }
        store.publish(&generations[0], 1).await.unwrap();
        Self {
            store,
            generations: generations.into(),
            claims: claims.into(),
        }
    }

    fn source(&self) -> FeedSource {
        let generations = self.generations.clone();
        FeedSource {
            view: "counters".into(),
            store: self.store.clone(),
            shapes: Arc::new(move |number| {
                let mut known = generations.iter();
                known
                    .find(|generation| generation.number == number)
                    .cloned()
            }),
        }
    }

    fn key(&self, text: &str) -> RowKey {
        RowKey::parse(&self.generations[0].schema, text).unwrap()
    }

    /// Counts one more for each of these keys, as the next offset of a generation; `-a` deletes row a.
    async fn write(&self, number: u32, keys: &[&str]) {
        let index = number as usize - 1;
        let generation = &self.generations[index];
        let cursor = self
            .store
            .cursors(generation)
            .await
            .unwrap()
            .unwrap()
            .remove(0);
        let movement = Move {
            partition: cursor.partition,
            claim: self.claims[index],
            from: cursor.position,
            to: Position::at(cursor.position.offset() + 1),
            newest_micros: None,
        };
        let one = || vec![(1, Cell::Op(Delta::Add(Decimal::from(1))))];
        let row = |key: &&str| match key.strip_prefix('-') {
            Some(key) => RowDelta::Delete(self.key(key)),
            None => RowDelta::Upsert(self.key(key), one()),
        };
        let mut rows: Vec<RowDelta> = keys.iter().map(row).collect();
        rows.sort_by(|a, b| a.key().cmp(b.key()));
        let batch = Batch {
            moves: vec![movement],
            rows,
        };
        let outcome = self.store.apply(generation, &batch).await.unwrap();
        assert_eq!(outcome, Outcome::Applied);
    }

    async fn cut_over(&self, from: usize, to: usize, intent: i64) {
        let cut = CutOver {
            from: self.generations[from - 1].clone(),
            to: self.generations[to - 1].clone(),
            intent,
            lease: Lease {
                name: "coordinator/counters".into(),
                epoch: 1,
            },
            targets: Vec::new(),
        };
        let outcome = self.store.cut_over(&cut).await.unwrap();
        assert_eq!(outcome, CutOverOutcome::Done);
    }

    async fn follow(&self, feeds: &Feeds, from: Option<&str>) -> Receiver<FeedEvent> {
        let from = from.map(|id| FeedId::parse(id).unwrap());
        let followed = feeds.follow(self.source(), from, None).await;
        followed.unwrap().unwrap()
    }
}

/// The next event that is more than a position.
async fn next(events: &mut Receiver<FeedEvent>) -> FeedEvent {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv());
        let event = event
            .await
            .expect("nothing comes")
            .expect("the stream ended");
        if event.kind != FeedKind::Position {
            return event;
        }
    }
}

/// The next event as text: `a=1`, `-a`, `generation 2`, `reset`.
async fn told(events: &mut Receiver<FeedEvent>) -> (String, String) {
    let event = next(events).await;
    let data: Json = serde_json::from_str(&event.data).unwrap();
    let key = data["key"].as_str().unwrap_or_default();
    let text = match event.kind {
        FeedKind::Change if data["op"] == "delete" => {
            assert_eq!(data["row"], Json::Null);
            format!("-{key}")
        }
        FeedKind::Change => {
            assert_eq!(data["op"], "upsert");
            assert_eq!(data["row"]["id"], key.replace("%2C", ","));
            format!("{key}={}", data["row"]["count"])
        }
        FeedKind::Generation => format!("generation {}", data["generation"]),
        FeedKind::Reset => "reset".to_owned(),
        FeedKind::Position => unreachable!(),
    };
    (text, event.id.to_string())
}

async fn assert_told(events: &mut Receiver<FeedEvent>, expected: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for expected in expected {
        let (text, id) = told(events).await;
        assert_eq!(text, *expected);
        ids.push(id);
    }
    ids
}

async fn assert_silent(events: &mut Receiver<FeedEvent>) {
    let more = tokio::time::timeout(Duration::from_secs(1), next(events)).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_what_happens_from_now_on() {
    let (view, feeds) = (View::new().await, Feeds::default());
    view.write(1, &["before"]).await;
    let mut events = view.follow(&feeds, None).await;
    let first = events.recv().await.unwrap();
    assert_eq!(
        (first.kind, &*first.id, &*first.data),
        (FeedKind::Position, "events/0@0;g1", "")
    );
    view.write(1, &["a", "b"]).await;
    let ids = assert_told(&mut events, &["a=1", "b=1"]).await;
    assert!(
        ids[0].starts_with("events/0@0;g1;") && ids[0].ends_with(".1"),
        "{}",
        ids[0]
    );
    assert_eq!(ids[1], "events/0@1;g1");
    view.write(1, &["-a"]).await;
    assert_told(&mut events, &["-a"]).await;
    assert_silent(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_anywhere_at_any_row_and_misses_nothing_and_sees_nothing_twice() {
    let (view, here, there) = (View::new().await, Feeds::default(), Feeds::default());
    let mut events = view.follow(&here, None).await;
    let mut expected = Vec::new();
    for batch in 0..6 {
        let keys: Vec<String> = (0..batch * 60 + 1)
            .map(|k| format!("k{batch}-{k:03}"))
            .collect();
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        view.write(1, &names).await;
        expected.extend(keys.iter().map(|key| format!("{key}=1")));
    }
    let mut all = Vec::new();
    while all.len() < expected.len() {
        all.push(told(&mut events).await);
    }
    assert!(all.iter().map(|(text, _)| text).eq(&expected));
    for from in (0..all.len()).step_by(17).chain([all.len() - 1]) {
        let mut back = view.follow(&there, Some(&all[from].1)).await;
        for (_, expected) in all.iter().zip(&expected).skip(from + 1) {
            assert_eq!(&told(&mut back).await.0, expected);
        }
        if from % 5 == 0 {
            assert_silent(&mut back).await;
        }
    }
    // A position that a read gave serves as well, and traffic goes on meanwhile.
    let mut back = view.follow(&there, Some("events/0@4")).await;
    view.write(1, &["last"]).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "last=1") {
        seen.push(told(&mut back).await.0);
    }
    assert_eq!(seen.len(), 302);
    assert_silent(&mut back).await;
}

#[tokio::test(start_paused = true)]
async fn a_cutover_and_a_rollback_are_told() {
    let (view, feeds) = (View::new().await, Feeds::default());
    let mut events = view.follow(&feeds, None).await;
    view.write(1, &["a"]).await;
    view.write(2, &["a"]).await;
    let ids = assert_told(&mut events, &["a=1"]).await;
    view.cut_over(1, 2, 2).await;
    view.write(1, &["a"]).await;
    assert_told(&mut events, &["generation 2"]).await;
    view.write(2, &["a"]).await;
    let later = assert_told(&mut events, &["a=2"]).await;
    assert_eq!(later, ["events/0@1;g2"]);
    // A client that was away hears of it too.
    let mut back = view.follow(&feeds, Some(&ids[0])).await;
    assert_told(&mut back, &["generation 2"]).await;
    view.cut_over(2, 1, 3).await;
    view.write(1, &["b"]).await;
    for events in [&mut events, &mut back] {
        let (text, _) = told(events).await;
        assert_eq!(text, "generation 1");
    }
    view.write(1, &["c"]).await;
    for events in [&mut events, &mut back] {
        while told(events).await.0 != "c=1" {}
        assert_silent(events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_is_told_to_read_again() {
    use viewfold::store::changes::ChangeLog;

    let (view, feeds) = (View::new().await, Feeds::default());
    let mut events = view.follow(&feeds, None).await;
    view.write(1, &["a"]).await;
    let old = assert_told(&mut events, &["a=1"]).await.remove(0);
    drop(events);
    for _ in 0..1_100 {
        view.write(1, &["b"]).await;
    }
    assert!(view.store.forget_old().await.unwrap() > 0);
    let mut back = view.follow(&feeds, Some(&old)).await;
    assert_told(&mut back, &["reset"]).await;
    view.write(1, &["c"]).await;
    assert_told(&mut back, &["c=1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_keep_up_is_cut_off_and_hinders_nobody() {
    let (view, feeds) = (View::new().await, Feeds::with_most(2));
    let mut slow = view.follow(&feeds, None).await;
    let mut quick = view.follow(&feeds, None).await;
    let third = feeds.follow(view.source(), None, None).await.unwrap();
    assert!(third.is_none(), "there are only two places");
    let keys: Vec<String> = (0..500).map(|key| format!("k{key:03}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while told(&mut quick).await.0 != "last=1" {
            seen += 1;
        }
        seen
    });
    for _ in 0..50 {
        view.write(1, &names).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    view.write(1, &["last"]).await;
    assert_eq!(reading.await.unwrap(), 25_000);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut got = 0;
    let mut last = String::new();
    while let Some(event) = slow.recv().await {
        got += usize::from(event.kind == FeedKind::Change);
        last = event.id.to_string();
    }
    assert!(got < 1_000, "{got} events were kept for it");
    // It goes on where it was.
    let mut back = view.follow(&feeds, Some(&last)).await;
    let mut seen = 0;
    while told(&mut back).await.0 != "last=1" {
        seen += 1;
    }
    assert_eq!(seen + got, 25_000);
}

#[tokio::test(start_paused = true)]
async fn one_row_can_be_followed_and_the_position_still_moves() {
    let (view, feeds) = (View::new().await, Feeds::default());
    let followed = feeds
        .follow(view.source(), None, Some("a%2Ca".into()))
        .await;
    let mut events = followed.unwrap().unwrap();
    for _ in 0..20 {
        view.write(1, &["a", "b"]).await;
    }
    view.write(1, &["a%2Ca", "c"]).await;
    assert_told(&mut events, &["a%2Ca=1"]).await;
    let standing = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let event = events.recv().await.unwrap();
            assert_eq!(event.kind, FeedKind::Position);
            if &*event.id == "events/0@20;g1" {
                break;
            }
        }
    });
    standing.await.unwrap();
}
