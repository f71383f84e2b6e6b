//! The process's readers: one client per role, opened when it is first needed.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::source::{EventSource, PartitionStream, Reader, ReaderRole};

/// The clients that read.
pub(super) struct Readers {
    source: Arc<dyn EventSource>,
    partitions: usize,
    clients: Mutex<HashMap<ReaderRole, Arc<dyn Reader>>>,
}

impl Readers {
    /// Readers whose queues are sized for `partitions` at once.
    pub(super) fn new(source: Arc<dyn EventSource>, partitions: usize) -> Self {
        Self {
            source,
            partitions,
            clients: Mutex::default(),
        }
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
                let client = self.source.reader(role, self.partitions).await?;
                clients.insert(role, Arc::clone(&client));
                client
            }
        };
        drop(clients);
        client.open(partition, from).await
    }
}
