//! The process's readers: one client per role, opened when it is first needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;

use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::source::{EventSource, PartitionStream, Reader, ReaderRole};

/// The clients that read.
pub(super) struct Readers {
    source: Arc<dyn EventSource>,
    partitions: AtomicUsize,
    clients: Mutex<HashMap<ReaderRole, Arc<dyn Reader>>>,
}

impl Readers {
    pub(super) fn new(source: Arc<dyn EventSource>) -> Self {
        Self {
            source,
            partitions: AtomicUsize::new(1),
            clients: Mutex::default(),
        }
    }

    /// Sizes the queues of clients that are opened from now on for `partitions` at once.
    pub(super) fn size_for(&self, partitions: usize) {
        self.partitions.store(partitions.max(1), Ordering::Relaxed);
    }

    /// Starts to read `partition` at `from`.
    pub(super) async fn open(
        &self,
        role: ReaderRole,
        partition: &TopicPartition,
        from: Position,
    ) -> Result<Box<dyn PartitionStream>> {
        let mut clients = self.clients.lock().await;
        let client = match clients.get(&role) {
            Some(client) => Arc::clone(client),
            None => {
                let client = self
                    .source
                    .reader(role, self.partitions.load(Ordering::Relaxed))
                    .await?;
                clients.insert(role, Arc::clone(&client));
                client
            }
        };
        drop(clients);
        client.open(partition, from).await
    }
}
