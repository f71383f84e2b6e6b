//! Configuration: typed settings from layers, least first: built-in defaults,
//! `config/viewfold.toml` (or the files of `--config`), environment, command line.
//!
//! Each layer is a tree whose parts know where they were said; it is applied onto the settings
//! that the layers before it left. So every problem of every layer is reported at its own
//! `file:line:column` or variable, all in one go.
//!
//! **Architecture invariant:** nothing behind this door reads a file or a variable for its
//! settings, and no message holds the value of a secret.

mod engine;
mod environment;
mod jwt;
mod kafka;
mod layers;
mod listeners;
mod node;
mod problem;
mod read;
mod stores;

pub use engine::{Pipeline, Rebuild, Telemetry};
pub use kafka::Kafka;
pub use layers::{DEFAULT_FILE, Sources};
pub use listeners::Listener;
pub use problem::{Origin, Problem, Problems};
pub use stores::{Postgres, Redis};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What an instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Feeds views and answers reads.
    #[default]
    All,
    /// Feeds views; only the admin listener.
    Worker,
    /// Answers reads; owns no partitions.
    Query,
}

/// All settings. Secrets inside are never printed.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of definition files, relative to the working directory.
    pub projections: PathBuf,
    /// The log.
    pub kafka: Kafka,
    /// Views and control tables.
    pub postgres: Postgres,
    /// Views in Redis.
    pub redis: Redis,
    /// The public listener.
    pub api: Listener,
    /// The listener for operators and probes.
    pub admin: Listener,
    /// How events become batches.
    pub pipeline: Pipeline,
    /// How rebuilds are governed.
    pub rebuild: Rebuild,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| Listener::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self {
            projections: PathBuf::from("projections"),
            kafka: Kafka::default(),
            postgres: Postgres::default(),
            redis: Redis::default(),
            api: local(8080),
            admin: local(8081),
            pipeline: Pipeline::default(),
            rebuild: Rebuild::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Config {
    /// Reads and checks all layers. All problems are reported.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        layers::load(sources)
    }
}
