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
        let answer = client.get(&path)?;
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
}

/// A value for people: strings without quotes.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
