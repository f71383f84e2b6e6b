//! What reads need to know about a view before they promise anything: who answers, which partitions it reads, and
//! how far it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::facts::Facts;
use crate::api::Problem;
use crate::fault::Result;
use crate::generation::Entry;
use crate::position::{RecordName, TopicPartition};
use crate::query::{Feeds, Positions, Token, Watches};
use crate::source::{EventSource, TopicInfo};
use crate::store::{Cursor, Generation, ViewStore};

/// For how long an answer of the broker counts: whoever asks for partitions that are not there does not make it
/// answer more often than this.
const RECENT: Duration = Duration::from_millis(500);
/// How long the broker may take.
const ASKING: Duration = Duration::from_secs(3);

/// Everything that requests which ask for a position share.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) watches: Watches,
    pub(super) feeds: Feeds,
    topics: Mutex<Option<(Instant, Arc<[TopicInfo]>)>>,
}

impl Waiting {
    /// Refuses tokens that name what the generation does not read. What the catalog does not know is asked of the
    /// broker: a topic may have been created, or got more partitions, a moment ago.
    pub(super) async fn check(
        &self,
        source: &dyn EventSource,
        entry: &Entry,
        token: &Token,
    ) -> Result<(), Problem> {
        let unknown: Vec<&TopicPartition> = token
            .partitions()
            .filter(|at| {
                let read = entry.topics.get(&at.topic);
                read.is_none_or(|read| at.partition >= read.partitions)
            })
            .collect();
        let (Some(_), Ok(definition)) = (unknown.first(), &entry.definition) else {
            return Ok(());
        };
        let view = &entry.record.projection;
        let existing = self.topics(source).await.map_err(|why| {
            Problem::unavailable(format!(
                "view {view}: whether its topics have these partitions cannot be asked: {why}"
            ))
        })?;
        let existing: BTreeMap<&str, i32> = existing
            .iter()
            .map(|topic| (&*topic.name, topic.partitions))
            .collect();
        for at in unknown {
            let selectors = definition.plan.topics();
            let selected = selectors.iter().any(|selector| selector.selects(&at.topic));
            match existing.get(&*at.topic) {
                Some(partitions) if selected && at.partition < *partitions => {}
                Some(partitions) if selected => {
                    let what = format!("topic {} has {partitions} partitions, no {at}", at.topic);
                    return Err(Problem::unknown_partition(view, what));
                }
                None if selected => {
                    let what = format!("there is no topic {}", at.topic);
                    return Err(Problem::unknown_partition(view, what));
                }
                _ => {
                    let what = format!(
                        "{at} is of topic {}, which is another one than those",
                        at.topic
                    );
                    return Err(Problem::unknown_partition(view, what));
                }
            }
        }
        Ok(())
    }

    async fn topics(&self, source: &dyn EventSource) -> Result<Arc<[TopicInfo]>, String> {
        let mut known = self.topics.lock().await;
        if let Some((at, topics)) = &*known
            && at.elapsed() < RECENT
        {
            return Ok(Arc::clone(topics));
        }
        let asked = timeout(ASKING, source.topics()).await;
        let topics: Arc<[TopicInfo]> = match asked {
            Ok(Ok(topics)) => topics.into(),
            Ok(Err(fault)) => return Err(fault.message),
            Err(_) => return Err("the broker does not answer".to_owned()),
        };
        *known = Some((Instant::now(), Arc::clone(&topics)));
        Ok(topics)
    }
}

/// A view in one store, looked at while somebody waits for it.
pub(super) struct LivePositions {
    pub(super) facts: Arc<Facts>,
    pub(super) store: Arc<dyn ViewStore>,
    pub(super) view: String,
}

#[async_trait]
impl Positions for LivePositions {
    async fn positions(&self) -> Result<Vec<RecordName>> {
        let catalog = self.facts.catalog();
        let by_number = |number: u32| -> Option<Generation> {
            let mut entries = catalog.of(&self.view);
            entries
                .find(|entry| entry.record.number == number)?
                .generation()
        };
        let cursors = self.store.live_cursors(&self.view, &by_number).await?;
        Ok(considered(&cursors.unwrap_or_default()))
    }
}

/// The last record that was considered, per partition; partitions without records are left out.
pub(super) fn considered(cursors: &[Cursor]) -> Vec<RecordName> {
    let last = |cursor: &Cursor| {
        let offset = cursor.position.last()?;
        Some(cursor.partition.record(offset))
    };
    cursors.iter().filter_map(last).collect()
}
