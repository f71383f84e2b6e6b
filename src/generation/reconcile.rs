//! The reconciler: from the control tables to this instance's pipelines, one step a second.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::catalog::{Catalog, Entry};
use super::ensure::{Ensurer, Wanted};
use super::pacing::Pacing;
use super::plan::Relation;
use super::topics::TopicBook;
use crate::fault::{Fault, Result};
use crate::pipeline::{Board, PipelineKey, PipelineSpec, Reason, Role, TopicUse};
use crate::position::TopicPartition;
use crate::projection::{Definition, Registry, StoreKind};
use crate::source::EventSource;
use crate::store::ViewStore;
use crate::store::control::{Base, Control, Decision, GenerationRecord, State};
use crate::telemetry;

/// What a reconciler works with.
pub struct Settings {
    /// The control tables.
    pub control: Arc<dyn Control>,
    /// The log.
    pub source: Arc<dyn EventSource>,
    /// The stores that this instance is connected to.
    pub stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    /// The definitions that this instance proposes.
    pub proposed: Arc<[Definition]>,
    /// Rust projections that this binary brings along, in all their versions.
    pub registry: Registry,
    /// Where tracks show what they do.
    pub board: Board,
    /// How fast builds may go.
    pub pacing: Pacing,
}

/// Derives this instance's pipelines from the control tables.
pub struct Reconciler {
    settings: Settings,
    ensurer: Ensurer,
    topics: TopicBook,
    definitions: HashMap<Uuid, std::result::Result<Definition, String>>,
    /// Proposed definitions that were dropped before.
    dropped: HashSet<Arc<str>>,
    /// Builds whose difference from their file was logged.
    told: HashSet<Uuid>,
}

impl Reconciler {
    /// A reconciler that has not looked at anything yet.
    pub fn new(settings: Settings) -> Self {
        let (control, source) = (&settings.control, &settings.source);
        Self {
            ensurer: Ensurer::new(Arc::clone(control), Arc::clone(source)),
            topics: TopicBook::new(Arc::clone(control), Arc::clone(source)),
            settings,
            definitions: HashMap::new(),
            dropped: HashSet::new(),
            told: HashSet::new(),
        }
    }

    /// Why the broker could not be asked at the last step, if so. What was known of topics goes on.
    pub fn log_away(&self) -> Option<&Fault> {
        self.topics.away()
    }

    /// Looks at the control tables once and answers what they say, with the pipelines that follow.
    pub async fn step(&mut self) -> Result<(Catalog, Vec<PipelineSpec>)> {
        self.topics.look().await;
        let records = self.propose().await?;
        let decisions = self.settings.control.decisions().await?;
        self.look_for_absence();
        let mut catalog = Catalog::default();
        let mut pipelines = Vec::new();
        for record in records {
            let definition = self.definition_of(&record);
            let topics = match &definition {
                Ok(definition) => self.topics.of(record.build, definition).await?,
                Err(_) => None,
            };
            let known = topics.is_some();
            let topics = topics.unwrap_or_default();
            let entry = Entry {
                starts: self.topics.starts(record.build, &topics),
                record,
                definition,
                topics,
            };
            // Without its start positions a generation must not be created.
            for (store, state) in entry.record.stores.iter().filter(|_| known) {
                pipelines.extend(self.pipeline(&entry, *store, *state, &decisions));
            }
            catalog.entries.push(entry);
        }
        self.forget(&catalog);
        self.relate(&mut catalog);
        self.settings.pacing.follow(&catalog);
        Ok((catalog, pipelines))
    }

    /// What the control tables say, for an instance that only answers queries: it proposes
    /// nothing, creates nothing, and asks no broker.
    pub async fn look(&mut self) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for record in self.settings.control.generations().await? {
            let definition = self.definition_of(&record);
            let known = self.settings.control.topics(record.build).await?;
            let starts = known.iter().flat_map(super::topics::starts_of).collect();
            let topics = known.into_iter().map(|known| {
                let partitions = i32::try_from(known.starts.len()).unwrap_or(i32::MAX);
                let usage = TopicUse {
                    id: known.id,
                    partitions,
                    refusal: None,
                };
                (known.topic, usage)
            });
            catalog.entries.push(Entry {
                topics: topics.collect(),
                record,
                definition,
                starts,
            });
        }
        self.relate(&mut catalog);
        Ok(catalog)
    }

    /// Records the first generation of every proposed projection that has none.
    async fn propose(&mut self) -> Result<Vec<GenerationRecord>> {
        let control = &self.settings.control;
        let mut records = control.generations().await?;
        self.dropped.clear();
        for definition in self.settings.proposed.iter() {
            if records
                .iter()
                .any(|record| record.projection == definition.name)
            {
                continue;
            }
            let stores = definition.plan.stores();
            let record = control
                .create_first(&definition.name, stores, &definition.text, &definition.hash)
                .await?;
            let Some(record) = record else {
                self.dropped.insert(Arc::clone(&definition.name));
                continue;
            };
            tracing::info!(projection = %definition.name, build = %record.build, "first generation recorded");
            records.push(record);
        }
        records.sort_by(|a, b| (&a.projection, a.number).cmp(&(&b.projection, b.number)));
        Ok(records)
    }

    /// The definition that a generation runs: its own text, or the Rust projection of its hash.
    fn definition_of(
        &mut self,
        record: &GenerationRecord,
    ) -> std::result::Result<Definition, String> {
        let settings = &self.settings;
        self.definitions
            .entry(record.build)
            .or_insert_with(|| {
                let rust = settings.registry.all().iter().map(|plan| Definition::of(Arc::clone(plan)));
                if let Some(found) = rust.into_iter().find(|definition| definition.hash == record.hash) {
                    return Ok(found);
                }
                let file = format!("generation {} of {}", record.number, record.projection);
                Definition::parse(&record.projection, &file, &record.definition).map_err(|problems| {
                    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    format!(
                        "this instance cannot run it (a Rust projection of another version, or written for \
                         another release): {}",
                        problems.join("; ")
                    )
                })
            })
            .clone()
    }

    /// Drops what is remembered of generations that are gone.
    fn forget(&mut self, catalog: &Catalog) {
        let builds: HashSet<Uuid> = catalog
            .entries
            .iter()
            .map(|entry| entry.record.build)
            .collect();
        self.definitions.retain(|build, _| builds.contains(build));
        self.told.retain(|build| builds.contains(build));
        self.ensurer.retain(&builds);
    }

    /// How every projection's file relates to what runs.
    fn relate(&mut self, catalog: &mut Catalog) {
        let mut relations: BTreeMap<Arc<str>, Relation> = BTreeMap::new();
        for proposed in self.settings.proposed.iter() {
            let relation = match catalog.foremost(&proposed.name) {
                None if self.dropped.contains(&proposed.name) => Relation::Dropped,
                None => Relation::New,
                Some(entry) if entry.record.hash == proposed.hash => Relation::Unchanged,
                Some(entry) => {
                    if self.told.insert(entry.record.build) {
                        tracing::warn!(
                            projection = %proposed.name, generation = entry.record.number,
                            "definition has changed; the generation goes on with its own, rebuild to apply the file"
                        );
                    }
                    Relation::Changed
                }
            };
            relations.insert(Arc::clone(&proposed.name), relation);
        }
        for (name, relation) in &relations {
            let changed = &telemetry::metrics().definition_changed;
            let changed = changed.with_label_values(&[&**name]);
            changed.set((*relation == Relation::Changed).into());
        }
        for entry in &catalog.entries {
            relations
                .entry(Arc::clone(&entry.record.projection))
                .or_insert(Relation::Orphaned);
        }
        catalog.relations = relations;
    }

    fn pipeline(
        &self,
        entry: &Entry,
        kind: StoreKind,
        state: State,
        decisions: &[Decision],
    ) -> Option<PipelineSpec> {
        let definition = entry.definition.as_ref().ok()?;
        let generation = entry.generation()?;
        let store = Arc::clone(self.settings.stores.get(&kind)?);
        let role = match state {
            State::Live => Role::Live,
            State::Building => Role::Building,
            State::Standby => Role::Standby,
            State::Retired | State::Failed | State::Cancelled => return None,
        };
        let record = &entry.record;
        let key = PipelineKey {
            build: generation.build,
            store: kind,
        };
        let stage = self.ensurer.stage(key);
        self.ensurer.advance(Wanted {
            generation: generation.clone(),
            store: Arc::clone(&store),
            starts: entry.starts.clone(),
            published: record.published.contains(&kind),
            intent: record.intent,
            live: state == State::Live,
            copied: record.options.base == Base::Live,
            levelled: record.options.base == Base::Live && !record.options.explicit_starts,
        });
        Some(PipelineSpec {
            key,
            generation,
            plan: Arc::clone(&definition.plan),
            store,
            role,
            skips: Arc::new(skips(entry, decisions)),
            topics: entry.topics.clone(),
            created: stage.created,
            waiting: stage.waiting,
            pace: self.settings.pacing.of(record),
            base: stage.base,
        })
    }

    /// Has the generations looked for at once whose tracks found them absent.
    fn look_for_absence(&self) {
        for ((key, _), status) in self.settings.board.tracks() {
            if status
                .stall
                .is_some_and(|stall| stall.reason == Reason::GenerationAbsent)
            {
                self.ensurer.absent(key);
            }
        }
    }
}

/// The records that a generation steps over by decision: those of the topics it knows, by identity.
pub(super) fn skips(entry: &Entry, decisions: &[Decision]) -> HashSet<(TopicPartition, i64)> {
    decisions
        .iter()
        .filter(|decision| decision.projection == entry.record.projection)
        .filter(|decision| {
            let topic = entry.topics.get(&decision.record.partition.topic);
            topic.is_some_and(|topic| topic.id == decision.topic_id)
        })
        .map(|decision| (decision.record.partition.clone(), decision.record.offset))
        .collect()
}
