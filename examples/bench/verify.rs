//! Compares a view with what the load means: a figure for a wrong view is worth nothing.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use clap::Args;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;

use super::events::{Sums, account, money};
use super::{Case, Load, Servers};

#[derive(Args)]
pub(crate) struct Verify {
    case: Case,
    /// The Postgres schema of the views, or the Redis prefix.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    load: Load,
}

impl Verify {
    pub(crate) fn run(&self, runtime: &Runtime) -> anyhow::Result<()> {
        match self.case {
            Case::PostgresCounters => runtime.block_on(self.postgres_counters()),
            Case::PostgresRows => runtime.block_on(self.postgres_rows()),
            Case::RedisCounters => self.redis_counters(),
        }
    }

    fn expected(&self) -> BTreeMap<u64, Sums> {
        self.load
            .folded(usize::MAX)
            .next()
            .map(|all| all.rows)
            .unwrap_or_default()
    }

    async fn postgres_counters(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.servers.postgres).await?;
        let sql = format!(
            r#"SELECT account_id, events, amount::text FROM "{}".counters ORDER BY account_id"#,
            self.name
        );
        let found: Vec<(String, i64, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await?;
        let expected = self.expected();
        ensure!(
            found.len() == expected.len(),
            "{} rows instead of {}",
            found.len(),
            expected.len()
        );
        for ((key, sums), (id, events, amount)) in expected.into_iter().zip(found) {
            let wanted = (account(key), i64::try_from(sums.events)?, money(sums.cents));
            ensure!(
                (id, events, amount) == wanted,
                "account {} is wrong",
                wanted.0
            );
        }
        Ok(())
    }

    async fn postgres_rows(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.servers.postgres).await?;
        let sql = format!(
            r#"SELECT count(*), coalesce(sum(amount), 0)::text FROM "{}".credits"#,
            self.name
        );
        let (rows, amount): (i64, String) = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await?;
        let cents = self.load.stream().map(|event| event.cents).sum();
        ensure!(
            rows == i64::try_from(self.load.events)? && amount == money(cents),
            "{rows} rows with {amount} instead of {} with {}",
            self.load.events,
            money(cents)
        );
        Ok(())
    }

    fn redis_counters(&self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.servers.redis.as_str())?;
        let mut connection = client.get_connection()?;
        for (key, sums) in self.expected() {
            let row = format!("{}:{{counters}}:1:r:{}", self.name, account(key));
            let (events, amount): (Option<u64>, Option<String>) = redis::cmd("HMGET")
                .arg(&row)
                .arg(&["events", "amount"])
                .query(&mut connection)
                .with_context(|| format!("failed to read {row}"))?;
            ensure!(
                events == Some(sums.events) && amount == Some(money(sums.cents)),
                "{row} is wrong"
            );
        }
        Ok(())
    }
}
