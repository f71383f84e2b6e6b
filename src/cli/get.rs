//! `viewfold get`: one row.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};
use ureq::http::StatusCode;

use super::Settings;
use super::client::{Target, segment};
use super::failure::Failure;
use super::output;

/// Shows one row of a view
#[derive(Args)]
pub(super) struct Get {
    /// The view
    view: String,
    /// The key columns' values, joined by commas; other bytes than A-Z a-z 0-9 - . _ ~ may be %XX
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// The store to ask, `postgres` or `redis`; by default the view's first
    #[arg(long)]
    store: Option<String>,
    /// Records that the row must reflect, such as orders/1@97, or a token that an answer gave
    #[arg(long, value_name = "TOKEN")]
    consistency_token: Option<String>,
    /// How long to wait for them, in seconds
    #[arg(long, value_name = "SECONDS", requires = "consistency_token")]
    wait: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Get {
    /// 1 when there is no such row.
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let mut path = format!("/v1/views/{}/{}", segment(&self.view), segment(&self.key));
        if let Some(store) = &self.store {
            path += &format!("?store={}", segment(store));
        }
        let answer = client.get_with(&path, &self.headers())?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Failure::Failed(answer.detail()));
        }
        let body = answer.success()?;
        if self.json || !output::on_terminal() {
            output::line(&body);
            return Ok(ExitCode::SUCCESS);
        }
        let row: Map<String, Value> = serde_json::from_str(&body)
            .map_err(|error| Failure::Failed(format!("failed to read the row: {error}")))?;
        let rows = row
            .into_iter()
            .map(|(column, value)| vec![column, cell(&value)]);
        output::print(&output::table(&["column", "value"], rows.collect()));
        Ok(ExitCode::SUCCESS)
    }

    /// Who names a store knows that it may be behind the others, unless a token says what it has to reflect.
    fn headers(&self) -> Vec<(&'static str, String)> {
        match (&self.consistency_token, self.wait) {
            (Some(token), wait) => {
                let wait = wait.map(|seconds| ("prefer", format!("wait={seconds}")));
                let token = ("consistency-token", token.clone());
                [token].into_iter().chain(wait).collect()
            }
            (None, _) if self.store.is_some() => vec![("prefer", "stale-ok".to_owned())],
            (None, _) => Vec::new(),
        }
    }
}

/// A value for people: strings without quotes.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
