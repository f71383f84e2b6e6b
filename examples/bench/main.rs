//! The load, the stop-watch and the ceilings of `scripts/bench`; docs/performance.md says what
//! each figure means.
//!
//! ```text
//! bench produce --topic load --events 1000000
//! bench follow --pid 4711 --admin http://127.0.0.1:8081 --events 1000000
//! bench verify postgres-counters --name bench_1 --events 1000000
//! bench ceiling postgres-counters --events 1000000
//! ```

mod ceiling;
mod events;
mod follow;
mod produce;
mod rebuild;
mod verify;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(about = "Load, stop-watch and ceilings for scripts/bench")]
struct Bench {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Creates a topic and publishes the load to it.
    Produce(produce::Produce),
    /// Watches a `viewfold run` catch up; prints events per second to the end and to 95 %,
    /// processor µs per event, seconds, and seconds since the process started.
    Follow(follow::Follow),
    /// Compares a view with what the load means.
    Verify(verify::Verify),
    /// Writes the same load straight into a server; prints events per second and seconds, then
    /// how many events and rows a batch had on average.
    Ceiling(ceiling::Ceiling),
    /// Creates a topic and publishes the backlog of a rebuild to it.
    Prepare(rebuild::Prepare),
    /// Has a view rebuilt under steady traffic; prints what readers noticed, and what it cost.
    Rebuild(Box<rebuild::Rebuild>),
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A count and a sum per account, in Postgres.
    PostgresCounters,
    /// The same in Redis.
    RedisCounters,
    /// A row per event, in Postgres.
    PostgresRows,
}

/// Which load. The same everywhere, for the same arguments.
#[derive(Args)]
struct Load {
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// The same seed gives the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The stores.
#[derive(Args)]
struct Servers {
    /// A `postgres://` URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    postgres: String,
    /// A `redis://` URL.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis: String,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Bench::parse().action {
        Action::Produce(produce) => produce.run(&runtime),
        Action::Follow(follow) => follow.run(),
        Action::Verify(verify) => verify.run(&runtime),
        Action::Ceiling(ceiling) => ceiling.run(&runtime),
        Action::Prepare(prepare) => prepare.run(&runtime),
        Action::Rebuild(rebuild) => rebuild.run(&runtime),
    }
}
