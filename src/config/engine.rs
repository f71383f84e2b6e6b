//! `[pipeline]`, `[rebuild]` and `[telemetry]`.

use std::time::Duration;

use secrecy::SecretString;

use super::node::Node;
use super::read::{self, Read};
use crate::telemetry::{self, LogFormat};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How events become batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Most rows of a batch.
    pub batch_rows: usize,
    /// Most bytes of the events that a batch is folded from.
    pub batch_bytes: usize,
    /// The longest that a batch may wait for more events. Nothing waits: a batch is written as soon
    /// as its store is idle.
    pub batch_age: Duration,
    /// Writers per generation and store, one connection each.
    pub lanes: usize,
    /// Most bytes of records in flight, all partitions together.
    pub memory_limit: usize,
    /// How long work in hand may take after SIGTERM.
    pub shutdown_grace: Duration,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            // Postgres gains little beyond 8,000 rows per statement.
            batch_rows: 8192,
            batch_bytes: 4 << 20,
            // Freshness that people do not notice.
            batch_age: Duration::from_millis(250),
            lanes: 2,
            memory_limit: 64 << 20,
            // Kubernetes allows 30 s, Docker 10 s.
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

impl Pipeline {
    pub(super) const KEYS: &'static [&'static str] = &[
        "batch_rows",
        "batch_bytes",
        "batch_age",
        "lanes",
        "memory_limit",
        "shutdown_grace",
    ];

    pub(super) fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        match key {
            "batch_rows" => self.batch_rows = read::integer(node, 1..=100_000)? as usize,
            "batch_bytes" => self.batch_bytes = read::bytes(node, KIB..=GIB)? as usize,
            "batch_age" => self.batch_age = read::duration(node, seconds(0, 60))?,
            "lanes" => self.lanes = read::integer(node, 1..=64)? as usize,
            "memory_limit" => self.memory_limit = read::bytes(node, 4 * MIB..=64 * GIB)? as usize,
            _ => self.shutdown_grace = read::duration(node, seconds(1, 300))?,
        }
        Ok(())
    }
}

/// How rebuilds are governed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// Most records per second, whatever the live lag; none for no cap.
    pub max_rate: Option<u64>,
    /// The live lag that a rebuild keeps below.
    pub live_lag_target: Duration,
    /// How long the previous generation is fed after a cutover.
    pub retain: Duration,
}

impl Default for Rebuild {
    fn default() -> Self {
        Self {
            max_rate: None,
            live_lag_target: Duration::from_secs(1),
            retain: DAY,
        }
    }
}

impl Rebuild {
    pub(super) const KEYS: &'static [&'static str] = &["max_rate", "live_lag_target", "retain"];

    pub(super) fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        match key {
            "max_rate" => self.max_rate = Some(read::integer(node, 1..=1_000_000_000)?),
            "live_lag_target" => {
                let bounds = Duration::from_millis(10)..=Duration::from_secs(3600);
                self.live_lag_target = read::duration(node, bounds)?;
            }
            _ => self.retain = read::duration(node, Duration::ZERO..=DAY * 365)?,
        }
        Ok(())
    }
}

/// What is told about the process.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Where traces would go.
    pub otlp_endpoint: Option<SecretString>,
    /// How the service calls itself in traces.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log: "info".into(),
            otlp_endpoint: None,
            service_name: "viewfold".into(),
        }
    }
}

impl Telemetry {
    pub(super) const KEYS: &'static [&'static str] =
        &["log_format", "log", "otlp_endpoint", "service_name"];

    pub(super) fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        match key {
            "log_format" => {
                let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
                self.log_format = read::choice(node, &words)?;
            }
            "log" => self.log = filter(node)?,
            "otlp_endpoint" => {
                self.otlp_endpoint = Some(read::url(node, &["http", "https"])?);
            }
            _ => self.service_name = read::text(node)?,
        }
        Ok(())
    }
}

fn filter(node: &Node) -> Read<String> {
    let text = read::text(node)?;
    match telemetry::check_filter(&text) {
        Ok(()) => Ok(text),
        Err(_) => Err("must be a log filter such as \"info\" or \"viewfold=debug,warn\"".into()),
    }
}

fn seconds(low: u64, high: u64) -> std::ops::RangeInclusive<Duration> {
    Duration::from_secs(low)..=Duration::from_secs(high)
}
