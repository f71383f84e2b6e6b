//! The records of one partition, pulled from its split queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use crate::fault::{Fault, Result};
use crate::position::{Position, Range, TopicPartition};
use crate::record::{RawChunk, RawRecord};
use crate::source::{PartitionStream, ReadFault};

use super::client::{Client, classify};
use super::health::Health;
use super::native::{PartitionQueue, Polled, Record};

/// A chunk holds at most this many records, so that one fold stays short.
const CHUNK_RECORDS: usize = 5_000;

/// A split queue has no wake-up of its own besides becoming non-empty.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The partitions that a reader has streams for.
pub(super) type OpenPartitions = Arc<Mutex<HashSet<TopicPartition>>>;

/// One partition, assigned to a reader's client as long as this lives.
pub(super) struct KafkaStream {
    queue: PartitionQueue,
    nonempty: Arc<Notify>,
    health: Arc<Health>,
    filling: Filling,
    // Set once: the stream has ended.
    ended: Option<ReadFault>,
    assigned: Assigned,
}

/// The assignment. Gone with it: what librdkafka still has queued is outdated from then on.
struct Assigned {
    partition: TopicPartition,
    client: Arc<Client>,
    open: OpenPartitions,
}

impl KafkaStream {
    /// Assigns `partition` at `from`. Blocks for less than a millisecond as a rule.
    pub(super) fn open(
        client: Arc<Client>,
        open: &OpenPartitions,
        health: Arc<Health>,
        partition: &TopicPartition,
        from: Position,
    ) -> Result<Self> {
        let broken = |what: &str| Fault::bug(format!("open {partition} at {from}: {what}"));
        if from.offset() < 0 {
            return Err(broken("the position is negative"));
        }
        if !lock(open).insert(partition.clone()) {
            return Err(broken("it is open already"));
        }
        // From here on, leaving takes the partition out again.
        let assigned = Assigned {
            partition: partition.clone(),
            client: Arc::clone(&client),
            open: Arc::clone(open),
        };
        let queue = PartitionQueue::split(client, &partition.topic, partition.partition)
            .ok_or_else(|| broken("it has no queue"))?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(
            &partition.topic,
            partition.partition,
            Offset::Offset(from.offset()),
        )
        .and_then(|()| queue.client().consumer().incremental_assign(&list))
        .map_err(|error| Fault::transient(format!("open {partition} at {from}: {error}")))?;
        Ok(Self {
            nonempty: queue.nonempty(),
            queue,
            health,
            filling: Filling::new(partition.clone(), from),
            ended: None,
            assigned,
        })
    }

    /// Takes what the queue holds, up to a full chunk, without waiting.
    fn drain(&mut self, max_bytes: usize) -> Option<RawChunk> {
        loop {
            if self.filling.is_full(max_bytes) {
                return Some(self.filling.take());
            }
            if self.ended.is_some() {
                return self.filling.take_if_moved();
            }
            match self.queue.poll() {
                Some(Polled::Record(record)) => {
                    if let Some(full) = self.filling.push(&record, max_bytes) {
                        return Some(full);
                    }
                }
                Some(Polled::End(offset)) => {
                    self.health.answered();
                    self.filling.reached_end(Position::at(offset));
                }
                Some(Polled::Fault(code)) => self.ended = self.end(code),
                None => {
                    // Behind the last record there may be control records, which are never handed out.
                    if self.filling.seen_any
                        && let Some(offset) = self.queue.position()
                    {
                        self.filling.passed(Position::at(offset));
                    }
                    return self.filling.take_if_moved();
                }
            }
        }
    }

    /// What an error of the partition means; `None` when the client gets over it by itself.
    fn end(&self, code: RDKafkaErrorCode) -> Option<ReadFault> {
        let partition = &self.assigned.partition;
        match code {
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => Some(ReadFault::OutOfRange(self.filling.position)),
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut => {
                self.health.met(code);
                None
            }
            _ => Some(ReadFault::Fault(classify(
                &format!("read {partition}@{}", self.filling.position),
                code,
            ))),
        }
    }
}

#[async_trait]
impl PartitionStream for KafkaStream {
    async fn next(&mut self, max_bytes: usize) -> Result<RawChunk, ReadFault> {
        loop {
            if let Some(mut chunk) = self.drain(max_bytes) {
                self.health.answered();
                if let Some(high) = self.queue.high_watermark()
                    && !self.filling.at_end
                {
                    chunk.end = chunk.end.max(Position::at(high));
                }
                return Ok(chunk);
            }
            if let Some(fault) = &self.ended {
                return Err(fault.clone());
            }
            if self.assigned.client.is_broken() {
                let what = format!("read {}: the client failed", self.assigned.partition);
                return Err(Fault::transient(what).into());
            }
            // Only the wake-up matters, and it is stored: nothing is lost when this is dropped.
            let _ = tokio::time::timeout(LONGEST_WAIT, self.nonempty.notified()).await;
        }
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.partition.topic, self.partition.partition);
        if let Err(error) = self.client.consumer().incremental_unassign(&list) {
            tracing::debug!(partition = %self.partition, %error, "was not assigned");
        }
        lock(&self.open).remove(&self.partition);
    }
}

fn lock(open: &OpenPartitions) -> std::sync::MutexGuard<'_, HashSet<TopicPartition>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The chunk being filled, and where it begins. Pure: positions only move forward, and each chunk
/// begins where the one before ended.
struct Filling {
    chunk: RawChunk,
    /// Behind all that was taken from the queue.
    position: Position,
    /// Nothing readable lies behind `position`, as far as is known.
    at_end: bool,
    /// A record of this assignment was polled.
    seen_any: bool,
    /// How large the last chunk became: a guess for the next one.
    last_bytes: usize,
    last_records: usize,
}

impl Filling {
    fn new(partition: TopicPartition, from: Position) -> Self {
        Self {
            chunk: RawChunk::empty(partition, from),
            position: from,
            at_end: false,
            seen_any: false,
            last_bytes: 0,
            last_records: 0,
        }
    }

    fn is_full(&self, max_bytes: usize) -> bool {
        let records = self.chunk.records.len();
        records >= CHUNK_RECORDS || (records > 0 && self.chunk.bytes.len() >= max_bytes)
    }

    /// Adds a record. When it does not fit any more, hands out the chunk without it and begins the next with it.
    fn push(&mut self, record: &Record, max_bytes: usize) -> Option<RawChunk> {
        self.seen_any = true;
        self.at_end = false;
        if Position::at(record.offset()) < self.position {
            // Never happens with a broker that keeps its promises; order matters more than a repetition.
            return None;
        }
        let size = record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        let fits = self.chunk.bytes.len() + size <= max_bytes;
        let full = (!fits && !self.chunk.records.is_empty()).then(|| self.take());
        if self.chunk.records.is_empty() {
            self.chunk
                .bytes
                .reserve(size.max(self.last_bytes.min(max_bytes)));
            self.chunk.records.reserve(self.last_records);
        }
        copy(&mut self.chunk, record);
        self.position = Position::after(record.offset());
        full
    }

    fn passed(&mut self, position: Position) {
        self.position = self.position.max(position);
    }

    fn reached_end(&mut self, end: Position) {
        self.passed(end);
        self.at_end = true;
    }

    fn take_if_moved(&mut self) -> Option<RawChunk> {
        (self.chunk.range.from < self.position).then(|| self.take())
    }

    fn take(&mut self) -> RawChunk {
        let next = RawChunk::empty(self.chunk.partition.clone(), self.position);
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        chunk.range = Range {
            from: chunk.range.from,
            to: self.position,
        };
        chunk.end = self.position;
        self.last_bytes = chunk.bytes.len();
        self.last_records = chunk.records.len();
        // A small chunk must not keep the memory of a large one.
        if chunk.bytes.capacity() > 2 * chunk.bytes.len() {
            chunk.bytes.shrink_to_fit();
        }
        if chunk.records.capacity() > 2 * chunk.records.len() {
            chunk.records.shrink_to_fit();
        }
        chunk
    }
}

fn copy(chunk: &mut RawChunk, record: &Record) {
    let key = record.key().map(|key| chunk.store(key));
    let value = record.value().map(|value| chunk.store(value));
    let mut headers = Vec::new();
    record.headers(|name, value| {
        if std::str::from_utf8(name).is_ok() {
            let name = chunk.store(name);
            headers.push((name, value.map(|value| chunk.store(value))));
        }
    });
    chunk.records.push(RawRecord {
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key,
        value,
        headers: headers.into_boxed_slice(),
    });
}
