//! `viewfold run`: the service.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use super::Settings;
use super::definitions::{self, refused};
use super::failure::Failure;
use crate::api::KeySource;
use crate::config::{Config, Problems, Role};
use crate::lifecycle;
use crate::projection::Registry;
use crate::{service, telemetry};

/// Beyond the grace period that the pipelines keep: leaving the group and closing listeners.
const LEAVING: Duration = Duration::from_secs(3);

/// Runs the service
#[derive(Args)]
pub(super) struct Run {
    /// What this instance does
    #[arg(long, default_value = "all", value_parser = role())]
    role: Role,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["all", "worker", "query"]).map(|name| match name.as_str() {
        "worker" => Role::Worker,
        "query" => Role::Query,
        _ => Role::All,
    })
}

impl Run {
    pub(super) fn run(&self, settings: &Settings, registry: Registry) -> Result<ExitCode, Failure> {
        let config = settings.load()?;
        // What `check` refuses, `run` refuses, before anything is touched.
        definitions::all(&config, &registry).map_err(|problems| refused(&problems))?;
        telemetry::init(config.telemetry.log_format, &config.telemetry.log)?;
        warn_about(&config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("failed to start threads: {error}")))?;
        let ended = runtime.block_on(serve(config, self.role, registry));
        if let Ok(None) = ended {
            // A client library that does not let go must not keep the process (I13).
            tracing::warn!("the grace period is over: ending at once");
            std::process::exit(0);
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended.map(|_| ExitCode::SUCCESS)
    }
}

/// Runs the service to its end; none when it did not end in time after a signal.
async fn serve(config: Config, role: Role, registry: Registry) -> Result<Option<()>, Failure> {
    let shutdown = lifecycle::shutdown_on_signals()?;
    let grace = config.pipeline.shutdown_grace + LEAVING;
    let service = Box::pin(service::run(config, role, registry, shutdown.clone()));
    let ended = lifecycle::drained(&shutdown, grace, service).await;
    ended.transpose().map_err(failed)
}

fn failed(error: anyhow::Error) -> Failure {
    match error.downcast::<Problems>() {
        Ok(problems) => problems.into(),
        Err(error) => Failure::Failed(format!("{error:#}")),
    }
}

/// What is allowed and probably not what somebody wants.
fn warn_about(config: &Config) {
    let now = Timestamp::now();
    for token in config.admin.tokens.iter().chain(&config.api.tokens) {
        if token.expires.is_some_and(|expires| expires <= now) {
            tracing::warn!(token = token.name, "a configured token has expired");
        }
    }
    for listener in [&config.api, &config.admin] {
        if matches!(listener.jwt.as_ref().and_then(|jwt| jwt.keys.as_ref()), Some(KeySource::Url(url)) if url.starts_with("http://"))
        {
            tracing::warn!("jwks_url is not https: whoever is on the way can make tokens");
        }
    }
    if config.telemetry.otlp_endpoint.is_some() {
        tracing::warn!("an OTLP endpoint is configured: this version does not export traces");
    }
    if config.kafka.schema_registry_url.is_some() {
        tracing::warn!("a schema registry is configured: this version reads JSON only");
    }
}
