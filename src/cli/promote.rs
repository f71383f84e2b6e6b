//! `viewfold promote`: readers get to see a generation that is ready, or standby.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::failure::Failure;
use super::order::Order;
use super::waiting::Goal;

/// Lets readers see a generation that is ready; without a number the one that is building
#[derive(Args)]
pub(super) struct Promote {
    #[command(flatten)]
    order: Order,
}

impl Promote {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.order.client(settings)?;
        let path = self.order.path("promote");
        self.order
            .carry_out(&client, &path, "is being cut over", Some(Goal::Live))
    }
}
