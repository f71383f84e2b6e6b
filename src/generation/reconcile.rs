//! The reconciler: from the control tables to this instance's pipelines, one step a second.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::catalog::{Catalog, Change, Entry};
use super::ensure::{Ensurer, Wanted};
use super::topics::{self, ReadTopics};
use crate::fault::{Fault, Result};
use crate::pipeline::{Board, Pace, PipelineKey, PipelineSpec, Reason, Role, TopicUse};
use crate::position::{Position, TopicPartition};
use crate::projection::{Definition, Registry, StoreKind};
use crate::source::{EventSource, TopicInfo};
use crate::store::ViewStore;
use crate::store::control::{Control, Decision, GenerationRecord, State, TopicRecord};

/// How often the broker is asked which topics there are.
const TOPICS_PERIOD: Duration = Duration::from_secs(5);

/// What a reconciler works with.
pub struct Settings {
    /// The control tables.
    pub control: Arc<dyn Control>,
    /// The log.
    pub source: Arc<dyn EventSource>,
    /// The stores that this instance is connected to.
    pub stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    /// The definitions that this instance proposes.
    pub proposed: Vec<Definition>,
    /// Rust projections that this binary brings along, in all their versions.
    pub registry: Registry,
    /// Where tracks show what they do.
    pub board: Board,
}

/// Derives this instance's pipelines from the control tables.
pub struct Reconciler {
    settings: Settings,
    ensurer: Ensurer,
    definitions: HashMap<Uuid, std::result::Result<Definition, String>>,
    topics: Vec<TopicInfo>,
    topics_at: Option<Instant>,
    recorded: HashMap<(Uuid, Arc<str>), TopicRecord>,
    log_away: Option<Fault>,
}

impl Reconciler {
    /// A reconciler that has not looked at anything yet.
    pub fn new(settings: Settings) -> Self {
        let ensurer = Ensurer::new(Arc::clone(&settings.control), Arc::clone(&settings.source));
        Self {
            settings,
            ensurer,
            definitions: HashMap::new(),
            topics: Vec::new(),
            topics_at: None,
            recorded: HashMap::new(),
            log_away: None,
        }
    }

    /// Why the broker could not be asked at the last step, if so. What was known of topics goes on.
    pub fn log_away(&self) -> Option<&Fault> {
        self.log_away.as_ref()
    }

    /// Looks at the control tables once and answers what they say, with the pipelines that follow.
    pub async fn step(&mut self) -> Result<(Catalog, Vec<PipelineSpec>)> {
        self.log_away = self.look_for_topics().await.err();
        let records = self.propose().await?;
        let decisions = self.settings.control.decisions().await?;
        self.look_for_absence();
        let mut catalog = Catalog::default();
        let mut pipelines = Vec::new();
        for record in records {
            let definition = self.definition_of(&record);
            let change = self.change_of(&record);
            let topics = match &definition {
                Ok(definition) => self.topics_of(&record, definition).await?,
                Err(_) => None,
            };
            let known = topics.is_some();
            let topics = topics.unwrap_or_default();
            let entry = Entry {
                record,
                definition,
                change,
                topics,
            };
            // Without its start positions a generation must not be created.
            for (store, state) in entry.record.stores.iter().filter(|_| known) {
                pipelines.extend(self.pipeline(&entry, *store, *state, &decisions));
            }
            catalog.entries.push(entry);
        }
        Ok((catalog, pipelines))
    }

    /// What the control tables say, for an instance that only answers queries: it proposes
    /// nothing, creates nothing, and asks no broker.
    pub async fn look(&mut self) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for record in self.settings.control.generations().await? {
            let definition = self.definition_of(&record);
            let change = self.change_of(&record);
            let known = self.settings.control.topics(record.build).await?;
            let topics = known.into_iter().map(|known| {
                let partitions = i32::try_from(known.starts.len()).unwrap_or(i32::MAX);
                let usage = TopicUse {
                    id: known.id,
                    partitions,
                    refusal: None,
                };
                (known.topic, usage)
            });
            let topics: ReadTopics = topics.collect();
            catalog.entries.push(Entry {
                record,
                definition,
                change,
                topics,
            });
        }
        Ok(catalog)
    }

    async fn look_for_topics(&mut self) -> Result<()> {
        if self
            .topics_at
            .is_none_or(|at| at.elapsed() >= TOPICS_PERIOD)
        {
            self.topics = self.settings.source.topics().await?;
            self.topics_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Records the first generation of every proposed projection that has none.
    async fn propose(&self) -> Result<Vec<GenerationRecord>> {
        let control = &self.settings.control;
        let mut records = control.generations().await?;
        for definition in &self.settings.proposed {
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

    fn change_of(&self, record: &GenerationRecord) -> Change {
        match self
            .settings
            .proposed
            .iter()
            .find(|proposed| proposed.name == record.projection)
        {
            Some(proposed) if proposed.hash == record.hash => Change::Unchanged,
            Some(_) => Change::Changed,
            None => Change::Orphaned,
        }
    }

    async fn topics_of(
        &mut self,
        record: &GenerationRecord,
        definition: &Definition,
    ) -> Result<Option<ReadTopics>> {
        if self.topics_at.is_none() {
            return Ok(None);
        }
        let mut read = ReadTopics::new();
        let selected: Vec<TopicInfo> = topics::selected(&*definition.plan, &self.topics)
            .into_iter()
            .cloned()
            .collect();
        let mut unasked = false;
        for topic in selected {
            let Some(recorded) = self.record_topic(record.build, &topic).await? else {
                // A topic that appeared and cannot be asked yet must not stop the others.
                unasked = true;
                continue;
            };
            let refusal = topics::refusal(
                &*definition.plan,
                &topic,
                &recorded,
                definition.accept_compacted,
            );
            let usage = TopicUse {
                id: recorded.id,
                partitions: topic.partitions,
                refusal,
            };
            read.insert(Arc::clone(&topic.name), usage);
        }
        Ok((!read.is_empty() || !unasked).then_some(read))
    }

    /// What is recorded of a topic for a build; recorded now, with the log's beginning, where nothing is.
    async fn record_topic(
        &mut self,
        build: Uuid,
        topic: &TopicInfo,
    ) -> Result<Option<TopicRecord>> {
        let name = (build, Arc::clone(&topic.name));
        if let Some(recorded) = self.recorded.get(&name) {
            return Ok(Some(recorded.clone()));
        }
        let known = self.settings.control.topics(build).await?;
        let recorded = match known
            .into_iter()
            .find(|recorded| recorded.topic == topic.name)
        {
            Some(recorded) => recorded,
            None => {
                let starts = match self.beginnings(topic).await {
                    Ok(starts) => starts,
                    Err(fault) => {
                        self.log_away = Some(fault);
                        return Ok(None);
                    }
                };
                let proposed = TopicRecord {
                    topic: Arc::clone(&topic.name),
                    id: topic.id.clone(),
                    starts,
                };
                self.settings.control.add_topic(build, &proposed).await?
            }
        };
        self.recorded.insert(name, recorded.clone());
        Ok(Some(recorded))
    }

    async fn beginnings(&self, topic: &TopicInfo) -> Result<Vec<(i32, Position)>> {
        let mut starts = Vec::new();
        for partition in 0..topic.partitions {
            let bounds = self
                .settings
                .source
                .bounds(&TopicPartition::new(Arc::clone(&topic.name), partition))
                .await?;
            starts.push((partition, bounds.low));
        }
        Ok(starts)
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
        let key = PipelineKey {
            build: generation.build,
            store: kind,
        };
        let created = self.ensurer.is_created(key);
        self.ensurer.advance(Wanted {
            generation: generation.clone(),
            store: Arc::clone(&store),
            starts: self.starts(entry),
            published: entry.record.published.contains(&kind),
            intent: entry.record.intent,
            live: state == State::Live,
        });
        Some(PipelineSpec {
            key,
            generation,
            plan: Arc::clone(&definition.plan),
            store,
            role,
            skips: Arc::new(skips(entry, decisions)),
            topics: entry.topics.clone(),
            created,
            waiting: self.ensurer.waiting(key),
            pace: Pace::default(),
            paused: entry.record.paused,
            base: None,
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

    fn starts(&self, entry: &Entry) -> Vec<(TopicPartition, Position)> {
        let mut starts = Vec::new();
        for topic in entry.topics.keys() {
            let Some(recorded) = self.recorded.get(&(entry.record.build, Arc::clone(topic))) else {
                continue;
            };
            starts.extend(
                recorded.starts.iter().map(|(partition, at)| {
                    (TopicPartition::new(Arc::clone(topic), *partition), *at)
                }),
            );
        }
        starts
    }
}

/// The records that a generation steps over by decision: those of the topics it knows, by identity.
fn skips(entry: &Entry, decisions: &[Decision]) -> HashSet<(TopicPartition, i64)> {
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
