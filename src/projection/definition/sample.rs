//! How often each path of a definition is found in real events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Definition;
use super::plan::Plan;
use super::run::{Each, Handler};
use crate::event::{Chunk, Event, Json, Path, PathSet};
use crate::fault::Result;
use crate::position::RecordName;
use crate::projection::expr::Env;

/// How often one path was found by one handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathCount {
    /// The event type the handler is for.
    pub handler: String,
    /// The path, from `data` or `item` on.
    pub path: String,
    /// How often there was a value.
    pub present: u64,
    /// How often it was null.
    pub null: u64,
    /// How often there was nothing.
    pub missing: u64,
}

/// What a sample of events says about a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// How many events were read.
    pub events: u64,
    /// How many events each handler took, by the type it is for; also those that took none.
    pub handlers: BTreeMap<String, u64>,
    /// Every path of every handler.
    pub paths: Vec<PathCount>,
    /// The event types that no handler takes.
    pub unmatched: BTreeMap<String, u64>,
    /// Records that could not be decoded, or whose array could not be read.
    pub undecodable: Vec<String>,
}

type Counts = BTreeMap<(usize, String), PathCount>;

impl Definition {
    /// Counts how often each path is found in the events of `chunks` that the handlers take.
    /// Nothing is counted for a Rust projection, whose paths are its own business.
    pub fn sample(&self, chunks: &[Chunk]) -> Sample {
        let mut sample = Sample::default();
        let Some(plan) = &self.file else {
            return sample;
        };
        let mut counts = Counts::new();
        for (index, handler) in plan.handlers.iter().enumerate() {
            sample.handlers.insert(handler.name.clone(), 0);
            for path in &handler.data_used {
                count_of(&mut counts, index, handler, "data", path);
            }
            for path in handler.each.iter().flat_map(Each::paths) {
                count_of(&mut counts, index, handler, "item", path);
            }
        }
        let paths = Arc::new(PathSet::new(plan.paths.iter().cloned()));
        for chunk in chunks {
            let chunk = chunk.with_paths(paths.clone());
            let Some(map) = chunk.map(&plan.paths) else {
                continue;
            };
            for index in 0..chunk.len() {
                let event = chunk.event(index, &map);
                sample.events += 1;
                if let Err((record, message)) = look(plan, &event, &mut sample, &mut counts) {
                    sample.undecodable.push(format!("{record}: {message}"));
                }
            }
        }
        sample.paths = counts.into_values().collect();
        sample
    }
}

fn count_of<'c>(
    counts: &'c mut Counts,
    index: usize,
    handler: &Handler,
    root: &str,
    path: &Path,
) -> &'c mut PathCount {
    let path = format!("{root}{path}");
    counts
        .entry((index, path.clone()))
        .or_insert_with(|| PathCount {
            handler: handler.name.clone(),
            path,
            present: 0,
            null: 0,
            missing: 0,
        })
}

fn look(
    plan: &Plan,
    event: &Event<'_>,
    sample: &mut Sample,
    counts: &mut Counts,
) -> Result<(), (RecordName, String)> {
    let failed = |message: String| (event.record(), message);
    if let Some(fault) = event.fault() {
        return Err(failed(fault.message));
    }
    let found = plan.find(event);
    let Some((index, handler)) = found.and_then(|i| Some((i, plan.handlers.get(i)?))) else {
        let kind = event.event_type().into_owned();
        *sample.unmatched.entry(kind).or_default() += 1;
        return Ok(());
    };
    *sample.handlers.entry(handler.name.clone()).or_default() += 1;
    for path in &handler.data_used {
        if let Some(slot) = plan.paths.iter().position(|known| known == path) {
            tally(
                count_of(counts, index, handler, "data", path),
                &event.path(slot),
            );
        }
    }
    let Some(each) = &handler.each else {
        return Ok(());
    };
    let env = Env {
        event,
        item: None,
        row: None,
    };
    let elements = each.elements(&env).map_err(|f| failed(f.message))?;
    for element in elements {
        let values = each.extract(element).map_err(|f| failed(f.message))?;
        for (path, value) in each.paths().iter().zip(&values) {
            tally(count_of(counts, index, handler, "item", path), value);
        }
    }
    Ok(())
}

fn tally(count: &mut PathCount, value: &Json<'_>) {
    match value {
        Json::Missing => count.missing += 1,
        Json::Null => count.null += 1,
        _ => count.present += 1,
    }
}
