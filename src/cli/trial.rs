//! `viewfold try`: folds events from files in memory and prints the rows.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Settings;
use super::failure::Failure;
use super::get::cell;
use super::{definitions, events, output};
use crate::projection::Registry;
use crate::projection::trial::{Trial, row_json, trial};

/// Folds events from JSON-lines files in memory and prints the rows
#[derive(Args)]
pub(super) struct Try {
    /// The projection, or a definition file
    projection: String,
    /// JSON-lines files: a record's value per line, or {"value", "key", "headers", "topic", …}
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    events: Vec<PathBuf>,
    /// How to print the rows; by default a table on a terminal, JSON elsewhere
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Compares the rows with this file, a JSON array of rows
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Topic of the events, where their lines do not say; by default the projection's first
    #[arg(long)]
    topic: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Try {
    /// 1 when the rows are not the expected ones. What failed or was not handled goes to standard
    /// error.
    pub(super) fn run(
        &self,
        settings: &Settings,
        registry: &Registry,
    ) -> Result<ExitCode, Failure> {
        let config = settings.load()?;
        let definition = definitions::one(&self.projection, &config, registry)?;
        let expected = match &self.expect {
            Some(file) => Some((file, events::read_text(file)?)),
            None => None,
        };
        let topic = events::topic(self.topic.as_ref(), &definition)?;
        let chunks = events::read(&self.events, &topic, &config)?;
        let trial = trial(&definition, &chunks);
        let by_default = match output::on_terminal() {
            true => Format::Table,
            false => Format::Json,
        };
        output::print(&match self.format.unwrap_or(by_default) {
            Format::Table => table(&trial),
            Format::Json => trial.to_json(),
        });
        report(&trial);
        let Some((file, text)) = expected else {
            return Ok(ExitCode::SUCCESS);
        };
        let differences = trial
            .compare(&text)
            .map_err(|wrong| Failure::Usage(format!("{}: {wrong}", file.display())))?;
        for difference in &differences {
            output::error_line(difference);
        }
        match differences.len() {
            0 => Ok(ExitCode::SUCCESS),
            count => Err(Failure::Failed(format!(
                "{count} differences from {}",
                file.display()
            ))),
        }
    }
}

fn table(trial: &Trial) -> String {
    let columns = trial.schema.columns.iter();
    let header: Vec<&str> = columns.map(|column| &*column.name).collect();
    let rows = trial.rows.iter().map(|(_, row)| {
        let values = row_json(&trial.schema, row).into_iter();
        values.map(|(_, value)| cell(&value)).collect()
    });
    output::framed(&header, rows.collect())
}

/// What became of the events, for people.
fn report(trial: &Trial) {
    for (record, fault) in &trial.faults {
        output::error_line(&format!("{record}: {fault}; the event changed nothing"));
    }
    for (kind, count) in &trial.unmatched {
        output::error_line(&format!("no handler for {kind} ({count} events)"));
    }
    if trial.elsewhere > 0 {
        let count = trial.elsewhere;
        output::error_line(&format!(
            "{count} events of topics that the projection does not read"
        ));
    }
    let (applied, filtered, failed) = (trial.applied, trial.filtered, trial.faults.len());
    output::error_line(&format!(
        "{applied} events applied, {filtered} filtered, {failed} failed; {} rows",
        trial.rows.len()
    ));
}
