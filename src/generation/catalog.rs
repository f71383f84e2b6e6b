//! The catalog: every generation with the definition it runs, as of the last look at the control tables.

use std::sync::Arc;

use super::topics::ReadTopics;
use crate::projection::{Definition, StoreKind};
use crate::store::Generation;
use crate::store::control::{GenerationRecord, State};

/// How a projection's file relates to its live generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file is what runs.
    Unchanged,
    /// The file differs: rebuild to apply it.
    Changed,
    /// There is no file (any more); the projection runs on.
    Orphaned,
}

impl Change {
    /// As shown in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed, rebuild to apply",
            Self::Orphaned => "orphaned",
        }
    }
}

/// One generation.
#[derive(Clone)]
pub struct Entry {
    /// What the control tables say.
    pub record: GenerationRecord,
    /// The definition that it runs, or why this instance cannot run it.
    pub definition: Result<Definition, String>,
    /// How its projection's file relates to it.
    pub change: Change,
    /// The topics that it reads.
    pub topics: ReadTopics,
}

impl Entry {
    /// The generation as a store needs to know it.
    pub fn generation(&self) -> Option<Generation> {
        let definition = self.definition.as_ref().ok()?;
        Some(Generation {
            projection: Arc::clone(&self.record.projection),
            number: self.record.number,
            build: self.record.build,
            schema: Arc::clone(definition.plan.schema()),
        })
    }

    /// Its state in a store.
    pub fn state(&self, store: StoreKind) -> Option<State> {
        self.record
            .stores
            .iter()
            .find(|(kind, _)| *kind == store)
            .map(|(_, state)| *state)
    }
}

/// Every generation that is not over.
#[derive(Clone, Default)]
pub struct Catalog {
    /// By (projection, number).
    pub entries: Vec<Entry>,
}

impl Catalog {
    /// The generations of one projection.
    pub fn of<'c>(&'c self, projection: &'c str) -> impl Iterator<Item = &'c Entry> {
        self.entries
            .iter()
            .filter(move |entry| &*entry.record.projection == projection)
    }

    /// The generation that readers of `projection` see in `store`.
    pub fn live(&self, projection: &str, store: StoreKind) -> Option<&Entry> {
        let of_projection = |entry: &&Entry| &*entry.record.projection == projection;
        self.entries
            .iter()
            .filter(of_projection)
            .find(|entry| entry.state(store) == Some(State::Live))
    }
}
