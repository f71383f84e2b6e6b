//! `viewfold drop`: removes a projection and all its generations.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Settings;
use super::client::{Target, segment};
use super::failure::Failure;
use super::output;

/// Removes a projection with all its generations and rows
#[derive(Args)]
pub(super) struct Drop {
    /// The projection
    projection: String,
    /// The projection's name once more
    #[arg(long, value_name = "NAME")]
    confirm: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Drop {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let name = &self.projection;
        if self.confirm != *name {
            return Err(Failure::Refused(format!(
                "this removes projection {name} with all its rows: confirm it with --confirm {name}"
            )));
        }
        let client = self.target.client(settings)?;
        let path = format!("/v1/projections/{}", segment(name));
        let body = client
            .delete(&path, &json!({ "confirm": name }))?
            .accepted()?;
        match self.json {
            true => output::line(&body),
            false => output::line(&format!(
                "{name}: dropped; its view, tables and keys are being removed"
            )),
        }
        Ok(ExitCode::SUCCESS)
    }
}
