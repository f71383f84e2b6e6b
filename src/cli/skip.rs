//! `viewfold skip`: steps over one event that stopped a track.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Settings;
use super::client::{Target, segment};
use super::failure::Failure;
use super::output;
use crate::position::RecordName;

/// Steps over one event that stopped a projection, now and in later generations
#[derive(Args)]
pub(super) struct Skip {
    /// The projection
    projection: String,
    /// The event: topic/partition@offset
    record: RecordName,
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Skip {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        if self.reason.trim().is_empty() {
            return Err(Failure::Usage("--reason must not be empty".into()));
        }
        let client = self.target.client(settings)?;
        let path = format!("/v1/projections/{}/skip", segment(&self.projection));
        let record = self.record.to_string();
        let answer = client.post(&path, &json!({ "record": record, "reason": self.reason }))?;
        let body = answer.accepted()?;
        match self.json {
            true => output::line(&body),
            false => output::line(&format!("{}: {record} will be skipped", self.projection)),
        }
        Ok(ExitCode::SUCCESS)
    }
}
