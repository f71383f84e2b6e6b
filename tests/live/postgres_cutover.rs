//! What is Postgres' own in a cutover: the control tables, the SQL view, and who waits for whom.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor, Row as _};
use uuid::Uuid;
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{Cell, ColumnType, RowDelta, RowKey, Schema};
use viewfold::store::control::Lease;
use viewfold::store::postgres::PostgresStore;
use viewfold::store::{
    Batch, Claimed, CutOver, CutOverOutcome, Generation, Move, Outcome, ViewStore,
};

use crate::postgres::Place;
use crate::store_contract::Stage;

/// The control tables of a database, written as the coordinator leaves them before it cuts over.
pub(crate) struct ControlTables(pub(crate) PgPool);

#[async_trait]
impl Stage for ControlTables {
    async fn allow(&self, cut: &CutOver) {
        for (generation, wanted) in [(&cut.from, false), (&cut.to, true)] {
            sqlx::query(
                "INSERT INTO viewfold.generations (projection, generation, build, definition, hash, wanted) \
                 VALUES ($1, $2, $3, '', '', $4) ON CONFLICT (projection, generation) \
                 DO UPDATE SET wanted = EXCLUDED.wanted, build = EXCLUDED.build",
            )
            .bind(&*generation.projection)
            .bind(generation.number as i32)
            .bind(generation.build)
            .bind(wanted)
            .execute(&self.0)
            .await
            .unwrap();
            sqlx::query(
                "INSERT INTO viewfold.generation_states (build, store, place, state) \
                 VALUES ($1, 'postgres', 1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(generation.build)
            .bind(if wanted { "building" } else { "live" })
            .execute(&self.0)
            .await
            .unwrap();
        }
        sqlx::query(
            "INSERT INTO viewfold.leases (name, holder, epoch, expires_at) \
             VALUES ($1, 'test', $2, now() + '1 hour') ON CONFLICT DO NOTHING",
        )
        .bind(&*cut.lease.name)
        .bind(cut.lease.epoch)
        .execute(&self.0)
        .await
        .unwrap();
    }
}

type Columns<'a> = &'a [(&'a str, ColumnType)];

/// Generations of the view `report`, with one partition, level with each other.
struct Bench {
    _place: Place,
    store: PostgresStore,
    sql: PgPool,
}

impl Bench {
    async fn new() -> Self {
        let (place, store) = Place::with_store().await;
        let sql = place.sql().await;
        Self {
            _place: place,
            store,
            sql,
        }
    }

    async fn generation(&self, number: u32, columns: Columns<'_>) -> Generation {
        let mut schema = Schema::builder("report");
        let mut any_key = false;
        for (name, ty) in columns {
            schema = match *name {
                "id" => schema.key(name, *ty),
                _ => schema.column(name, *ty),
            };
            any_key |= *name == "id";
        }
        assert!(any_key);
        let generation = Generation {
            projection: "report".into(),
            number,
            build: Uuid::new_v4(),
            schema: schema.build().unwrap(),
        };
        let starts = [(TopicPartition::new("orders", 0), Position::at(7))];
        self.store.create(&generation, &starts).await.unwrap();
        generation
    }

    async fn attempt(&self, from: &Generation, to: &Generation, intent: i64) -> CutOverOutcome {
        let cut = cut(from, to, intent);
        ControlTables(self.sql.clone()).allow(&cut).await;
        self.store.cut_over(&cut).await.unwrap()
    }

    async fn run(&self, sql: &str) {
        self.sql
            .execute(AssertSqlSafe(sql.to_owned()))
            .await
            .unwrap();
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&self.sql)
            .await
            .unwrap()
    }

    async fn columns(&self) -> String {
        let columns = self.texts(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = 'views.report'::regclass AND attnum > 0 ORDER BY attnum",
        );
        columns.await.join(", ")
    }
}

fn cut(from: &Generation, to: &Generation, intent: i64) -> CutOver {
    CutOver {
        from: from.clone(),
        to: to.clone(),
        intent,
        lease: Lease {
            name: "coordinator/report".into(),
            epoch: 1,
        },
        targets: Vec::new(),
    }
}

const BASE: Columns<'static> = &[
    ("id", ColumnType::Text),
    ("total", ColumnType::Bigint),
    ("note", ColumnType::Text),
];

#[tokio::test]
async fn the_states_change_with_the_pointer_or_not_at_all() {
    let bench = Bench::new().await;
    let first = bench.generation(1, BASE).await;
    let second = bench.generation(2, BASE).await;
    bench.store.publish(&first, 1).await.unwrap();
    let states = "SELECT s.state FROM viewfold.generation_states AS s \
        JOIN viewfold.generations AS g ON g.build = s.build ORDER BY g.generation";

    // Somebody else took the lease.
    let old = cut(&first, &second, 2);
    ControlTables(bench.sql.clone()).allow(&old).await;
    bench.run("UPDATE viewfold.leases SET epoch = 2").await;
    let outcome = bench.store.cut_over(&old).await.unwrap();
    assert!(
        matches!(outcome, CutOverOutcome::Overtaken(_)),
        "{outcome:?}"
    );
    let pointer = bench.store.pointer("report").await.unwrap().unwrap();
    assert_eq!((pointer.generation, pointer.intent), (Some(1), 1));
    assert_eq!(bench.texts(states).await, ["live", "building"]);

    bench.run("UPDATE viewfold.leases SET epoch = 1").await;
    assert_eq!(
        bench.attempt(&first, &second, 2).await,
        CutOverOutcome::Done
    );
    assert_eq!(bench.texts(states).await, ["standby", "live"]);
}

#[tokio::test]
async fn a_view_keeps_its_owner_rights_comments_and_options_whatever_its_columns_become() {
    let bench = Bench::new().await;
    let role = |name: &str| format!("viewfold_{name}_{}", Uuid::new_v4().simple());
    let (owner, reader, clerk) = (role("owner"), role("Reader"), role("clerk"));
    let mut before = bench.generation(1, BASE).await;
    bench.store.publish(&before, 1).await.unwrap();
    bench
        .run(&format!(
            "CREATE ROLE {owner}; CREATE ROLE \"{reader}\"; CREATE ROLE {clerk}; \
             GRANT USAGE, CREATE ON SCHEMA views TO {owner}; \
             GRANT USAGE ON SCHEMA views TO \"{reader}\", {clerk}; \
             ALTER VIEW views.report OWNER TO {owner}; \
             GRANT SELECT ON viewfold.report_g1 TO {owner}; \
             GRANT SELECT ON views.report TO \"{reader}\" WITH GRANT OPTION; \
             GRANT SELECT (id) ON views.report TO {clerk}; \
             ALTER VIEW views.report SET (security_barrier = true); \
             COMMENT ON VIEW views.report IS 'what''s \\ ordered'; \
             COMMENT ON COLUMN views.report.id IS 'the customer'; \
             ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT ALL ON TABLES TO {clerk}"
        ))
        .await;
    let kept = "SELECT format('%s %s %s', pg_get_userbyid(relowner), reloptions, \
            obj_description(oid, 'pg_class')) FROM pg_class WHERE oid = 'views.report'::regclass \
        UNION ALL SELECT format('%s %s %s %s', c.relname, pg_get_userbyid(r.grantee), \
            r.privilege_type, r.is_grantable) FROM pg_class AS c, aclexplode(c.relacl) AS r \
            WHERE c.oid = 'views.report'::regclass \
        UNION ALL SELECT format('%s %s %s %s', a.attname, pg_get_userbyid(r.grantee), \
            r.privilege_type, col_description(a.attrelid, a.attnum)) \
            FROM pg_attribute AS a, aclexplode(a.attacl) AS r \
            WHERE a.attrelid = 'views.report'::regclass ORDER BY 1";
    let expected = bench.texts(kept).await;
    assert!(expected.len() >= 3, "{expected:?}");
    let (id, total, note) = (BASE[0], BASE[1], BASE[2]);
    let retyped = ("total", ColumnType::Numeric);
    let shapes: [(&str, Columns<'_>); 6] = [
        ("added", &[id, total, note, ("more", ColumnType::Date)]),
        ("dropped", &[id, note]),
        ("reordered", &[note, id]),
        ("retyped", &[note, id, retyped]),
        ("back", BASE),
        ("same", BASE),
    ];
    for (number, (what, columns)) in (2..).zip(shapes) {
        let after = bench.generation(number, columns).await;
        let outcome = bench.attempt(&before, &after, number.into()).await;
        assert_eq!(outcome, CutOverOutcome::Done, "{what}");
        assert_eq!(bench.texts(kept).await, expected, "{what}");
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let shown = bench.columns().await;
        let shown: Vec<&str> = shown
            .split(", ")
            .map(|c| c.split(' ').next().unwrap())
            .collect();
        assert_eq!(shown, names, "{what}");
        let mut session = bench.sql.acquire().await.unwrap();
        for (role, sql) in [(&reader, "SELECT * FROM"), (&clerk, "SELECT id FROM")] {
            let sql = format!("SET ROLE \"{role}\"; {sql} views.report; RESET ROLE");
            session.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        before = after;
    }
    bench
        .run(&format!(
            "DROP OWNED BY {owner}, \"{reader}\", {clerk}; DROP ROLE {owner}, \"{reader}\", {clerk}"
        ))
        .await;
}

#[tokio::test]
async fn what_depends_on_the_view_is_named_and_never_dropped() {
    let bench = Bench::new().await;
    let first = bench.generation(1, BASE).await;
    bench.store.publish(&first, 1).await.unwrap();
    assert!(bench.store.dependants("report").await.unwrap().is_empty());
    bench
        .run(
            "CREATE VIEW views.monthly AS SELECT total FROM views.report; \
             CREATE MATERIALIZED VIEW views.kept AS SELECT id FROM views.report; \
             CREATE FUNCTION views.noted(r views.report) RETURNS text LANGUAGE sql AS 'SELECT r.note'; \
             CREATE RULE quiet AS ON INSERT TO views.report DO INSTEAD NOTHING",
        )
        .await;
    let names = bench.store.dependants("report").await.unwrap().join("; ");
    for wanted in ["views.monthly", "views.kept", "views.noted", "quiet"] {
        assert!(names.contains(wanted), "{wanted}: {names}");
    }
    let shorter = bench.generation(2, &[BASE[0], BASE[2]]).await;
    match bench.attempt(&first, &shorter, 2).await {
        CutOverOutcome::NotYet(why) => assert!(why.contains("views.monthly"), "{why}"),
        other => panic!("{other:?}"),
    }
    let fault = bench.store.publish(&shorter, 2).await.unwrap_err();
    assert!(fault.message.contains("views.kept"), "{fault}");
    assert!(bench.columns().await.contains("total"));
    // Columns that are only added are no one's business.
    let longer = [BASE[0], BASE[1], BASE[2], ("more", ColumnType::Date)];
    let longer = bench.generation(3, &longer).await;
    assert_eq!(
        bench.attempt(&first, &longer, 3).await,
        CutOverOutcome::Done
    );
    let fault = bench.store.remove(&longer).await.unwrap_err();
    assert!(fault.message.contains("views.monthly"), "{fault}");
    bench
        .run(
            "DROP VIEW views.monthly; DROP MATERIALIZED VIEW views.kept; \
             DROP FUNCTION views.noted; DROP RULE quiet ON views.report",
        )
        .await;
    assert_eq!(
        bench.attempt(&longer, &shorter, 4).await,
        CutOverOutcome::Done
    );
    assert!(!bench.columns().await.contains("total"));
    bench.store.remove(&shorter).await.unwrap();
    let left = bench.texts("SELECT viewname::text FROM pg_views WHERE schemaname = 'views'");
    assert!(left.await.is_empty());
}

/// Whoever queued behind a lock that is not given up would wait for the statement's limit of 3 s: a busy machine does
/// not make anybody wait as long as this.
const LONG: Duration = Duration::from_secs(2);

/// I7, I8: nobody waits long for a cutover that cannot be, and no reader ever fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_of_a_reader_postpones_the_cutover_and_holds_up_nobody() {
    let bench = Bench::new().await;
    let first = bench.generation(1, BASE).await;
    let second = bench.generation(2, &[BASE[0], BASE[2]]).await;
    bench.store.publish(&first, 1).await.unwrap();
    let mut long = bench.sql.begin().await.unwrap();
    long.execute("SELECT count(*) FROM views.report")
        .await
        .unwrap();

    let stopped = Arc::new(AtomicBool::new(false));
    let worst = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (sql, stopped, worst) = (bench.sql.clone(), stopped.clone(), worst.clone());
            tokio::spawn(async move {
                let mut reads = 0_u64;
                let mut session = sql.acquire().await.unwrap();
                while !stopped.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    session.execute("SELECT * FROM views.report").await.unwrap();
                    let micros = begun.elapsed().as_micros() as u64;
                    worst.fetch_max(micros, Ordering::Relaxed);
                    reads += 1;
                    tokio::task::yield_now().await;
                }
                reads
            })
        })
        .collect();
    for _ in 0..5 {
        let begun = Instant::now();
        let outcome = bench.attempt(&first, &second, 2).await;
        let CutOverOutcome::NotYet(why) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains("pid "), "{why}");
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }
    let waited = Duration::from_micros(worst.load(Ordering::Relaxed));
    assert!(waited < LONG, "a reader waited for {waited:?}");
    let pointer = bench.store.pointer("report").await.unwrap().unwrap();
    assert_eq!((pointer.generation, pointer.intent), (Some(1), 1));
    long.rollback().await.unwrap();
    while bench.attempt(&first, &second, 2).await != CutOverOutcome::Done {}
    stopped.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(bench.columns().await, "id text, note text");
}

/// I7: a batch that meets a cutover waits for it, and is applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_both_go_on_through_many_cutovers_and_positions_never_go_back() {
    let bench = Bench::new().await;
    let first = bench.generation(1, BASE).await;
    let second = bench.generation(2, BASE).await;
    bench.store.publish(&first, 1).await.unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = [&first, &second]
        .map(|generation| {
            let (store, stopped) = (bench.store.clone(), stopped.clone());
            let generation = generation.clone();
            tokio::spawn(async move {
                let cursor = store.cursors(&generation).await.unwrap().unwrap().remove(0);
                let claim = Uuid::new_v4();
                let claimed = store.claim(&generation, &cursor, claim).await.unwrap();
                assert_eq!(claimed, Claimed::Ours(cursor.position));
                let mut at = cursor.position.offset();
                while !stopped.load(Ordering::Relaxed) {
                    let key = RowKey::parse(&generation.schema, "a").unwrap();
                    let total = Cell::Replace(at.into());
                    let batch = Batch {
                        moves: vec![Move {
                            partition: cursor.partition.clone(),
                            claim,
                            from: Position::at(at),
                            to: Position::at(at + 1),
                            newest_micros: None,
                        }],
                        rows: vec![RowDelta::Upsert(key, vec![(1, total)])],
                    };
                    let applied = store.apply(&generation, &batch).await.unwrap();
                    assert_eq!(applied, Outcome::Applied);
                    at += 1;
                }
            })
        })
        .into();
    let reading = {
        let (sql, stopped) = (bench.sql.clone(), stopped.clone());
        tokio::spawn(async move {
            let mut newest = 0_i64;
            while !stopped.load(Ordering::Relaxed) {
                let row = sql
                    .fetch_optional("SELECT total FROM views.report")
                    .await
                    .unwrap();
                let seen = row.map_or(0, |row| row.get::<i64, _>(0));
                assert!(seen >= newest, "the view went back from {newest} to {seen}");
                newest = seen;
            }
            newest
        })
    };
    let (mut from, mut to, mut intent) = (&first, &second, 2);
    let deadline = Instant::now() + Duration::from_secs(30);
    while intent < 12 {
        assert!(
            Instant::now() < deadline,
            "only {} cutovers in time",
            intent - 2
        );
        if bench.attempt(from, to, intent).await == CutOverOutcome::Done {
            (from, to, intent) = (to, from, intent + 1);
        }
    }
    stopped.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(reading.await.unwrap() > 0);
}

/// An attempt to copy that sleeps while another one begins anew adds nothing to it.
#[tokio::test]
async fn a_copy_that_was_begun_anew_takes_nothing_from_the_older_attempt() {
    let bench = Bench::new().await;
    let from = bench.generation(1, BASE).await;
    bench
        .run(
            "INSERT INTO viewfold.report_g1 (id, total) SELECT 'k' || n, n \
             FROM generate_series(1, 25000) AS n",
        )
        .await;
    let to = Generation {
        number: 2,
        build: Uuid::new_v4(),
        ..from.clone()
    };
    let (store, none) = (&bench.store, |_: u64| {});
    // Leftovers of an attempt that died.
    bench
        .run(
            "CREATE TABLE viewfold.report_g2 (id text); \
             INSERT INTO viewfold.base_pages SELECT gen_random_uuid(), 1, 'orders', 0, 3",
        )
        .await;
    let both = futures_util::future::join(
        store.create_from(&from, &to, &[], &none),
        store.create_from(&from, &to, &[], &none),
    );
    let (a, b) = both.await;
    assert!(a.is_ok() || b.is_ok(), "{a:?} {b:?}");
    store.create_from(&from, &to, &[], &none).await.unwrap();
    let rows = "SELECT count(*)::text || ' ' || max(_page)::text FROM viewfold.report_g2";
    assert_eq!(bench.texts(rows).await, ["25000 3"]);
    let pages = store.base_pages(&to).await.unwrap().unwrap();
    assert_eq!(pages.0.len(), 3);
    let (rows, bytes) = store.size(&to).await.unwrap().unwrap();
    assert!(
        (20_000..30_000).contains(&rows) && bytes > 100_000,
        "{rows} {bytes}"
    );

    // What an unfinished copy left goes with it.
    let unborn = Generation {
        number: 3,
        build: Uuid::new_v4(),
        ..from.clone()
    };
    bench.run("CREATE TABLE viewfold.report_g3 (id text)").await;
    store.remove(&unborn).await.unwrap();
    let left = "SELECT tablename::text FROM pg_tables WHERE tablename LIKE 'report%' ORDER BY 1";
    assert_eq!(bench.texts(left).await, ["report_g1", "report_g2"]);
}
