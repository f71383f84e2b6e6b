//! Rows of generations, one per store, become records.

use sqlx::FromRow;
use uuid::Uuid;

use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::control::{BuildOptions, GenerationRecord, State};

/// One generation in one store.
#[derive(FromRow)]
pub(super) struct StateRow {
    projection: String,
    generation: i32,
    build: Uuid,
    definition: String,
    hash: String,
    intent: i64,
    wanted: bool,
    options: serde_json::Value,
    paused: bool,
    ready: bool,
    verification: Option<serde_json::Value>,
    trouble: Option<String>,
    actor: String,
    age: f64,
    store: String,
    state: String,
    published: bool,
    cleaned: bool,
    state_age: f64,
}

impl StateRow {
    /// The fault of a row that this release cannot read.
    fn unknown(&self, what: &str) -> Fault {
        Fault::misconfigured(format!(
            "{} generation {} has an unknown {what}: a newer version wrote it",
            self.projection, self.generation
        ))
    }

    fn store(&self) -> Result<(StoreKind, State)> {
        let store = [StoreKind::Postgres, StoreKind::Redis]
            .into_iter()
            .find(|store| store.as_str() == self.store)
            .ok_or_else(|| self.unknown("store"))?;
        let state = State::from_name(&self.state).ok_or_else(|| self.unknown("state"))?;
        Ok((store, state))
    }

    /// The generation without what is kept per store.
    fn into_record(self) -> Result<GenerationRecord> {
        let number = u32::try_from(self.generation).map_err(|_| self.unknown("number"))?;
        let options: BuildOptions = serde_json::from_value(self.options.clone())
            .map_err(|_| self.unknown("build option"))?;
        Ok(GenerationRecord {
            projection: self.projection.into(),
            number,
            build: self.build,
            stores: Vec::new(),
            definition: self.definition.into(),
            hash: self.hash.into(),
            intent: self.intent,
            wanted: self.wanted,
            published: Vec::new(),
            cleaned: Vec::new(),
            options,
            paused: self.paused,
            ready: self.ready,
            verification: self.verification,
            trouble: self.trouble,
            actor: self.actor,
            age_seconds: self.age.max(0.0),
            state_age_seconds: f64::INFINITY,
        })
    }
}

/// Rows of one generation after the other become one record each.
pub(super) fn gather(rows: Vec<StateRow>) -> Result<Vec<GenerationRecord>> {
    let mut records: Vec<GenerationRecord> = Vec::new();
    for row in rows {
        let (store, state) = row.store()?;
        let (published, cleaned) = (row.published, row.cleaned);
        let state_age = row.state_age.max(0.0);
        if records.last().is_none_or(|last| last.build != row.build) {
            records.push(row.into_record()?);
        }
        if let Some(record) = records.last_mut() {
            record.stores.push((store, state));
            record.published.extend(published.then_some(store));
            record.cleaned.extend(cleaned.then_some(store));
            record.state_age_seconds = record.state_age_seconds.min(state_age);
        }
    }
    Ok(records)
}
