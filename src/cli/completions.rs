//! `viewfold completions`: for shells.

use std::process::ExitCode;

use clap::{Args, CommandFactory};

use super::failure::Failure;
use super::{Cli, output};

/// Prints completions for a shell
#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "viewfold", &mut script);
        output::print(&String::from_utf8_lossy(&script));
        Ok(ExitCode::SUCCESS)
    }
}
