//! `viewfold plan`: what differs from what runs, and what a rebuild would read, cost and break.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;

use super::Settings;
use super::client::{Target, read, segment};
use super::failure::Failure;
use super::output;
use super::progress::{count, lasting};
use crate::api::{Plan, Relation};

/// Shows what changed, and what a rebuild would read and cost
#[derive(Args)]
pub(super) struct ShowPlan {
    /// The projection; all of them unless given
    projection: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Plans {
    plans: Vec<Plan>,
}

impl ShowPlan {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let path = match &self.projection {
            Some(projection) => format!("/v1/plan?projection={}", segment(projection)),
            None => "/v1/plan".to_owned(),
        };
        let body = client.get(&path)?.accepted()?;
        if self.json {
            output::line(&body);
            return Ok(ExitCode::SUCCESS);
        }
        let Plans { plans } = read(&body)?;
        let sections: Vec<String> = plans.iter().map(describe).collect();
        output::print(&match sections.is_empty() {
            true => "no projections\n".to_owned(),
            false => sections.join("\n"),
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// One plan for people.
pub(super) fn describe(plan: &Plan) -> String {
    let relation = match (plan.definition, plan.needs_rebuild) {
        (Relation::New, _) => "new",
        (Relation::Unchanged, _) => "unchanged",
        (Relation::Changed, true) => "changed, needs a rebuild",
        (Relation::Changed, false) => "changed, needs no rebuild",
        (Relation::Orphaned, _) => "orphaned: it has no file",
        (Relation::Dropped, _) => "dropped, and its file is still there",
    };
    let mut text = format!("{}: {relation}\n", plan.projection);
    for change in &plan.changes {
        text += &format!("  {change}\n");
    }
    text += &format!(
        "  a rebuild is generation {} in {}\n",
        plan.generation,
        plan.stores.join(" and ")
    );
    text += &cost(plan);
    text += &partitions(plan);
    for dependant in &plan.dependants {
        text += &format!("  depends on the view: {dependant}\n");
    }
    for warning in &plan.warnings {
        text += &format!("  warning: {warning}\n");
    }
    if let Some(refused) = &plan.refused {
        text += &format!(
            "  {}\n",
            output::alarm(&format!("would be refused: {refused}"))
        );
    }
    text
}

fn cost(plan: &Plan) -> String {
    let bytes = plan
        .bytes
        .map_or_else(String::new, |bytes| format!(", about {}", size(bytes)));
    let rate = count(plan.rate.max(0.0).round() as u64);
    let takes = plan.estimated_seconds.map_or_else(String::new, |seconds| {
        format!(
            "; about {} at {rate}/s ({})",
            lasting(seconds),
            plan.rate_source
        )
    });
    let disk = plan.disk_bytes.map_or_else(String::new, |bytes| {
        format!("; about {} in the stores", size(bytes))
    });
    format!(
        "  reads at most {} records{bytes}{takes}{disk}\n",
        count(plan.records)
    )
}

fn partitions(plan: &Plan) -> String {
    let rows = plan.partitions.iter().map(|part| {
        vec![
            format!("{}/{}", part.topic, part.partition),
            part.start.to_string(),
            part.end.to_string(),
            part.log_start.to_string(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = output::table(&["partition", "from", "end", "log begins"], rows);
    table.lines().map(|line| format!("  {line}\n")).collect()
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    match unit {
        "bytes" => format!("{bytes} bytes"),
        _ => format!("{size:.1} {unit}"),
    }
}
