//! Which topics a generation reads, where it began, and which topics it must refuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::fault::{Fault, Result};
use crate::pipeline::{Reason, Stall, TopicUse};
use crate::position::{Position, TopicPartition};
use crate::projection::{Definition, Family, Projection};
use crate::source::{EventSource, TopicInfo, same_topic};
use crate::store::control::{Control, TopicRecord};

/// How often the broker is asked which topics there are.
const PERIOD: Duration = Duration::from_secs(5);

/// The topics that a generation reads, by name.
pub type ReadTopics = BTreeMap<Arc<str>, TopicUse>;

/// What is known of topics: those that exist, and what is recorded of them for each build.
pub(super) struct TopicBook {
    control: Arc<dyn Control>,
    source: Arc<dyn EventSource>,
    existing: Vec<TopicInfo>,
    looked: Option<Instant>,
    recorded: HashMap<(Uuid, Arc<str>), TopicRecord>,
    away: Option<Fault>,
}

impl TopicBook {
    pub(super) fn new(control: Arc<dyn Control>, source: Arc<dyn EventSource>) -> Self {
        Self {
            control,
            source,
            existing: Vec::new(),
            looked: None,
            recorded: HashMap::new(),
            away: None,
        }
    }

    /// Why the broker could not be asked lately, if so. What was known goes on.
    pub(super) fn away(&self) -> Option<&Fault> {
        self.away.as_ref()
    }

    /// Asks the broker which topics there are, when it is time to.
    pub(super) async fn look(&mut self) {
        self.away = None;
        if self.looked.is_none_or(|at| at.elapsed() >= PERIOD) {
            match self.source.topics().await {
                Ok(topics) => {
                    self.existing = topics;
                    self.looked = Some(Instant::now());
                }
                Err(fault) => self.away = Some(fault),
            }
        }
    }

    /// The topics that a build reads; none while that is not known.
    pub(super) async fn of(
        &mut self,
        build: Uuid,
        definition: &Definition,
    ) -> Result<Option<ReadTopics>> {
        if self.looked.is_none() {
            return Ok(None);
        }
        let mut read = ReadTopics::new();
        let selected: Vec<TopicInfo> = selected(&*definition.plan, &self.existing)
            .into_iter()
            .cloned()
            .collect();
        let mut unasked = false;
        for topic in selected {
            let Some(recorded) = self.record(build, &topic).await? else {
                // A topic that appeared and cannot be asked yet must not stop the others.
                unasked = true;
                continue;
            };
            let refusal = refusal(
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
    async fn record(&mut self, build: Uuid, topic: &TopicInfo) -> Result<Option<TopicRecord>> {
        let name = (build, Arc::clone(&topic.name));
        if let Some(recorded) = self.recorded.get(&name) {
            return Ok(Some(recorded.clone()));
        }
        let known = self.control.topics(build).await?;
        let recorded = match known.into_iter().find(|known| known.topic == topic.name) {
            Some(recorded) => recorded,
            None => {
                let starts = match self.beginnings(topic).await {
                    Ok(starts) => starts,
                    Err(fault) => {
                        self.away = Some(fault);
                        return Ok(None);
                    }
                };
                let proposed = TopicRecord {
                    topic: Arc::clone(&topic.name),
                    id: topic.id.clone(),
                    starts,
                };
                self.control.add_topic(build, &proposed).await?
            }
        };
        self.recorded.insert(name, recorded.clone());
        Ok(Some(recorded))
    }

    async fn beginnings(&self, topic: &TopicInfo) -> Result<Vec<(i32, Position)>> {
        let mut starts = Vec::new();
        for partition in 0..topic.partitions {
            let at = TopicPartition::new(Arc::clone(&topic.name), partition);
            starts.push((partition, self.source.bounds(&at).await?.low));
        }
        Ok(starts)
    }

    /// Where the build began to read these topics.
    pub(super) fn starts(
        &self,
        build: Uuid,
        topics: &ReadTopics,
    ) -> Vec<(TopicPartition, Position)> {
        let known = topics
            .keys()
            .filter_map(|topic| self.recorded.get(&(build, Arc::clone(topic))));
        known.flat_map(starts_of).collect()
    }
}

/// Where a topic's partitions begin for a build.
pub(super) fn starts_of(
    recorded: &TopicRecord,
) -> impl Iterator<Item = (TopicPartition, Position)> + '_ {
    let at = |(partition, at): &(i32, Position)| {
        (
            TopicPartition::new(Arc::clone(&recorded.topic), *partition),
            *at,
        )
    };
    recorded.starts.iter().map(at)
}

/// The existing topics that a projection selects, in name order.
pub(super) fn selected<'t>(plan: &dyn Projection, topics: &'t [TopicInfo]) -> Vec<&'t TopicInfo> {
    topics
        .iter()
        .filter(|topic| {
            plan.topics()
                .iter()
                .any(|selector| selector.selects(&topic.name))
        })
        .collect()
}

/// Why a generation must not read `topic`, if so: it is another topic than the one it began to
/// read, or its old records are compacted away and the projection needs them all.
pub(super) fn refusal(
    plan: &dyn Projection,
    topic: &TopicInfo,
    recorded: &TopicRecord,
    accept_compacted: bool,
) -> Option<Stall> {
    if !same_topic(&recorded.id, &topic.id) {
        return Some(Stall::recreated(&topic.name, &recorded.id, &topic.id));
    }
    let needs_all = needs_every_record(plan);
    if topic.compacted && !accept_compacted && !needs_all.is_empty() {
        let columns: Vec<&str> = needs_all.into_iter().collect();
        return Some(Stall::now(
            Reason::TopicCompacted,
            format!(
                "topic {} is compacted (cleanup.policy): columns {} depend on records that compaction removes; \
                 read an uncompacted topic, or accept it with `accept_compacted = true`",
                topic.name,
                columns.join(", ")
            ),
        ));
    }
    None
}

/// The columns whose value depends on more than the newest record of each key.
pub(super) fn needs_every_record(plan: &dyn Projection) -> BTreeSet<&str> {
    let columns = plan.schema().columns.iter();
    columns
        .filter(|column| !matches!(column.family, Family::Assign | Family::Latest))
        .map(|column| &*column.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recreated_topic_is_told_by_its_identity() {
        let topic = |id: &str| TopicInfo {
            name: "orders".into(),
            id: id.into(),
            partitions: 1,
            compacted: false,
        };
        let recorded = TopicRecord {
            topic: "orders".into(),
            id: "a".into(),
            starts: Vec::new(),
        };
        let plan = crate::projection::Definition::parse(
            "p",
            "p.toml",
            "topics = [\"orders\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\n[on.\"*\"]\n",
        )
        .unwrap()
        .plan;
        assert!(refusal(&*plan, &topic("a"), &recorded, false).is_none());
        let stall = refusal(&*plan, &topic("b"), &recorded, false).unwrap();
        assert_eq!(stall.reason, Reason::TopicRecreated);
    }
}
