//! Publishes the load.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tokio::runtime::Runtime;

use super::Load;
use super::events::{EVENT_BYTES, account};

#[derive(Args)]
pub(crate) struct Produce {
    /// Comma-separated `host:port`.
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
    /// The topic's name; it must not exist yet.
    #[arg(long)]
    topic: String,
    /// How many partitions it gets.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// As Kafka's `compression.type`.
    #[arg(long, default_value = "none")]
    compression: String,
    #[command(flatten)]
    load: Load,
}

impl Produce {
    pub(crate) fn run(&self, runtime: &Runtime) -> anyhow::Result<()> {
        runtime.block_on(self.create())?;
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("compression.type", &self.compression)
            .set("partitioner", "murmur2_random")
            .create()?;
        let started = Instant::now();
        for event in self.load.stream() {
            let (key, value) = (account(event.account), event.json()?);
            ensure!(
                value.len() == EVENT_BYTES,
                "an event of {} bytes",
                value.len()
            );
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value);
            while let Err((error, back)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error).context("publishing failed");
                }
                std::thread::sleep(Duration::from_millis(2));
                record = back;
            }
        }
        producer
            .flush(Duration::from_secs(120))
            .context("not everything was published within 120 s")?;
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("published {} events in {seconds:.1} s", self.load.events);
        Ok(())
    }

    async fn create(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()?;
        let topic = NewTopic::new(&self.topic, self.partitions, TopicReplication::Fixed(1));
        for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
            made.map_err(|(name, error)| {
                anyhow::anyhow!("topic {name} could not be created: {error}")
            })?;
        }
        Ok(())
    }
}
