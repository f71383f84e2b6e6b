//! A manually assigned client for one role.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::{PartitionStream, Reader, ReaderRole};

use super::client::Client;
use super::config::{self, Queues};
use super::health::Health;
use super::settings::Settings;
use super::stream::{KafkaStream, OpenPartitions};

/// The reader. Its client is replaced when it failed for good; streams of the old one end with a transient fault.
pub(super) struct KafkaReader {
    settings: Arc<Settings>,
    health: Arc<Health>,
    role: ReaderRole,
    queues: Queues,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    client: Arc<Client>,
    open: OpenPartitions,
}

impl KafkaReader {
    /// Creates the client. Asks no broker.
    pub(super) fn new(
        settings: Arc<Settings>,
        health: Arc<Health>,
        role: ReaderRole,
        partitions: usize,
    ) -> Result<Self> {
        let limit = settings.memory_limit_bytes;
        let queues = Queues::new(limit, partitions);
        let at_once = Queues::partitions_at_once(limit);
        if partitions > at_once {
            tracing::warn!(
                ?role,
                partitions,
                at_once,
                "more partitions than pipeline.memory_limit has room for: the queues may exceed it"
            );
        }
        let current = Mutex::new(Current::new(&settings, &health, role, queues)?);
        Ok(Self {
            settings,
            health,
            role,
            queues,
            current,
        })
    }

    fn current(&self) -> Result<Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.client.is_broken() {
            *current = Current::new(&self.settings, &self.health, self.role, self.queues)?;
        }
        Ok(current.clone())
    }
}

impl Current {
    fn new(
        settings: &Settings,
        health: &Arc<Health>,
        role: ReaderRole,
        queues: Queues,
    ) -> Result<Self> {
        let name = match role {
            ReaderRole::Head => "kafka-head",
            ReaderRole::CatchUp => "kafka-catch-up",
            ReaderRole::Build => "kafka-build",
            ReaderRole::Excerpt => "kafka-excerpt",
        };
        Ok(Self {
            client: Client::create(name, &config::reader(settings, queues), health)?,
            open: OpenPartitions::default(),
        })
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn open(
        &self,
        partition: &TopicPartition,
        from: Position,
    ) -> Result<Box<dyn PartitionStream>> {
        let Current { client, open } = self.current()?;
        let health = Arc::clone(&self.health);
        let partition = partition.clone();
        let opened = tokio::task::spawn_blocking(move || {
            KafkaStream::open(client, &open, health, &partition, from)
        })
        .await
        .map_err(|error| Fault::bug(format!("open a partition: {error}")))?;
        Ok(Box::new(opened?))
    }
}
