//! `viewfold healthcheck`: for containers without curl.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::client::Target;
use super::failure::Failure;

/// Exits with 0 when the service is ready, else with 1
#[derive(Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    target: Target,
}

impl Healthcheck {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let answer = self.target.client(settings)?.get("/readyz")?;
        match answer.status.is_success() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Failure::Failed(answer.body.trim_end().to_owned())),
        }
    }
}
