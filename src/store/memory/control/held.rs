//! What the control tables in memory hold, and how it is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::store::control::{
    Answered, Decision, GenerationRecord, Job, Lease, NewGeneration, Order, TopicRecord,
};
use crate::store::desired;

/// Everything that is desired and known.
#[derive(Debug, Default)]
pub(super) struct Held {
    generations: BTreeMap<(Arc<str>, u32), Kept>,
    /// Which generation came of a request, by (projection, the client's name for the request).
    requests: HashMap<(Arc<str>, String), u32>,
    dropped: BTreeSet<(String, String)>,
    leases: HashMap<String, Holding>,
    pub(super) jobs: Vec<Job>,
    pub(super) topics: BTreeMap<(Uuid, Arc<str>), TopicRecord>,
    pub(super) envelopes: HashMap<(String, String), String>,
    pub(super) decisions: Vec<Decision>,
    pub(super) reports: BTreeMap<String, (serde_json::Value, Instant)>,
}

/// A generation with the instants that its ages are counted from.
#[derive(Debug)]
struct Kept {
    record: GenerationRecord,
    recorded: Instant,
    changed: Instant,
}

impl Kept {
    fn read(&self) -> GenerationRecord {
        GenerationRecord {
            age_seconds: self.recorded.elapsed().as_secs_f64(),
            state_age_seconds: self.changed.elapsed().as_secs_f64(),
            ..self.record.clone()
        }
    }
}

/// Who has a lease.
#[derive(Debug)]
struct Holding {
    holder: String,
    epoch: i64,
    /// None when it was given back.
    until: Option<Instant>,
}

impl Held {
    /// Every generation that fits, by (projection, number).
    pub(super) fn all(&self, fits: impl Fn(&GenerationRecord) -> bool) -> Vec<GenerationRecord> {
        let kept = self.generations.values().filter(|kept| fits(&kept.record));
        kept.map(Kept::read).collect()
    }

    /// Every generation of the projection, by number.
    pub(super) fn of(&self, projection: &str) -> Vec<GenerationRecord> {
        self.all(|record| &*record.projection == projection)
    }

    /// Writes a generation, new or changed.
    pub(super) fn put(&mut self, record: GenerationRecord) {
        let now = Instant::now();
        let key = (Arc::clone(&record.projection), record.number);
        let before = self.generations.get(&key);
        let same = before.filter(|kept| kept.record.build == record.build);
        let recorded = same.map_or(now, |kept| kept.recorded);
        let unchanged = same.filter(|kept| kept.record.stores == record.stores);
        let changed = unchanged.map_or(now, |kept| kept.changed);
        let kept = Kept {
            record,
            recorded,
            changed,
        };
        self.generations.insert(key, kept);
    }

    /// The first generation, unless the definition was dropped.
    pub(super) fn first(&mut self, first: GenerationRecord) -> Option<GenerationRecord> {
        let definition = (first.projection.to_string(), first.hash.to_string());
        if self.dropped.contains(&definition) {
            return None;
        }
        let projection = Arc::clone(&first.projection);
        if self.of(&projection).is_empty() {
            self.put(first);
        }
        desired::foremost(self.of(&projection))
    }

    /// The generation that came of this request, if one did.
    pub(super) fn begun(&self, projection: &str, request: &str) -> Option<GenerationRecord> {
        let number = self
            .requests
            .get(&(projection.into(), request.to_owned()))?;
        let mut all = self.of(projection).into_iter();
        all.find(|record| record.number == *number)
    }

    pub(super) fn begin(&mut self, new: &NewGeneration) -> Answered {
        let all = self.of(&new.projection);
        if all.is_empty() {
            return Answered::Unknown;
        }
        let request = new.idempotency_key.clone();
        let before = request
            .as_deref()
            .and_then(|key| self.begun(&new.projection, key));
        if let Some(before) = before {
            return Answered::Before(before);
        }
        let request = request.map(|key| (Arc::clone(&new.projection), key));
        let record = match desired::begin(&all, new) {
            Ok(record) => record,
            Err(why) => return Answered::Refused(why),
        };
        for topic in &new.topics {
            let key = (record.build, Arc::clone(&topic.topic));
            self.topics.insert(key, topic.clone());
        }
        self.requests
            .extend(request.map(|key| (key, record.number)));
        self.put(record.clone());
        Answered::Done(record)
    }

    pub(super) fn order(&mut self, projection: &str, number: u32, order: Order) -> Answered {
        let mut all = self.of(projection);
        let answered = desired::order(&mut all, number, order);
        all.into_iter().for_each(|record| self.put(record));
        answered
    }

    pub(super) fn drop_projection(&mut self, projection: &str, also: &[String]) -> bool {
        let mut all = self.of(projection);
        if all.is_empty() {
            return false;
        }
        desired::drop_all(&mut all);
        let hashes = all.iter().map(|record| record.hash.to_string());
        let dropped = hashes.chain(also.iter().cloned());
        let dropped = dropped.map(|hash| (projection.to_owned(), hash));
        self.dropped.extend(dropped);
        all.into_iter().for_each(|record| self.put(record));
        true
    }

    pub(super) fn undrop(&mut self, projection: &str) {
        self.dropped.retain(|(of, _)| of != projection);
    }

    /// Changes the generations of the build's projection, if the lease still is the newest.
    /// Forgets a projection of which nothing is left.
    pub(super) fn step(
        &mut self,
        lease: &Lease,
        build: Uuid,
        change: impl FnOnce(&mut [GenerationRecord]) -> bool,
    ) -> bool {
        let holding = self.leases.get(&*lease.name);
        if holding.map(|holding| holding.epoch) != Some(lease.epoch) {
            return false;
        }
        let Some(record) = self.all(|record| record.build == build).pop() else {
            return false;
        };
        let mut all = self.of(&record.projection);
        let done = change(&mut all);
        if desired::is_gone(&all) {
            self.forget(&record.projection);
        } else {
            all.into_iter().for_each(|record| self.put(record));
        }
        done
    }

    fn forget(&mut self, projection: &str) {
        let builds: Vec<Uuid> = self.of(projection).iter().map(|r| r.build).collect();
        self.topics.retain(|(build, _), _| !builds.contains(build));
        self.requests.retain(|(of, _), _| &**of != projection);
        self.generations.retain(|(of, _), _| &**of != projection);
    }

    pub(super) fn take(&mut self, name: &str, holder: &str, ttl: Duration) -> Option<Lease> {
        let now = Instant::now();
        let before = self.leases.get(name);
        let runs = before.filter(|held| held.until.is_some_and(|until| until > now));
        if runs.is_some_and(|held| held.holder != holder) {
            return None;
        }
        let epoch = match (runs, before) {
            (Some(held), _) => held.epoch,
            (None, Some(held)) => held.epoch + 1,
            (None, None) => 1,
        };
        let holding = Holding {
            holder: holder.to_owned(),
            epoch,
            until: Some(now + ttl),
        };
        self.leases.insert(name.to_owned(), holding);
        Some(Lease {
            name: name.into(),
            epoch,
        })
    }

    pub(super) fn give_back(&mut self, lease: &Lease, holder: &str) {
        let held = self.leases.get_mut(&*lease.name);
        if let Some(held) = held.filter(|h| h.holder == holder && h.epoch == lease.epoch) {
            held.until = None;
        }
    }
}
