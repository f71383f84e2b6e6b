//! `viewfold resume`: lets a paused generation go on.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::failure::Failure;
use super::order::Order;

/// Lets a paused generation go on; without a number the one that is building
#[derive(Args)]
pub(super) struct Resume {
    #[command(flatten)]
    order: Order,
}

impl Resume {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.order.client(settings)?;
        let path = self.order.path("resume");
        self.order.carry_out(&client, &path, "goes on", None)
    }
}
