//! `viewfold openapi`: the OpenAPI document.

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::failure::Failure;
use super::output;
use crate::api::{self, Surface};

/// Prints the OpenAPI document
#[derive(Args)]
pub(super) struct OpenApi {
    /// Which listener's; the admin listener has all routes but the page for people
    #[arg(long, default_value = "admin", value_parser = surface())]
    listener: Surface,
}

fn surface() -> impl TypedValueParser<Value = Surface> {
    PossibleValuesParser::new(["public", "admin"]).map(|name| match name.as_str() {
        "public" => Surface::Public,
        _ => Surface::Admin,
    })
}

impl OpenApi {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        output::print(&api::openapi(self.listener));
        Ok(ExitCode::SUCCESS)
    }
}
