//! Generations that begin as a copy of another one's rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use viewfold::fault::FaultKind;
use viewfold::position::Position;
use viewfold::projection::{Cell, ColumnType, Delta, Latest, Row, RowDelta, RowKey, Schema, Value};
use viewfold::store::{BasePages, Generation};

use super::{COUNT, START, Store, View, add, counters};

/// The counters as they are defined later: a column less, a column more, in another order, and one of the latest family.
fn later() -> Arc<Schema> {
    Schema::builder("counters")
        .column("greeting", ColumnType::Text)
        .default_value("hello")
        .column("state", ColumnType::Text)
        .latest()
        .key("id", ColumnType::Text)
        .column("count", ColumnType::Bigint)
        .sum()
        .default_value(0)
        .build()
        .unwrap()
}

fn before() -> Arc<Schema> {
    Schema::builder("counters")
        .key("id", ColumnType::Text)
        .column("count", ColumnType::Bigint)
        .sum()
        .default_value(0)
        .column("note", ColumnType::Text)
        .column("state", ColumnType::Text)
        .latest()
        .build()
        .unwrap()
}

/// The generation after `view`'s, of this shape; not created.
fn next(view: &View, schema: Arc<Schema>) -> View {
    let mut next = view.sibling(view.generation.number + 1);
    next.generation.schema = schema;
    next
}

fn positions(pages: &BasePages, at: usize) -> Vec<(String, i64)> {
    let page = pages.0[at].iter();
    page.map(|(p, at)| (p.to_string(), at.offset())).collect()
}

async fn copy(from: &View, to: &View) {
    let store = &from.store;
    let copied = AtomicU64::new(0);
    let progress = |rows: u64| {
        let before = copied.swap(rows, Ordering::Relaxed);
        assert!(before <= rows, "{rows} rows after {before}");
    };
    store
        .create_from(&from.generation, &to.generation, &[], &progress)
        .await
        .unwrap();
}

pub(super) async fn a_copy_has_the_rows_cursors_and_defaults(store: &Store, name: &str) {
    let from = View::create(store, name, before()).await;
    let (a, b) = (from.key("a"), from.key("b%2C"));
    let state = |order: &str, value: &str| {
        let latest = Latest {
            order: order.into(),
            value: Value::Text(value.into()),
        };
        (3, Cell::Op(Delta::Latest(latest)))
    };
    let counted = (1, Cell::Op(Delta::Add(5.into())));
    let rows = vec![
        RowDelta::Upsert(a.clone(), vec![counted, state("2", "second")]),
        RowDelta::Upsert(b.clone(), vec![]),
    ];
    let claim = from.claim(0).await;
    let mut movement = from.movement(0, claim, (START, START + 4));
    movement.newest_micros = Some(77);
    from.apply(vec![movement], rows).await.unwrap();
    let to = next(&from, later());
    let before = from.cursors().await;
    copy(&from, &to).await;
    assert_eq!(
        from.cursors().await,
        before,
        "the copied generation changed"
    );

    let texts = |row: &Row| -> Vec<Option<String>> {
        let text = |value: &Value| value.canonical().map(|t| t.into_owned());
        row.values.iter().map(text).collect()
    };
    let row = to.row(&to.key("a")).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let expected = [some("hello"), some("second"), some("a"), some("5")];
    assert_eq!(texts(&row), expected);
    assert_eq!(row.orders[1].as_deref(), Some("2"));
    let other = to.row(&to.key("b%2C")).await.unwrap();
    let expected = [some("hello"), None, some("b,"), some("0")];
    assert_eq!(texts(&other), expected);
    for row in [&row, &other] {
        assert!(row.page > 0);
    }
    assert_eq!(from.row(&a).await.unwrap().page, 0);

    let positions_of = |cursors: &[viewfold::store::Cursor]| -> Vec<(String, i64, Option<i64>)> {
        let all = cursors.iter();
        all.map(|c| {
            (
                c.partition.to_string(),
                c.position.offset(),
                c.newest_micros,
            )
        })
        .collect()
    };
    let copied = to.cursors().await;
    assert_eq!(positions_of(&copied), positions_of(&before));
    assert!(copied.iter().all(|cursor| cursor.claim.is_none()));
    let pages = store.base_pages(&to.generation).await.unwrap().unwrap();
    let expected = before.iter();
    let expected: Vec<(String, i64)> = expected
        .map(|c| (c.partition.to_string(), c.position.offset()))
        .collect();
    for at in 0..pages.0.len() {
        assert_eq!(positions(&pages, at), expected);
    }
    assert_eq!(store.base_pages(&from.generation).await.unwrap(), None);

    // Newer and older values meet the copied order, and the page stays while the row does.
    let state = |order: &str, value: &str| {
        let latest = Latest {
            order: order.into(),
            value: Value::Text(value.into()),
        };
        RowDelta::Upsert(
            to.key("a"),
            vec![
                (1, Cell::Op(Delta::Latest(latest))),
                (3, Cell::Op(Delta::Add(1.into()))),
            ],
        )
    };
    to.write(vec![state("1", "first")]).await;
    assert_eq!(to.text(&to.key("a"), "state").await, some("second"));
    to.write(vec![state("3", "third")]).await;
    assert_eq!(to.text(&to.key("a"), "state").await, some("third"));
    let now = to.row(&to.key("a")).await.unwrap();
    assert_eq!((now.page, &now.values[3]), (row.page, &Value::Int(7)));
    let fresh = to.key("fresh");
    to.write(vec![
        RowDelta::Delete(to.key("a")),
        RowDelta::Upsert(fresh.clone(), vec![]),
    ])
    .await;
    assert_eq!(to.row(&fresh).await.unwrap().page, 0);
    from.remove().await;
    to.remove().await;
}

pub(super) async fn a_copy_of_nothing_is_empty_and_has_cursors(store: &Store, name: &str) {
    let from = View::create(store, name, counters()).await;
    let to = next(&from, counters());
    copy(&from, &to).await;
    let positions = |cursors: Vec<viewfold::store::Cursor>| -> Vec<i64> {
        cursors.iter().map(|c| c.position.offset()).collect()
    };
    assert_eq!(positions(to.cursors().await), [START, START]);
    let pages = store.base_pages(&to.generation).await.unwrap().unwrap();
    assert!(!pages.0.is_empty());
    assert_eq!(pages.end(&from.partition(0)), Some(Position::at(START)));
    to.write(vec![add(&to.key("a"), 1)]).await;
    from.remove().await;
    to.remove().await;
}

pub(super) async fn a_copy_is_made_once_and_removed_whole(store: &Store, name: &str) {
    let from = View::create(store, name, counters()).await;
    from.write(vec![add(&from.key("a"), 1)]).await;
    let to = next(&from, counters());
    copy(&from, &to).await;
    to.write(vec![add(&to.key("a"), 1)]).await;
    from.write(vec![add(&from.key("b"), 1)]).await;
    let (cursors, pages) = (to.cursors().await, store.base_pages(&to.generation).await);
    copy(&from, &to).await;
    assert_eq!(to.cursors().await, cursors);
    assert_eq!(store.base_pages(&to.generation).await, pages);
    assert_eq!(to.text(&to.key("a"), "count").await.unwrap(), "2");
    assert_eq!(to.row(&to.key("b")).await, None);

    let other = next(&from, counters());
    let refused = store.create_from(&from.generation, &other.generation, &[], &|_| {});
    let fault = refused.await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    to.remove().await;
    assert_eq!(store.base_pages(&to.generation).await.unwrap(), None);
    assert_eq!(store.cursors(&to.generation).await.unwrap(), None);
    to.remove().await;

    // The number is free again, and nothing is left under it.
    let starts = [(other.partition(0), Position::at(START))];
    store.create(&other.generation, &starts).await.unwrap();
    assert_eq!(other.row(&other.key("a")).await, None);
    assert_eq!(store.base_pages(&other.generation).await.unwrap(), None);
    other.remove().await;

    // Where a start is given, it counts.
    let started = next(&from, counters());
    let starts = [(started.partition(1), Position::at(3))];
    let made = store.create_from(&from.generation, &started.generation, &starts, &|_| {});
    made.await.unwrap();
    let expected = from.position(0).await;
    assert_eq!(started.position(0).await, expected);
    assert_eq!(started.position(1).await, 3);
    started.remove().await;
    from.remove().await;
    let fault = store
        .create_from(&from.generation, &to.generation, &[], &|_| {})
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    to.remove().await;
}

pub(super) async fn what_cannot_be_copied_is_refused(store: &Store, name: &str) {
    let from = View::create(store, name, counters()).await;
    let retyped = Schema::builder("counters")
        .key("id", ColumnType::Text)
        .column("count", ColumnType::Numeric)
        .sum();
    let rekeyed = Schema::builder("counters")
        .key("id", ColumnType::Text)
        .key("count", ColumnType::Bigint);
    for schema in [retyped.build().unwrap(), rekeyed.build().unwrap()] {
        let to = next(&from, schema);
        let refused = store.create_from(&from.generation, &to.generation, &[], &|_| {});
        let fault = refused.await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
        assert!(fault.message.contains("rebuild from the log"), "{fault}");
        assert_eq!(store.cursors(&to.generation).await.unwrap(), None);
    }
    from.remove().await;
}

/// I9 for `--base live`: a row of page n reflects exactly the records below that page's cursors, so
/// that the rest of the log brings it level.
pub(super) async fn copied_rows_reflect_the_records_below_their_pages_cursors(
    store: &Store,
    name: &str,
) {
    const BATCH: i64 = 3000;
    const BATCHES: i64 = 8;
    let from = View::create(store, name, counters()).await;
    let schema = from.generation.schema.clone();
    let key = |n: i64| RowKey::parse(&schema, &format!("k{n:05}")).unwrap();
    // By key: what each offset of partition 0 added.
    let log: Mutex<BTreeMap<RowKey, Vec<(i64, i64)>>> = Mutex::default();
    let write = async |claim, at: i64, keys: Vec<i64>| {
        let mut rows: Vec<RowDelta> = keys.iter().map(|n| add(&key(*n), at)).collect();
        rows.sort_by(|a, b| a.key().cmp(b.key()));
        rows.dedup_by(|a, b| a.key() == b.key());
        for row in &rows {
            let mut log = log.lock().unwrap();
            log.entry(row.key().clone()).or_default().push((at, at));
        }
        let moves = vec![from.movement(0, claim, (at, at + 1))];
        from.apply(moves, rows).await.unwrap();
    };
    let claim = from.claim(0).await;
    for batch in 0..BATCHES {
        let keys = (batch * BATCH..(batch + 1) * BATCH).collect();
        write(claim, START + batch, keys).await;
    }
    let to = next(&from, counters());
    let stopped = AtomicBool::new(false);
    let copying = async {
        copy(&from, &to).await;
        stopped.store(true, Ordering::Relaxed);
    };
    let writing = async {
        let mut at = START + BATCHES;
        while !stopped.load(Ordering::Relaxed) {
            // All over the table, and some new rows.
            let spread = (0..40).map(|n| (n * 617 + at * 31) % (BATCH * BATCHES + 500));
            write(claim, at, spread.collect()).await;
            at += 1;
            tokio::task::yield_now().await;
        }
        at
    };
    let ((), end) = futures_util::future::join(copying, writing).await;
    let pages = store.base_pages(&to.generation).await.unwrap().unwrap();
    let log = log.into_inner().unwrap();
    let partition = from.partition(0);
    let start = to.position(0).await;
    assert!(pages.end(&partition).unwrap().offset() <= end);
    assert_eq!(
        pages.0[0]
            .iter()
            .find(|(p, _)| *p == partition)
            .unwrap()
            .1
            .offset(),
        start
    );
    let keys: Vec<RowKey> = log.keys().cloned().collect();
    for chunk in keys.chunks(2000) {
        let copied = store.rows(&to.generation, chunk).await.unwrap();
        for (key, row) in chunk.iter().zip(copied) {
            let counted = row.as_ref().map_or(0, |row| match row.values[COUNT] {
                Value::Int(count) => count,
                _ => panic!("{key:?} holds no count"),
            });
            let begin = match &row {
                None => start,
                Some(row) => pages.position(row.page, &partition).unwrap().offset(),
            };
            let below = log[key].iter().filter(|(at, _)| *at < begin);
            let expected: i64 = below.map(|(_, amount)| amount).sum();
            assert_eq!(counted, expected, "{key:?} of {row:?}");
        }
    }
    from.remove().await;
    to.remove().await;
}

pub(super) async fn a_size_is_known_while_the_generation_is_there(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let g: &Generation = &view.generation;
    let rows = (0..500).map(|n| add(&view.key(&format!("k{n}")), 1));
    view.write(rows.collect()).await;
    if let Some((rows, bytes)) = store.size(g).await.unwrap() {
        assert!((250..=1000).contains(&rows), "about {rows} rows");
        assert!(bytes > 500, "{bytes} bytes");
    }
    assert_eq!(store.dependants(name).await.unwrap(), Vec::<String>::new());
    view.remove().await;
    assert_eq!(store.size(g).await.unwrap(), None);
}
