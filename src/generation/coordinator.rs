//! The coordinator: what only one instance may do for a projection. It looks at the catalog once a second, takes the
//! projection's lease where there is something to do, and runs one task per generation.
//!
//! What is to be done follows from the control tables alone ([`work`]), and every task repeats safely:
//! an instance that dies or loses its lease in the middle is replaced by any other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::catalog::{Catalog, Entry};
use super::plan::{RebuildRequest, Relation};
use super::start::{Requester, Started, Starter};
use super::{build, cleanup, cutover, jobs};
use crate::fault::{Fault, Result};
use crate::pipeline::Excerpts;
use crate::projection::{Definition, StoreKind};
use crate::source::EventSource;
use crate::store::ViewStore;
use crate::store::control::{Control, Lease, Promote, State};

/// How long a lease lasts without being renewed: what a dead coordinator keeps waiting.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// What a coordinator works with.
#[derive(Clone)]
pub struct Workshop {
    /// The control tables.
    pub control: Arc<dyn Control>,
    /// The log.
    pub source: Arc<dyn EventSource>,
    /// The stores that this instance is connected to.
    pub stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    /// Reads parts of the log for verification.
    pub excerpts: Arc<Excerpts>,
    /// Starts and promotes.
    pub starter: Starter,
    /// The definitions of this instance's files.
    pub proposed: Arc<[Definition]>,
    /// How this instance is called.
    pub instance: Arc<str>,
    /// How long a former generation is fed after a cutover, where its definition does not say.
    pub retain: Duration,
    /// What is being done, for status.
    pub notes: Notes,
}

/// What this instance does about generations, in words, for status. Cheap to clone: shared.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<Uuid, Note>>>);

/// What is being done about one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// What: `copying postgres`, `verifying redis`.
    pub phase: String,
    /// What is in the way, if something is.
    pub trouble: Option<String>,
}

impl Notes {
    /// All of them.
    pub fn all(&self) -> BTreeMap<Uuid, Note> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, build: Uuid, phase: impl Into<String>, trouble: Option<String>) {
        let note = Note {
            phase: phase.into(),
            trouble,
        };
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(build, note);
    }

    fn clear(&self, build: Uuid) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.remove(&build);
    }
}

/// What is to be done about a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// See it through until it is ready, and promote it where that was asked for.
    Build,
    /// Let readers see it in every store.
    CutOver,
    /// It was kept for long enough.
    Retire,
    /// Remove what it left in its stores.
    Clean,
}

/// What is to be done about `entry`, whose former generation is kept for `retain`.
pub(super) fn work(entry: &Entry, catalog: &Catalog, retain: Duration) -> Option<Work> {
    let record = &entry.record;
    if record.stores.iter().all(|(_, state)| !state.runs()) {
        let cleaned = |kind: &StoreKind| record.cleaned.contains(kind);
        let left = record.stores.iter().any(|(kind, _)| !cleaned(kind));
        return left.then_some(Work::Clean);
    }
    if record.wanted {
        return (!record.is_everywhere(State::Live)).then_some(Work::CutOver);
    }
    if record.is_everywhere(State::Building) {
        let unfinished = !record.ready || record.options.promote == Promote::Auto;
        return unfinished.then_some(Work::Build);
    }
    let kept = record.state_age_seconds < retain.as_secs_f64();
    let replaced = catalog
        .of(&record.projection)
        .find(|other| other.record.wanted)
        .is_some_and(|other| other.record.is_everywhere(State::Live));
    (record.is_anywhere(State::Standby) && replaced && !kept).then_some(Work::Retire)
}

/// One task at work.
struct AtWork {
    work: Work,
    epoch: i64,
    task: JoinHandle<()>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Does what only one instance may do.
pub struct Coordinator {
    workshop: Workshop,
    catalog: watch::Sender<Arc<Catalog>>,
    at_work: HashMap<Uuid, AtWork>,
    jobs: HashMap<i64, JoinHandle<()>>,
}

impl Coordinator {
    /// A coordinator that does nothing yet.
    pub fn new(workshop: Workshop) -> Self {
        Self {
            workshop,
            catalog: watch::Sender::new(Arc::default()),
            at_work: HashMap::new(),
            jobs: HashMap::new(),
        }
    }

    /// Looks at the catalog once. `hashes` is what every live instance proposes, by projection.
    pub async fn step(
        &mut self,
        catalog: &Arc<Catalog>,
        hashes: &[BTreeMap<String, String>],
    ) -> Result<()> {
        self.catalog.send_replace(Arc::clone(catalog));
        self.end_what_is_over(catalog);
        for projection in catalog.relations.keys() {
            let works: Vec<(&Entry, Work)> = catalog
                .of(projection)
                .filter_map(|entry| {
                    Some((entry, work(entry, catalog, self.retain(catalog, entry))?))
                })
                .collect();
            let changed = self.to_rebuild(catalog, projection, hashes);
            if works.is_empty() && changed.is_none() {
                continue;
            }
            let Some(lease) = self.lease(projection).await? else {
                let builds: Vec<Uuid> = works.iter().map(|(entry, _)| entry.record.build).collect();
                builds.iter().for_each(|build| self.put_down(*build));
                continue;
            };
            for (entry, work) in works {
                self.see_to(entry, work, &lease);
            }
            if let Some(definition) = changed {
                self.rebuild(catalog, &definition).await?;
            }
        }
        jobs::step(&self.workshop, catalog, &mut self.jobs).await
    }

    async fn lease(&self, projection: &str) -> Result<Option<Lease>> {
        let name = format!("coordinator/{projection}");
        let Workshop {
            control, instance, ..
        } = &self.workshop;
        control.lease(&name, instance, LEASE).await
    }

    /// How long the former generations of a projection are kept: what its live definition says.
    fn retain(&self, catalog: &Catalog, entry: &Entry) -> Duration {
        let foremost = catalog.foremost(&entry.record.projection);
        let definition = foremost.and_then(|entry| entry.definition.as_ref().ok());
        definition
            .and_then(|definition| definition.retain)
            .unwrap_or(self.workshop.retain)
    }

    /// Ends tasks whose generation is gone or whose work is another now.
    fn end_what_is_over(&mut self, catalog: &Catalog) {
        let builds: Vec<Uuid> = self.at_work.keys().copied().collect();
        for build in builds {
            let entry = catalog
                .entries
                .iter()
                .find(|entry| entry.record.build == build);
            let now = entry.and_then(|entry| work(entry, catalog, self.retain(catalog, entry)));
            let same = |at_work: &AtWork| Some(at_work.work) == now && !at_work.task.is_finished();
            if !self.at_work.get(&build).is_some_and(same) {
                self.put_down(build);
            }
        }
    }

    fn put_down(&mut self, build: Uuid) {
        if self.at_work.remove(&build).is_some() {
            self.workshop.notes.clear(build);
        }
    }

    fn see_to(&mut self, entry: &Entry, work: Work, lease: &Lease) {
        let build = entry.record.build;
        let goes_on = |at_work: &AtWork| at_work.epoch == lease.epoch;
        if self.at_work.get(&build).is_some_and(goes_on) {
            return;
        }
        self.put_down(build);
        let task = Task {
            workshop: self.workshop.clone(),
            catalog: self.catalog.subscribe(),
            lease: lease.clone(),
            entry: entry.clone(),
        };
        let name = entry.to_string();
        let task = tokio::spawn(async move {
            let result = match work {
                Work::Build => build::run(&task).await,
                Work::CutOver => cutover::run(&task).await,
                Work::Retire => cleanup::retire(&task).await,
                Work::Clean => cleanup::clean(&task).await,
            };
            if let Err(fault) = result {
                tracing::warn!(generation = name, ?work, %fault, "work on a generation failed; it is tried again");
                task.trouble(fault.to_string());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let at_work = AtWork {
            work,
            epoch: lease.epoch,
            task,
        };
        self.at_work.insert(build, at_work);
    }

    /// The definition that is rebuilt without being asked for: one that never was a generation of this projection and
    /// that all live instances propose, so that a rolling deployment of two versions cannot fight itself.
    fn to_rebuild(
        &self,
        catalog: &Catalog,
        projection: &str,
        hashes: &[BTreeMap<String, String>],
    ) -> Option<Definition> {
        let mut proposed = self.workshop.proposed.iter();
        let definition = proposed.find(|definition| &*definition.name == projection)?;
        let changed = catalog.relations.get(projection) == Some(&Relation::Changed);
        let building = catalog.of(projection).any(|entry| {
            entry.record.is_anywhere(State::Building)
                || (entry.record.wanted && !entry.record.is_everywhere(State::Live))
        });
        let all_agree = !hashes.is_empty()
            && hashes.iter().all(|hashes| {
                hashes.get(projection).map(String::as_str) == Some(&*definition.hash)
            });
        (definition.auto_rebuild && changed && !building && all_agree).then(|| definition.clone())
    }

    async fn rebuild(&self, catalog: &Catalog, definition: &Definition) -> Result<()> {
        let Workshop {
            control, starter, ..
        } = &self.workshop;
        let ever = control.history(&definition.name).await?;
        if ever.iter().any(|record| record.hash == definition.hash) {
            return Ok(());
        }
        let requester = Requester {
            actor: "auto_rebuild".to_owned(),
            idempotency_key: Some(format!("auto_rebuild {}", definition.hash)),
        };
        let request = RebuildRequest::default();
        let started = starter.start(catalog, &definition.name, &request, &requester);
        match started.await {
            Ok(Started::Recorded(record)) => tracing::info!(
                projection = %definition.name, generation = record.number, "changed definition is being rebuilt"
            ),
            Ok(Started::Refused(why)) => tracing::warn!(
                projection = %definition.name, why, "changed definition cannot be rebuilt by itself"
            ),
            Ok(Started::Unknown) => {}
            Err(error) => {
                tracing::warn!(projection = %definition.name, %error, "changed definition could not be planned")
            }
        }
        Ok(())
    }
}

/// One piece of work under a lease.
pub(super) struct Task {
    pub(super) workshop: Workshop,
    catalog: watch::Receiver<Arc<Catalog>>,
    pub(super) lease: Lease,
    /// The generation as it was when the work began.
    pub(super) entry: Entry,
}

impl Task {
    /// The newest catalog.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow())
    }

    /// The store of this kind.
    pub(super) fn store(&self, kind: StoreKind) -> Result<&Arc<dyn ViewStore>> {
        let store = self.workshop.stores.get(&kind);
        store.ok_or_else(|| {
            Fault::misconfigured(format!("this instance is not connected to {kind}"))
        })
    }

    pub(super) fn phase(&self, phase: impl Into<String>) {
        let build = self.entry.record.build;
        self.workshop.notes.set(build, phase, None);
    }

    pub(super) fn trouble(&self, trouble: String) {
        let (notes, build) = (&self.workshop.notes, self.entry.record.build);
        let phase = notes.all().remove(&build).unwrap_or_default().phase;
        notes.set(build, phase, Some(trouble));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::control::{BuildOptions, GenerationRecord};

    const RETAIN: Duration = Duration::from_secs(60);

    fn record(number: u32, state: State, wanted: bool) -> GenerationRecord {
        GenerationRecord {
            projection: "p".into(),
            number,
            build: Uuid::from_u128(number.into()),
            stores: vec![(StoreKind::Postgres, state), (StoreKind::Redis, state)],
            definition: "".into(),
            hash: "".into(),
            intent: 0,
            wanted,
            published: Vec::new(),
            cleaned: Vec::new(),
            options: BuildOptions::default(),
            paused: false,
            ready: false,
            verification: None,
            trouble: None,
            actor: String::new(),
            age_seconds: 100.0,
            state_age_seconds: 100.0,
        }
    }

    /// The work on the last of these generations.
    fn work_on(records: Vec<GenerationRecord>) -> Option<Work> {
        let entries = records.into_iter().map(|record| Entry {
            record,
            definition: Err(String::new()),
            topics: Default::default(),
            starts: Vec::new(),
        });
        let catalog = Catalog {
            entries: entries.collect(),
            relations: BTreeMap::new(),
        };
        work(catalog.entries.last().unwrap(), &catalog, RETAIN)
    }

    #[test]
    fn a_live_generation_needs_nobody() {
        assert_eq!(work_on(vec![record(1, State::Live, true)]), None);
    }

    #[test]
    fn a_build_is_seen_through_until_it_is_ready_and_promoted() {
        let mut build = record(2, State::Building, false);
        assert_eq!(work_on(vec![build.clone()]), Some(Work::Build));
        build.ready = true;
        assert_eq!(work_on(vec![build.clone()]), Some(Work::Build));
        build.options.promote = Promote::Manual;
        assert_eq!(work_on(vec![build.clone()]), None);
        build.wanted = true;
        assert_eq!(work_on(vec![build]), Some(Work::CutOver));
    }

    #[test]
    fn a_cutover_goes_on_until_every_store_took_part() {
        let mut half = record(2, State::Live, true);
        half.stores[1].1 = State::Building;
        assert_eq!(work_on(vec![half]), Some(Work::CutOver));
    }

    #[test]
    fn a_former_generation_is_kept_until_retain_after_the_last_cutover() {
        let live = record(2, State::Live, true);
        let mut former = record(1, State::Standby, false);
        assert_eq!(
            work_on(vec![live.clone(), former.clone()]),
            Some(Work::Retire)
        );
        former.state_age_seconds = 59.0;
        assert_eq!(work_on(vec![live.clone(), former.clone()]), None);
        former.state_age_seconds = 61.0;
        let mut half = live;
        half.stores[1].1 = State::Building;
        assert_eq!(work_on(vec![half, former]), None);
    }

    #[test]
    fn what_is_over_is_removed_from_every_store() {
        let mut over = record(2, State::Cancelled, false);
        over.cleaned = vec![StoreKind::Postgres];
        assert_eq!(work_on(vec![over.clone()]), Some(Work::Clean));
        over.cleaned.push(StoreKind::Redis);
        assert_eq!(work_on(vec![over]), None);
    }
}
