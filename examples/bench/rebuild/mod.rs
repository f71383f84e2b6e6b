//! What a rebuild costs those who read and write meanwhile: steady traffic and steady readers through
//! four phases (before, during the build of a new column, cutover, rollback).

mod account;
mod build;
mod readers;
mod report;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;

use self::account::{Account, Phase};
use self::build::{Admin, Build};
use self::readers::Readers;
use self::traffic::Traffic;
use super::Servers;

/// The projection that is rebuilt; its two definitions lie beside this folder.
const VIEW: &str = "activity";
/// How long the traffic runs before anything counts.
const WARM_UP: Duration = Duration::from_secs(8);
/// How long anything may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Args)]
pub(crate) struct Rebuild {
    /// Comma-separated `host:port`.
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
    /// The topic; it must exist.
    #[arg(long)]
    topic: String,
    /// The Redis prefix of the service.
    #[arg(long)]
    prefix: String,
    /// The Postgres schema of the views.
    #[arg(long)]
    schema: String,
    /// The service's admin listener, `http://host:port`.
    #[arg(long)]
    admin: String,
    /// The service's public listener, `http://host:port`.
    #[arg(long)]
    api: String,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    pace: Pace,
}

/// How much of everything.
#[derive(Args)]
pub(crate) struct Pace {
    /// Live events per second.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Reads per second, over SQL, Redis and HTTP together.
    #[arg(long, default_value_t = 500)]
    reads: u64,
    /// Events that are in the log beforehand.
    #[arg(long, default_value_t = 500_000)]
    backlog: u64,
    /// How many accounts there are.
    #[arg(long, default_value_t = 10_000)]
    accounts: u64,
    /// How long the phase before is, and how long the build's effect on the cutover and rollback phases
    /// is watched, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// The operator's cap on the build, records per second.
    #[arg(long)]
    max_rate: Option<u64>,
}

/// Prepares the view: publishes the backlog and waits until it is in. The service may run any definition.
#[derive(Args)]
pub(crate) struct Prepare {
    /// Comma-separated `host:port`.
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
    /// The topic's name; it must not exist yet.
    #[arg(long)]
    topic: String,
    #[command(flatten)]
    pace: Pace,
}

impl Prepare {
    pub(crate) fn run(&self, runtime: &Runtime) -> anyhow::Result<()> {
        runtime.block_on(traffic::create_topic(&self.brokers, &self.topic))?;
        traffic::publish_backlog(&self.brokers, &self.topic, &self.pace)
    }
}

impl Rebuild {
    pub(crate) fn run(&self, runtime: &Runtime) -> anyhow::Result<()> {
        let admin = Admin::new(&self.admin);
        admin.wait_for("the backlog is in the views", PATIENCE, || {
            admin.is_caught_up(self.pace.backlog)
        })?;
        let account = Arc::new(Account::new());
        let traffic = Traffic::start(&self.brokers, &self.topic, &self.pace, &account)?;
        let readers = Readers::start(self, &account)?;
        let phase = Duration::from_secs(self.pace.seconds);

        account.enter(Phase::WarmUp);
        std::thread::sleep(WARM_UP);
        account.enter(Phase::Before);
        std::thread::sleep(phase);
        account.enter(Phase::Build);
        let build = Build::follow(&admin, &account, self.pace.max_rate)?;
        let cutover = self.point(&admin, &account, Phase::Cutover, build.generation)?;
        std::thread::sleep(phase.min(Duration::from_secs(5)));
        let rollback = self.point(&admin, &account, Phase::Rollback, 1)?;
        std::thread::sleep(phase.min(Duration::from_secs(5)));

        let published = traffic.stop()?;
        readers.stop();
        admin.wait_for("everything is in the views", PATIENCE, || {
            admin.is_caught_up(published)
        })?;
        for generation in [1, build.generation] {
            runtime.block_on(self.check_sum(published, generation))?;
        }
        report::print(&account, &build, cutover, rollback);
        let wrong = account.problems();
        ensure!(wrong == 0, "{wrong} reads noticed the rebuild");
        Ok(())
    }

    /// Lets readers see `generation`; answers how long it took until all stores had cut over.
    fn point(
        &self,
        admin: &Admin,
        account: &Account,
        phase: Phase,
        generation: u64,
    ) -> anyhow::Result<Duration> {
        account.enter(phase);
        let began = Instant::now();
        match phase {
            Phase::Rollback => admin.post(&format!("/v1/projections/{VIEW}/rollback"))?,
            _ => admin.post(&format!(
                "/v1/projections/{VIEW}/generations/{generation}/promote"
            ))?,
        };
        admin.wait_for("all stores have cut over", PATIENCE, || {
            admin.is_live(generation)
        })?;
        Ok(began.elapsed())
    }

    /// A figure for a wrong view is worth nothing.
    async fn check_sum(&self, published: u64, generation: u64) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.servers.postgres).await?;
        let control = self.schema.trim_end_matches("_views");
        let sql = format!(r#"SELECT sum(events)::bigint FROM "{control}".{VIEW}_g{generation}"#);
        let events: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await
            .context("failed to read a generation's table")?;
        ensure!(
            events == Some(i64::try_from(published)?),
            "generation {generation} counted {events:?} of {published} events"
        );
        Ok(())
    }
}
