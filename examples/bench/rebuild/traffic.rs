//! The load: a backlog as fast as it goes, then steady events. Every hundredth goes to the probe row,
//! by which readers tell how long an event takes to become visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::Pace;
use super::account::Account;

/// The key of the probe row.
pub(crate) const PROBE: &str = "probe";
/// Every so many events one is for the probe row.
const PROBE_EVERY: u64 = 100;
/// About how long an event is, in bytes.
const EVENT_BYTES: usize = 300;
const PARTITIONS: i32 = 6;

/// The key that event `number` is for.
fn key_of(number: u64, accounts: u64) -> String {
    if number.is_multiple_of(PROBE_EVERY) {
        PROBE.to_owned()
    } else {
        account_key(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % accounts)
    }
}

pub(crate) fn account_key(account: u64) -> String {
    format!("a-{account:06}")
}

pub(crate) async fn create_topic(brokers: &str, topic: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    for made in admin.create_topics([&new], &AdminOptions::new()).await? {
        made.map_err(|(name, error)| {
            anyhow::anyhow!("topic {name} could not be created: {error}")
        })?;
    }
    Ok(())
}

/// Publishes to one topic.
struct Publisher {
    topic: String,
    accounts: u64,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Publisher {
    fn new(brokers: &str, topic: &str, accounts: u64) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("partitioner", "murmur2_random")
            .create()?;
        Ok(Self {
            topic: topic.to_owned(),
            accounts,
            producer,
        })
    }

    fn send(&self, number: u64, account: Option<&Account>) -> anyhow::Result<()> {
        let key = key_of(number, self.accounts);
        let cents = number % 100;
        let mut value =
            format!(r#"{{"id":"{key}","number":{number},"amount":"0.{cents:02}","note":""#);
        let missing = EVENT_BYTES.saturating_sub(value.len() + 2);
        value.extend(std::iter::repeat_n('x', missing));
        value.push_str(r#""}"#);
        if let Some(account) = account.filter(|_| key == PROBE) {
            account.produced(number);
        }
        let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value);
        while let Err((error, back)) = self.producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("publishing failed");
            }
            std::thread::sleep(Duration::from_millis(2));
            record = back;
        }
        Ok(())
    }

    fn flush(&self) -> anyhow::Result<()> {
        self.producer
            .flush(Duration::from_secs(120))
            .context("not everything was published within 120 s")
    }
}

pub(crate) fn publish_backlog(brokers: &str, topic: &str, pace: &Pace) -> anyhow::Result<()> {
    let publisher = Publisher::new(brokers, topic, pace.accounts)?;
    for number in 0..pace.backlog {
        publisher.send(number, None)?;
    }
    publisher.flush()
}

/// Events at a steady rate, until it is stopped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

impl Traffic {
    pub(crate) fn start(
        brokers: &str,
        topic: &str,
        pace: &Pace,
        account: &Arc<Account>,
    ) -> anyhow::Result<Self> {
        let publisher = Publisher::new(brokers, topic, pace.accounts)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, account) = (Arc::clone(&stop), Arc::clone(account));
        let (first, rate) = (pace.backlog, pace.rate as f64);
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut next = first;
            while !stopped.load(Ordering::Relaxed) {
                let due = first + (began.elapsed().as_secs_f64() * rate) as u64;
                while next < due {
                    publisher.send(next, Some(&account))?;
                    next += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            publisher.flush()?;
            Ok(next)
        });
        Ok(Self { stop, thread })
    }

    /// Ends it; answers how many events the topic holds.
    pub(crate) fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the producer failed"))?
    }
}
