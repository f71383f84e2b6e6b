//! The Postgres store and the control tables, against a real server.
//!
//! `VIEWFOLD_TEST_POSTGRES` is the URL of a database as a superuser. Every test creates a
//! database of its own beside it, and drops it in the end.
#![cfg(test)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};
use uuid::Uuid;
use viewfold::fault::{Fault, FaultKind};
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{
    Cell, ColumnType, Decimal, Delta, RowDelta, RowKey, Schema, StoreKind, Value,
};
use viewfold::store::control::{
    Answered, BuildOptions, Control, Decision, NewGeneration, Order, State, TopicRecord,
};
use viewfold::store::memory::MemoryStore;
use viewfold::store::postgres::{PostgresControl, PostgresStore, Settings};
use viewfold::store::{Batch, Claimed, Generation, Move, Outcome, Verdict, ViewStore};

use crate::control_contract::{self, ageless};
use crate::postgres_cutover::ControlTables;
use crate::store_contract;

/// A database of its own.
pub(crate) struct Place {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl Place {
    async fn new() -> Self {
        let base = std::env::var("VIEWFOLD_TEST_POSTGRES").expect(
            "VIEWFOLD_TEST_POSTGRES is not set: the URL of a Postgres database, as a superuser",
        );
        let server: PgConnectOptions = base.parse().expect("VIEWFOLD_TEST_POSTGRES is no URL");
        let name = format!("viewfold_test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect_with(&server)
            .await
            .expect("the server of VIEWFOLD_TEST_POSTGRES cannot be reached");
        admin
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .unwrap();
        let (before, query) = base.split_once('?').unwrap_or((&base, ""));
        let (before, _) = before.rsplit_once('/').unwrap();
        let url = format!("{before}/{name}?{query}");
        Self { server, name, url }
    }

    fn settings(&self) -> Settings {
        Settings::new(self.url.clone())
    }

    /// A migrated database and a store on it.
    pub(crate) async fn with_store() -> (Self, PostgresStore) {
        let place = Self::new().await;
        let store = PostgresStore::connect(&place.settings()).unwrap();
        store.control().migrate().await.unwrap();
        (place, store)
    }

    /// Sessions that are not viewfold's.
    pub(crate) async fn sql(&self) -> PgPool {
        PgPoolOptions::new().connect(&self.url).await.unwrap()
    }

    /// One session under the name `application`.
    async fn session(&self, application: &str) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let options = options.application_name(application);
        PgConnection::connect_with(&options).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect_with(&server).await.unwrap();
                admin.execute(AssertSqlSafe(sql)).await.unwrap();
            });
        });
        if dropped.join().is_err() {
            eprintln!("database {} was left behind", self.name);
        }
    }
}

const TOTAL: usize = 1;
const CENTS: usize = 2;

/// A whole and an exact sum per id, beside an indexed note.
fn totals() -> Arc<Schema> {
    let cents = ColumnType::Decimal {
        precision: 18,
        scale: 2,
    };
    Schema::builder("totals")
        .key("id", ColumnType::Bigint)
        .column("total", ColumnType::Bigint)
        .sum()
        .default_value(0)
        .column("cents", cents)
        .sum()
        .column("note", ColumnType::Text)
        .indexed()
        .build()
        .unwrap()
}

fn add(key: &RowKey, column: usize, amount: &str) -> RowDelta {
    let amount = Decimal::parse(amount).unwrap();
    RowDelta::Upsert(key.clone(), vec![(column, Cell::Op(Delta::Add(amount)))])
}

/// A generation of [`totals`] with `partitions` claimed partitions that begin at 0.
struct View {
    store: PostgresStore,
    generation: Generation,
    claims: Vec<Uuid>,
}

impl View {
    async fn new(store: &PostgresStore, partitions: i32) -> Self {
        let generation = Generation {
            projection: "order".into(),
            number: 1,
            build: Uuid::new_v4(),
            schema: totals(),
        };
        let at = |p| (TopicPartition::new("orders", p), Position::ZERO);
        let starts: Vec<_> = (0..partitions).map(at).collect();
        store.create(&generation, &starts).await.unwrap();
        let mut claims = Vec::new();
        for cursor in store.cursors(&generation).await.unwrap().unwrap() {
            let claim = Uuid::new_v4();
            let claimed = store.claim(&generation, &cursor, claim).await.unwrap();
            assert_eq!(claimed, Claimed::Ours(Position::ZERO));
            claims.push(claim);
        }
        Self {
            store: store.clone(),
            generation,
            claims,
        }
    }

    fn movement(&self, partition: i32, from: i64, to: i64) -> Move {
        Move {
            partition: TopicPartition::new("orders", partition),
            claim: self.claims[partition as usize],
            from: Position::at(from),
            to: Position::at(to),
            newest_micros: None,
        }
    }

    fn key(&self, id: i64) -> RowKey {
        RowKey::new(&self.generation.schema, vec![Value::Int(id)]).unwrap()
    }

    /// The keys of these ids, sorted as batches must be.
    fn keys(&self, ids: impl Iterator<Item = i64>) -> Vec<RowKey> {
        let mut keys: Vec<RowKey> = ids.map(|id| self.key(id)).collect();
        keys.sort();
        keys
    }

    async fn apply(&self, movement: Move, rows: Vec<RowDelta>) -> Result<Outcome, Fault> {
        let moves = vec![movement];
        let batch = Batch { moves, rows };
        self.store.apply(&self.generation, &batch).await
    }

    async fn text(&self, key: &RowKey, column: usize) -> Option<String> {
        let keys = std::slice::from_ref(key);
        let rows = self.store.rows(&self.generation, keys).await.unwrap();
        let value = &rows[0].as_ref()?.values[column];
        value.canonical().map(|text| text.into_owned())
    }

    async fn position(&self, partition: usize) -> i64 {
        let cursors = self.store.cursors(&self.generation).await.unwrap();
        cursors.unwrap()[partition].position.offset()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store_keeps_the_contract() {
    let (place, store) = Place::with_store().await;
    let stage = ControlTables(place.sql().await);
    store_contract::all_on(Arc::new(store), &stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_tables_in_postgres_keep_the_contract() {
    let (_place, store) = Place::with_store().await;
    control_contract::all(Arc::new(store.control())).await;
}

#[tokio::test]
async fn migrations_may_run_at_once_and_again() {
    let place = Place::new().await;
    let mut settings = place.settings();
    settings.schema = "my \"own\" schema".into();
    let instances: Vec<PostgresControl> = (0..4)
        .map(|_| PostgresControl::connect(&settings).unwrap())
        .collect();
    let migrated = futures_util::future::join_all(instances.iter().map(|i| i.migrate())).await;
    for result in migrated {
        result.unwrap();
    }
    instances[0].migrate().await.unwrap();

    let sql = place.sql().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1",
    )
    .bind(&settings.schema)
    .fetch_all(&sql)
    .await
    .unwrap();
    for wanted in [
        "generations",
        "cursors",
        "dead_letters",
        "parked_keys",
        "decisions",
        "intents",
        "leases",
        "instances",
        "audit",
        "changes",
    ] {
        assert!(tables.iter().any(|table| table == wanted), "{wanted}");
    }
    // A newer version was here.
    sqlx::query(
        "INSERT INTO \"my \"\"own\"\" schema\"._sqlx_migrations VALUES \
         (9999, 'from the future', now(), true, '\\x00', 1)",
    )
    .execute(&sql)
    .await
    .unwrap();
    instances[1].migrate().await.unwrap();
}

#[tokio::test]
async fn a_role_without_the_right_to_create_schemas_can_start_on_a_migrated_database() {
    let (place, _store) = Place::with_store().await;
    let sql = place.sql().await;
    let role = format!("viewfold_role_{}", Uuid::new_v4().simple());
    sql.execute(AssertSqlSafe(format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA viewfold, views TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA viewfold TO {role}"
    )))
    .await
    .unwrap();
    let mut url = place.url.clone();
    let (_, host) = place.url.split_once('@').unwrap();
    url.replace_range(.., &format!("postgres://{role}@{host}"));
    let result = PostgresControl::connect(&Settings::new(url))
        .unwrap()
        .migrate()
        .await;
    sql.execute(AssertSqlSafe(format!(
        "DROP OWNED BY {role}; DROP ROLE {role}"
    )))
    .await
    .unwrap();
    result.unwrap();
}

#[tokio::test]
async fn a_million_cents_are_ten_thousand_whole_ones() {
    const KEYS: i64 = 8000;
    const BATCHES: i64 = 125;
    let (_place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let keys = view.keys(0..KEYS);
    let rows: Vec<RowDelta> = keys.iter().map(|key| add(key, CENTS, "0.01")).collect();
    let start = Instant::now();
    for at in 0..BATCHES {
        let outcome = view.apply(view.movement(0, at, at + 1), rows.clone()).await;
        assert_eq!(outcome.unwrap(), Outcome::Applied);
    }
    let rate = (KEYS * BATCHES) as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} rows/s in batches of {KEYS}");
    for row in store.rows(&view.generation, &keys).await.unwrap() {
        let row = row.unwrap();
        assert_eq!(row.values[CENTS].canonical().unwrap(), "1.25");
    }
}

#[tokio::test]
async fn great_integers_keep_every_digit_and_overflow_names_no_value() {
    let (_place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let key = view.key(i64::MIN);
    let rows = vec![add(&key, TOTAL, "9007199254740993")];
    view.apply(view.movement(0, 0, 1), rows).await.unwrap();
    let rows = vec![add(&key, TOTAL, "9214364837600034813")];
    view.apply(view.movement(0, 1, 2), rows).await.unwrap();
    assert_eq!(view.text(&key, TOTAL).await.unwrap(), "9223372036854775806");

    let rows = vec![add(&key, TOTAL, "2")];
    let fault = view.apply(view.movement(0, 2, 3), rows).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Poison, "{fault}");
    assert!(!fault.message.contains("922337"), "{fault}");
    assert_eq!(view.position(0).await, 2);
    assert_eq!(view.text(&key, TOTAL).await.unwrap(), "9223372036854775806");
}

/// I2, I3: lanes that fold the same keys from other partitions, in other orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_write_the_same_rows_stay_exact_and_do_not_deadlock() {
    const BATCHES: i64 = 40;
    let (_place, store) = Place::with_store().await;
    let view = View::new(&store, 2).await;
    let lane = async |partition: i32| {
        for at in 0..BATCHES {
            // Windows that move towards each other; every third row goes and comes back.
            let from = if partition == 0 { at } else { BATCHES - at } * 5;
            let rows: Vec<RowDelta> = view
                .keys(from..from + 200)
                .into_iter()
                .map(|key| match (&key.parts()[0], at % 2) {
                    (Value::Int(id), 0) if id % 3 == 0 => RowDelta::Delete(key),
                    _ => add(&key, TOTAL, "1"),
                })
                .collect();
            let movement = view.movement(partition, at, at + 1);
            let outcome = view.apply(movement, rows).await.unwrap();
            assert_eq!(outcome, Outcome::Applied);
        }
    };
    let start = Instant::now();
    tokio::join!(lane(0), lane(1));
    println!("{:?}, {:?}", start.elapsed(), store.counts());
    assert_eq!(store.counts().deadlocks, 0);
    assert!(start.elapsed() < Duration::from_secs(20));
    for id in (0..400).filter(|id| id % 3 != 0) {
        let covers = |from: i64| (from..from + 200).contains(&id);
        let first = (0..BATCHES).filter(|at| covers(at * 5)).count();
        let second = (0..BATCHES).filter(|at| covers((BATCHES - at) * 5)).count();
        let expected = Some((first + second).to_string()).filter(|_| first + second > 0);
        assert_eq!(view.text(&view.key(id), TOTAL).await, expected, "{id}");
    }
}

/// I5: a stopped owner sits in its transaction and holds the cursor.
#[tokio::test]
async fn a_claim_ends_the_session_of_an_owner_that_sleeps_in_its_transaction() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let mut zombie = place.session("viewfold on another host").await;
    zombie.execute("BEGIN").await.unwrap();
    zombie
        .execute("UPDATE viewfold.cursors SET position = 77")
        .await
        .unwrap();

    let read = store.cursors(&view.generation).await.unwrap().unwrap();
    let claim = Uuid::new_v4();
    let start = Instant::now();
    let claimed = store
        .claim(&view.generation, &read[0], claim)
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Ours(Position::ZERO));
    assert!(
        start.elapsed() < Duration::from_millis(2500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(store.counts().terminated, 1);
    assert!(zombie.execute("COMMIT").await.is_err());
    assert_eq!(view.position(0).await, 0);

    // Whoever held the old claim is told so.
    let fenced = view.apply(view.movement(0, 0, 1), vec![]).await.unwrap();
    assert_eq!(fenced, Outcome::Refused(vec![Verdict::Fenced]));
    // The answer of a claim may be lost: it is asked again.
    let again = store
        .claim(&view.generation, &read[0], claim)
        .await
        .unwrap();
    assert_eq!(again, Claimed::Ours(Position::ZERO));
}

#[tokio::test]
async fn somebody_elses_session_is_waited_for_but_not_ended() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let key = view.key(1);
    view.apply(view.movement(0, 0, 1), vec![add(&key, TOTAL, "1")])
        .await
        .unwrap();
    let mut other = place.session("psql").await;
    other
        .execute("BEGIN; SELECT FROM viewfold.cursors FOR UPDATE; SELECT FROM viewfold.order_g1 FOR UPDATE")
        .await
        .unwrap();
    let read = store.cursors(&view.generation).await.unwrap().unwrap();
    let claim = store.claim(&view.generation, &read[0], Uuid::new_v4());
    let batch = view.apply(view.movement(0, 1, 2), vec![add(&key, TOTAL, "1")]);
    let start = Instant::now();
    let (claimed, applied) = tokio::join!(claim, batch);
    assert_eq!(claimed.unwrap_err().kind, FaultKind::Transient);
    assert_eq!(applied.unwrap_err().kind, FaultKind::Transient);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(store.counts().terminated, 0);

    other.execute("ROLLBACK").await.unwrap();
    let rows = vec![add(&key, TOTAL, "1")];
    let outcome = view.apply(view.movement(0, 1, 2), rows).await.unwrap();
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(view.text(&key, TOTAL).await.unwrap(), "2");
}

#[tokio::test]
async fn a_locked_cursor_is_skipped_while_others_advance() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 3).await;
    let mut lane = place.session("psql").await;
    lane.execute("BEGIN; SELECT FROM viewfold.cursors WHERE partition = 1 FOR UPDATE")
        .await
        .unwrap();
    let mut stale = view.movement(2, 0, 9);
    stale.claim = Uuid::new_v4();
    let moves = [view.movement(0, 0, 9), view.movement(1, 0, 9), stale];
    let start = Instant::now();
    let verdicts = store.advance(&view.generation, &moves).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    let expected = [Verdict::Applied, Verdict::NotApplied, Verdict::Fenced];
    assert_eq!(verdicts, expected);
}

/// I2, I4: connections are cut again and again; the same batch is sent until it has an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_resolved_by_asking_again() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let sql = place.sql().await;
    let keys = view.keys(0..300);
    let done = tokio::sync::Notify::new();
    let cutter = async {
        loop {
            tokio::select! {
                () = done.notified() => break,
                () = tokio::time::sleep(Duration::from_millis(15)) => {}
            }
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'viewfold'",
            )
            .execute(&sql)
            .await
            .unwrap();
        }
    };
    let writer = async {
        let mut lost = 0;
        for at in 0..100 {
            let rows: Vec<RowDelta> = keys.iter().map(|key| add(key, TOTAL, "1")).collect();
            loop {
                match view.apply(view.movement(0, at, at + 1), rows.clone()).await {
                    Ok(outcome) => break assert_eq!(outcome, Outcome::Applied),
                    Err(fault) => {
                        assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
                        lost += 1;
                    }
                }
            }
        }
        done.notify_one();
        lost
    };
    let ((), lost) = tokio::join!(cutter, writer);
    println!("{lost} answers were lost");
    assert!(lost > 0, "nothing was cut");
    for row in store.rows(&view.generation, &keys).await.unwrap() {
        assert_eq!(row.unwrap().values[TOTAL], Value::Int(100));
    }
}

#[tokio::test]
async fn a_cancelled_batch_leaves_nothing_behind() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    let key = view.key(1);
    let mut other = place.session("psql").await;
    other
        .execute("BEGIN; SELECT FROM viewfold.cursors FOR UPDATE")
        .await
        .unwrap();
    let batch = view.apply(view.movement(0, 0, 1), vec![add(&key, TOTAL, "1")]);
    let cut = tokio::time::timeout(Duration::from_millis(300), batch).await;
    assert!(cut.is_err());
    other.execute("ROLLBACK").await.unwrap();
    let rows = vec![add(&key, TOTAL, "1")];
    let outcome = view.apply(view.movement(0, 0, 1), rows).await.unwrap();
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(view.text(&key, TOTAL).await.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_is_away_is_transient_and_never_an_exit() {
    let settings = Settings::new("postgres://nobody:secret@127.0.0.1:9/nothing".to_owned());
    let store = PostgresStore::connect(&settings).unwrap();
    let fault = store.ping().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    assert!(!fault.message.contains("secret"), "{fault}");
    let fault = store.control().migrate().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    let broken = Settings::new("postgres://user:secret@:port/".to_owned());
    let fault = PostgresStore::connect(&broken).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(!fault.message.contains("secret"), "{fault}");
}

/// More shapes of batches than get statements of their own, judged by the store in memory (I9).
#[tokio::test]
async fn batches_of_any_shape_give_the_same_rows() {
    const COLUMNS: usize = 8;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut schema = Schema::builder("shapes").key("id", ColumnType::Integer);
    for column in 0..COLUMNS {
        let name = format!("c{column}");
        schema = match column % 4 {
            0 => schema.column(&name, ColumnType::Bigint).sum(),
            1 => schema.column(&name, ColumnType::Bigint).greatest(),
            2 => schema.column(&name, ColumnType::Jsonb).list(),
            _ => schema.column(&name, ColumnType::Bigint),
        };
    }
    let schema = schema.build().unwrap();
    let (_place, store) = Place::with_store().await;
    let memory = MemoryStore::new(StoreKind::Postgres);
    let generation = Generation {
        projection: "shapes".into(),
        number: 1,
        build: Uuid::new_v4(),
        schema: schema.clone(),
    };
    let partition = TopicPartition::new("t", 0);
    let claim = Uuid::new_v4();
    let stores: [&dyn ViewStore; 2] = [&store, &memory];
    for each in stores {
        let starts = [(partition.clone(), Position::ZERO)];
        each.create(&generation, &starts).await.unwrap();
        let read = each.cursors(&generation).await.unwrap().unwrap();
        each.claim(&generation, &read[0], claim).await.unwrap();
    }
    let key = |id: i64| RowKey::new(&schema, vec![Value::Int(id)]).unwrap();
    for at in 0..300 {
        let mut rows = Vec::new();
        for id in 0..6 {
            let mut cells = Vec::new();
            for column in 1..=COLUMNS {
                let number = random.random_range(-5..50);
                let op = match (column - 1) % 4 {
                    0 => Cell::Op(Delta::Add(Decimal::from(number))),
                    1 => Cell::Op(Delta::Max(Value::Int(number))),
                    2 => Cell::Op(Delta::Append {
                        items: vec![number.to_string().into()],
                        keep: Some(3),
                    }),
                    _ => Cell::Op(Delta::SetOnce(Value::Int(number))),
                };
                match random.random_range(0..4) {
                    0 => cells.push((column, op)),
                    1 => cells.push((column, Cell::Replace(Value::Null))),
                    _ => {}
                }
            }
            match random.random_range(0..8) {
                0 => rows.push(RowDelta::Delete(key(id))),
                1..4 => rows.push(RowDelta::Upsert(key(id), cells)),
                _ => {}
            }
        }
        let batch = Batch {
            moves: vec![Move {
                partition: partition.clone(),
                claim,
                from: Position::at(at),
                to: Position::at(at + 1),
                newest_micros: None,
            }],
            rows,
        };
        for each in stores {
            let outcome = each.apply(&generation, &batch).await.unwrap();
            assert_eq!(outcome, Outcome::Applied);
        }
        let keys: Vec<RowKey> = (0..6).map(key).collect();
        let stored = store.rows(&generation, &keys).await.unwrap();
        let expected = memory.rows(&generation, &keys).await.unwrap();
        assert_eq!(stored, expected, "seed {seed}, batch {at}: {batch:?}");
    }
}

/// I11: what the server cannot index is the fault of the event, not of the server.
#[tokio::test]
async fn a_key_that_is_too_long_is_poison() {
    let (_place, store) = Place::with_store().await;
    let schema = Schema::builder("long").key("id", ColumnType::Text);
    let generation = Generation {
        projection: "long".into(),
        number: 1,
        build: Uuid::new_v4(),
        schema: schema.build().unwrap(),
    };
    let partition = TopicPartition::new("t", 0);
    let starts = [(partition.clone(), Position::ZERO)];
    store.create(&generation, &starts).await.unwrap();
    let read = store.cursors(&generation).await.unwrap().unwrap();
    let claim = Uuid::new_v4();
    store.claim(&generation, &read[0], claim).await.unwrap();
    let text: String = (0..400).map(|_| Uuid::new_v4().to_string()).collect();
    let key = RowKey::new(&generation.schema, vec![text.as_str().into()]).unwrap();
    let batch = Batch {
        moves: vec![Move {
            partition,
            claim,
            from: Position::ZERO,
            to: Position::at(1),
            newest_micros: None,
        }],
        rows: vec![RowDelta::Upsert(key, vec![])],
    };
    let fault = store.apply(&generation, &batch).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Poison, "{fault}");
}

#[tokio::test]
async fn readers_see_the_declared_columns_and_no_created_phantoms() {
    let (place, store) = Place::with_store().await;
    let view = View::new(&store, 1).await;
    store.publish(&view.generation, 1).await.unwrap();
    let keys = view.keys(1..4);
    let nothing = |_: &[_]| Ok(vec![]);
    let moves = [view.movement(0, 0, 1)];
    let outcome = store
        .apply_reading(&view.generation, &moves, &keys, &nothing)
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Applied);
    let sql = place.sql().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM views.\"order\"")
        .fetch_one(&sql)
        .await
        .unwrap();
    assert_eq!(count, 0);
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns \
         WHERE table_schema = 'views' AND table_name = 'order' ORDER BY ordinal_position",
    )
    .fetch_all(&sql)
    .await
    .unwrap();
    assert_eq!(columns, ["id", "total", "cents", "note"]);
    let indexes: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_indexes WHERE schemaname = 'viewfold' AND tablename = 'order_g1'",
    )
    .fetch_one(&sql)
    .await
    .unwrap();
    assert_eq!(indexes, 2);
}

#[tokio::test]
async fn one_first_generation_comes_of_many_proposals() {
    let (_place, store) = Place::with_store().await;
    let control = store.control();
    let stores = [StoreKind::Redis, StoreKind::Postgres];
    let propose = |hash: &'static str| control.create_first("orders", &stores, "text", hash);
    let records = futures_util::future::join_all([propose("a"), propose("b"), propose("c")]).await;
    let records = records.into_iter().map(|record| record.unwrap().unwrap());
    let records = ageless(records.collect());
    let first = records[0].clone();
    assert_eq!(records, [first.clone(), first.clone(), first.clone()]);
    assert_eq!(first.number, 1);
    let live = [
        (StoreKind::Redis, State::Live),
        (StoreKind::Postgres, State::Live),
    ];
    assert_eq!(first.stores, live);
    assert_eq!(first.published, []);
    let found = ageless(control.generations().await.unwrap());
    assert_eq!(found, std::slice::from_ref(&first));

    for _ in 0..2 {
        let published = control.set_published(first.build, StoreKind::Postgres);
        published.await.unwrap();
        let found = control.generations().await.unwrap();
        assert_eq!(found[0].published, [StoreKind::Postgres]);
    }
}

#[tokio::test]
async fn what_is_remembered_first_stays() {
    let (place, store) = Place::with_store().await;
    let control = store.control();
    let build = Uuid::new_v4();
    let topic = |id: &str| TopicRecord {
        topic: "orders".into(),
        id: id.into(),
        starts: vec![(0, Position::at(7)), (1, Position::ZERO)],
    };
    assert_eq!(
        control.add_topic(build, &topic("1")).await.unwrap(),
        topic("1")
    );
    assert_eq!(
        control.add_topic(build, &topic("2")).await.unwrap(),
        topic("1")
    );
    assert_eq!(control.topics(build).await.unwrap(), [topic("1")]);

    assert_eq!(control.envelope("orders", "1").await.unwrap(), None);
    for proposal in ["plain", "cloudevents"] {
        let kept = control.remember_envelope("orders", "1", proposal).await;
        assert_eq!(kept.unwrap(), "plain");
    }
    let decision = Decision {
        projection: "p".into(),
        topic_id: "1".into(),
        record: "orders/0@118".parse().unwrap(),
    };
    assert!(control.decide(&decision, "broken", "ops").await.unwrap());
    assert!(!control.decide(&decision, "broken", "ops").await.unwrap());
    assert_eq!(control.decisions().await.unwrap(), [decision]);
    let audited: Vec<(String, String, String)> =
        sqlx::query_as("SELECT actor, reason, detail->>'record' FROM viewfold.audit")
            .fetch_all(&place.sql().await)
            .await
            .unwrap();
    assert_eq!(
        audited,
        [("ops".into(), "broken".into(), "orders/0@118".into())]
    );
}

#[tokio::test]
async fn reports_age_by_the_clock_of_the_database() {
    let (place, store) = Place::with_store().await;
    let control = store.control();
    let report = serde_json::json!({"tracks": [1, 12345678901234567890_u64]});
    control.report("host-1", &report).await.unwrap();
    control
        .report("host-2", &serde_json::Value::Null)
        .await
        .unwrap();
    place
        .sql()
        .await
        .execute(
            "UPDATE viewfold.instances SET at = at - interval '1 minute' WHERE instance = 'host-2'",
        )
        .await
        .unwrap();
    let reports = control.reports(30.0).await.unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(
        (&*reports[0].instance, &reports[0].report),
        ("host-1", &report)
    );
    assert!(reports[0].age_seconds < 30.0);
    assert_eq!(control.reports(3600.0).await.unwrap().len(), 2);
    control.forget("host-1").await.unwrap();
    assert_eq!(control.reports(30.0).await.unwrap(), []);
}

/// A first generation as the release before recorded it.
async fn record_as_before(sql: &PgPool, projection: &str) -> Uuid {
    let build = Uuid::new_v4();
    sqlx::query(
        "INSERT INTO viewfold.generations (projection, generation, build, definition, hash, intent) \
         VALUES ($1, 1, $2, 'text', 'hash', 1)",
    )
    .bind(projection)
    .bind(build)
    .execute(sql)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO viewfold.generation_states (build, store, place, state) \
         VALUES ($1, 'postgres', 1, 'live')",
    )
    .bind(build)
    .execute(sql)
    .await
    .unwrap();
    build
}

#[tokio::test]
async fn what_the_release_before_recorded_can_be_rebuilt() {
    let place = Place::new().await;
    let mut session = place.session("another migrator").await;
    session
        .execute("CREATE SCHEMA viewfold; SET search_path = viewfold")
        .await
        .unwrap();
    let migrator = sqlx::migrate!("./migrations");
    migrator
        .run_direct(Some(1), &mut session, false)
        .await
        .unwrap();
    let sql = place.sql().await;
    let early = record_as_before(&sql, "early").await;
    record_as_before(&sql, "over").await;
    sql.execute(
        "UPDATE viewfold.generation_states SET state = 'retired' WHERE build = \
         (SELECT build FROM viewfold.generations WHERE projection = 'over')",
    )
    .await
    .unwrap();

    let control = PostgresControl::connect(&place.settings()).unwrap();
    control.migrate().await.unwrap();
    // Instances of the release before may still run.
    let late = record_as_before(&sql, "late").await;
    let found = control.generations().await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|r| (&*r.projection, r.wanted, r.paused, r.actor.as_str()))
        .collect();
    let expected = [
        ("early", true, false, ""),
        ("late", true, false, ""),
        ("over", false, false, ""),
    ];
    assert_eq!(found, expected);
    for (projection, build) in [("early", early), ("late", late)] {
        let new = rebuild(projection);
        assert!(matches!(
            control.begin(&new).await.unwrap(),
            Answered::Done(record) if record.number == 2
        ));
        let promoted = control.order(projection, 1, Order::Promote { above: 0 }, "ops");
        assert!(matches!(
            promoted.await.unwrap(),
            Answered::Before(record) if record.build == build
        ));
    }
}

fn rebuild(projection: &str) -> NewGeneration {
    NewGeneration {
        projection: projection.into(),
        definition: "text 2".into(),
        hash: "hash 2".into(),
        stores: vec![StoreKind::Postgres],
        topics: Vec::new(),
        options: BuildOptions::default(),
        above: 0,
        idempotency_key: None,
        actor: "ops".into(),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_done_to_generations_is_audited() {
    let (place, store) = Place::with_store().await;
    let control = store.control();
    let stores = [StoreKind::Postgres];
    let first = control.create_first("p", &stores, "text", "hash 1").await;
    let first = first.unwrap().unwrap().build;
    let lease = control.lease("coordinator/p", "host-1", MINUTE).await;
    let lease = lease.unwrap().unwrap();
    let order = async |number, order| {
        let answered = control.order("p", number, order, "ops").await.unwrap();
        assert!(matches!(answered, Answered::Done(_)), "{answered:?}");
        // Repeating or refusing it leaves no trace.
        control.order("p", number, order, "ops").await.unwrap();
    };
    let begin = async || match control.begin(&rebuild("p")).await.unwrap() {
        Answered::Done(record) => record.build,
        other => panic!("{other:?}"),
    };
    begin().await;
    control.begin(&rebuild("p")).await.unwrap();
    order(2, Order::Pause).await;
    order(2, Order::Resume).await;
    order(2, Order::Cancel).await;
    let failed = begin().await;
    for _ in 0..2 {
        control
            .set_failed(&lease, failed, "why", None)
            .await
            .unwrap();
    }
    let build = begin().await;
    let found = serde_json::json!({});
    assert!(control.set_ready(&lease, build, &found).await.unwrap());
    order(4, Order::Promote { above: 6 }).await;
    assert!(control.withdraw(&lease, build, "late").await.unwrap());
    order(4, Order::Promote { above: 0 }).await;
    let live = control.set_live(&lease, build, StoreKind::Postgres).await;
    assert!(live.unwrap());
    for _ in 0..2 {
        control.retire(&lease, first).await.unwrap();
    }
    for _ in 0..2 {
        let also = ["hash 9".to_owned()];
        assert!(control.drop_projection("p", &also, "ops").await.unwrap());
    }
    for _ in 0..2 {
        control.undrop("p", "ops").await.unwrap();
    }
    let sql = place.sql().await;
    let audit: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT action, actor, reason FROM viewfold.audit WHERE projection = 'p' ORDER BY id",
    )
    .fetch_all(&sql)
    .await
    .unwrap();
    let audit: Vec<_> = audit
        .iter()
        .map(|(action, actor, reason)| (action.as_str(), actor.as_str(), reason.as_deref()))
        .collect();
    let expected = [
        ("rebuild", "ops", None),
        ("pause", "ops", None),
        ("resume", "ops", None),
        ("cancel", "ops", None),
        ("rebuild", "ops", None),
        ("fail", "viewfold", Some("why")),
        ("rebuild", "ops", None),
        ("promote", "ops", None),
        ("withdraw", "viewfold", Some("late")),
        ("promote", "ops", None),
        ("retire", "viewfold", None),
        ("drop", "ops", None),
        ("undrop", "ops", None),
    ];
    assert_eq!(audit, expected);
    let (hash, base, intent): (String, String, i64) = sqlx::query_as(
        "SELECT (SELECT detail->>'hash' FROM viewfold.audit WHERE action = 'rebuild' LIMIT 1), \
         (SELECT detail->'options'->>'base' FROM viewfold.audit WHERE action = 'rebuild' LIMIT 1), \
         (SELECT max((detail->>'intent')::bigint) FROM viewfold.audit WHERE action = 'promote')",
    )
    .fetch_one(&sql)
    .await
    .unwrap();
    // 7, then 8 for the live one when the cutover was given up.
    assert_eq!(
        (hash.as_str(), base.as_str(), intent),
        ("hash 2", "empty", 9)
    );
}

#[tokio::test]
async fn a_step_waits_for_whoever_takes_its_lease() {
    let (place, store) = Place::with_store().await;
    let control = store.control();
    let stores = [StoreKind::Postgres];
    control
        .create_first("p", &stores, "text", "hash")
        .await
        .unwrap();
    let Answered::Done(record) = control.begin(&rebuild("p")).await.unwrap() else {
        panic!("not begun");
    };
    let lease = control.lease("coordinator/p", "host-1", MINUTE).await;
    let lease = lease.unwrap().unwrap();
    let mut taker = place.session("somebody else").await;
    taker
        .execute("BEGIN; UPDATE viewfold.leases SET holder = 'host-2', epoch = epoch + 1")
        .await
        .unwrap();
    let late = tokio::spawn({
        let control = control.clone();
        async move { control.set_failed(&lease, record.build, "late", None).await }
    });
    // It is seen to wait before the lease changes hands.
    let waits = "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
                 WHERE NOT l.granted AND a.datname = current_database())";
    let sql = place.sql().await;
    while !sqlx::query_scalar::<_, bool>(waits)
        .fetch_one(&sql)
        .await
        .unwrap()
    {
        assert!(!late.is_finished(), "it did not wait: {:?}", late.await);
        tokio::task::yield_now().await;
    }
    taker.execute("COMMIT").await.unwrap();
    assert!(!late.await.unwrap().unwrap());
    let state = control.history("p").await.unwrap()[1].state(StoreKind::Postgres);
    assert_eq!(state, Some(State::Building));
}

/// One caller's part in `changes_at_once_neither_fail_nor_deadlock`: no answer is a fault.
async fn disturb(control: &PostgresControl, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let postgres = StoreKind::Postgres;
    for _ in 0..40 {
        let all = control.history("p").await.unwrap();
        let some = &all[random.random_range(0..all.len())];
        let newest = &all[all.len() - 1];
        let lease = control.lease("coordinator/p", "host-1", MINUTE).await;
        let lease = lease.unwrap().unwrap();
        let order = match random.random_range(0..9) {
            0 => Order::Pause,
            1 => Order::Resume,
            2 => Order::Cancel,
            3 | 4 => Order::Promote { above: 0 },
            5 => {
                control.begin(&rebuild("p")).await.unwrap();
                continue;
            }
            6 => {
                let found = serde_json::json!(null);
                control
                    .set_ready(&lease, newest.build, &found)
                    .await
                    .unwrap();
                continue;
            }
            7 => {
                control.retire(&lease, some.build).await.unwrap();
                control
                    .set_cleaned(&lease, some.build, postgres)
                    .await
                    .unwrap();
                continue;
            }
            _ => {
                for record in &all {
                    control
                        .set_live(&lease, record.build, postgres)
                        .await
                        .unwrap();
                }
                continue;
            }
        };
        control.order("p", some.number, order, "ops").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_once_neither_fail_nor_deadlock() {
    let (place, store) = Place::with_store().await;
    let control = store.control();
    let stores = [StoreKind::Postgres];
    control
        .create_first("p", &stores, "text", "hash")
        .await
        .unwrap();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let callers: Vec<_> = (0..6)
        .map(|n| {
            let control = PostgresControl::connect(&place.settings()).unwrap();
            tokio::spawn(async move { disturb(&control, seed.wrapping_add(n)).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let all = control.history("p").await.unwrap();
    let wanted: Vec<_> = all.iter().filter(|record| record.wanted).collect();
    assert_eq!(wanted.len(), 1, "{all:?}");
    let newest = all.iter().map(|record| record.intent).max();
    assert_eq!(Some(wanted[0].intent), newest, "{all:?}");
    let live = all.iter().filter(|record| record.is_anywhere(State::Live));
    assert_eq!(live.count(), 1, "{all:?}");
    let building = all
        .iter()
        .filter(|record| record.is_anywhere(State::Building));
    assert!(building.count() <= 1, "{all:?}");
}
