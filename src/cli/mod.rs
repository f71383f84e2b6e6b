//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 refused.

mod access;
mod cancel;
mod check;
mod client;
mod completions;
mod definitions;
mod differences;
mod drop;
mod events;
mod failure;
mod get;
mod healthcheck;
mod openapi;
mod order;
mod output;
mod pause;
mod plan;
mod progress;
mod promote;
mod query;
mod rebuild;
mod resume;
mod rollback;
mod run;
mod skip;
mod status;
mod token;
mod trial;
mod verify;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::failure::Failure;
use crate::config::{Config, Problems, Sources};
use crate::projection::Registry;

/// Folds Kafka domain events into read views in Postgres and Redis, exactly once in effect.
#[derive(Parser)]
#[command(name = "viewfold", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// The last layer of the configuration.
#[derive(Args)]
struct Settings {
    /// Configuration file instead of config/viewfold.toml; repeatable, later ones win
    #[arg(long = "config", global = true, value_name = "FILE")]
    config_files: Vec<PathBuf>,
    /// One setting, over files and environment; repeatable
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Folder of projections
    #[arg(long, global = true, value_name = "DIR")]
    projections: Option<String>,
}

impl Settings {
    fn load(&self) -> Result<Config, Problems> {
        let sources = Sources {
            files: self.config_files.clone(),
            set: self.set.clone(),
            projections: self.projections.clone(),
            ..Sources::of_process()
        };
        Config::load(&sources)
    }
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Try(trial::Try),
    Plan(plan::ShowPlan),
    Rebuild(rebuild::Rebuild),
    Promote(promote::Promote),
    Rollback(rollback::Rollback),
    Cancel(cancel::Cancel),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Verify(verify::Verify),
    Drop(drop::Drop),
    Status(status::Status),
    Get(get::Get),
    Query(query::Query),
    Skip(skip::Skip),
    Healthcheck(healthcheck::Healthcheck),
    Token(token::NewToken),
    Access(access::Access),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Completions(completions::Completions),
}

/// Does what the process's arguments say, with the Rust projections of `registry`, and answers the
/// exit code. The whole `main` of a binary of one's own.
pub fn main(registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe is none of ours.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command.run(&cli.settings, registry) {
        Ok(code) => code,
        Err(failure) => {
            let text = failure.to_string();
            match text.contains('\n') {
                true => output::error_line(&text),
                false => output::error_line(&format!("error: {text}")),
            }
            ExitCode::from(failure.code())
        }
    }
}

impl Command {
    fn run(self, settings: &Settings, registry: Registry) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(run) => run.run(settings, registry),
            Self::Check(check) => check.run(settings, &registry),
            Self::Try(trial) => trial.run(settings, &registry),
            Self::Plan(plan) => plan.run(settings),
            Self::Rebuild(rebuild) => rebuild.run(settings),
            Self::Promote(promote) => promote.run(settings),
            Self::Rollback(rollback) => rollback.run(settings),
            Self::Cancel(cancel) => cancel.run(settings),
            Self::Pause(pause) => pause.run(settings),
            Self::Resume(resume) => resume.run(settings),
            Self::Verify(verify) => verify.run(settings),
            Self::Drop(drop) => drop.run(settings),
            Self::Status(status) => status.run(settings),
            Self::Get(get) => get.run(settings),
            Self::Query(query) => query.run(settings),
            Self::Skip(skip) => skip.run(settings),
            Self::Healthcheck(healthcheck) => healthcheck.run(settings),
            Self::Token(token) => token.run(),
            Self::Access(access) => access.run(settings),
            Self::OpenApi(openapi) => openapi.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}
