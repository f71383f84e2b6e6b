//! What a server takes from a plain loop over one connection that knows the batches beforehand:
//! no log, no positions, no claims, no decoding. Only the statements are timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::runtime::Runtime;

use super::events::{Event, Sums, account, id, money};
use super::{Case, Load, Servers};

/// Rows per statement in Postgres; viewfold takes at most 8,192.
const POSTGRES_ROWS: usize = 8_000;
/// Rows per script in Redis, as viewfold does.
const REDIS_ROWS: usize = 2_000;

/// The tables that viewfold makes for the projections beside this file, down to the hidden column.
const COUNTERS: &str = r#"CREATE TABLE ceiling ("account_id" text COLLATE "C" NOT NULL,
    "events" bigint DEFAULT '0'::bigint, "amount" numeric(18,2) DEFAULT '0'::numeric(18,2),
    "_ops" bytea, PRIMARY KEY ("account_id")) WITH (fillfactor = 70)"#;
const ROWS: &str = r#"CREATE TABLE ceiling ("event_id" text COLLATE "C" NOT NULL,
    "account_id" text COLLATE "C", "amount" numeric(18,2),
    "_ops" bytea, PRIMARY KEY ("event_id")) WITH (fillfactor = 70)"#;

const ADD: &str = r#"INSERT INTO ceiling AS t ("account_id", "events", "amount")
    SELECT s.a0::text, s.a1::bigint, s.a2::numeric(18,2)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS s(a0, a1, a2)
    ON CONFLICT ("account_id") DO UPDATE SET
    "events" = coalesce(t."events", 0) + EXCLUDED."events",
    "amount" = coalesce(t."amount", 0) + EXCLUDED."amount""#;
const PUT: &str = r#"INSERT INTO ceiling AS t ("event_id", "account_id", "amount")
    SELECT s.a0::text, s.a1::text, s.a2::numeric(18,2)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS s(a0, a1, a2)
    ON CONFLICT ("event_id") DO UPDATE SET
    "account_id" = EXCLUDED."account_id", "amount" = EXCLUDED."amount""#;

/// Counts on the server. The sum is known to the loop and only set: nothing is read.
const SCRIPT: &str = "for i = 1, #ARGV, 3 do
  local row = KEYS[1] .. ARGV[i]
  redis.call('HINCRBY', row, 'events', ARGV[i + 1])
  redis.call('HSET', row, 'account_id', ARGV[i], 'amount', ARGV[i + 2])
end";
const STEM: &str = "ceiling:{counters}:1:r:";

#[derive(Args)]
pub(crate) struct Ceiling {
    case: Case,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    load: Load,
}

/// What the loop has done so far.
#[derive(Default)]
struct Tally {
    batches: u64,
    events: u64,
    rows: u64,
    spent: Duration,
}

/// The three columns of a batch, each as the texts that the server casts.
type Columns = (Vec<String>, Vec<String>, Vec<String>);

impl Ceiling {
    pub(crate) fn run(&self, runtime: &Runtime) -> anyhow::Result<()> {
        let tally = match self.case {
            Case::PostgresCounters => runtime.block_on(self.counters()),
            Case::PostgresRows => runtime.block_on(self.rows()),
            Case::RedisCounters => self.redis(),
        }?;
        tally.print();
        Ok(())
    }

    async fn counters(&self) -> anyhow::Result<Tally> {
        let mut connection = self.postgres(COUNTERS).await?;
        let mut tally = Tally::default();
        for batch in self.load.folded(POSTGRES_ROWS) {
            let mut columns = Columns::default();
            for (key, sums) in batch.rows {
                columns.0.push(account(key));
                columns.1.push(sums.events.to_string());
                columns.2.push(money(sums.cents));
            }
            tally
                .statement(&mut connection, ADD, batch.events, columns)
                .await?;
        }
        finish(connection).await?;
        Ok(tally)
    }

    async fn rows(&self) -> anyhow::Result<Tally> {
        let mut connection = self.postgres(ROWS).await?;
        let mut tally = Tally::default();
        let mut stream = self.load.stream();
        loop {
            let mut batch: Vec<Event> = stream.by_ref().take(POSTGRES_ROWS).collect();
            if batch.is_empty() {
                break;
            }
            batch.sort_unstable_by_key(|event| event.id);
            let mut columns = Columns::default();
            for event in &batch {
                columns.0.push(id(event.id));
                columns.1.push(account(event.account));
                columns.2.push(money(event.cents));
            }
            let events = batch.len() as u64;
            tally
                .statement(&mut connection, PUT, events, columns)
                .await?;
        }
        finish(connection).await?;
        Ok(tally)
    }

    /// A connection, and a new empty table.
    async fn postgres(&self, table: &'static str) -> anyhow::Result<PgConnection> {
        let mut connection = PgConnection::connect(&self.servers.postgres).await?;
        connection.execute("SET jit = off").await?;
        connection.execute("DROP TABLE IF EXISTS ceiling").await?;
        connection.execute(table).await?;
        Ok(connection)
    }

    fn redis(&self) -> anyhow::Result<Tally> {
        let client = redis::Client::open(self.servers.redis.as_str())?;
        let mut connection = client.get_connection()?;
        let script: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(SCRIPT)
            .query(&mut connection)?;
        let mut totals: BTreeMap<u64, Sums> = BTreeMap::new();
        let mut tally = Tally::default();
        for batch in self.load.folded(REDIS_ROWS) {
            let rows = batch.rows.len();
            let mut call = redis::cmd("EVALSHA");
            call.arg(&script).arg(1).arg(STEM);
            for (key, sums) in batch.rows {
                let total = totals.entry(key).or_default();
                total.add(sums);
                call.arg(account(key))
                    .arg(sums.events)
                    .arg(money(total.cents));
            }
            let started = Instant::now();
            call.query::<()>(&mut connection)
                .context("failed to run the script")?;
            tally.add(batch.events, rows, started.elapsed());
        }
        let keys: Vec<String> = totals
            .keys()
            .map(|key| format!("{STEM}{}", account(*key)))
            .collect();
        for some in keys.chunks(1000) {
            redis::cmd("UNLINK")
                .arg(some)
                .query::<()>(&mut connection)?;
        }
        Ok(tally)
    }
}

async fn finish(mut connection: PgConnection) -> anyhow::Result<()> {
    connection.execute("DROP TABLE ceiling").await?;
    connection.close().await?;
    Ok(())
}

impl Tally {
    async fn statement(
        &mut self,
        connection: &mut PgConnection,
        sql: &'static str,
        events: u64,
        columns: Columns,
    ) -> anyhow::Result<()> {
        let rows = columns.0.len();
        let started = Instant::now();
        sqlx::query(AssertSqlSafe(sql))
            .bind(columns.0)
            .bind(columns.1)
            .bind(columns.2)
            .execute(connection)
            .await?;
        self.add(events, rows, started.elapsed());
        Ok(())
    }

    fn add(&mut self, events: u64, rows: usize, spent: Duration) {
        self.batches += 1;
        self.events += events;
        self.rows += rows as u64;
        self.spent += spent;
    }

    fn print(&self) {
        let seconds = self.spent.as_secs_f64();
        let batches = self.batches.max(1) as f64;
        println!(
            "{:.0}\t{seconds:.2}\t{:.0}\t{:.0}",
            self.events as f64 / seconds,
            self.events as f64 / batches,
            self.rows as f64 / batches,
        );
    }
}
