//! The planner: asks the log, the control tables and the stores what a rebuild would meet. It only reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::{Catalog, Entry};
use super::estimate::{self, Rate};
use super::objections::Case;
use super::pacing::Pacing;
use super::plan::{PartitionPlan, Plan, PlanError, Prepared, RebuildRequest, Relation};
use super::starts::{self, LiveReads, LiveTopic, Origin, Part};
use super::survey::Survey;
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::definition::changes;
use crate::projection::{Definition, StoreKind};
use crate::source::{EventSource, TopicInfo};
use crate::store::ViewStore;
use crate::store::control::{Base, Control, GenerationRecord, State, TopicRecord};

/// Makes plans.
///
/// **Architecture invariant:** nothing that it asks for changes anything anywhere.
#[derive(Clone)]
pub struct Planner {
    /// The control tables.
    pub control: Arc<dyn Control>,
    /// The log.
    pub source: Arc<dyn EventSource>,
    /// The stores that this instance is connected to.
    pub stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    /// Knows how fast builds were.
    pub pacing: Pacing,
}

/// One projection and what is asked of it.
struct Subject<'a> {
    projection: &'a str,
    proposed: Option<&'a Definition>,
    live: Option<&'a Entry>,
    catalog: &'a Catalog,
    request: &'a RebuildRequest,
}

impl<'a> Subject<'a> {
    /// What a rebuild would run: the file, else what is live.
    fn definition(&self) -> Result<&'a Definition, &'a str> {
        match (self.proposed, self.live) {
            (Some(proposed), _) => Ok(proposed),
            (None, Some(live)) => live.definition.as_ref().map_err(String::as_str),
            (None, None) => Err("there is neither a file nor a live generation"),
        }
    }
}

/// What was asked of the control tables and the stores.
struct Known {
    history: Vec<GenerationRecord>,
    number: u32,
    dependants: Vec<String>,
    disk_bytes: Option<u64>,
    warnings: Vec<String>,
}

impl Planner {
    /// The plan of a rebuild of `projection`. `proposed` is what its file says, if it has one; `live` is the
    /// generation that readers see, if there is one, whose own definition is rebuilt where there is no file. What
    /// speaks against the rebuild is in [`Plan::refused`].
    ///
    /// # Errors
    /// [`PlanError::BadRequest`] when the request makes no sense; [`PlanError::Fault`] when the log, the control tables
    /// or a store that has to be asked is away.
    pub async fn prepare(
        &self,
        projection: &str,
        proposed: Option<&Definition>,
        live: Option<&Entry>,
        catalog: &Catalog,
        request: &RebuildRequest,
    ) -> Result<Prepared, PlanError> {
        request.check()?;
        let subject = Subject {
            projection,
            proposed,
            live,
            catalog,
            request,
        };
        self.plan(&subject, &mut Survey::new(&self.source)).await
    }

    /// What a rebuild of every projection from the beginning would do, by name; for one that has no generation yet
    /// what its first one reads.
    ///
    /// # Errors
    /// As of [`Planner::prepare`].
    pub async fn overview(
        &self,
        proposed: &[Definition],
        catalog: &Catalog,
    ) -> Result<Vec<Plan>, PlanError> {
        let files = proposed.iter().map(|definition| &*definition.name);
        let known = catalog
            .entries
            .iter()
            .map(|entry| &*entry.record.projection);
        let names: BTreeSet<&str> = files.chain(known).collect();
        let mut survey = Survey::new(&self.source);
        let mut plans = Vec::with_capacity(names.len());
        for name in names {
            let subject = Subject {
                projection: name,
                proposed: proposed.iter().find(|definition| &*definition.name == name),
                live: live_of(catalog, name),
                catalog,
                request: &RebuildRequest::default(),
            };
            if subject.proposed.is_some() || subject.live.is_some() {
                plans.push(self.plan(&subject, &mut survey).await?.plan);
            }
        }
        Ok(plans)
    }

    async fn plan(
        &self,
        subject: &Subject<'_>,
        survey: &mut Survey,
    ) -> Result<Prepared, PlanError> {
        let origin = Origin::of(subject.request)?;
        let known = self.known(subject).await?;
        let definition = match subject.definition() {
            Ok(definition) => definition,
            Err(why) => return Ok(self.impossible(subject, known, why)),
        };
        let topics = survey.selected(&*definition.plan).await?;
        origin.check(subject.projection, &topics)?;
        let reads = self.live_reads(subject, &known.history).await?;
        let parts = starts::parts(&origin, &topics, &reads, survey).await?;
        let stores: Vec<StoreKind> = self.stores.keys().copied().collect();
        let case = Case {
            projection: subject.projection,
            definition,
            live: subject.live,
            request: subject.request,
            history: &known.history,
            topics: &topics,
            reads: &reads,
            parts: &parts,
            dependants: &known.dependants,
            stores: &stores,
        };
        let objections = case.objections();
        let warnings = case.warnings();
        let mut plan = self.outline(subject, known);
        plan.stores = definition
            .plan
            .stores()
            .iter()
            .map(ToString::to_string)
            .collect();
        plan.partitions = parts.iter().map(shown).collect();
        plan.records = estimate::records(&parts);
        plan.bytes = estimate::bytes(&parts, survey).await;
        plan.estimated_seconds = Some(plan.records as f64 / plan.rate);
        plan.warnings.extend(warnings);
        plan.refused = (!objections.is_empty()).then(|| objections.join("; "));
        Ok(Prepared {
            plan,
            topics: recorded(&topics, &parts),
            starts: parts
                .into_iter()
                .map(|part| (part.partition, part.start))
                .collect(),
        })
    }

    /// The plan of what this instance cannot even read the definition of.
    fn impossible(&self, subject: &Subject<'_>, known: Known, why: &str) -> Prepared {
        let mut plan = self.outline(subject, known);
        plan.refused = Some(format!(
            "the definition of {} is not known here: {why}; put its file back",
            subject.projection
        ));
        Prepared {
            plan,
            topics: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// A plan without what concerns the log.
    fn outline(&self, subject: &Subject<'_>, known: Known) -> Plan {
        let Rate {
            records_per_second,
            source,
        } = Rate::of(self.pacing.reached(), subject.request.max_rate);
        let relation = subject.catalog.relations.get(subject.projection);
        let definition = relation.copied().unwrap_or(Relation::New);
        let live = subject.live.map(|live| &live.definition);
        let (changes, accepts_other) = match (subject.proposed, live) {
            (Some(proposed), Some(Ok(live))) => (
                changes(live, proposed),
                live.accept_compacted != proposed.accept_compacted,
            ),
            (Some(_), Some(Err(why))) => {
                let unknown = format!("what is live cannot be compared: {why}");
                let changed = definition == Relation::Changed;
                (changed.then_some(unknown).into_iter().collect(), false)
            }
            _ => (Vec::new(), false),
        };
        Plan {
            projection: subject.projection.to_owned(),
            definition,
            needs_rebuild: matches!(definition, Relation::Changed | Relation::Dropped)
                || accepts_other,
            changes,
            generation: known.number,
            stores: Vec::new(),
            partitions: Vec::new(),
            records: 0,
            bytes: None,
            estimated_seconds: None,
            rate: records_per_second,
            rate_source: source.to_owned(),
            disk_bytes: known.disk_bytes,
            dependants: known.dependants,
            warnings: known.warnings,
            refused: None,
        }
    }

    /// Asks the control tables, and the stores as far as they answer.
    async fn known(&self, subject: &Subject<'_>) -> Result<Known> {
        let history = self.control.history(subject.projection).await?;
        let mut greatest = history
            .iter()
            .map(|record| record.number)
            .max()
            .unwrap_or(0);
        for entry in subject.catalog.of(subject.projection) {
            greatest = greatest.max(entry.record.number);
        }
        let mut known = Known {
            number: 0,
            dependants: Vec::new(),
            disk_bytes: None,
            warnings: Vec::new(),
            history,
        };
        let definition = subject.definition().ok();
        for (kind, store) in &self.stores {
            let live_there = subject
                .live
                .is_some_and(|live| live.state(*kind) == Some(State::Live));
            let wanted =
                definition.is_some_and(|definition| definition.plan.stores().contains(kind));
            if !live_there && !wanted {
                continue;
            }
            // A store that is away is no reason not to plan: it is built in when it is back.
            match store.pointer(subject.projection).await {
                Ok(pointer) => {
                    let named = pointer.and_then(|pointer| pointer.generation);
                    greatest = greatest.max(named.unwrap_or(0));
                }
                Err(fault) => {
                    known
                        .warnings
                        .push(format!("{kind} could not be asked: {fault}"));
                    continue;
                }
            }
            if let Some(generation) = subject.live.filter(|_| live_there && wanted)
                && let Some(generation) = generation.generation()
                && let Ok(Some((_, bytes))) = store.size(&generation).await
            {
                known.disk_bytes = Some(known.disk_bytes.unwrap_or(0) + bytes);
            }
        }
        if let Some(store) = self.stores.get(&StoreKind::Postgres)
            && definition.is_some_and(|d| d.plan.stores().contains(&StoreKind::Postgres))
            && subject.live.is_some()
        {
            known.dependants = store.dependants(subject.projection).await?;
        }
        known.number = greatest + 1;
        Ok(known)
    }

    /// What the live generation has read, and where it stands.
    async fn live_reads(
        &self,
        subject: &Subject<'_>,
        history: &[GenerationRecord],
    ) -> Result<LiveReads> {
        let mut reads = LiveReads::default();
        let Some(live) = subject.live else {
            return Ok(reads);
        };
        let records = self.control.topics(live.record.build).await?;
        reads.topics = records.into_iter().map(LiveTopic::of).collect();
        if live.record.options.base == Base::Live {
            // Copied rows reflect what the generation read that they were copied from: one of those before it.
            let earlier = history
                .iter()
                .filter(|record| record.number < live.record.number);
            for record in earlier {
                for topic in self.control.topics(record.build).await? {
                    if let Some(read) = reads.topics.get_mut(&topic.topic) {
                        read.include(&topic);
                    }
                }
            }
        }
        if subject.request.base == Base::Live {
            reads.cursors = self.live_cursors(live).await?;
        }
        Ok(reads)
    }

    /// Where the live generation stands, in the store where it is the furthest behind.
    async fn live_cursors(&self, live: &Entry) -> Result<BTreeMap<TopicPartition, Position>> {
        let mut lowest = BTreeMap::new();
        let Some(generation) = live.generation() else {
            return Ok(lowest);
        };
        for (kind, store) in &self.stores {
            if live.state(*kind) != Some(State::Live) {
                continue;
            }
            for cursor in store.cursors(&generation).await?.unwrap_or_default() {
                let known = lowest.entry(cursor.partition).or_insert(cursor.position);
                *known = (*known).min(cursor.position);
            }
        }
        Ok(lowest)
    }
}

/// The generation that readers of a projection see; where stores differ, the one that they all should show.
fn live_of<'c>(catalog: &'c Catalog, projection: &str) -> Option<&'c Entry> {
    let live = |entry: &&Entry| {
        &*entry.record.projection == projection && entry.record.is_anywhere(State::Live)
    };
    let all = || catalog.entries.iter().filter(live);
    all()
        .find(|entry| entry.record.wanted)
        .or_else(|| all().next())
}

fn shown(part: &Part) -> PartitionPlan {
    PartitionPlan {
        topic: part.partition.topic.to_string(),
        partition: part.partition.partition,
        start: part.start.offset(),
        end: part.bounds.high.offset(),
        log_start: part.bounds.low.offset(),
    }
}

/// What is recorded of the topics for the new generation.
fn recorded(topics: &[TopicInfo], parts: &[Part]) -> Vec<TopicRecord> {
    let record = |topic: &TopicInfo| {
        let of_topic = parts
            .iter()
            .filter(|part| part.partition.topic == topic.name);
        TopicRecord {
            topic: Arc::clone(&topic.name),
            id: topic.id.clone(),
            starts: of_topic
                .map(|part| (part.partition.partition, part.start))
                .collect(),
        }
    };
    topics.iter().map(record).collect()
}
