//! Readers and streams over the log in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::record::RawChunk;
use crate::source::{PartitionStream, ReadFault, Reader};

use super::{Call, World};

/// A chunk holds at most this many records, as in Kafka's.
const CHUNK_RECORDS: usize = 5_000;

type OpenPartitions = Arc<Mutex<BTreeSet<TopicPartition>>>;

pub(super) struct MemoryReader {
    pub(super) world: Arc<World>,
    pub(super) open: OpenPartitions,
}

struct MemoryStream {
    world: Arc<World>,
    open: OpenPartitions,
    changes: watch::Receiver<u64>,
    partition: TopicPartition,
    /// The incarnation of the topic when the stream was opened.
    topic_id: Option<String>,
    position: Position,
    ended: Option<ReadFault>,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn open(
        &self,
        partition: &TopicPartition,
        from: Position,
    ) -> Result<Box<dyn PartitionStream>> {
        // Watched before the log is looked at, so that no change is missed.
        let changes = self.world.watch();
        let topic_id = {
            let mut state = self.world.lock();
            state.faults.check(Call::Open)?;
            state.log.id_of(&partition.topic).map(str::to_owned)
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.insert(partition.clone()) {
            let what = format!("open {partition} at {from}: it is open already");
            return Err(Fault::bug(what));
        }
        Ok(Box::new(MemoryStream {
            world: Arc::clone(&self.world),
            open: Arc::clone(&self.open),
            changes,
            partition: partition.clone(),
            topic_id,
            position: from,
            ended: None,
        }))
    }
}

impl MemoryStream {
    /// What there is now; `None` when nothing new is.
    fn take(&mut self, max_bytes: usize) -> Result<Option<RawChunk>, ReadFault> {
        let mut state = self.world.lock();
        if state.stalled.contains(&self.partition) {
            return Ok(None);
        }
        state.faults.check(Call::Next)?;
        // As with Kafka, a deleted or recreated topic gives neither records nor an error.
        if state.log.id_of(&self.partition.topic) != self.topic_id.as_deref() {
            return Ok(None);
        }
        let Ok(log) = state.log.partition(&self.partition) else {
            return Ok(None);
        };
        if !log.reaches(self.position) {
            return Err(ReadFault::OutOfRange(self.position));
        }
        let chunk = log.read(&self.partition, self.position, max_bytes, CHUNK_RECORDS);
        if let Some(chunk) = &chunk {
            self.position = chunk.range.to;
        }
        Ok(chunk)
    }
}

#[async_trait]
impl PartitionStream for MemoryStream {
    async fn next(&mut self, max_bytes: usize) -> Result<RawChunk, ReadFault> {
        loop {
            if let Some(fault) = &self.ended {
                return Err(fault.clone());
            }
            self.changes.mark_unchanged();
            match self.take(max_bytes) {
                Ok(Some(chunk)) => return Ok(chunk),
                Ok(None) => {}
                Err(fault) => {
                    self.ended = Some(fault.clone());
                    return Err(fault);
                }
            }
            if self.changes.changed().await.is_err() {
                return Err(Fault::transient("the log in memory is gone").into());
            }
        }
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.partition);
    }
}
