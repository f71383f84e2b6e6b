//! What the log holds now: topics, bounds, and how large its records are. Asked once per plan, or
//! once for the plans of all projections.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout_at};

use super::topics;
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::Projection;
use crate::source::{Bounds, EventSource, Reader, ReaderRole, TopicInfo};

/// How many partitions the broker is asked about at once.
const AT_ONCE: usize = 16;
/// How many records tell how large the records of a topic are.
const SAMPLE_RECORDS: u64 = 300;
/// How much of a topic is read at once for that, in bytes.
const SAMPLE_CHUNK: usize = 64 << 10;
/// How long all samples may take: a plan is not worth waiting for longer.
const SAMPLE_TIME: Duration = Duration::from_secs(2);

/// The log as it is found while plans are made.
pub(super) struct Survey {
    source: Arc<dyn EventSource>,
    topics: Option<Vec<TopicInfo>>,
    bounds: BTreeMap<TopicPartition, Bounds>,
    reader: Option<Arc<dyn Reader>>,
    sizes: HashMap<Arc<str>, Option<f64>>,
    /// How much of the time for samples is left.
    patience: Duration,
}

impl Survey {
    /// Asks nothing yet.
    pub(super) fn new(source: &Arc<dyn EventSource>) -> Self {
        Self {
            source: Arc::clone(source),
            topics: None,
            bounds: BTreeMap::new(),
            reader: None,
            sizes: HashMap::new(),
            patience: SAMPLE_TIME,
        }
    }

    /// The existing topics that a projection selects, in name order.
    pub(super) async fn selected(&mut self, plan: &dyn Projection) -> Result<Vec<TopicInfo>> {
        let known = match self.topics.take() {
            Some(known) => known,
            None => self.source.topics().await?,
        };
        let selected = topics::selected(plan, &known)
            .into_iter()
            .cloned()
            .collect();
        self.topics = Some(known);
        Ok(selected)
    }

    /// The bounds of every partition of these topics, by (topic, partition).
    pub(super) async fn bounds(
        &mut self,
        topics: &[TopicInfo],
    ) -> Result<Vec<(TopicPartition, Bounds)>> {
        let all = topics.iter().flat_map(|topic| {
            (0..topic.partitions)
                .map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition))
        });
        let all: Vec<TopicPartition> = all.collect();
        let unknown: Vec<&TopicPartition> = all
            .iter()
            .filter(|partition| !self.bounds.contains_key(*partition))
            .collect();
        for some in unknown.chunks(AT_ONCE) {
            let asked = some.iter().map(|partition| self.source.bounds(partition));
            for (partition, bounds) in some.iter().zip(try_join_all(asked).await?) {
                self.bounds.insert((*partition).clone(), bounds);
            }
        }
        let known = |partition: TopicPartition| {
            let bounds = self.bounds.get(&partition).copied();
            bounds.map(|bounds| (partition, bounds))
        };
        Ok(all.into_iter().filter_map(known).collect())
    }

    /// Where the records of these partitions begin that are at or after an instant, in the order of the partitions.
    pub(super) async fn positions_at(
        &self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<Vec<Position>> {
        let mut found = Vec::with_capacity(partitions.len());
        for some in partitions.chunks(AT_ONCE) {
            let asked = some
                .iter()
                .map(|partition| self.source.position_at(partition, timestamp_ms));
            found.extend(try_join_all(asked).await?);
        }
        Ok(found)
    }

    /// The mean size of a topic's records, keys and values in bytes, as some records of `partition` from
    /// `from` on tell. None when that could not be found out quickly.
    pub(super) async fn record_size(
        &mut self,
        partition: &TopicPartition,
        from: Position,
    ) -> Option<f64> {
        if let Some(known) = self.sizes.get(&partition.topic) {
            return *known;
        }
        let begun = Instant::now();
        let size = self.sample(partition, from, begun + self.patience).await;
        self.patience = self.patience.saturating_sub(begun.elapsed());
        self.sizes.insert(Arc::clone(&partition.topic), size);
        size
    }

    async fn sample(
        &mut self,
        partition: &TopicPartition,
        from: Position,
        until: Instant,
    ) -> Option<f64> {
        let high = self.bounds.get(partition)?.high;
        let reader = match &self.reader {
            Some(reader) => Arc::clone(reader),
            None => self.source.reader(ReaderRole::Excerpt, 1).await.ok()?,
        };
        self.reader = Some(Arc::clone(&reader));
        let opened = timeout_at(until, reader.open(partition, from)).await;
        let mut stream = opened.ok()?.ok()?;
        let (mut records, mut bytes) = (0_u64, 0_u64);
        while records < SAMPLE_RECORDS {
            let Ok(Ok(chunk)) = timeout_at(until, stream.next(SAMPLE_CHUNK)).await else {
                break;
            };
            for record in &chunk.records {
                let parts = record.key.iter().chain(&record.value);
                let size: u32 = parts.map(|span| span.end - span.start).sum();
                (records, bytes) = (records + 1, bytes + u64::from(size));
            }
            if chunk.range.to >= high {
                break;
            }
        }
        (records > 0).then(|| bytes as f64 / records as f64)
    }
}
