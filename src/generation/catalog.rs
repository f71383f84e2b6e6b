//! The catalog: every generation with the definition it runs, as of the last look at the control tables.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::plan::Relation;
use super::topics::ReadTopics;
use crate::fault::Fault;
use crate::position::{Position, TopicPartition};
use crate::projection::{Definition, StoreKind};
use crate::store::Generation;
use crate::store::control::{GenerationRecord, State};

/// One generation.
#[derive(Clone)]
pub struct Entry {
    /// What the control tables say.
    pub record: GenerationRecord,
    /// The definition that it runs, or why this instance cannot run it.
    pub definition: Result<Definition, String>,
    /// The topics that it reads.
    pub topics: ReadTopics,
    /// Where it began to read them.
    pub starts: Vec<(TopicPartition, Position)>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.record;
        write!(f, "{} generation {}", record.projection, record.number)
    }
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

    /// The same, where this instance has to be able to run it.
    pub(super) fn runnable(&self) -> Result<Generation, Fault> {
        self.generation().ok_or_else(|| {
            Fault::misconfigured(format!(
                "this instance cannot run {self}: its definition cannot be read"
            ))
        })
    }

    /// The partitions of a topic that it reads.
    pub(super) fn partitions_of(&self, topic: &Arc<str>) -> impl Iterator<Item = TopicPartition> {
        let partitions = self.topics.get(topic).map_or(0, |read| read.partitions);
        let topic = Arc::clone(topic);
        (0..partitions).map(move |number| TopicPartition::new(Arc::clone(&topic), number))
    }

    /// Its state in a store.
    pub fn state(&self, store: StoreKind) -> Option<State> {
        self.record.state(store)
    }

    /// Whether it is fed in some store.
    pub fn runs(&self) -> bool {
        self.record.stores.iter().any(|(_, state)| state.runs())
    }
}

/// Every generation that is not over and gone.
#[derive(Clone, Default)]
pub struct Catalog {
    /// By (projection, number).
    pub entries: Vec<Entry>,
    /// How the file of every projection, known or proposed, relates to what runs.
    pub relations: BTreeMap<Arc<str>, Relation>,
}

impl Catalog {
    /// The same with newer records: generations that are over are left out, and those that no reconciler has met
    /// yet are left to it.
    #[must_use]
    pub fn with_records(&self, records: &[GenerationRecord]) -> Self {
        let newest = |entry: &Entry| {
            let mut records = records.iter();
            let record = records.find(|record| record.build == entry.record.build)?;
            Some(Entry {
                record: record.clone(),
                ..entry.clone()
            })
        };
        Self {
            entries: self.entries.iter().filter_map(newest).collect(),
            relations: self.relations.clone(),
        }
    }

    /// The generations of one projection.
    pub fn of<'c>(&'c self, projection: &'c str) -> impl Iterator<Item = &'c Entry> {
        self.entries
            .iter()
            .filter(move |entry| &*entry.record.projection == projection)
    }

    /// The generation that speaks for the projection: what readers should see, or the newest.
    pub fn foremost(&self, projection: &str) -> Option<&Entry> {
        let of_projection = |entry: &&Entry| &*entry.record.projection == projection;
        let entries = self.entries.iter().filter(of_projection);
        entries.max_by_key(|entry| (entry.record.is_anywhere(State::Live), entry.record.number))
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
