//! The Kafka source against librdkafka's mock cluster: what a real broker cannot be asked to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::sync::mpsc::UnboundedReceiver;
use viewfold::fault::FaultKind;
use viewfold::position::{Position, TopicPartition};
use viewfold::source::kafka::{KafkaSource, Settings};
use viewfold::source::{EventSource, Member, MemberEvent, PartitionStream, ReaderRole};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PATIENCE: Duration = Duration::from_secs(20);

fn cluster(topic: &str, partitions: i32) -> (Cluster, KafkaSource) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let source = KafkaSource::new(Settings {
        brokers: cluster.bootstrap_servers(),
        group_id: "group".to_owned(),
        client_id: None,
        properties: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
        memory_limit_bytes: 64 << 20,
    });
    (cluster, source.unwrap())
}

async fn send(cluster: &Cluster, partition: &TopicPartition, values: &[&str]) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("linger.ms", "0")
        .create()
        .unwrap();
    for value in values {
        let record = FutureRecord::<str, str>::to(&partition.topic)
            .partition(partition.partition)
            .payload(value);
        producer.send(record, PATIENCE).await.unwrap();
    }
}

/// Reads records until `count` are there.
async fn read(stream: &mut Box<dyn PartitionStream>, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.len() < count {
        let chunk = tokio::time::timeout(PATIENCE, stream.next(1 << 20));
        let chunk = chunk.await.expect("records in time").unwrap();
        offsets.extend(chunk.records.iter().map(|record| record.offset));
    }
    offsets
}

async fn joined(source: &KafkaSource, topic: &str) -> (Arc<dyn Member>, Vec<TopicPartition>) {
    let (member, mut events) = source.join().await.unwrap();
    member.subscribe(&[topic.into()]).unwrap();
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    match event.expect("an assignment in time") {
        Some(MemberEvent::Assigned(partitions)) => (member, partitions),
        other => panic!("expected an assignment, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_survives_a_broker_that_goes_away_and_comes_back_i14() {
    let (cluster, source) = cluster("orders", 1);
    let part = TopicPartition::new("orders", 0);
    send(&cluster, &part, &["a", "b"]).await;
    let reader = source.reader(ReaderRole::Head, 1).await.unwrap();
    let mut stream = reader.open(&part, Position::ZERO).await.unwrap();
    assert_eq!(read(&mut stream, 2).await, [0, 1]);

    cluster.broker_down(1).unwrap();
    let start = Instant::now();
    while source.health().is_none() {
        assert!(start.elapsed() < PATIENCE, "nothing was told");
        let waiting = tokio::time::timeout(Duration::from_millis(50), stream.next(1000));
        assert!(waiting.await.is_err(), "the stream waits");
    }
    cluster.broker_up(1).unwrap();
    send(&cluster, &part, &["c"]).await;
    assert_eq!(read(&mut stream, 1).await, [2]);
    assert!(source.health().is_none(), "a chunk tells that it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_waits_for_a_rebalance_and_blames_only_a_stale_member_i5() {
    let (cluster, source) = cluster("orders", 2);
    let (member, owned) = joined(&source, "orders").await;
    assert_eq!(owned.len(), 2);
    let part = &owned[0];
    member.prove(part, Position::at(1)).await.unwrap();

    let rebalancing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[rebalancing, rebalancing]);
    member.prove(part, Position::at(1)).await.unwrap();

    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[unknown]);
    let fault = member.prove(part, Position::at(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Fenced, "{fault}");

    let absent = TopicPartition::new("orders", 7);
    let fault = member.prove(&absent, Position::ZERO).await.unwrap_err();
    assert_eq!(
        fault.kind,
        FaultKind::Fenced,
        "nothing is proved that is not owned"
    );
    member.leave(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_failed_for_good_loses_everything_and_is_built_anew_i5() {
    let (cluster, source) = cluster("orders", 2);
    let (member, mut events) = source.join().await.unwrap();
    member.subscribe(&["orders".into()]).unwrap();
    let told = async |events: &mut UnboundedReceiver<MemberEvent>| {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await;
        event.expect("an event in time").unwrap()
    };
    let all: Vec<_> = (0..2).map(|p| TopicPartition::new("orders", p)).collect();
    assert_eq!(told(&mut events).await, MemberEvent::Assigned(all.clone()));
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[fatal]);
    let fault = member.prove(&all[0], Position::ZERO).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Fenced, "{fault}");
    assert_eq!(told(&mut events).await, MemberEvent::Lost(all.clone()));
    assert_eq!(told(&mut events).await, MemberEvent::Assigned(all.clone()));
    member.prove(&all[0], Position::ZERO).await.unwrap();
    member.leave(Duration::from_secs(5)).await;
    assert_eq!(told(&mut events).await, MemberEvent::Revoked(all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_away_keeps_nobody_waiting_for_ever() {
    let (cluster, source) = cluster("orders", 1);
    let (member, owned) = joined(&source, "orders").await;
    cluster.broker_down(1).unwrap();
    let start = Instant::now();
    let fault = member.prove(&owned[0], Position::ZERO).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    assert!(
        start.elapsed() < Duration::from_secs(7),
        "{:?}",
        start.elapsed()
    );
    let start = Instant::now();
    member.leave(Duration::from_secs(2)).await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "leaving is bounded (I13)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_ids_and_configurations_still_lists_its_topics() {
    let (_cluster, source) = cluster("orders", 3);
    // A mock broker may keep a question waiting beyond its time-out; it is asked again, as everywhere.
    let mut asked = source.topics().await;
    for _ in 0..4 {
        if !asked
            .as_ref()
            .is_err_and(|fault| fault.kind == FaultKind::Transient)
        {
            break;
        }
        asked = source.topics().await;
    }
    let topics = asked.unwrap();
    let orders = topics
        .iter()
        .find(|topic| &*topic.name == "orders")
        .unwrap();
    assert_eq!(orders.partitions, 3);
    assert!(!orders.compacted);
    let bounds = source
        .bounds(&TopicPartition::new("orders", 2))
        .await
        .unwrap();
    assert_eq!((bounds.low, bounds.high), (Position::ZERO, Position::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_after_every_record_is_the_end_of_the_log() {
    let (cluster, source) = cluster("orders", 2);
    let part = TopicPartition::new("orders", 0);
    send(&cluster, &part, &["a", "b", "c"]).await;
    // The mock cluster knows no times: it finds nothing whatever is asked.
    let later = source.position_at(&part, 1_700_000_000_000).await.unwrap();
    assert_eq!(later, Position::at(3));
    let before = source.position_at(&part, -1).await.unwrap();
    assert_eq!(before, Position::ZERO);
    cluster.broker_down(1).unwrap();
    let fault = source.position_at(&part, 1_700_000_000_000).await;
    assert_eq!(fault.unwrap_err().kind, FaultKind::Transient);
}
