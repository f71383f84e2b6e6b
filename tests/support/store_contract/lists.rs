//! Lists: conditions, orders and pages, of stores that list.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use viewfold::projection::{Cell, ColumnType, Row, RowDelta, RowKey, Schema, Value};
use viewfold::query::ListQuery;
use viewfold::store::list::{Counting, LARGEST_PAGE, ListPage, Listed, OrderBy};

use super::{START, Store, View, add, counters};

/// Texts that mean something to parsers of SQL, of URLs, of patterns or of our own.
const HOSTILE: &[&str] = &[
    "",
    " ",
    ".",
    "..",
    "/",
    ",",
    "%",
    "_",
    "\\",
    "'",
    "''",
    "\"",
    "\";--",
    "';DROP TABLE x;--",
    "$1",
    "$$",
    ":x",
    "?",
    "{}",
    "{\"a\":1}",
    "E'\\''",
    "a b",
    "a%b",
    "a_b",
    "\u{1}",
    "\n",
    "null",
    "NULL",
    "ä",
    "Z",
    "a",
    "B",
    "\u{fffd}",
    "\u{1F600}",
    "\u{202e}abc",
];

fn things(name: &str) -> Arc<Schema> {
    let money = ColumnType::Decimal {
        precision: 18,
        scale: 2,
    };
    Schema::builder(name)
        .key("shop", ColumnType::Text)
        .key("day", ColumnType::Integer)
        .column("total", money)
        .column("note", ColumnType::Text)
        .column("open", ColumnType::Boolean)
        .column("at", ColumnType::Timestamptz)
        .column("on", ColumnType::Date)
        .column("rate", ColumnType::Double)
        .column("owner", ColumnType::Uuid)
        .column("extra", ColumnType::Jsonb)
        .column("tags", ColumnType::TextArray)
        .column("select", ColumnType::Smallint)
        .column("size", ColumnType::Numeric)
        .build()
        .unwrap()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Rows with nulls, ties and hostile texts in every place.
fn rows(schema: &Schema) -> Vec<(RowKey, Row)> {
    let parse = |ty, text: &str| Value::parse(ty, text).unwrap();
    let mut rows = Vec::new();
    for (at, word) in HOSTILE.iter().enumerate() {
        let number = at as i64;
        for day in 0..3_i64 {
            let key = vec![Value::Text((*word).into()), Value::Int(day - 1)];
            let mut values: Vec<Value> = key.clone();
            let maybe = |modulo: i64, value: Value| match (number + day) % modulo {
                0 => Value::Null,
                _ => value,
            };
            let cents = format!("{}.{:02}", number % 5 - 2, 25 * day);
            values.push(maybe(4, parse(schema.columns[2].ty, &cents)));
            values.push(maybe(
                5,
                Value::Text(HOSTILE[(at * 7 + 3) % HOSTILE.len()].into()),
            ));
            values.push(maybe(3, Value::Bool(number % 2 == 0)));
            values.push(maybe(6, Value::Time((number % 4) * 1_000_001 - 2_000_000)));
            values.push(maybe(2, Value::Date((number % 3) as i32 - 1)));
            values.push(maybe(7, Value::Double((number % 6 - 3) as f64 / 3.0)));
            values.push(maybe(
                5,
                Value::Uuid(uuid::Uuid::from_u128((number as u128 % 3) << 64)),
            ));
            values.push(maybe(
                3,
                parse(ColumnType::Jsonb, &format!("{{\"n\":{}}}", number % 3)),
            ));
            let tags = format!("[{}]", serde_json::to_string(word).unwrap());
            values.push(maybe(4, parse(ColumnType::TextArray, &tags)));
            values.push(maybe(3, Value::Int(number % 3)));
            values.push(maybe(
                4,
                parse(ColumnType::Numeric, &format!("{}e-{day}", number % 7)),
            ));
            let row = Row {
                orders: vec![None; values.len()],
                values,
                page: 0,
            };
            rows.push((RowKey::new(schema, key).unwrap(), row));
        }
    }
    rows
}

async fn filled(store: &Store, name: &str) -> (View, Vec<Row>) {
    let view = View::create(store, name, things(name)).await;
    let rows = rows(&view.generation.schema);
    let deltas = rows.iter().map(|(key, row)| {
        let cells = row.values.iter().enumerate().skip(2);
        let cells = cells.map(|(at, value)| (at, Cell::Replace(value.clone())));
        RowDelta::Upsert(key.clone(), cells.collect())
    });
    view.write(deltas.collect()).await;
    store.publish(&view.generation, 1).await.unwrap();
    (view, rows.into_iter().map(|(_, row)| row).collect())
}

/// A page as a request would get it.
async fn page(view: &View, query: &str, token: &str) -> (ListPage, String) {
    let mut query = ListQuery::parse(&format!("{query}&page_token={token}")).unwrap();
    query.count = Some(Counting::Exact);
    let bound = query.bind(&view.generation.schema).unwrap();
    let listed = view
        .store
        .list(&view.generation, &bound.read)
        .await
        .unwrap();
    let Listed::Page(page) = listed else {
        panic!("{query:?}: {listed:?}");
    };
    let token = page.next.as_deref().map(|last| bound.token(last).unwrap());
    (page, token.unwrap_or_default())
}

/// All rows, page by page.
async fn walk(view: &View, query: &str) -> Vec<Vec<Value>> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = page(view, query, &token).await;
        assert!(next.is_empty() || !page.rows.is_empty(), "{query}");
        all.extend(page.rows);
        if next.is_empty() {
            assert_eq!(page.count, Some(all.len() as u64), "{query}");
            return all;
        }
        token = next;
    }
}

/// The order of two rows as the contract says it, in words of its own.
fn ordered(order: &[OrderBy], a: &Row, b: &Row) -> Ordering {
    for by in order {
        let (a, b) = (&a.values[by.column], &b.values[by.column]);
        let order = match (a.is_null(), b.is_null()) {
            (false, false) if by.descending => b.compare(a),
            (false, false) => a.compare(b),
            (null, other) => null.cmp(&other),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// I8, I12: nulls last, mixed directions, ties by key; every row on one page.
pub(super) async fn every_order_pages_through_every_row_once(store: &Store, name: &str) {
    let (view, rows) = filled(store, name).await;
    let schema = view.generation.schema.clone();
    let one = schema
        .columns
        .iter()
        .filter(|column| column.ty != ColumnType::Jsonb);
    let one = one.filter(|column| column.ty != ColumnType::TextArray);
    let one = one.flat_map(|c| [format!("{}.asc", c.name), format!("{}.desc", c.name)]);
    let mixed = [
        "shop.desc,day.desc",
        "shop.desc,day",
        "day.desc",
        "total.desc,note",
        "note,total.desc,shop.desc",
        "open.desc,at,on.desc,rate",
        "on,open.desc",
        "select.desc,day.desc,shop.desc",
        "owner,size.desc",
    ];
    let orders: Vec<String> = one.chain(mixed.map(String::from)).collect();
    for order in orders {
        for limit in [1, 7, 104, 105, 1000] {
            if limit == 1 && order.contains('.') && !order.contains(',') && order.ends_with("asc") {
                continue; // One row per page is slow, and the others turn as many corners.
            }
            let query = format!("order={order}&limit={limit}");
            let read = ListQuery::parse(&query)
                .unwrap()
                .bind(&schema)
                .unwrap()
                .read;
            let mut expected = rows.clone();
            expected.sort_by(|a, b| ordered(&read.order, a, b));
            let expected: Vec<Vec<Value>> = expected.into_iter().map(|row| row.values).collect();
            assert_eq!(walk(&view, &query).await, expected, "{query}");
        }
    }
    view.remove().await;
}

/// Values are found by what they are, whatever they mean to a parser.
pub(super) async fn every_condition_finds_what_it_says(store: &Store, name: &str) {
    let (view, rows) = filled(store, name).await;
    let find = async |query: &str| walk(&view, query).await.len();
    let number =
        |holds: &dyn Fn(&[Value]) -> bool| rows.iter().filter(|row| holds(&row.values)).count();
    for word in HOSTILE {
        let is = |value: &Value| matches!(value, Value::Text(text) if &**text == *word);
        let text = encoded(word);
        assert_eq!(find(&format!("shop=eq.{text}")).await, 3, "{word:?}");
        assert_eq!(find(&format!("shop=neq.{text}")).await, rows.len() - 3);
        let quoted = word.replace('\\', "\\\\").replace('"', "\\\"");
        let list = encoded(&format!("(\"{quoted}\",\"nobody\")"));
        assert_eq!(
            find(&format!("shop=in.{list}&day=eq.0")).await,
            1,
            "{word:?}"
        );
        let noted = number(&|row| is(&row[3]));
        assert_eq!(find(&format!("note=eq.{text}")).await, noted, "{word:?}");
        let escaped: String = word
            .chars()
            .flat_map(|c| {
                matches!(c, '%' | '_' | '\\')
                    .then_some('\\')
                    .into_iter()
                    .chain([c])
            })
            .collect();
        let pattern = encoded(&escaped);
        assert_eq!(
            find(&format!("note=like.{pattern}")).await,
            noted,
            "{word:?}"
        );
        let within = number(&|row| matches!(&row[3], Value::Text(text) if text.contains(word)));
        assert_eq!(
            find(&format!("note=like.%25{pattern}%25")).await,
            within,
            "{word:?}"
        );
        let greater = number(&|row| matches!(&row[0], Value::Text(text) if **text > **word));
        assert_eq!(
            find(&format!("shop=gt.{text}")).await,
            greater,
            "bytewise: {word:?}"
        );
        let tags = encoded(&serde_json::to_string(&[word]).unwrap());
        let tagged = number(&|row| matches!(&row[10], Value::TextArray(all) if *all[0] == **word));
        assert_eq!(find(&format!("tags=eq.{tags}")).await, tagged, "{word:?}");
    }
    let null = |at: usize| number(&|row| row[at].is_null());
    for (at, column) in view.generation.schema.columns.iter().enumerate() {
        let name = &column.name;
        assert_eq!(
            find(&format!("col.{name}=is.null")).await,
            null(at),
            "{name}"
        );
        let known = rows.len() - null(at);
        assert_eq!(
            find(&format!("col.{name}=is.not_null")).await,
            known,
            "{name}"
        );
        // Each value, and what it compares with.
        let mut values: Vec<&Value> = rows.iter().map(|row| &row.values[at]).collect();
        values.retain(|value| !value.is_null());
        values.sort_by(|a, b| a.compare(b));
        values.dedup();
        let json = matches!(column.ty, ColumnType::Jsonb | ColumnType::TextArray);
        for value in values.iter().step_by(1 + values.len() / 4) {
            let text = encoded(&value.canonical().unwrap());
            type Holds = fn(Ordering) -> bool;
            let all: [(&str, Holds); 6] = [
                ("eq", Ordering::is_eq),
                ("neq", Ordering::is_ne),
                ("gt", Ordering::is_gt),
                ("gte", Ordering::is_ge),
                ("lt", Ordering::is_lt),
                ("lte", Ordering::is_le),
            ];
            for (operator, holds) in all.iter().take(if json { 2 } else { 6 }) {
                let right = number(&|row| !row[at].is_null() && holds(row[at].compare(value)));
                let query = format!("col.{name}={operator}.{text}");
                assert_eq!(find(&query).await, right, "{query} {value:?}");
            }
        }
    }
    let open = number(&|row| row[4] == Value::Bool(true));
    assert_eq!(find("open=is.true").await, open);
    assert_eq!(
        find("extra=eq.{\"n\":1.0}").await,
        find("extra=eq.{\"n\":1}").await
    );
    assert_eq!(find("size=eq.10e-1").await, find("size=eq.1").await);
    assert_eq!(
        find("shop=like.__").await,
        number(&|row| { matches!(&row[0], Value::Text(text) if text.chars().count() == 2) })
    );
    // Conditions and pages together, in an order that begins with a column that may be null.
    let found = walk(
        &view,
        "total=gt.-1&note=is.not_null&order=total.desc,note&limit=4",
    )
    .await;
    let both = number(&|row| {
        matches!(&row[2], Value::Numeric(total) if total > &viewfold::projection::Decimal::from(-1))
            && !row[3].is_null()
    });
    assert_eq!(found.len(), both);
    view.remove().await;
}

pub(super) async fn an_answer_has_the_columns_and_cursors_of_one_instant(
    store: &Store,
    name: &str,
) {
    let (view, rows) = filled(store, name).await;
    let (first, token) = page(&view, "select=day,select&limit=2&order=size.desc", "").await;
    assert_eq!(first.rows.len(), 2);
    assert!(
        first
            .rows
            .iter()
            .all(|row| row.len() == 2 && !row[0].is_null())
    );
    assert_eq!(first.cursors, view.cursors().await);
    assert_eq!(first.count, Some(rows.len() as u64));
    assert!(!token.is_empty());
    let mut estimated = ListQuery::parse("limit=1").unwrap();
    estimated.count = Some(Counting::Estimated);
    let read = estimated.bind(&view.generation.schema).unwrap().read;
    let listed = store.list(&view.generation, &read).await.unwrap();
    assert!(
        matches!(&listed, Listed::Page(page) if page.count.is_some()),
        "{listed:?}"
    );
    view.remove().await;
    let read = ListQuery::parse("")
        .unwrap()
        .bind(&view.generation.schema)
        .unwrap()
        .read;
    let listed = store.list(&view.generation, &read).await.unwrap();
    assert_eq!(listed, Listed::NotPublished);
}

/// I8: a list is of the generation that readers see, or says which one that is.
pub(super) async fn a_list_says_which_generation_readers_see(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let read = ListQuery::parse("")
        .unwrap()
        .bind(&view.generation.schema)
        .unwrap()
        .read;
    let list = async |of: &View| store.list(&of.generation, &read).await.unwrap();
    assert_eq!(list(&view).await, Listed::NotPublished);
    store.publish(&view.generation, 1).await.unwrap();
    assert!(matches!(list(&view).await, Listed::Page(_)));
    assert_eq!(list(&view.sibling(2)).await, Listed::Elsewhere(1));
    // Another build under the same number.
    assert_eq!(list(&view.sibling(1)).await, Listed::Elsewhere(1));
    view.remove().await;
}

/// I10: what a page takes does not depend on what rows hold.
pub(super) async fn a_page_of_large_rows_ends_early(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let note = Value::Text("x".repeat(LARGEST_PAGE / 4).into());
    for number in 0..12 {
        let key = view.key(&format!("k{number:02}"));
        let note = Cell::Replace(note.clone());
        view.write(vec![RowDelta::Upsert(key, vec![(super::NOTE, note)])])
            .await;
    }
    store.publish(&view.generation, 1).await.unwrap();
    for order in ["id", "count.desc", "id.desc"] {
        let (first, token) = page(&view, &format!("order={order}"), "").await;
        assert!(
            (4..12).contains(&first.rows.len()),
            "{order}: {}",
            first.rows.len()
        );
        assert!(!token.is_empty(), "{order}");
        let all = walk(&view, &format!("order={order}")).await;
        assert_eq!(all.len(), 12, "{order}");
        let all = walk(&view, &format!("order={order}&select=id")).await;
        assert_eq!(all.len(), 12, "{order}");
    }
    view.remove().await;
}

pub(super) async fn rows_that_stay_are_seen_once_while_others_come_and_go(
    store: &Store,
    name: &str,
) {
    let view = View::create(store, name, counters()).await;
    let stays: Vec<RowKey> = (0..120).map(|n| view.key(&format!("k{n:03}"))).collect();
    view.write(stays.iter().map(|key| add(key, 1)).collect())
        .await;
    store.publish(&view.generation, 1).await.unwrap();
    for order in ["id", "id.desc"] {
        let stopped = AtomicBool::new(false);
        let walking = async {
            let (mut seen, mut token) = (BTreeMap::<String, u32>::new(), String::new());
            loop {
                let (page, next) = page(&view, &format!("order={order}&limit=5"), &token).await;
                for row in &page.rows {
                    *seen
                        .entry(row[0].canonical().unwrap().into_owned())
                        .or_default() += 1;
                }
                tokio::task::yield_now().await;
                match next.is_empty() {
                    true => break stopped.store(true, Relaxed),
                    false => token = next,
                }
            }
            seen
        };
        let writing = async {
            let mut round = 0;
            while !stopped.load(Relaxed) {
                round = (round + 37) % 120;
                let comes = view.key(&format!("k{round:03}x"));
                let changes = add(&stays[round], 1);
                view.write(vec![add(&comes, 1), changes]).await;
                let goes = view.key(&format!("k{:03}x", (round + 60) % 120));
                view.write(vec![RowDelta::Delete(goes)]).await;
                tokio::task::yield_now().await;
            }
        };
        let (seen, ()) = futures_util::future::join(walking, writing).await;
        for key in &stays {
            assert_eq!(seen.get(key.text()), Some(&1), "{order} {key:?}");
        }
        assert!(seen.values().all(|times| *times == 1), "{order}");
    }
    assert!(view.position(0).await > START);
    view.remove().await;
}
