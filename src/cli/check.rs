//! `viewfold check`: configuration and definitions, without any server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Settings;
use super::failure::Failure;
use super::{definitions, events, output};
use crate::projection::definition::{Description, PathCount, Sample};
use crate::projection::{Definition, Registry};

/// Checks configuration and projections without any server
#[derive(Args)]
pub(super) struct Check {
    /// Definition files; by default all of the configured folder
    files: Vec<PathBuf>,
    /// Shows how often each path is found in the events of this JSON-lines file
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Topic of the sample's events, where their lines do not say; by default the projection's first
    #[arg(long, requires = "sample")]
    topic: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is right.
#[derive(Serialize)]
struct Report {
    projections: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    description: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
}

impl Check {
    pub(super) fn run(
        &self,
        settings: &Settings,
        registry: &Registry,
    ) -> Result<ExitCode, Failure> {
        let config = settings.load();
        let found = match (&config, self.files.is_empty()) {
            (Ok(config), true) => definitions::all(config, registry),
            (Err(_), true) => Ok(Vec::new()),
            (_, false) => definitions::of_files(&self.files),
        };
        let (config, definitions) = match (config, found) {
            (Ok(config), Ok(definitions)) => (config, definitions),
            (config, found) => {
                let mut problems: Vec<String> = Vec::new();
                problems.extend(config.err().map(|wrong| wrong.to_string()));
                problems.extend(found.err().iter().flatten().map(ToString::to_string));
                return Err(Failure::Usage(problems.join("\n")));
            }
        };
        let look = |definition: &Definition| {
            let sample = match &self.sample {
                None => None,
                Some(file) => {
                    let topic = events::topic(self.topic.as_ref(), definition)?;
                    let chunks = events::read(std::slice::from_ref(file), &topic, &config)?;
                    Some(definition.sample(&chunks))
                }
            };
            Ok(Checked {
                description: definition.describe(),
                sample,
            })
        };
        let checked: Result<Vec<Checked>, Failure> = definitions.iter().map(look).collect();
        let report = Report {
            projections: checked?,
        };
        match self.json {
            true => output::json(&report)?,
            false => output::print(&describe(&report)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    for checked in &report.projections {
        text += &describe_one(&checked.description);
        if let Some(sample) = &checked.sample {
            text += &describe_sample(sample);
        }
        text.push('\n');
    }
    match report.projections.len() {
        1 => text + "ok: 1 projection\n",
        count => text + &format!("ok: {count} projections\n"),
    }
}

fn describe_one(description: &Description) -> String {
    let header = ["column", "type", "family", "order", "default", "index"];
    let rows = description.columns.iter().map(|column| {
        vec![
            column.name.clone(),
            column.ty.clone(),
            column.family.to_owned(),
            column.order.to_owned(),
            column.default.clone().unwrap_or_default(),
            if column.index { "yes" } else { "" }.to_owned(),
        ]
    });
    let mut text = format!(
        "{}: {} → {}\n{}",
        description.name,
        description.topics.join(", "),
        description.stores.join(", "),
        output::table(&header, rows.collect())
    );
    for warning in &description.warnings {
        text += &format!("warning: {}: {warning}\n", description.name);
    }
    text
}

fn describe_sample(sample: &Sample) -> String {
    let header = ["handler", "path", "present", "null", "missing"];
    let row = |count: &PathCount| {
        vec![
            count.handler.clone(),
            count.path.clone(),
            count.present.to_string(),
            count.null.to_string(),
            count.missing.to_string(),
        ]
    };
    let mut text = format!("sample: {} events\n", sample.events);
    for (handler, count) in &sample.handlers {
        text += &format!("{count} events for {handler}\n");
    }
    for (kind, count) in &sample.unmatched {
        text += &format!("{count} events of type {kind} without a handler\n");
    }
    for wrong in &sample.undecodable {
        text += &format!("{wrong}\n");
    }
    text + &output::table(&header, sample.paths.iter().map(row).collect())
}
