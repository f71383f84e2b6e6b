//! Topics and records, past the program.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, FutureProducer, FutureRecord, Producer, ThreadedProducer,
};

use super::{Deployment, server};

/// A broker that can be reached through a proxy: clients that come to its second listener are told to come
/// back to another port, on which a test puts its proxy.
pub(crate) struct KafkaGate {
    /// Where the tests themselves go: the first listener.
    pub(crate) direct: String,
    /// The second listener.
    pub(crate) behind: SocketAddr,
    /// What the second listener calls itself: the proxy's address.
    pub(crate) gate: SocketAddr,
}

/// The broker that `VIEWFOLD_TEST_KAFKA_GATE` describes as `direct,listener,gate`. Its gate is one port:
/// one test at a time may use it.
pub(crate) fn kafka_gate() -> KafkaGate {
    let text = server("VIEWFOLD_TEST_KAFKA_GATE");
    let parts: Vec<&str> = text.split(',').collect();
    let [direct, behind, gate] = parts[..] else {
        panic!("VIEWFOLD_TEST_KAFKA_GATE is not `direct,listener,gate`: {text}")
    };
    KafkaGate {
        direct: direct.to_owned(),
        behind: behind.parse().unwrap(),
        gate: gate.parse().unwrap(),
    }
}

impl Deployment {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.kafka)
            .create()
            .unwrap()
    }

    pub(crate) async fn create_topic(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        self.create(&new).await;
    }

    /// The same where the name may still be taken by a topic that is being deleted; answers whether it was done.
    pub(crate) async fn try_create_topic(&self, topic: &str, partitions: i32) -> bool {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await;
        made.is_ok_and(|results| results.iter().all(Result::is_ok))
    }

    pub(crate) async fn create_compacted_topic(&self, topic: &str) {
        let new =
            NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
        self.create(&new).await;
    }

    async fn create(&self, new: &NewTopic<'_>) {
        for result in self
            .admin()
            .create_topics([new], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        for result in self
            .admin()
            .delete_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    pub(crate) async fn grow_topic(&self, partitions: usize) {
        let more = NewPartitions::new(&self.topic, partitions);
        for result in self
            .admin()
            .create_partitions([&more], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }
}

/// Publishes one record at a time, and says where each one lies.
pub(crate) struct Acknowledged {
    topic: String,
    producer: FutureProducer,
}

impl Acknowledged {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &deployment.kafka)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .create()
            .unwrap();
        Self {
            topic: deployment.topic.clone(),
            producer,
        }
    }

    /// The record's name, once the broker has it.
    pub(crate) async fn send(&self, key: &str, value: &str) -> String {
        let record = FutureRecord::to(&self.topic).key(key).payload(value);
        let sent = self.producer.send(record, Duration::from_secs(30)).await;
        let at = sent.map_err(|(error, _)| error).unwrap();
        format!("{}/{}@{}", self.topic, at.partition, at.offset)
    }
}

/// Publishes to one topic.
pub(crate) struct Publisher {
    topic: String,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Publisher {
    pub(crate) fn new(brokers: &str, topic: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self {
            topic: topic.to_owned(),
            producer,
        }
    }

    pub(crate) fn send(&self, key: &str, value: &str) {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(value);
        while let Err((_, back)) = self.producer.send(record) {
            std::thread::sleep(Duration::from_millis(2));
            record = back;
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.flush();
        }
    }
}
