//! `viewfold rollback`: readers see the generation again that they saw before.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::client::{Client, read, segment};
use super::failure::Failure;
use super::order::Order;
use super::waiting::Goal;
use crate::api::GenerationDetail;

/// Lets readers see the generation again that they saw before, or the standby one of this number
#[derive(Args)]
pub(super) struct Rollback {
    #[command(flatten)]
    order: Order,
}

impl Rollback {
    /// To a generation that is named is a promotion of it, provided that it was live before.
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.order.client(settings)?;
        let path = match self.order.generation {
            None => self.order.path("rollback"),
            Some(number) => {
                self.look(&client, number)?;
                self.order.path("promote")
            }
        };
        let done = "is being cut over";
        self.order.carry_out(&client, &path, done, Some(Goal::Live))
    }

    fn look(&self, client: &Client, number: u32) -> Result<(), Failure> {
        let projection = segment(&self.order.projection);
        let path = format!("/v1/projections/{projection}/generations/{number}");
        let detail: GenerationDetail = read(&client.get(&path)?.accepted()?)?;
        match detail.is_everywhere("standby") {
            true => Ok(()),
            false => Err(Failure::Refused(format!(
                "{}: generation {number} is {}: only to a standby one can be rolled back",
                detail.projection, detail.status.state
            ))),
        }
    }
}
