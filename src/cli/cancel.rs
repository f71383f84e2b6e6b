//! `viewfold cancel`: stops building a generation and removes it.

use std::process::ExitCode;

use clap::Args;

use super::Settings;
use super::failure::Failure;
use super::order::Order;
use super::waiting::Goal;

/// Stops building a generation and removes it; without a number the one that is building
#[derive(Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    order: Order,
}

impl Cancel {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.order.client(settings)?;
        let path = self.order.path("cancel");
        self.order
            .carry_out(&client, &path, "is cancelled", Some(Goal::Cancelled))
    }
}
