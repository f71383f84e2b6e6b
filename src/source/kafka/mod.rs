//! Kafka, over librdkafka: the only user of rdkafka.
//!
//! | file | owns |
//! |---|---|
//! | `settings` | what an operator may set, and what is refused |
//! | `config` | what each client is configured with; the arithmetic of the queues |
//! | `client` | a client outside the group, and the thread that polls it |
//! | `member`, `proof` | the group client; proofs of membership |
//! | `reader`, `stream` | manually assigned clients; the records of one partition |
//! | `metadata` | topics, their identity, bounds |
//! | `health` | whether Kafka can be reached |
//! | `native` | the few calls that rdkafka does not offer |
//!
//! **Architecture invariant:** nothing in here remembers a position across clients, and no
//! committed offset is ever used to read from: positions come from the caller.

mod client;
mod config;
mod health;
mod member;
mod metadata;
mod native;
mod proof;
mod reader;
mod settings;
mod stream;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::{Bounds, EventSource, Member, MemberEvent, Reader, ReaderRole, TopicInfo};

use health::Health;
use member::KafkaMember;
use metadata::Metadata;
use reader::KafkaReader;
pub use settings::{Problem, Settings};

/// The real log.
pub struct KafkaSource {
    settings: Arc<Settings>,
    health: Arc<Health>,
    metadata: Metadata,
}

impl KafkaSource {
    /// Prepares the clients. Asks no broker, so it works while Kafka is away.
    ///
    /// # Errors
    /// `Misconfigured` when [`Settings::check`] has problems or librdkafka refuses the settings.
    pub fn new(settings: Settings) -> Result<Self> {
        let problems = settings.check();
        if !problems.is_empty() {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            return Err(Fault::misconfigured(format!("kafka: {}", all.join("; "))));
        }
        let health = Arc::new(Health::default());
        Ok(Self {
            metadata: Metadata::new(&settings, &health)?,
            settings: Arc::new(settings),
            health,
        })
    }
}

#[async_trait]
impl EventSource for KafkaSource {
    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.metadata.topics().await
    }

    async fn topic_id(&self, topic: &str) -> Result<Option<String>> {
        self.metadata.topic_id(topic).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        self.metadata.bounds(partition).await
    }

    async fn position_at(&self, partition: &TopicPartition, timestamp_ms: i64) -> Result<Position> {
        self.metadata.position_at(partition, timestamp_ms).await
    }

    async fn join(&self) -> Result<(Arc<dyn Member>, mpsc::UnboundedReceiver<MemberEvent>)> {
        let settings = Arc::clone(&self.settings);
        let (member, events) = KafkaMember::join(settings, Arc::clone(&self.health))?;
        Ok((Arc::new(member), events))
    }

    /// librdkafka tells when brokers go away but not when they are back, so this is cleared by the next
    /// answer: a chunk, a proof, [`EventSource::topics`] or [`EventSource::bounds`].
    fn health(&self) -> Option<(String, SystemTime)> {
        self.health.report()
    }

    async fn reader(&self, role: ReaderRole, partitions: usize) -> Result<Arc<dyn Reader>> {
        let settings = Arc::clone(&self.settings);
        let health = Arc::clone(&self.health);
        let reader = KafkaReader::new(settings, health, role, partitions)?;
        Ok(Arc::new(reader))
    }
}
