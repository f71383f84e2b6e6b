//! `viewfold status`: every projection, generation, store and partition.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Settings;
use super::client::{Client, Target, read};
use super::failure::Failure;
use super::{output, progress};
use crate::api::status::{
    DefinitionState, GenerationStatus, PartitionStatus, ProjectionStatus, Stall, StatusReport,
    StoreStatus,
};

/// How often `--watch` looks.
const PERIOD: Duration = Duration::from_secs(1);

const HEADER: [&str; 12] = [
    "projection",
    "gen",
    "store",
    "state",
    "partition",
    "position",
    "end",
    "lag",
    "lag s",
    "rate/s",
    "owner",
    "stalled",
];

/// Shows state, position, lag and stalls of everything
#[derive(Args)]
pub(super) struct Status {
    /// Look again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Status {
    /// 1 when something is stalled; with `--watch`, Ctrl-C ends it.
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let stalled = self.show(&client)?;
        if !self.watch {
            return Ok(ExitCode::from(u8::from(stalled)));
        }
        loop {
            std::thread::sleep(PERIOD);
            if let Err(failure) = self.show(&client) {
                output::error_line(&failure.to_string());
            }
        }
    }

    fn show(&self, client: &Client) -> Result<bool, Failure> {
        let body = client.get("/v1/projections")?.success()?;
        let report: StatusReport = read(&body)?;
        if self.json {
            output::json(&report)?;
        } else {
            let clear = match self.watch && output::on_terminal() {
                true => "\u{1b}[H\u{1b}[2J",
                false => "",
            };
            output::print(&format!("{clear}{}", describe(&report)));
        }
        Ok(report.is_stalled())
    }
}

fn describe(report: &StatusReport) -> String {
    let mut text = String::new();
    if let Some(control) = &report.control {
        text += &format!("{}\n", output::alarm(control));
    }
    if report.projections.is_empty() {
        return text + "no projections\n";
    }
    let rows: Vec<Vec<String>> = report
        .projections
        .iter()
        .flat_map(projection_rows)
        .collect();
    text += &output::table(&HEADER, rows);
    for projection in &report.projections {
        text += &notes(projection);
    }
    text
}

fn projection_rows(projection: &ProjectionStatus) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for generation in &projection.generations {
        for store in &generation.stores {
            for partition in &store.partitions {
                rows.push(row(projection, generation, store, Some(partition)));
            }
            if store.partitions.is_empty() {
                rows.push(row(projection, generation, store, None));
            }
        }
    }
    rows
}

fn row(
    projection: &ProjectionStatus,
    generation: &GenerationStatus,
    store: &StoreStatus,
    partition: Option<&PartitionStatus>,
) -> Vec<String> {
    let stall = store
        .stalled
        .as_ref()
        .or(partition.and_then(|p| p.stalled.as_ref()));
    let mut cells = vec![
        projection.name.clone(),
        generation.generation.to_string(),
        store.store.to_string(),
        store.state.clone(),
    ];
    match partition {
        Some(p) => cells.extend([
            format!("{}/{}", p.topic, p.partition),
            known(p.position),
            known(p.end),
            known(p.lag_records),
            known(p.lag_seconds.map(|s| format!("{s:.1}"))),
            format!("{:.0}", p.rate),
            known(p.owner.as_ref()),
        ]),
        None => cells.extend(vec!["-".to_owned(); 7]),
    }
    cells.push(stall.map_or_else(String::new, |stall| stall.reason.clone()));
    cells
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// What does not fit into a row: stalls in full, files that differ, events that nobody handles.
fn notes(projection: &ProjectionStatus) -> String {
    let mut text = String::new();
    let name = &projection.name;
    if projection.definition != DefinitionState::Unchanged {
        text += &format!("{name}: definition {}\n", projection.definition.describe());
    }
    for unmatched in &projection.unmatched_types {
        let (kind, count) = (&unmatched.event_type, unmatched.count);
        text += &format!("{name}: no handler for {kind} ({count} events)\n");
    }
    for generation in &projection.generations {
        text += &build_lines(name, generation);
    }
    let stores = projection.generations.iter().flat_map(|g| &g.stores);
    for store in stores {
        if let Some(stall) = &store.stalled {
            text += &stall_line(&format!("{name} in {}", store.store), stall);
        }
        for partition in &store.partitions {
            if let Some(stall) = &partition.stalled {
                let place = format!(
                    "{name} in {}, {}/{}",
                    store.store, partition.topic, partition.partition
                );
                text += &stall_line(&place, stall);
            }
        }
    }
    text
}

/// How a generation's build goes on.
fn build_lines(name: &str, generation: &GenerationStatus) -> String {
    let Some(build) = &generation.build else {
        return String::new();
    };
    let place = format!("{name}: generation {}", generation.generation);
    let mut text = match build.progress.filter(|_| output::on_terminal()) {
        Some(progress) => format!(
            "{place} {} {}\n",
            progress::drawn(&progress),
            progress::line(build)
        ),
        None => format!("{place}: {}\n", progress::line(build)),
    };
    if let Some(trouble) = &build.trouble {
        text += &format!("{}\n", output::alarm(&format!("{place}: {trouble}")));
    }
    text
}

fn stall_line(place: &str, stall: &Stall) -> String {
    let line = format!(
        "{place}: stalled since {}: {}: {}",
        stall.since, stall.reason, stall.detail
    );
    output::alarm(&line) + "\n"
}
