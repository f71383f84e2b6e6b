//! The Redis store against a real server, named by `VIEWFOLD_TEST_REDIS`.
#![cfg(test)]

mod generations;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;
use viewfold::fault::{Fault, FaultKind};
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{
    Cell, Column, ColumnType, Decimal, Delta, Family, Latest, Row, RowDelta, RowKey, Schema, Value,
};
use viewfold::store::redis::{RedisStore, Settings};
use viewfold::store::{Batch, Claimed, Cursor, Generation, Move, Outcome, Verdict, ViewStore};

fn url() -> String {
    std::env::var("VIEWFOLD_TEST_REDIS")
        .expect("VIEWFOLD_TEST_REDIS must name a Redis server, as redis://host:port")
}

/// A view of its own under a prefix of its own.
struct Bench {
    prefix: String,
    store: RedisStore,
    generation: Generation,
    raw: redis::aio::MultiplexedConnection,
}

/// A server that a test may spoil: its own process, behind a socket file.
struct Server {
    process: std::process::Child,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Self::run(folder.path());
        let server = Self { process, folder };
        let client = redis::Client::open(server.url("")).unwrap();
        while client.get_multiplexed_async_connection().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    fn run(folder: &std::path::Path) -> std::process::Child {
        let program = std::env::var("VIEWFOLD_TEST_REDIS_SERVER");
        std::process::Command::new(program.as_deref().unwrap_or("redis-server"))
            .args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"])
            .args(["--logfile", "redis.log"])
            .current_dir(folder)
            .spawn()
            .expect("redis-server must be installed")
    }

    /// `login` is empty, or `?user=…&pass=…`.
    fn url(&self, login: &str) -> String {
        let path = self.folder.path().join("redis.sock");
        format!("redis+unix://{}{login}", path.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn settings(prefix: &str) -> Settings {
    settings_at(url(), prefix)
}

fn settings_at(url: String, prefix: &str) -> Settings {
    Settings {
        url: url.into(),
        prefix: prefix.to_owned(),
    }
}

fn column(name: &str, ty: ColumnType, family: Family, default: Option<&str>) -> Column {
    Column {
        name: name.into(),
        ty,
        default: default.map_or(Value::Null, |text| Value::parse(ty, text).unwrap()),
        index: false,
        family,
    }
}

/// A view with the key `id` and these columns.
fn schema(columns: Vec<Column>) -> Arc<Schema> {
    let mut all = vec![column("id", ColumnType::Text, Family::Assign, None)];
    all.extend(columns);
    Arc::new(Schema {
        name: "view".into(),
        columns: all,
        key: vec![0],
    })
}

impl Bench {
    async fn new(columns: Vec<Column>) -> Self {
        Self::of(schema(columns)).await
    }

    async fn of(schema: Arc<Schema>) -> Self {
        Self::at(url(), schema).await
    }

    async fn at(url: String, schema: Arc<Schema>) -> Self {
        let prefix = format!("live-{}", Uuid::new_v4().simple());
        let generation = Generation {
            projection: "view".into(),
            number: 1,
            build: Uuid::new_v4(),
            schema,
        };
        let store = RedisStore::connect(&settings_at(url.clone(), &prefix)).unwrap();
        let client = redis::Client::open(url).unwrap();
        let patient =
            redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        let raw = client.get_multiplexed_async_connection_with_config(&patient);
        let raw = raw.await.unwrap();
        Self {
            prefix,
            store,
            generation,
            raw,
        }
    }

    /// The same view, created with one partition that `owner` claimed.
    async fn owned(columns: Vec<Column>) -> (Self, Owner) {
        let bench = Self::new(columns).await;
        let owner = bench.start(0).await;
        (bench, owner)
    }

    async fn start(&self, partition: i32) -> Owner {
        let partition = TopicPartition::new("orders", partition);
        let starts = [(partition.clone(), Position::ZERO)];
        self.store.create(&self.generation, &starts).await.unwrap();
        self.store
            .add_cursor(&self.generation, &partition, Position::ZERO)
            .await
            .unwrap();
        let cursor = self.cursor(&partition).await;
        let claim = Uuid::new_v4();
        let claimed = self.store.claim(&self.generation, &cursor, claim).await;
        assert_eq!(claimed.unwrap(), Claimed::Ours(cursor.position));
        Owner {
            partition,
            claim,
            at: cursor.position.offset(),
        }
    }

    async fn cursor(&self, partition: &TopicPartition) -> Cursor {
        let cursors = self.store.cursors(&self.generation).await.unwrap().unwrap();
        let found = cursors.into_iter().find(|c| c.partition == *partition);
        found.expect("the partition has a cursor")
    }

    fn key(&self, text: &str) -> RowKey {
        RowKey::new(&self.generation.schema, vec![Value::Text(text.into())]).unwrap()
    }

    fn delta(&self, key: &str, cells: Vec<(usize, Cell)>) -> RowDelta {
        RowDelta::Upsert(self.key(key), cells)
    }

    async fn apply(&self, owner: &mut Owner, rows: Vec<RowDelta>) -> Result<Outcome, Fault> {
        let batch = Batch {
            moves: vec![owner.step()],
            rows,
        };
        let outcome = self.store.apply(&self.generation, &batch).await?;
        if outcome == Outcome::Applied {
            owner.at += 1;
        }
        Ok(outcome)
    }

    /// Applies as a lane does: an unknown outcome is resolved by asking again.
    async fn applied(&self, owner: &mut Owner, rows: Vec<RowDelta>) {
        loop {
            match self.apply(owner, rows.clone()).await {
                Err(fault) if fault.kind == FaultKind::Transient => {}
                outcome => break assert_eq!(outcome.unwrap(), Outcome::Applied),
            }
        }
    }

    async fn row(&self, key: &str) -> Option<Row> {
        let rows = self.store.rows(&self.generation, &[self.key(key)]).await;
        rows.unwrap().remove(0)
    }

    /// A field as users see it.
    async fn field(&self, key: &str, field: &str) -> Option<String> {
        let key = format!("{}:{{view}}:1:r:{key}", self.prefix);
        redis::cmd("HGET")
            .arg(key)
            .arg(field)
            .query_async(&mut self.raw.clone())
            .await
            .unwrap()
    }

    async fn raw<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut all = redis::cmd(command[0]);
        for argument in &command[1..] {
            all.arg(argument.replace("$", &format!("{}:{{view}}", self.prefix)));
        }
        all.query_async(&mut self.raw.clone()).await.unwrap()
    }

    /// Every key of this test, sorted, without its prefix.
    async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, found): (String, Vec<String>) = self
                .raw(&["SCAN", &cursor, "MATCH", "$*", "COUNT", "1000"])
                .await;
            let stem = format!("{}:{{view}}:", self.prefix);
            keys.extend(found.iter().map(|key| key.replace(&stem, "")));
            if next == "0" {
                break;
            }
            cursor = next;
        }
        keys.sort();
        keys.dedup();
        keys
    }

    async fn done(self) {
        for key in self.keys().await {
            let _: i64 = self.raw(&["DEL", &format!("$:{key}")]).await;
        }
    }
}

/// Who holds a claim, and where its cursor stands.
struct Owner {
    partition: TopicPartition,
    claim: Uuid,
    at: i64,
}

impl Owner {
    fn step(&self) -> Move {
        Move {
            partition: self.partition.clone(),
            claim: self.claim,
            from: Position::at(self.at),
            to: Position::at(self.at + 1),
            newest_micros: None,
        }
    }
}

fn add(text: &str) -> Cell {
    Cell::Op(Delta::Add(Decimal::parse(text).unwrap()))
}

fn latest(order: &str, value: &str) -> Latest {
    Latest {
        order: order.into(),
        value: Value::Text(value.into()),
    }
}

fn append(item: &str) -> Cell {
    Cell::Op(Delta::Append {
        items: vec![item.into()],
        keep: None,
    })
}

const SUM: Family = Family::Sum;

fn decimal(precision: u16, scale: u16) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

#[tokio::test]
async fn the_store_contract_holds() {
    let prefix = format!("live-{}", Uuid::new_v4().simple());
    let store = RedisStore::connect(&settings(&prefix)).unwrap();
    crate::store_contract::all(Arc::new(store)).await;
}

#[tokio::test]
async fn a_row_is_a_hash_that_holds_its_key_and_its_values_and_nothing_else() {
    let (bench, mut owner) = Bench::owned(vec![
        column("n", ColumnType::Bigint, SUM, Some("0")),
        column("spent", decimal(18, 2), SUM, Some("0.00")),
        column("status", ColumnType::Text, Family::Assign, None),
    ])
    .await;
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a b,c/ä", vec![(1, add("1"))])],
        )
        .await;
    let mut row: Vec<(String, String)> = bench.raw(&["HGETALL", "$:1:r:a%20b%2Cc%2F%C3%A4"]).await;
    row.sort();
    let expected = [("id", "a b,c/ä"), ("n", "1"), ("spent", "0.00")];
    assert_eq!(row, expected.map(|(f, v)| (f.to_owned(), v.to_owned())));
    let cursor: String = bench.raw(&["HGET", "$:1:cursors", "orders/0"]).await;
    assert_eq!(cursor, format!("1:{}", owner.claim));
    let build: String = bench.raw(&["HGET", "$:1:cursors", "build"]).await;
    assert_eq!(build, bench.generation.build.to_string());
    bench.done().await;
}

#[tokio::test]
async fn a_row_without_values_is_still_there() {
    let (bench, mut owner) = Bench::owned(vec![column(
        "status",
        ColumnType::Text,
        Family::Assign,
        None,
    )])
    .await;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![])])
        .await;
    assert_eq!(bench.row("a").await.unwrap().values[1], Value::Null);
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, Cell::Replace(Value::Text("x".into())))])],
        )
        .await;
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, Cell::Replace(Value::Null))])],
        )
        .await;
    assert_eq!(bench.field("a", "status").await, None);
    assert_eq!(bench.field("a", "id").await.as_deref(), Some("a"));
    bench
        .applied(&mut owner, vec![RowDelta::Delete(bench.key("a"))])
        .await;
    assert_eq!(bench.row("a").await, None);
    bench.done().await;
}

#[tokio::test]
async fn texts_of_every_character_come_back_as_they_were() {
    let (bench, mut owner) = Bench::owned(vec![
        column("text", ColumnType::Text, Family::Assign, None),
        column("list", ColumnType::TextArray, Family::Assign, None),
    ])
    .await;
    let mut all: String = (1..=0x2fff).filter_map(char::from_u32).collect();
    all.push_str("\r\n\"'\\%%{}[]\u{fffd}\u{10ffff}");
    let list = Value::TextArray(vec![all.as_str().into(), "".into(), "\"".into()]);
    let cells = vec![
        (1, Cell::Replace(Value::Text(all.as_str().into()))),
        (2, Cell::Replace(list.clone())),
    ];
    let key: String = all.chars().take(500).collect();
    bench
        .applied(&mut owner, vec![bench.delta(&key, cells)])
        .await;
    let row = bench.row(&key).await.unwrap();
    assert_eq!(
        row.values,
        [Value::Text(key.into()), Value::Text(all.into()), list]
    );
    bench.done().await;
}

#[tokio::test]
async fn empty_json_lists_and_objects_and_large_numbers_stay_what_they_are() {
    let (bench, mut owner) = Bench::owned(vec![
        column("list", ColumnType::Jsonb, Family::List, None),
        column("object", ColumnType::Jsonb, Family::Object, None),
    ])
    .await;
    let item = r#"{"a":[],"b":{},"n":123456789012345678901234567890.10}"#;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![(1, append(item))])])
        .await;
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, append("[]")), (2, put("k", Some("{}")))])],
        )
        .await;
    assert_eq!(
        bench.field("a", "list").await.unwrap(),
        format!("[{item},[]]")
    );
    assert_eq!(bench.field("a", "object").await.unwrap(), r#"{"k":{}}"#);
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(2, put("k", None))])],
        )
        .await;
    assert_eq!(bench.field("a", "object").await, None);
    bench.done().await;
}

fn put(key: &str, value: Option<&str>) -> Cell {
    Cell::Op(Delta::Object(
        [(key.into(), value.map(Box::from))].into_iter().collect(),
    ))
}

#[tokio::test]
async fn sums_are_exact_beyond_doubles_and_never_minus_zero() {
    let (bench, mut owner) = Bench::owned(vec![
        column("big", ColumnType::Bigint, SUM, None),
        column("money", decimal(18, 2), SUM, None),
        column("long", decimal(60, 30), SUM, None),
        column("free", ColumnType::Numeric, SUM, None),
    ])
    .await;
    let long = "123456789012345678901234567890.123456789012345678901234567891";
    let steps = [
        (
            ["9007199254740993", "0.10", long, "0.1"],
            ["9007199254740993", "0.10", long, "0.1"],
        ),
        (
            [
                "2",
                "0.20",
                "0.000000000000000000000000000009",
                "99999999999999999999.9",
            ],
            [
                "9007199254740995",
                "0.30",
                "123456789012345678901234567890.123456789012345678901234567900",
                "100000000000000000000",
            ],
        ),
        (
            [
                "-9007199254740996",
                "-0.31",
                "-123456789012345678901234567891",
                "-100000000000000000000.5",
            ],
            ["-1", "-0.01", "-0.876543210987654321098765432100", "-0.5"],
        ),
        (
            ["1", "0.01", "0.8765432109876543210987654321", "0.5"],
            ["0", "0.00", "0.000000000000000000000000000000", "0"],
        ),
    ];
    for (amounts, sums) in steps {
        let cells = amounts
            .iter()
            .enumerate()
            .map(|(i, text)| (i + 1, add(text)));
        bench
            .applied(&mut owner, vec![bench.delta("a", cells.collect())])
            .await;
        for (name, sum) in ["big", "money", "long", "free"].iter().zip(sums) {
            assert_eq!(bench.field("a", name).await.as_deref(), Some(sum), "{name}");
        }
    }
    bench.done().await;
}

#[tokio::test]
async fn a_million_cents_are_ten_thousand() {
    let (bench, mut owner) = Bench::owned(vec![column("spent", decimal(18, 2), SUM, None)]).await;
    let keys: Vec<String> = (0..500).map(|i| format!("customer {i}")).collect();
    for _ in 0..200 {
        let rows = keys.iter();
        let rows = rows.map(|key| bench.delta(key, vec![(1, add("0.10"))]));
        bench.applied(&mut owner, rows.collect()).await;
    }
    let keys: Vec<RowKey> = keys.iter().map(|key| bench.key(key)).collect();
    let rows = bench.store.rows(&bench.generation, &keys).await.unwrap();
    let twenty = Value::parse(decimal(18, 2), "20.00").unwrap();
    assert_eq!(rows.len(), 500);
    assert!(
        rows.iter()
            .all(|row| row.as_ref().unwrap().values[1] == twenty)
    );
    bench.done().await;
}

#[tokio::test]
async fn a_sum_that_does_not_fit_refuses_the_whole_batch_and_names_its_column() {
    let cases = [
        (ColumnType::Smallint, "32767", "1"),
        (ColumnType::Smallint, "-32768", "-1"),
        (ColumnType::Integer, "2147483647", "1"),
        (ColumnType::Bigint, "9223372036854775807", "1"),
        (ColumnType::Bigint, "-9223372036854775808", "-1"),
        (ColumnType::Bigint, "1", "0.5"),
        (decimal(4, 2), "99.99", "0.01"),
        (decimal(4, 2), "-99.99", "-0.01"),
        (decimal(4, 2), "1.00", "0.005"),
        (decimal(30, 2), "9999999999999999999999999999.99", "0.01"),
        (decimal(2, 2), "0.99", "0.01"),
    ];
    for (ty, stored, amount) in cases {
        let (bench, mut owner) = Bench::owned(vec![column("total", ty, SUM, None)]).await;
        bench
            .applied(&mut owner, vec![bench.delta("b", vec![(1, add(stored))])])
            .await;
        let before = bench.keys().await;
        let rows = ["a", "b", "c"].map(|key| bench.delta(key, vec![(1, add(amount))]));
        let batch = if ty == ColumnType::Bigint && amount == "0.5" || amount == "0.005" {
            rows[1..2].to_vec()
        } else {
            rows.to_vec()
        };
        let fault = bench.apply(&mut owner, batch).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Poison, "{ty} {fault}");
        assert!(fault.message.contains("total"), "{fault}");
        assert_eq!(bench.keys().await, before, "{ty}");
        assert_eq!(bench.field("b", "total").await.as_deref(), Some(stored));
        assert_eq!(
            bench.cursor(&owner.partition).await.position,
            Position::at(1)
        );
        bench.done().await;
    }
}

#[tokio::test]
async fn greatest_and_least_compare_by_type_and_not_by_text() {
    let cases: [(ColumnType, &[&str]); 9] = [
        (
            ColumnType::Bigint,
            &[
                "-9007199254740993",
                "-9007199254740992",
                "-10",
                "-9",
                "9",
                "10",
                "9007199254740993",
                "9007199254740994",
            ],
        ),
        (
            ColumnType::Numeric,
            &[
                "-100.5",
                "-100",
                "-0.5",
                "0",
                "0.05",
                "0.5",
                "10",
                "100000000000000000000.1",
                "100000000000000000000.11",
            ],
        ),
        (
            decimal(20, 2),
            &[
                "-10.00",
                "-9.00",
                "0.00",
                "9.00",
                "10.00",
                "123456789012345678.00",
            ],
        ),
        (
            ColumnType::Double,
            &["-1e300", "-2.5", "0", "1e-7", "2.5", "10", "1e300"],
        ),
        (
            ColumnType::Timestamptz,
            &[
                "0001-01-01T00:00:00Z",
                "2026-11-21T06:00:00Z",
                "2026-11-21T06:00:00.000001Z",
                "2026-11-21T06:00:00.45Z",
                "2026-11-21T06:00:00.5Z",
                "2026-11-21T06:00:01Z",
            ],
        ),
        (
            ColumnType::Date,
            &["0001-01-01", "2026-11-21", "2026-11-22", "9999-12-31"],
        ),
        (
            ColumnType::Text,
            &[
                "",
                "B",
                "Ba",
                "a",
                "a b",
                "ab",
                "b",
                "é",
                "\u{ffff}",
                "\u{10000}",
            ],
        ),
        (ColumnType::Boolean, &["false", "true"]),
        (
            ColumnType::Uuid,
            &[
                "00000000-0000-0000-0000-00000000000a",
                "00000000-0000-0000-0000-0000000000f0",
                "f0000000-0000-0000-0000-000000000000",
            ],
        ),
    ];
    for (ty, sorted) in cases {
        let (bench, mut owner) = Bench::owned(vec![
            column("most", ty, Family::Greatest, None),
            column("least", ty, Family::Least, None),
        ])
        .await;
        let pairs = (0..sorted.len()).flat_map(|a| (0..sorted.len()).map(move |b| (a, b)));
        for (a, b) in pairs {
            let key = format!("{a}-{b}");
            for text in [sorted[a], sorted[b]] {
                let value = Value::parse(ty, text).unwrap();
                let cells = vec![
                    (1, Cell::Op(Delta::Max(value.clone()))),
                    (2, Cell::Op(Delta::Min(value))),
                ];
                bench
                    .applied(&mut owner, vec![bench.delta(&key, cells)])
                    .await;
            }
            let most = Value::parse(ty, sorted[a.max(b)]).unwrap();
            let least = Value::parse(ty, sorted[a.min(b)]).unwrap();
            let row = bench.row(&key).await.unwrap();
            assert_eq!(
                row.values[1..],
                [most, least],
                "{ty} {} {}",
                sorted[a],
                sorted[b]
            );
        }
        bench.done().await;
    }
}

#[tokio::test]
async fn the_latest_value_wins_in_any_order_and_the_later_arrival_wins_a_tie() {
    let (bench, mut owner) = Bench::owned(vec![column(
        "status",
        ColumnType::Text,
        Family::Latest,
        Some("new"),
    )])
    .await;
    let cell = |order: &str, value: &str| Cell::Op(Delta::Latest(latest(order, value)));
    let status = async |bench: &Bench| bench.field("a", "status").await;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![])])
        .await;
    assert_eq!(status(&bench).await.as_deref(), Some("new"));
    for (order, value, expected) in [
        ("05 e", "five", "five"),
        ("04 z", "four", "five"),
        ("05 e", "again", "again"),
        ("05 f", "other id", "other id"),
        ("05 e", "lost", "other id"),
        ("06", "six", "six"),
    ] {
        bench
            .applied(
                &mut owner,
                vec![bench.delta("a", vec![(1, cell(order, value))])],
            )
            .await;
        assert_eq!(status(&bench).await.as_deref(), Some(expected));
    }
    let order = bench.row("a").await.unwrap().orders[1].clone();
    assert_eq!(order.as_deref(), Some("06"));
    // A replaced value forgets its order, a deleted row all of them.
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, Cell::Replace(Value::Null))])],
        )
        .await;
    assert_eq!(status(&bench).await, None);
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, cell("01", "one"))])],
        )
        .await;
    assert_eq!(status(&bench).await.as_deref(), Some("one"));
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, Cell::ReplaceLatest(latest("00", "zero")))])],
        )
        .await;
    assert_eq!(status(&bench).await.as_deref(), Some("zero"));
    bench
        .applied(&mut owner, vec![RowDelta::Delete(bench.key("a"))])
        .await;
    assert_eq!(bench.keys().await, ["1:cursors", "1:meta"]);
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", vec![(1, cell("00", "first"))])],
        )
        .await;
    assert_eq!(status(&bench).await.as_deref(), Some("first"));
    bench.done().await;
}

#[tokio::test]
async fn set_once_takes_the_first_value_and_never_a_default() {
    let (bench, mut owner) = Bench::owned(vec![
        column("first", ColumnType::Text, Family::Assign, None),
        column("given", ColumnType::Text, Family::Assign, Some("default")),
    ])
    .await;
    let once = |text: &str| Cell::Op(Delta::SetOnce(Value::Text(text.into())));
    for text in ["a", "b"] {
        bench
            .applied(
                &mut owner,
                vec![bench.delta("k", vec![(1, once(text)), (2, once(text))])],
            )
            .await;
    }
    assert_eq!(bench.field("k", "first").await.as_deref(), Some("a"));
    assert_eq!(bench.field("k", "given").await.as_deref(), Some("default"));
    bench.done().await;
}

#[tokio::test]
async fn ops_on_a_row_that_is_not_there_start_from_the_defaults() {
    let (bench, mut owner) = Bench::owned(vec![
        column("n", ColumnType::Bigint, SUM, Some("100")),
        column("most", ColumnType::Bigint, Family::Greatest, Some("7")),
        column("list", ColumnType::Jsonb, Family::List, Some("[1]")),
        column("gone", ColumnType::Text, Family::Assign, Some("x")),
    ])
    .await;
    let plain = vec![
        (1, add("1")),
        (2, Cell::Op(Delta::Max(Value::Int(3)))),
        (4, Cell::Replace(Value::Null)),
    ];
    let mut with_list = plain.clone();
    with_list.insert(2, (3, append("2")));
    bench
        .applied(
            &mut owner,
            vec![bench.delta("a", plain), bench.delta("b", with_list)],
        )
        .await;
    for (key, list) in [("a", "[1]"), ("b", "[1,2]")] {
        assert_eq!(bench.field(key, "n").await.as_deref(), Some("101"));
        assert_eq!(bench.field(key, "most").await.as_deref(), Some("7"));
        assert_eq!(bench.field(key, "list").await.as_deref(), Some(list));
        assert_eq!(bench.field(key, "gone").await, None);
    }
    bench.done().await;
}

#[tokio::test]
async fn a_batch_is_applied_once_however_often_it_is_sent() {
    // I2
    let (bench, mut owner) = Bench::owned(vec![
        column("n", ColumnType::Bigint, SUM, None),
        column("list", ColumnType::Jsonb, Family::List, None),
    ])
    .await;
    for with_json in [false, true] {
        let mut cells = vec![(1, add("1"))];
        if with_json {
            cells.push((2, append("1")));
        }
        let batch = Batch {
            moves: vec![owner.step()],
            rows: vec![bench.delta("a", cells)],
        };
        for _ in 0..3 {
            let _: () = bench.raw(&["SCRIPT", "FLUSH"]).await;
            let outcome = bench.store.apply(&bench.generation, &batch).await.unwrap();
            assert_eq!(outcome, Outcome::Applied);
        }
        owner.at += 1;
    }
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("2"));
    assert_eq!(bench.field("a", "list").await.as_deref(), Some("[1]"));
    bench.done().await;
}

#[tokio::test]
async fn a_stale_owner_changes_nothing() {
    // I5
    let (bench, mut old) = Bench::owned(vec![
        column("n", ColumnType::Bigint, SUM, None),
        column("list", ColumnType::Jsonb, Family::List, None),
    ])
    .await;
    bench
        .applied(&mut old, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    let mut new = bench.start(0).await;
    let before = bench.row("a").await;
    for cells in [
        vec![(1, add("1"))],
        vec![(2, append("1"))],
        vec![(1, add("0.5"))],
    ] {
        let outcome = bench
            .apply(&mut old, vec![bench.delta("a", cells)])
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Refused(vec![Verdict::Fenced]));
    }
    let verdicts = bench
        .store
        .advance(&bench.generation, &[old.step()])
        .await
        .unwrap();
    assert_eq!(verdicts, [Verdict::Fenced]);
    assert_eq!(bench.row("a").await, before);
    bench
        .applied(&mut new, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    assert_eq!(bench.cursor(&new.partition).await.epoch, 2);
    bench.done().await;
}

#[tokio::test]
async fn unless_every_cursor_matches_nothing_moves() {
    let bench = Bench::new(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    let mut first = bench.start(0).await;
    let mut second = bench.start(1).await;
    bench.applied(&mut first, vec![]).await;
    bench.applied(&mut second, vec![]).await;
    let (mut behind, mut moved) = (first.step(), second.step());
    behind.from = Position::at(5);
    behind.to = Position::at(6);
    moved.from = Position::ZERO;
    moved.to = Position::ZERO;
    let batch = Batch {
        moves: vec![behind, moved],
        rows: vec![bench.delta("a", vec![(1, add("1"))])],
    };
    let outcome = bench.store.apply(&bench.generation, &batch).await.unwrap();
    let at = Position::at(1);
    let expected = vec![Verdict::Behind(at), Verdict::Moved(at)];
    assert_eq!(outcome, Outcome::Refused(expected));
    assert_eq!(bench.row("a").await, None);
    bench.done().await;
}

#[tokio::test]
async fn a_generation_that_vanished_is_gone_and_nothing_but_creation_brings_it_back() {
    let (bench, mut owner) = Bench::owned(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    bench.store.publish(&bench.generation, 3).await.unwrap();
    // Only its identity is lost: the rows stay behind.
    let _: i64 = bench.raw(&["DEL", "$:1:cursors"]).await;
    let gone = Outcome::Refused(vec![Verdict::Gone]);
    let outcome = bench
        .apply(&mut owner, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    assert_eq!(outcome.unwrap(), gone);
    let generation = &bench.generation;
    let verdicts = bench
        .store
        .advance(generation, &[owner.step()])
        .await
        .unwrap();
    assert_eq!(verdicts, [Verdict::Gone]);
    assert_eq!(bench.store.cursors(generation).await.unwrap(), None);
    let read = Cursor {
        partition: owner.partition.clone(),
        position: Position::ZERO,
        claim: None,
        epoch: 0,
        newest_micros: None,
    };
    let claimed = bench
        .store
        .claim(generation, &read, Uuid::new_v4())
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Gone);
    let partition = &owner.partition;
    assert!(
        !bench
            .store
            .add_cursor(generation, partition, Position::ZERO)
            .await
            .unwrap()
    );
    let refused = bench.store.publish(generation, 4).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Transient);
    let schemas = |_: u32| Some(generation.clone());
    let read = bench
        .store
        .point_read("view", &bench.key("a"), &schemas)
        .await;
    assert_eq!(read.unwrap(), None);
    // Filled again from the start, it is not published and holds none of the old rows.
    let mut owner = bench.start(0).await;
    assert_eq!(bench.keys().await, ["1:cursors", "1:meta", "intent"]);
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("1"));
    bench.store.publish(&bench.generation, 3).await.unwrap();
    let live: String = bench.raw(&["GET", "$:live"]).await;
    assert_eq!(live, "1");
    bench.done().await;
}

#[tokio::test]
async fn another_build_under_the_same_number_is_refused_everywhere() {
    let (bench, owner) = Bench::owned(vec![]).await;
    let other = Generation {
        build: Uuid::new_v4(),
        ..bench.generation.clone()
    };
    let fault = bench.store.create(&other, &[]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert_eq!(bench.store.cursors(&other).await.unwrap(), None);
    let batch = Batch {
        moves: vec![owner.step()],
        rows: vec![RowDelta::Delete(bench.key("a"))],
    };
    let outcome = bench.store.apply(&other, &batch).await.unwrap();
    assert_eq!(outcome, Outcome::Refused(vec![Verdict::Gone]));
    bench.store.remove(&other).await.unwrap();
    assert_eq!(
        bench.cursor(&owner.partition).await.claim,
        Some(owner.claim)
    );
    bench.done().await;
}

#[tokio::test]
async fn removing_takes_every_key_of_the_generation_and_no_other() {
    let (bench, mut owner) =
        Bench::owned(vec![column("s", ColumnType::Text, Family::Latest, None)]).await;
    let cells = vec![(1, Cell::Op(Delta::Latest(latest("1", "x"))))];
    let rows = (0..2500).map(|i| bench.delta(&format!("{i:04}"), cells.clone()));
    bench.applied(&mut owner, rows.collect()).await;
    let second = Generation {
        number: 11,
        build: Uuid::new_v4(),
        ..bench.generation.clone()
    };
    bench.store.create(&second, &[]).await.unwrap();
    bench.store.publish(&second, 1).await.unwrap();
    for _ in 0..2 {
        bench.store.remove(&bench.generation).await.unwrap();
        assert_eq!(
            bench.keys().await,
            ["11:cursors", "11:meta", "intent", "live"]
        );
    }
    bench.done().await;
}

#[tokio::test]
async fn pointer_intents_are_ordered() {
    let (bench, _) = Bench::owned(vec![]).await;
    let second = Generation {
        number: 2,
        build: Uuid::new_v4(),
        ..bench.generation.clone()
    };
    bench.store.create(&second, &[]).await.unwrap();
    for (generation, intent, live) in [
        (&bench.generation, 9, "1"),
        (&second, 8, "1"),
        (&second, 9, "1"),
        (&second, 10, "2"),
        (&bench.generation, 9, "2"),
        (&second, 10, "2"),
    ] {
        bench.store.publish(generation, intent).await.unwrap();
        let stored: String = bench.raw(&["GET", "$:live"]).await;
        assert_eq!(stored, live, "intent {intent}");
    }
    bench.done().await;
}

#[tokio::test]
async fn a_point_read_shows_row_and_cursors_of_one_instant() {
    // I12
    let (bench, mut owner) = Bench::owned(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    let generation = bench.generation.clone();
    let schemas = |number: u32| (number == 1).then(|| generation.clone());
    let key = bench.key("a");
    let read = async || {
        bench
            .store
            .point_read("view", &key, &schemas)
            .await
            .unwrap()
    };
    assert_eq!(read().await, None);
    bench.store.publish(&bench.generation, 1).await.unwrap();
    assert_eq!(read().await.unwrap().row, None);
    let store = RedisStore::connect(&settings(&bench.prefix)).unwrap();
    let writer = async {
        for _ in 0..300 {
            let batch = Batch {
                moves: vec![Move {
                    newest_micros: Some(1_790_000_000_000_000 + owner.at),
                    ..owner.step()
                }],
                rows: vec![bench.delta("a", vec![(1, add("1"))])],
            };
            store.apply(&generation, &batch).await.unwrap();
            owner.at += 1;
        }
    };
    let reader = async {
        loop {
            let point = read().await.unwrap();
            let cursor = &point.cursors[0];
            let Some(row) = point.row else { continue };
            assert_eq!(row.values[1], Value::Int(cursor.position.offset()));
            assert_eq!(
                cursor.newest_micros,
                Some(1_790_000_000_000_000 + cursor.position.offset() - 1)
            );
            if cursor.position == Position::at(300) {
                break;
            }
        }
    };
    tokio::join!(writer, reader);
    bench.done().await;
}

#[tokio::test]
async fn cursors_advance_each_for_itself_and_the_newest_time_never_falls() {
    let bench = Bench::new(vec![]).await;
    let (first, second) = (bench.start(0).await, bench.start(1).await);
    let mut away = second.step();
    away.claim = Uuid::new_v4();
    let newer = Move {
        newest_micros: Some(20),
        ..first.step()
    };
    let verdicts = bench
        .store
        .advance(&bench.generation, &[newer, away])
        .await
        .unwrap();
    assert_eq!(verdicts, [Verdict::Applied, Verdict::Fenced]);
    let older = Move {
        from: Position::at(1),
        to: Position::at(7),
        newest_micros: Some(3),
        ..first.step()
    };
    for _ in 0..2 {
        let moves = [older.clone()];
        let verdicts = bench
            .store
            .advance(&bench.generation, &moves)
            .await
            .unwrap();
        assert_eq!(verdicts, [Verdict::Applied]);
    }
    let cursor = bench.cursor(&first.partition).await;
    assert_eq!(
        (cursor.position, cursor.newest_micros),
        (Position::at(7), Some(20))
    );
    assert_eq!(
        bench.cursor(&second.partition).await.position,
        Position::ZERO
    );
    bench.done().await;
}

#[tokio::test]
async fn lanes_that_append_to_one_row_lose_nothing() {
    // I2: compare and write, under contention.
    let bench = Bench::new(vec![
        column("list", ColumnType::Jsonb, Family::List, None),
        column("n", ColumnType::Bigint, SUM, None),
    ])
    .await;
    let lane = async |mut owner: Owner| {
        let store = RedisStore::connect(&settings(&bench.prefix)).unwrap();
        for i in 0..50 {
            let item = format!("\"{}-{i}\"", owner.partition.partition);
            let batch = Batch {
                moves: vec![owner.step()],
                rows: vec![bench.delta("a", vec![(1, append(&item)), (2, add("1"))])],
            };
            // Six that never rest may keep one of them waiting for longer than it asks again by itself.
            let outcome = loop {
                match store.apply(&bench.generation, &batch).await {
                    Err(fault) if fault.kind == FaultKind::Transient => continue,
                    outcome => break outcome.unwrap(),
                }
            };
            assert_eq!(outcome, Outcome::Applied);
            owner.at += 1;
        }
    };
    let mut lanes = Vec::new();
    for partition in 0..6 {
        lanes.push(lane(bench.start(partition).await));
    }
    futures_util::future::join_all(lanes).await;
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("300"));
    let list: Vec<String> = serde_json::from_str(&bench.field("a", "list").await.unwrap()).unwrap();
    for partition in 0..6 {
        let mine = list
            .iter()
            .filter(|item| item.starts_with(&partition.to_string()));
        let expected = (0..50).map(|i| format!("{partition}-{i}"));
        assert!(mine.cloned().eq(expected), "in the order of the partition");
    }
    bench.done().await;
}

#[tokio::test]
async fn a_handler_that_reads_rows_is_folded_again_when_somebody_changed_them() {
    let (bench, owner) =
        Bench::owned(vec![column("n", ColumnType::Bigint, Family::Assign, None)]).await;
    let mut rival = bench.start(1).await;
    let set = |n: i64| vec![(1, Cell::Replace(Value::Int(n)))];
    bench
        .applied(
            &mut rival,
            vec![bench.delta("a", set(10)), bench.delta("b", set(1))],
        )
        .await;
    let folds = AtomicUsize::new(0);
    // Doubles `a`, and looks at `b` and `c`; somebody changes what it only looked at.
    let fold = |rows: &[(RowKey, Option<Row>)]| {
        let first = folds.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            let mut connection = redis::Client::open(url())
                .unwrap()
                .get_connection()
                .unwrap();
            let key = format!("{}:{{view}}:1:r:b", bench.prefix);
            let _: i64 = redis::cmd("HSET")
                .arg(key)
                .arg("n")
                .arg("2")
                .query(&mut connection)
                .unwrap();
        }
        let number = |at: usize| match rows[at].1.as_ref().map(|row| &row.values[1]) {
            Some(Value::Int(n)) => *n,
            _ => 0,
        };
        let sum = number(0) * 2 + number(1) + number(2);
        Ok(vec![RowDelta::Upsert(rows[0].0.clone(), set(sum))])
    };
    let keys = ["a", "b", "c"].map(|key| bench.key(key));
    let moves = [owner.step()];
    for _ in 0..2 {
        let outcome = bench
            .store
            .apply_reading(&bench.generation, &moves, &keys, &fold)
            .await;
        assert_eq!(outcome.unwrap(), Outcome::Applied);
    }
    assert_eq!(
        folds.load(Ordering::SeqCst),
        2,
        "not folded again once it is applied"
    );
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("22"));
    assert_eq!(bench.row("c").await, None);
    let fault = bench
        .store
        .apply_reading(
            &bench.generation,
            &[Owner { at: 1, ..owner }.step()],
            &keys,
            &|_| Err(Fault::poison("no")),
        )
        .await;
    assert_eq!(fault.unwrap_err(), Fault::poison("no"));
    bench.done().await;
}

#[tokio::test]
async fn a_key_of_another_type_stops_the_batch_before_anything_is_written() {
    for (key, kind, with_json) in [
        ("$:1:r:b", "row", false),
        ("$:1:r:b", "row", true),
        ("$:1:o:b", "latest orders", false),
        ("$:1:meta", "meta", false),
        ("$:1:cursors", "cursors", false),
    ] {
        let (bench, mut owner) = Bench::owned(vec![
            column("s", ColumnType::Text, Family::Latest, None),
            column("list", ColumnType::Jsonb, Family::List, None),
        ])
        .await;
        bench
            .applied(&mut owner, vec![bench.delta("b", vec![])])
            .await;
        let _: i64 = bench.raw(&["DEL", key]).await;
        let _: () = bench.raw(&["SET", key, "x"]).await;
        let before = bench.keys().await;
        let mut cells = vec![(1, Cell::Op(Delta::Latest(latest("1", "x"))))];
        if with_json {
            cells.push((2, append("1")));
        }
        let rows = ["a", "b"].map(|key| bench.delta(key, cells.clone()));
        let fault = bench.apply(&mut owner, rows.to_vec()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
        assert!(fault.message.contains(kind), "{fault}");
        assert_eq!(bench.keys().await, before);
        bench.done().await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_transient_and_the_store_comes_back_by_itself() {
    let away = Settings {
        url: "redis://127.0.0.1:1".into(),
        prefix: "away".into(),
    };
    let store = RedisStore::connect(&away).unwrap();
    assert_eq!(store.ping().await.unwrap_err().kind, FaultKind::Transient);

    // A relay that can hold back everything that the server answers.
    let server: std::net::SocketAddr = {
        let client = redis::Client::open(url()).unwrap();
        match client.get_connection_info().addr() {
            redis::ConnectionAddr::Tcp(host, port) => {
                tokio::net::lookup_host((host.as_str(), *port))
                    .await
                    .unwrap()
                    .next()
                    .unwrap()
            }
            other => panic!("VIEWFOLD_TEST_REDIS must be plain TCP, not {other}"),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = Arc::new(tokio::sync::watch::channel(false).0);
    let relay = silent.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let upstream = tokio::net::TcpStream::connect(server).await.unwrap();
            let (mut client_in, mut client_out) = client.into_split();
            let (mut server_in, mut server_out) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut client_in, &mut server_out).await });
            let mut held = relay.subscribe();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = vec![0; 65536];
                while let Ok(n @ 1..) = server_in.read(&mut buffer).await {
                    held.wait_for(|silent| !silent).await.unwrap();
                    client_out.write_all(&buffer[..n]).await.unwrap();
                }
            });
        }
    });

    let (bench, mut owner) = Bench::owned(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    let relayed = RedisStore::connect(&Settings {
        url: format!("redis://127.0.0.1:{port}").into(),
        prefix: bench.prefix.clone(),
    })
    .unwrap();
    let batch = Batch {
        moves: vec![owner.step()],
        rows: vec![bench.delta("a", vec![(1, add("1"))])],
    };
    relayed.ping().await.unwrap();
    silent.send_replace(true);
    let asked = Instant::now();
    let fault = relayed.apply(&bench.generation, &batch).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    // It was carried out all the same, and asking again finds that out.
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("1"));
    silent.send_replace(false);
    let again = relayed.apply(&bench.generation, &batch).await.unwrap();
    assert_eq!(again, Outcome::Applied);
    assert_eq!(bench.field("a", "n").await.as_deref(), Some("1"));
    owner.at += 1;
    bench.done().await;
}

#[tokio::test]
async fn a_tls_address_without_tls_behind_it_is_a_fault_and_no_panic() {
    let plain = url();
    let address = plain.strip_prefix("redis://").unwrap();
    let store = RedisStore::connect(&Settings {
        url: format!("rediss://{address}").into(),
        prefix: "tls".into(),
    })
    .unwrap();
    assert_eq!(store.ping().await.unwrap_err().kind, FaultKind::Transient);
}

#[tokio::test]
async fn wide_views_and_many_partitions_fit_the_stack_of_a_script() {
    let wide: Vec<Column> = (0..5000)
        .map(|i| column(&format!("c{i}"), ColumnType::Bigint, SUM, Some("0")))
        .collect();
    let bench = Bench::new(wide).await;
    let starts: Vec<(TopicPartition, Position)> = (0..9000)
        .map(|i| (TopicPartition::new("t", i), Position::ZERO))
        .collect();
    bench
        .store
        .create(&bench.generation, &starts)
        .await
        .unwrap();
    let mut owner = bench.start(0).await;
    for _ in 0..2 {
        let cells = (1..=5000).map(|i| (i, add("1"))).collect();
        bench
            .applied(&mut owner, vec![bench.delta("a", cells)])
            .await;
    }
    let row = bench.row("a").await.unwrap();
    assert!(row.values[1..].iter().all(|value| *value == Value::Int(2)));
    let moves: Vec<Move> = starts
        .iter()
        .map(|(partition, _)| Move {
            partition: partition.clone(),
            ..owner.step()
        })
        .collect();
    let verdicts = bench
        .store
        .advance(&bench.generation, &moves)
        .await
        .unwrap();
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Fenced));
    bench.done().await;
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// A random value of a type.
fn value(dice: &mut Dice, ty: ColumnType) -> Value {
    let digits = |dice: &mut Dice, most: usize| -> String {
        let count = 1 + dice.roll(most);
        (0..count)
            .map(|_| char::from(b'0' + dice.roll(10) as u8))
            .collect()
    };
    let sign = *dice.pick(&["", "-"]);
    let text = match ty {
        ColumnType::Bigint => format!("{sign}{}", digits(dice, 17)),
        ColumnType::Decimal { precision, scale } => {
            let whole = usize::from(precision - scale) - 1;
            format!("{sign}{}.{:0>2}", digits(dice, whole), digits(dice, 2))
        }
        ColumnType::Numeric => format!("{sign}{}.{}", digits(dice, 30), digits(dice, 30)),
        ColumnType::Timestamptz => format!(
            "2026-11-2{}T06:00:0{}{}Z",
            dice.roll(2),
            dice.roll(3),
            dice.pick(&["", ".5", ".25", ".000001"])
        ),
        ColumnType::Double => format!("{sign}{}e{}", dice.roll(100), dice.roll(20)),
        _ => (*dice.pick(&["", "a", "B", "ä", "a b", "\u{ffff}", "\u{10000}"])).to_owned(),
    };
    Value::parse(ty, &text).unwrap()
}

/// A random cell of a column.
fn cell(dice: &mut Dice, column: &Column) -> Cell {
    let ty = column.ty;
    let maybe = |dice: &mut Dice| match dice.roll(3) {
        0 => Value::Null,
        _ => value(dice, ty),
    };
    let order = |dice: &mut Dice| format!("{:02} {}", dice.roll(8), dice.roll(3));
    match (column.family, dice.roll(4)) {
        (Family::Latest, 0) => Cell::Replace(maybe(dice)),
        (Family::Latest, 1) => Cell::ReplaceLatest(latest(&order(dice), "replaced")),
        (Family::Latest, _) => {
            let text = dice.roll(100).to_string();
            Cell::Op(Delta::Latest(latest(&order(dice), &text)))
        }
        (_, 0) if ty != ColumnType::Jsonb => Cell::Replace(maybe(dice)),
        (Family::Sum, _) => match value(dice, ty) {
            Value::Int(n) => Cell::Op(Delta::Add(Decimal::from(n))),
            Value::Numeric(n) => Cell::Op(Delta::Add(n)),
            other => panic!("{other:?} cannot be added"),
        },
        (Family::Greatest, _) => Cell::Op(Delta::Max(value(dice, ty))),
        (Family::Least, _) => Cell::Op(Delta::Min(value(dice, ty))),
        (Family::List, roll) => Cell::Op(Delta::Append {
            items: (0..roll).map(|i| i.to_string().into()).collect(),
            keep: Some(4),
        }),
        (Family::Object, roll) => {
            let names = ["a", "b"];
            put(names[dice.roll(2)], [None, Some("[]")][roll % 2])
        }
        (Family::Assign, _) => Cell::Op(Delta::SetOnce(value(dice, ty))),
    }
}

#[tokio::test]
async fn random_batches_give_the_rows_that_the_contract_of_deltas_gives() {
    let seed = std::env::var("VIEWFOLD_TEST_SEED").map_or_else(
        |_| Uuid::new_v4().as_u128() as u64 | 1,
        |text| text.parse().unwrap(),
    );
    println!("VIEWFOLD_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let (bench, mut owner) = Bench::owned(vec![
        column("n", ColumnType::Bigint, SUM, Some("5")),
        column("money", decimal(14, 2), SUM, None),
        column("free", ColumnType::Numeric, SUM, Some("-0.5")),
        column("long", decimal(40, 2), SUM, None),
        column("most", ColumnType::Timestamptz, Family::Greatest, None),
        column(
            "least",
            ColumnType::Timestamptz,
            Family::Least,
            Some("2026-11-20T06:00:01.3Z"),
        ),
        column("text", ColumnType::Text, Family::Greatest, None),
        column("wide", ColumnType::Numeric, Family::Least, None),
        column("double", ColumnType::Double, Family::Greatest, Some("0")),
        column("status", ColumnType::Text, Family::Latest, Some("none")),
        column("other", ColumnType::Text, Family::Latest, None),
        column("once", ColumnType::Text, Family::Assign, None),
        column("list", ColumnType::Jsonb, Family::List, Some("[0]")),
        column("object", ColumnType::Jsonb, Family::Object, None),
    ])
    .await;
    let schema = bench.generation.schema.clone();
    let names: Vec<String> = (0..12).map(|i| format!("k,{i}%")).collect();
    let mut model: Vec<Option<Row>> = vec![None; names.len()];
    for round in 0..400 {
        let mut rows = Vec::new();
        let mut after = model.clone();
        let json = dice.roll(2) == 0;
        for (name, row) in names.iter().zip(&mut after) {
            let delta = match dice.roll(10) {
                0..=3 => continue,
                4 => RowDelta::Delete(bench.key(name)),
                _ => {
                    let columns = schema.columns.iter().enumerate().skip(1);
                    let some = columns.filter(|(_, c)| json || c.ty != ColumnType::Jsonb);
                    let some: Vec<_> = some.filter(|_| dice.roll(2) == 0).collect();
                    let cells = some.into_iter().map(|(i, c)| (i, cell(&mut dice, c)));
                    RowDelta::Upsert(bench.key(name), cells.collect())
                }
            };
            // A sum that would not fit is left out: what it does is tested elsewhere.
            if let Ok(next) = viewfold::projection::apply(&schema, row.clone(), &delta) {
                *row = next;
                rows.push(delta);
            }
        }
        model = after;
        bench.applied(&mut owner, rows).await;
        let keys: Vec<RowKey> = names.iter().map(|name| bench.key(name)).collect();
        let stored = bench.store.rows(&bench.generation, &keys).await.unwrap();
        for ((name, stored), expected) in names.iter().zip(&stored).zip(&model) {
            assert_eq!(stored, expected, "row {name} in round {round}, seed {seed}");
        }
    }
    bench.done().await;
}

/// A batch that sets a row, takes a field from another and deletes a third.
fn every_kind_of_write(bench: &Bench) -> Vec<RowDelta> {
    vec![
        bench.delta("new", vec![(1, Cell::Op(Delta::Latest(latest("1", "x"))))]),
        bench.delta("old", vec![(1, Cell::Replace(Value::Null))]),
        RowDelta::Delete(bench.key("gone")),
    ]
}

#[tokio::test]
async fn a_server_that_refuses_writes_refuses_the_batch_before_its_first_write() {
    // I4: out of memory, a replica, and access rules that forbid one of the commands.
    let server = Server::start().await;
    let schema = schema(vec![column("s", ColumnType::Text, Family::Latest, None)]);
    let bench = Bench::at(server.url(""), schema).await;
    let mut owner = bench.start(0).await;
    let cells = vec![(1, Cell::Op(Delta::Latest(latest("1", "x"))))];
    let rows = ["old", "gone"].map(|key| bench.delta(key, cells.clone()));
    bench.applied(&mut owner, rows.to_vec()).await;
    let before = bench.keys().await;
    let unchanged = async |bench: &Bench| {
        assert_eq!(bench.keys().await, before);
        assert_eq!(bench.field("old", "s").await.as_deref(), Some("x"));
        assert_eq!(
            bench.cursor(&owner.partition).await.position,
            Position::at(1)
        );
    };

    for (refuse, allow) in [
        (
            vec!["CONFIG", "SET", "maxmemory", "1"],
            vec!["CONFIG", "SET", "maxmemory", "0"],
        ),
        (
            vec!["REPLICAOF", "127.0.0.1", "1"],
            vec!["REPLICAOF", "NO", "ONE"],
        ),
    ] {
        let _: () = bench.raw(&refuse).await;
        let batch = Batch {
            moves: vec![owner.step()],
            rows: every_kind_of_write(&bench),
        };
        let fault = bench
            .store
            .apply(&bench.generation, &batch)
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient, "{refuse:?} {fault}");
        let moves = [owner.step()];
        let fault = bench
            .store
            .advance(&bench.generation, &moves)
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient, "{refuse:?} {fault}");
        unchanged(&bench).await;
        let _: () = bench.raw(&allow).await;
    }

    for forbidden in ["-hset", "-hdel", "-unlink"] {
        let rules = [
            "ACL", "SETUSER", "small", "reset", "on", ">pw", "~*", "+@all", forbidden,
        ];
        let _: () = bench.raw(&rules).await;
        let settings = settings_at(server.url("?user=small&pass=pw"), &bench.prefix);
        let store = RedisStore::connect(&settings).unwrap();
        let batch = Batch {
            moves: vec![owner.step()],
            rows: every_kind_of_write(&bench),
        };
        let fault = store.apply(&bench.generation, &batch).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{forbidden} {fault}");
        unchanged(&bench).await;
    }
    let settings = settings_at(server.url("?user=small&pass=wrong"), &bench.prefix);
    let fault = RedisStore::connect(&settings)
        .unwrap()
        .ping()
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    let rows = every_kind_of_write(&bench);
    bench.applied(&mut owner, rows).await;
}

#[tokio::test]
async fn a_store_finds_its_server_again_after_a_restart() {
    let mut server = Server::start().await;
    let bench = Bench::at(server.url(""), schema(vec![])).await;
    bench.start(0).await;
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    let fault = bench.store.cursors(&bench.generation).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    server.process = Server::run(server.folder.path());
    let asked = Instant::now();
    loop {
        match bench.store.cursors(&bench.generation).await {
            Ok(cursors) => break assert_eq!(cursors, None, "it has no persistence"),
            Err(fault) => assert_eq!(fault.kind, FaultKind::Transient, "{fault}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
