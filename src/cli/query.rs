//! `viewfold query`: rows of a view by conditions.

use std::fmt;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Settings;
use super::client::{Client, Target, read, segment};
use super::failure::Failure;
use super::get::cell;
use super::output;

/// How many rows are asked for at once with `--all`: as many as the service gives.
const WHOLE_PAGE: &str = "1000";

/// Lists rows of a view
#[derive(Args)]
pub(super) struct Query {
    /// The view
    view: String,
    /// What rows must fulfil: COLUMN=OPERATOR.VALUE, such as status=eq.open, total=gte.10, name=like.A% or
    /// state=in.(a,b); all conditions count
    #[arg(value_name = "CONDITION", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// Columns to sort by, such as total.desc,id; by default the key
    #[arg(long, value_name = "COLUMNS")]
    order: Option<String>,
    /// Columns to show, such as id,total; by default all
    #[arg(long, value_name = "COLUMNS")]
    select: Option<String>,
    /// How many rows, 1 to 1000; with --all how many at once
    #[arg(long, value_name = "N")]
    limit: Option<String>,
    /// Go on to the last row
    #[arg(long)]
    all: bool,
    /// Go on where an earlier answer ended: its next_page_token
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
    /// How to print; by default a table on a terminal, else json
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// One object: {"rows":[…],"next_page_token":"…"}
    Json,
    /// One row per line
    Jsonl,
}

/// A condition as it is written on the command line.
fn condition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, test)) if !column.is_empty() => Ok((column.into(), test.into())),
        _ => Err("a condition is COLUMN=OPERATOR.VALUE, such as status=eq.open".into()),
    }
}

/// What the service answers.
#[derive(Deserialize)]
struct Page {
    rows: Vec<Box<RawValue>>,
    next_page_token: String,
}

impl Query {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let default = match output::on_terminal() {
            true => Format::Table,
            false => Format::Json,
        };
        let format = match self.json {
            true => Format::Json,
            false => self.format.unwrap_or(default),
        };
        let mut printed = Printed::new(format);
        let mut token = self.page_token.clone();
        loop {
            let page = self.page(&client, token.as_deref())?;
            printed.add(page.rows)?;
            token = Some(page.next_page_token);
            if !self.all || token.as_deref() == Some("") {
                break;
            }
        }
        printed.finish(&token.unwrap_or_default());
        Ok(ExitCode::SUCCESS)
    }

    fn page(&self, client: &Client, token: Option<&str>) -> Result<Page, Failure> {
        let limit = match self.all {
            true => Some(self.limit.as_deref().unwrap_or(WHOLE_PAGE)),
            false => self.limit.as_deref(),
        };
        let conditions = self.conditions.iter();
        let conditions = conditions.map(|(name, test)| (name.as_str(), Some(test.as_str())));
        let parameters = conditions.chain([
            ("order", self.order.as_deref()),
            ("select", self.select.as_deref()),
            ("limit", limit),
            ("page_token", token),
        ]);
        let parameters: Vec<String> = parameters
            .filter_map(|(name, value)| Some(format!("{}={}", encoded(name), encoded(value?))))
            .collect();
        let view = segment(&self.view);
        let answer = client.get(&format!("/v1/views/{view}?{}", parameters.join("&")))?;
        read(&answer.success()?)
    }
}

/// Text as a part of a query string, every byte as it is.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Rows on their way to standard output: as they come, except for a table, which knows its widths at the end.
struct Printed {
    format: Format,
    rows: usize,
    table: Vec<Row>,
}

impl Printed {
    fn new(format: Format) -> Self {
        Self {
            format,
            rows: 0,
            table: Vec::new(),
        }
    }

    fn add(&mut self, rows: Vec<Box<RawValue>>) -> Result<(), Failure> {
        for row in rows {
            match self.format {
                Format::Table => self.table.push(read(row.get())?),
                Format::Jsonl => output::line(row.get()),
                Format::Json => {
                    let begin = if self.rows == 0 { "{\"rows\":[" } else { "," };
                    output::print(&format!("{begin}{}", row.get()));
                }
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self, token: &str) {
        match self.format {
            Format::Json => {
                let begin = if self.rows == 0 { "{\"rows\":[" } else { "" };
                // A token is plain ASCII without quotes.
                output::line(&format!("{begin}],\"next_page_token\":\"{token}\"}}"));
                return;
            }
            Format::Table if self.table.is_empty() => output::error_line("no rows"),
            Format::Table => output::print(&table(&self.table)),
            Format::Jsonl => {}
        }
        if !token.is_empty() {
            output::error_line(&format!(
                "there are more rows: --all shows them, --page-token {token} goes on"
            ));
        }
    }
}

/// The rows under the columns of the first; readers may be moved to other columns between two pages.
fn table(rows: &[Row]) -> String {
    let columns = rows.first().map_or(&[][..], |row| &row.0);
    let header: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let cells = rows.iter().map(|row| {
        let of = |name: &&str| row.0.iter().find(|(column, _)| column == name);
        let cells = header
            .iter()
            .map(|name| of(name).map(|(_, value)| cell(value)));
        cells.map(Option::unwrap_or_default).collect()
    });
    output::table(&header, cells.collect())
}

/// A row by its columns, in the order of the answer.
struct Row(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;

        impl<'de> Visitor<'de> for Columns {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(Row(columns))
            }
        }

        deserializer.deserialize_map(Columns)
    }
}
