//! Pages of two generations, read at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use viewfold::fault::FaultKind;
use viewfold::position::Position;
use viewfold::projection::{
    Cell, ColumnType, Delta, Row, RowDelta, RowKey, Schema, StoreKind, Value,
};
use viewfold::store::{ComparePage, PageToken};

use super::{START, Store, View, add, assert_same, counters};

/// Two generations of one projection with the same positions.
async fn pair(store: &Store, name: &str, first: Arc<Schema>, shape: Arc<Schema>) -> (View, View) {
    let first = View::create(store, name, first).await;
    let mut second = first.sibling(2);
    second.generation.schema = shape;
    let starts = [0, 1].map(|p| (second.partition(p), Position::at(START)));
    store.create(&second.generation, &starts).await.unwrap();
    (first, second)
}

async fn page(first: &View, second: &View, after: Option<&PageToken>) -> ComparePage {
    let store = &first.store;
    let page = store.compare_page(&first.generation, &second.generation, after, 7);
    page.await.unwrap().unwrap()
}

/// Every key with both rows; how often each was seen.
type Seen = BTreeMap<RowKey, (u32, Option<Row>, Option<Row>)>;

async fn walk(first: &View, second: &View, mut between: impl AsyncFnMut()) -> Seen {
    let mut seen = Seen::new();
    let mut after = None;
    loop {
        let page = page(first, second, after.as_ref()).await;
        for (key, a, b) in page.rows {
            assert!(a.is_some() || b.is_some(), "{key:?} is on neither side");
            let entry = seen.entry(key).or_default();
            *entry = (entry.0 + 1, a, b);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return seen,
        }
        between().await;
    }
}

/// Keys whose order as text is not their order as values.
fn pairs() -> Arc<Schema> {
    Schema::builder("pairs")
        .key("number", ColumnType::Integer)
        .key("word", ColumnType::Text)
        .column("count", ColumnType::Bigint)
        .sum()
        .build()
        .unwrap()
}

fn count(key: &RowKey, amount: i64) -> RowDelta {
    RowDelta::Upsert(key.clone(), vec![(2, Cell::Op(Delta::Add(amount.into())))])
}

pub(super) async fn every_key_is_on_one_page_while_others_are_written(store: &Store, name: &str) {
    let (first, second) = pair(store, name, pairs(), pairs()).await;
    let words = ["", "a", "B", "ä", "%2C", "a,b", "\u{1F600}", "z z"];
    let keys: Vec<RowKey> = [-100, -9, 0, 1, 10, 9, 2_000_000_000]
        .iter()
        .flat_map(|number| words.map(|word| (*number, word)))
        .map(|(number, word)| {
            let parts = vec![Value::Int(number), Value::Text(word.into())];
            RowKey::new(&first.generation.schema, parts).unwrap()
        })
        .collect();
    first
        .write(keys.iter().map(|key| count(key, 1)).collect())
        .await;
    second
        .write(keys.iter().map(|key| count(key, 2)).collect())
        .await;

    let mut round = 0;
    let other = |round: i64| {
        let word = Value::Text(format!("other {round}").into());
        let parts = vec![Value::Int((round * 37) % 90 - 45), word];
        RowKey::new(&first.generation.schema, parts).unwrap()
    };
    let stopped = AtomicBool::new(false);
    let walking = async {
        let seen = walk(&first, &second, async || tokio::task::yield_now().await).await;
        stopped.store(true, Ordering::Relaxed);
        seen
    };
    let writing = async {
        while !stopped.load(Ordering::Relaxed) {
            round += 1;
            first.write(vec![count(&other(round), 1)]).await;
            second.write(vec![RowDelta::Delete(other(round - 1))]).await;
            second.write(vec![count(&other(round), 1)]).await;
            first.write(vec![RowDelta::Delete(other(round - 1))]).await;
            tokio::task::yield_now().await;
        }
    };
    let (seen, ()) = futures_util::future::join(walking, writing).await;
    for key in &keys {
        let Some((times, Some(a), Some(b))) = seen.get(key) else {
            panic!("{key:?} was not seen on both sides");
        };
        let once = *times == 1 || (store.kind() == StoreKind::Redis && *times > 0);
        assert!(once, "{key:?} was seen {times} times");
        assert_eq!(
            (&a.values[2], &b.values[2]),
            (&Value::Int(1), &Value::Int(2))
        );
    }
    first.remove().await;
    second.remove().await;
}

/// I4: rows and cursors of a page are of one instant, on both sides.
pub(super) async fn a_page_shows_both_sides_and_their_cursors(store: &Store, name: &str) {
    let (first, second) = pair(store, name, counters(), counters()).await;
    let keys: Vec<RowKey> = (0..40).map(|n| first.key(&format!("k{n}"))).collect();
    for (at, key) in keys.iter().enumerate() {
        if at % 3 != 0 {
            first.write(vec![add(key, at as i64)]).await;
        }
        if at % 3 != 1 {
            second.write(vec![add(key, at as i64)]).await;
        }
    }
    let read = page(&first, &second, None).await;
    assert_eq!(read.first, first.cursors().await);
    assert_eq!(read.second, second.cursors().await);
    let seen = walk(&first, &second, async || {}).await;
    assert_eq!(seen.len(), keys.len());
    for key in &keys {
        let (_, a, b) = &seen[key];
        assert_same(a.as_ref(), first.row(key).await.as_ref(), "first side");
        assert_same(b.as_ref(), second.row(key).await.as_ref(), "second side");
    }
    let (g, absent) = (&first.generation, &first.sibling(3).generation);
    for (a, b) in [(g, absent), (absent, g)] {
        assert_eq!(store.compare_page(a, b, None, 10).await.unwrap(), None);
    }
    first.remove().await;
    second.remove().await;

    let (first, second) = pair(store, &format!("{name}_b"), counters(), counters()).await;
    let seen = walk(&first, &second, async || {}).await;
    assert!(seen.is_empty());
    first.remove().await;
    second.remove().await;
}

pub(super) async fn rows_with_different_keys_are_not_compared(store: &Store, name: &str) {
    let (first, second) = pair(store, name, counters(), pairs()).await;
    let read = store.compare_page(&first.generation, &second.generation, None, 10);
    let fault = read.await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    first.remove().await;
    second.remove().await;
}
