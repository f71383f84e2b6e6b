//! Topics in memory: what is in the log and what of it can be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fault::{Fault, Result};
use crate::position::{Position, Range, TopicPartition};
use crate::record::{RawChunk, RawRecord};
use crate::source::{Bounds, TopicInfo};

/// A record to append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its key, if any.
    pub key: Option<Vec<u8>>,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch; -1 when absent.
    pub timestamp_ms: i64,
}

impl MemoryRecord {
    /// A record with key and value, without headers, at time 0.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// The same at this time, in milliseconds since the epoch.
    #[must_use]
    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = timestamp_ms;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }
}

#[derive(Default)]
pub(super) struct Log {
    topics: BTreeMap<Arc<str>, Topic>,
    created: u64,
}

struct Topic {
    id: String,
    compacted: bool,
    partitions: Vec<Partition>,
}

#[derive(Default)]
pub(super) struct Partition {
    records: BTreeMap<i64, MemoryRecord>,
    low: i64,
    next: i64,
    /// The first offset of an open transaction.
    open_from: Option<i64>,
}

impl Log {
    pub(super) fn create(&mut self, name: &str, partitions: usize, compacted: bool) {
        self.created += 1;
        let topic = Topic {
            id: format!("topic-{}", self.created),
            compacted,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
        };
        self.topics.insert(name.into(), topic);
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.topics.remove(name);
    }

    pub(super) fn add_partitions(&mut self, name: &str, more: usize) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic
                .partitions
                .extend((0..more).map(|_| Partition::default()));
        }
    }

    pub(super) fn topics(&self) -> Vec<TopicInfo> {
        let info = |(name, topic): (&Arc<str>, &Topic)| TopicInfo {
            name: Arc::clone(name),
            id: topic.id.clone(),
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            compacted: topic.compacted,
        };
        self.topics.iter().map(info).collect()
    }

    pub(super) fn partitions_of(&self, topic: &Arc<str>) -> Vec<TopicPartition> {
        let count = self.topics.get(topic).map_or(0, |t| t.partitions.len());
        (0..)
            .take(count)
            .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
            .collect()
    }

    pub(super) fn id_of(&self, topic: &str) -> Option<&str> {
        self.topics.get(topic).map(|topic| topic.id.as_str())
    }

    pub(super) fn partition(&self, partition: &TopicPartition) -> Result<&Partition> {
        let index = usize::try_from(partition.partition).ok();
        self.topics
            .get(&partition.topic)
            .and_then(|topic| topic.partitions.get(index?))
            .ok_or_else(|| unknown(partition))
    }

    pub(super) fn partition_mut(&mut self, partition: &TopicPartition) -> Result<&mut Partition> {
        let index = usize::try_from(partition.partition).ok();
        self.topics
            .get_mut(&partition.topic)
            .and_then(|topic| topic.partitions.get_mut(index?))
            .ok_or_else(|| unknown(partition))
    }
}

fn unknown(partition: &TopicPartition) -> Fault {
    Fault::transient(format!("{partition} does not exist"))
}

impl Partition {
    pub(super) fn append(&mut self, record: MemoryRecord) -> i64 {
        let offset = self.next;
        self.records.insert(offset, record);
        self.next = Position::after(offset).offset();
        offset
    }

    /// Offsets without records, as markers, aborted or compacted records leave them.
    pub(super) fn skip(&mut self, offsets: i64) {
        self.next += offsets.max(0);
    }

    /// What is appended from now on cannot be read until `close_transaction`.
    pub(super) fn open_transaction(&mut self) {
        self.open_from.get_or_insert(self.next);
    }

    /// Ends the open transaction with a marker. Its records stay when `commit`.
    pub(super) fn close_transaction(&mut self, commit: bool) {
        if let Some(from) = self.open_from.take() {
            if !commit {
                self.records.split_off(&from);
            }
            self.skip(1);
        }
    }

    /// Retention: what lies before `low` is gone.
    pub(super) fn truncate_before(&mut self, low: Position) {
        self.low = low.offset().clamp(self.low, self.next);
        self.records = self.records.split_off(&self.low);
    }

    /// The log loses its tail: `next` is the next offset again.
    pub(super) fn truncate_from(&mut self, next: Position) {
        self.next = next.offset().clamp(self.low, self.next);
        self.records.split_off(&self.next);
        self.open_from = self.open_from.filter(|from| *from < self.next);
    }

    /// Compaction: the record is gone, its offset stays.
    pub(super) fn remove(&mut self, offset: i64) {
        self.records.remove(&offset);
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            low: Position::at(self.low),
            high: Position::at(self.open_from.unwrap_or(self.next)),
        }
    }

    /// Where the first readable record lies whose time is at or after `timestamp_ms`; else the readable end.
    pub(super) fn position_at(&self, timestamp_ms: i64) -> Position {
        let Bounds { low, high } = self.bounds();
        if timestamp_ms < 0 {
            return low;
        }
        let mut readable = self.records.range(low.offset()..high.offset());
        let found = readable.find(|(_, record)| record.timestamp_ms >= timestamp_ms);
        found.map_or(high, |(offset, _)| Position::at(*offset))
    }

    /// Whether a reader may stand at `position`.
    pub(super) fn reaches(&self, position: Position) -> bool {
        (self.low..=self.next).contains(&position.offset())
    }

    /// What can be read at `from`, up to about `max_bytes` and `max_records`; `None` when there is nothing new.
    pub(super) fn read(
        &self,
        partition: &TopicPartition,
        from: Position,
        max_bytes: usize,
        max_records: usize,
    ) -> Option<RawChunk> {
        let end = self.bounds().high;
        if end <= from {
            return None;
        }
        let mut chunk = RawChunk::empty(partition.clone(), from);
        let mut to = end;
        for (&offset, record) in self.records.range(from.offset()..end.offset()) {
            let fits = chunk.bytes.len() + record.size() <= max_bytes;
            if let Some(last) = chunk.records.last()
                && (!fits || chunk.records.len() >= max_records)
            {
                to = Position::after(last.offset);
                break;
            }
            let raw = raw(&mut chunk, offset, record);
            chunk.records.push(raw);
        }
        chunk.range = Range { from, to };
        chunk.end = end;
        Some(chunk)
    }
}

fn raw(chunk: &mut RawChunk, offset: i64, record: &MemoryRecord) -> RawRecord {
    let key = record.key.as_deref().map(|key| chunk.store(key));
    let value = record.value.as_deref().map(|value| chunk.store(value));
    let mut headers = Vec::with_capacity(record.headers.len());
    for (name, value) in &record.headers {
        let name = chunk.store(name.as_bytes());
        headers.push((name, value.as_deref().map(|value| chunk.store(value))));
    }
    RawRecord {
        offset,
        timestamp_ms: record.timestamp_ms,
        key,
        value,
        headers: headers.into_boxed_slice(),
    }
}
