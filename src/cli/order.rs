//! What `promote`, `rollback`, `cancel`, `pause` and `resume` share: one durable request, and waiting for it.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Settings;
use super::client::{Client, Target, read, segment};
use super::failure::Failure;
use super::output;
use super::waiting::{Goal, wait};
use crate::api::GenerationDetail;

/// Which generation, and how to answer.
#[derive(Args)]
pub(super) struct Order {
    /// The projection
    pub(super) projection: String,
    /// The generation's number
    pub(super) generation: Option<u32>,
    /// Wait until it is done in every store
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Order {
    pub(super) fn client(&self, settings: &Settings) -> Result<Client, Failure> {
        self.target.client(settings)
    }

    /// The path of what is asked: of the generation that was named, else of the one that it concerns.
    pub(super) fn path(&self, name: &str) -> String {
        let projection = segment(&self.projection);
        match self.generation {
            Some(number) => format!("/v1/projections/{projection}/generations/{number}/{name}"),
            None => format!("/v1/projections/{projection}/{name}"),
        }
    }

    /// Posts to `path` and says `done`; with `--wait` not before the goal is reached, where there is one.
    pub(super) fn carry_out(
        &self,
        client: &Client,
        path: &str,
        done: &str,
        goal: Option<Goal>,
    ) -> Result<ExitCode, Failure> {
        let body = client.post(path, &json!({}))?.accepted()?;
        let detail: GenerationDetail = read(&body)?;
        let number = detail.status.generation;
        match goal.filter(|_| self.wait) {
            Some(goal) => wait(client, detail, goal, self.json)?,
            None if self.json => output::line(&body),
            None => output::line(&format!("{}: generation {number} {done}", self.projection)),
        }
        Ok(ExitCode::SUCCESS)
    }
}
