//! Logs: to standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::fault::{Fault, Result};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether `filter` has the syntax of `RUST_LOG`; misconfigured when not.
pub fn check_filter(filter: &str) -> Result<()> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|error| Fault::misconfigured(format!("log filter: {error}")))
}

/// Sends logs to standard error. `filter` has the syntax of `RUST_LOG`. Misconfigured when the
/// filter cannot be read or logs already go somewhere.
pub fn init(format: LogFormat, filter: &str) -> Result<()> {
    let filter = parse(filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    };
    installed.map_err(|error| Fault::misconfigured(format!("logs: {error}")))
}
