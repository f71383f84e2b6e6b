//! `viewfold pause`: stops catching up for now.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::failure::Failure;
use super::order::Order;

/// Stops a generation's catching up for now; without a number the one that is building
#[derive(Args)]
pub(super) struct Pause {
    #[command(flatten)]
    order: Order,
}

impl Pause {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.order.client(settings)?;
        let path = self.order.path("pause");
        self.order.carry_out(&client, &path, "is paused", None)
    }
}
