//! The Kafka source against a real broker, whose address is in `VIEWFOLD_TEST_KAFKA`.
//!
//! Every test has topics and a group of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::UnboundedReceiver;
use viewfold::fault::FaultKind;
use viewfold::position::{Position, TopicPartition};
use viewfold::record::RawChunk;
use viewfold::source::kafka::{KafkaSource, Settings};
use viewfold::source::{
    EventSource, Member, MemberEvent, PartitionStream, ReadFault, Reader, ReaderRole, TopicInfo,
};

/// How long a fact may take to show.
const PATIENCE: Duration = Duration::from_secs(20);

/// A name that no other test has.
struct Scene {
    brokers: String,
    name: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Scene {
    fn new(name: &str) -> Self {
        let brokers = std::env::var("VIEWFOLD_TEST_KAFKA")
            .expect("VIEWFOLD_TEST_KAFKA must name a real Kafka, as host:port");
        let admin = config(&brokers).create().unwrap();
        Self {
            name: format!("vf-test-{name}-{}", uuid::Uuid::new_v4().simple()),
            brokers,
            admin,
        }
    }

    fn settings(&self, properties: &[(&str, &str)]) -> Settings {
        Settings {
            brokers: self.brokers.clone(),
            group_id: self.name.clone(),
            client_id: None,
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            memory_limit_bytes: 64 << 20,
        }
    }

    fn source(&self) -> KafkaSource {
        KafkaSource::new(self.settings(&[])).unwrap()
    }

    /// Creates `<scene>` with settings and waits until the broker serves it.
    async fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> Arc<str> {
        let mut topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        self.created(&[topic]).await;
        self.name.as_str().into()
    }

    async fn created(&self, topics: &[NewTopic<'_>]) {
        let created = self.admin.create_topics(topics, &AdminOptions::new());
        for result in created.await.unwrap() {
            result.unwrap();
        }
        for topic in topics {
            self.led(topic.name).await;
        }
    }

    /// Waits until all partitions have a leader.
    async fn led(&self, topic: &str) {
        until("the topic has leaders", || {
            let metadata = self
                .admin
                .inner()
                .fetch_metadata(Some(topic), Duration::from_secs(5))
                .ok()?;
            let topic = metadata.topics().first()?;
            let led = topic.error().is_none()
                && !topic.partitions().is_empty()
                && topic.partitions().iter().all(|p| p.leader() >= 0);
            led.then_some(())
        })
        .await;
    }

    async fn deleted(&self, topic: &str) {
        let deleted = self.admin.delete_topics(&[topic], &AdminOptions::new());
        for result in deleted.await.unwrap() {
            result.unwrap();
        }
    }

    fn producer(&self) -> FutureProducer {
        let mut config = config(&self.brokers);
        config.set("linger.ms", "0");
        config.create().unwrap()
    }

    fn transactional(&self) -> BaseProducer {
        let mut config = config(&self.brokers);
        config.set("transactional.id", &self.name);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    fn part(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.name.as_str(), partition)
    }
}

/// Takes the scene's topics away again. Whether that works is not what is tested.
impl Drop for Scene {
    fn drop(&mut self) {
        let names = ["", "-1", "-2"].map(|suffix| format!("{}{suffix}", self.name));
        let topics = names.each_ref().map(String::as_str);
        let delete = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let deleted = self.admin.delete_topics(&topics, &AdminOptions::new());
            runtime.map(|runtime| runtime.block_on(deleted).is_ok())
        };
        // A runtime must not block inside another one's thread.
        std::thread::scope(|scope| {
            let _ = scope.spawn(delete).join();
        });
    }
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", "10000000");
    config
}

/// Waits for a fact.
async fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn send(producer: &FutureProducer, partition: &TopicPartition, value: &[u8]) -> i64 {
    let record = FutureRecord::<[u8], [u8]>::to(&partition.topic)
        .partition(partition.partition)
        .key(b"k".as_slice())
        .payload(value);
    producer.send(record, PATIENCE).await.unwrap().offset
}

/// Sends within the open transaction and waits until the broker has it.
fn send_in(producer: &BaseProducer, partition: &TopicPartition, values: &[&str]) {
    for value in values {
        let record = BaseRecord::<str, str>::to(&partition.topic)
            .partition(partition.partition)
            .key("k")
            .payload(value);
        producer.send(record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

async fn head(source: &KafkaSource) -> Arc<dyn Reader> {
    source.reader(ReaderRole::Head, 1).await.unwrap()
}

async fn next(stream: &mut Box<dyn PartitionStream>) -> Result<RawChunk, ReadFault> {
    tokio::time::timeout(PATIENCE, stream.next(1 << 20))
        .await
        .expect("a chunk or a fault in time")
}

/// Reads until the position is `to`, and checks on the way that ranges have no gap.
async fn read_to(
    stream: &mut Box<dyn PartitionStream>,
    from: i64,
    to: i64,
) -> (Vec<(i64, String)>, RawChunk) {
    let mut position = Position::at(from);
    let mut read = Vec::new();
    loop {
        let chunk = next(stream).await.unwrap();
        assert_eq!(chunk.range.from, position, "a gap");
        assert!(chunk.range.from < chunk.range.to, "an empty range");
        assert!(chunk.end >= chunk.range.to);
        for record in &chunk.records {
            let inside = chunk.range.from.offset() <= record.offset
                && record.offset < chunk.range.to.offset();
            assert!(inside, "{} outside of {:?}", record.offset, chunk.range);
            let value = record.value.unwrap_or_default().of(&chunk.bytes);
            read.push((record.offset, String::from_utf8_lossy(value).into_owned()));
        }
        position = chunk.range.to;
        assert!(position <= Position::at(to), "read past {to}: {position}");
        if position == Position::at(to) {
            assert!(read.is_sorted_by(|a, b| a.0 < b.0), "offsets increase");
            return (read, chunk);
        }
    }
}

/// A member, and what it was told.
struct Joined {
    member: Arc<dyn Member>,
    events: UnboundedReceiver<MemberEvent>,
    owned: Vec<TopicPartition>,
    lost: Vec<TopicPartition>,
}

impl Joined {
    async fn new(source: &KafkaSource, topic: &Arc<str>) -> Self {
        let (member, events) = source.join().await.unwrap();
        member.subscribe(&[Arc::clone(topic)]).unwrap();
        Self {
            member,
            events,
            owned: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn hear(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                MemberEvent::Assigned(partitions) => self.owned.extend(partitions),
                MemberEvent::Revoked(partitions) => {
                    self.owned.retain(|p| !partitions.contains(p));
                }
                MemberEvent::Lost(partitions) => {
                    self.owned.retain(|p| !partitions.contains(p));
                    self.lost.extend(partitions);
                }
            }
        }
    }

    async fn owns(&mut self, count: usize) {
        until(&format!("{count} partitions are owned"), || {
            self.hear();
            (self.owned.len() == count).then_some(())
        })
        .await;
    }
}

fn committed(scene: &Scene, partition: &TopicPartition) -> Option<i64> {
    let consumer: BaseConsumer = config(&scene.brokers)
        .set("group.id", &scene.name)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.topic, partition.partition);
    let list = consumer.committed_offsets(list, PATIENCE).unwrap();
    match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// All topics. The answer is transient while some other test's topic is being deleted: asked again, as
/// the reconciler does.
async fn listed(source: &KafkaSource) -> Vec<TopicInfo> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match source.topics().await {
            Ok(topics) => return topics,
            Err(fault) => assert!(
                fault.kind == FaultKind::Transient && Instant::now() < deadline,
                "{fault}"
            ),
        }
    }
}

async fn info(source: &KafkaSource, topic: &str) -> Option<TopicInfo> {
    let topics = listed(source).await;
    topics.into_iter().find(|info| &*info.name == topic)
}

const PROTOCOLS: [&[(&str, &str)]; 2] = [&[], &[("group.protocol", "consumer")]];

#[tokio::test(flavor = "multi_thread")]
async fn a_member_owns_proves_and_hands_over_under_both_protocols_i5() {
    for protocol in PROTOCOLS {
        let scene = Scene::new("member");
        let topic = scene.topic(4, &[]).await;
        let producer = scene.producer();
        for partition in 0..4 {
            send(&producer, &scene.part(partition), b"before").await;
        }
        let source = KafkaSource::new(scene.settings(protocol)).unwrap();
        let mut first = Joined::new(&source, &topic).await;
        first.owns(4).await;

        // A first proof commits the position given, later ones repeat what is committed.
        let part = scene.part(0);
        let started = Instant::now();
        first.member.prove(&part, Position::at(7)).await.unwrap();
        println!("{protocol:?}: first proof took {:?}", started.elapsed());
        assert_eq!(committed(&scene, &part), Some(7));
        first.member.prove(&part, Position::at(9)).await.unwrap();
        assert_eq!(committed(&scene, &part), Some(7));

        // Hints move it, and proofs repeat them.
        first.member.hint(&[(part.clone(), Position::at(8))]);
        until("the hint is committed", || {
            (committed(&scene, &part) == Some(8)).then_some(())
        })
        .await;
        first.member.prove(&part, Position::at(1)).await.unwrap();
        assert_eq!(committed(&scene, &part), Some(8));

        // Another member takes its share; what was handed over can no longer be proved.
        let other_source = KafkaSource::new(scene.settings(protocol)).unwrap();
        let mut second = Joined::new(&other_source, &topic).await;
        second.owns(2).await;
        first.owns(2).await;
        for partition in second.owned.clone() {
            let fault = first.member.prove(&partition, Position::ZERO).await;
            assert_eq!(fault.unwrap_err().kind, FaultKind::Fenced);
            second
                .member
                .prove(&partition, Position::ZERO)
                .await
                .unwrap();
        }

        // Who leaves gives everything back, at once.
        let started = Instant::now();
        second.member.leave(Duration::from_secs(5)).await;
        first.owns(4).await;
        println!("{protocol:?}: handed over after {:?}", started.elapsed());
        second.hear();
        assert_eq!(second.owned, []);
        first.member.leave(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_proofs_at_once_are_answered_by_few_commits() {
    let scene = Scene::new("proofs");
    let topic = scene.topic(60, &[]).await;
    let source = scene.source();
    let mut joined = Joined::new(&source, &topic).await;
    joined.owns(60).await;
    let started = Instant::now();
    let proofs = joined.owned.iter().map(|partition| {
        let member = Arc::clone(&joined.member);
        let partition = partition.clone();
        tokio::spawn(async move { member.prove(&partition, Position::at(3)).await })
    });
    for proof in proofs.collect::<Vec<_>>() {
        proof.await.unwrap().unwrap();
    }
    println!("60 proofs took {:?}", started.elapsed());
    assert_eq!(committed(&scene, &scene.part(59)), Some(3));
    assert!(started.elapsed() < Duration::from_secs(3));
    joined.member.leave(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_the_group_forgot_is_refused_before_it_noticed_i5() {
    let scene = Scene::new("stale");
    let topic = scene.topic(1, &[]).await;
    let slow = scene.settings(&[
        ("session.timeout.ms", "30000"),
        ("heartbeat.interval.ms", "20000"),
    ]);
    let source = KafkaSource::new(slow).unwrap();
    let mut stale = Joined::new(&source, &topic).await;
    stale.owns(1).await;
    let part = scene.part(0);
    stale.member.prove(&part, Position::at(1)).await.unwrap();
    stale.hear();
    assert_eq!(stale.lost, []);

    // The coordinator forgets the member, as it does after the session time-out of a stopped process.
    remove_members(&scene).await;
    let fault = stale.member.prove(&part, Position::at(1)).await;
    assert_eq!(fault.unwrap_err().kind, FaultKind::Fenced);
    until("it is told that it lost the partition", || {
        stale.hear();
        stale.lost.contains(&part).then_some(())
    })
    .await;
    // It joins again, and owns it only by a new assignment.
    stale.owns(1).await;
    stale.member.prove(&part, Position::at(1)).await.unwrap();
    stale.member.leave(Duration::from_secs(5)).await;
}

/// Removes all members from the scene's group, as an operator's tool would.
async fn remove_members(scene: &Scene) {
    let (brokers, group) = (scene.brokers.clone(), scene.name.clone());
    let consumer: BaseConsumer = config(&brokers).create().unwrap();
    let groups = consumer.fetch_group_list(Some(&group), PATIENCE).unwrap();
    let members: Vec<String> = groups.groups()[0]
        .members()
        .iter()
        .map(|member| member.id().to_owned())
        .collect();
    drop(groups);
    assert_eq!(members.len(), 1);
    wire::leave_group(&brokers, &group, &members[0]);
}

/// Requests that no client offers.
mod wire {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn text(request: &mut Vec<u8>, text: &str) {
        request.extend_from_slice(&(text.len() as i16).to_be_bytes());
        request.extend_from_slice(text.as_bytes());
    }

    fn int(request: &mut Vec<u8>, value: usize) {
        request.extend_from_slice(&(value as i32).to_be_bytes());
    }

    fn ask(broker: &str, api: u8, version: u8, body: &[u8]) -> Vec<u8> {
        let mut request = vec![0, api, 0, version, 0, 0, 0, 1];
        text(&mut request, "test");
        request.extend_from_slice(body);
        let mut stream = TcpStream::connect(broker).unwrap();
        let size = i32::try_from(request.len()).unwrap();
        stream.write_all(&size.to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; i32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer).unwrap();
        answer
    }

    /// Makes another member leave: `LeaveGroup`, version 1.
    pub(super) fn leave_group(broker: &str, group: &str, member: &str) {
        let mut body = Vec::new();
        text(&mut body, group);
        text(&mut body, member);
        let answer = ask(broker, 13, 1, &body);
        // Correlation id, throttle time, error.
        assert_eq!(answer[8..10], [0, 0], "the broker refused: {answer:?}");
    }

    /// Sends one record without key and value to partition 0: `Produce`, version 3. Names and
    /// values of headers are any bytes, as clients in other languages may send them.
    pub(super) fn produce(broker: &str, topic: &str, headers: &[(&[u8], &[u8])]) {
        let batch = batch(headers);
        let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0x27, 0x10];
        int(&mut body, 1);
        text(&mut body, topic);
        int(&mut body, 1);
        int(&mut body, 0);
        int(&mut body, batch.len());
        body.extend_from_slice(&batch);
        let answer = ask(broker, 0, 3, &body);
        // Correlation id, one topic and its name, one partition and its number, error.
        let error = 4 + 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(answer[error..error + 2], [0, 0], "refused: {answer:?}");
    }

    fn batch(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        // A zigzag number below 64 is one byte.
        let short = |len: usize| u8::try_from(2 * len).unwrap();
        // No attributes, no deltas, neither key nor value.
        let mut record = vec![0, 0, 0, 1, 1, short(headers.len())];
        for (name, value) in headers {
            for part in [name, value] {
                record.push(short(part.len()));
                record.extend_from_slice(part);
            }
        }
        let mut checked = vec![0; 2 + 4 + 8 + 8];
        checked.extend_from_slice(&[0xff; 8 + 2 + 4]);
        int(&mut checked, 1);
        checked.push(short(record.len()));
        checked.extend_from_slice(&record);
        let mut batch = vec![0; 8];
        int(&mut batch, 4 + 1 + 4 + checked.len());
        batch.extend_from_slice(&[0, 0, 0, 0, 2]);
        batch.extend_from_slice(&crc32c(&checked).to_be_bytes());
        batch.extend_from_slice(&checked);
        batch
    }

    fn crc32c(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
            })
        };
        !bytes.iter().fold(!0, step)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_follows_its_subscription() {
    let scene = Scene::new("subscribe");
    let (one, two) = (format!("{}-1", scene.name), format!("{}-2", scene.name));
    let topics = [&one, &two].map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(1)));
    scene.created(&topics).await;
    let source = scene.source();
    let (member, events) = source.join().await.unwrap();
    let mut joined = Joined {
        member,
        events,
        owned: Vec::new(),
        lost: Vec::new(),
    };
    joined.member.subscribe(&[]).unwrap();
    // A topic that does not exist is no trouble.
    let missing = format!("{}-missing", scene.name);
    let names = |list: &[&str]| {
        list.iter()
            .map(|n| Arc::from(*n))
            .collect::<Vec<Arc<str>>>()
    };
    joined.member.subscribe(&names(&[&one, &missing])).unwrap();
    joined.owns(2).await;
    joined.member.subscribe(&names(&[&one, &two])).unwrap();
    joined.owns(4).await;
    joined.member.subscribe(&names(&[&two])).unwrap();
    joined.owns(2).await;
    assert!(joined.owned.iter().all(|p| *p.topic == *two));
    joined.member.subscribe(&[]).unwrap();
    joined.owns(0).await;
    assert!(
        info(&source, &missing).await.is_none(),
        "nothing was created"
    );
    let pattern = joined.member.subscribe(&["^a.*".into()]);
    assert_eq!(pattern.unwrap_err().kind, FaultKind::Misconfigured);
    joined.member.leave(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_markers_and_aborted_records_without_a_gap_i1() {
    let scene = Scene::new("transactions");
    scene.topic(1, &[]).await;
    let part = scene.part(0);
    let source = scene.source();
    let mut stream = head(&source)
        .await
        .open(&part, Position::ZERO)
        .await
        .unwrap();

    let producer = scene.transactional();
    producer.begin_transaction().unwrap();
    send_in(&producer, &part, &["a", "b"]);
    producer.commit_transaction(PATIENCE).unwrap();
    let (read, last) = read_to(&mut stream, 0, 3).await;
    assert_eq!(read, [(0, "a".to_owned()), (1, "b".to_owned())]);
    assert_eq!(last.end, Position::at(3));

    // An aborted tail has no records at all: only the position tells.
    producer.begin_transaction().unwrap();
    send_in(&producer, &part, &["x", "y", "z"]);
    producer.abort_transaction(PATIENCE).unwrap();
    let (read, _) = read_to(&mut stream, 3, 7).await;
    assert_eq!(read, []);

    producer.begin_transaction().unwrap();
    send_in(&producer, &part, &["c"]);
    producer.commit_transaction(PATIENCE).unwrap();
    let (read, _) = read_to(&mut stream, 7, 9).await;
    assert_eq!(read, [(7, "c".to_owned())]);
    drop(stream);

    // The same from the beginning, and from within a hole.
    let reader = head(&source).await;
    let mut again = reader.open(&part, Position::ZERO).await.unwrap();
    let (read, last) = read_to(&mut again, 0, 9).await;
    assert_eq!(read.iter().map(|r| r.0).collect::<Vec<_>>(), [0, 1, 7]);
    assert_eq!(last.end, Position::at(9));
    drop(again);
    let mut inside = reader.open(&part, Position::at(5)).await.unwrap();
    let (read, _) = read_to(&mut inside, 5, 9).await;
    assert_eq!(read.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_pins_the_end() {
    let scene = Scene::new("pinned");
    scene.topic(1, &[]).await;
    let part = scene.part(0);
    let source = scene.source();
    let plain = scene.producer();
    send(&plain, &part, b"a").await;
    let producer = scene.transactional();
    producer.begin_transaction().unwrap();
    send_in(&producer, &part, &["x"]);
    send(&plain, &part, b"behind").await;

    let bounds = source.bounds(&part).await.unwrap();
    assert_eq!(bounds.low, Position::ZERO);
    assert_eq!(bounds.high, Position::at(1), "the last stable offset");
    let mut stream = head(&source)
        .await
        .open(&part, Position::ZERO)
        .await
        .unwrap();
    let (read, _) = read_to(&mut stream, 0, 1).await;
    assert_eq!(read, [(0, "a".to_owned())]);
    let waiting = tokio::time::timeout(Duration::from_millis(700), stream.next(1 << 20));
    assert!(waiting.await.is_err(), "nothing behind the end is shown");

    producer.commit_transaction(PATIENCE).unwrap();
    let (read, _) = read_to(&mut stream, 1, 4).await;
    assert_eq!(read.len(), 2);
    let bounds = source.bounds(&part).await.unwrap();
    assert_eq!(bounds.high, Position::at(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_by_time_lies_within_what_can_be_read() {
    let scene = Scene::new("time");
    scene.topic(2, &[]).await;
    let part = scene.part(0);
    let source = scene.source();
    // Retention looks at the records' own times, so they are of today.
    let begin = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
        - 60_000;
    let producer = scene.producer();
    for after in [0, 3000, 2000, 4000] {
        let record = FutureRecord::<str, str>::to(&scene.name)
            .partition(0)
            .payload("v")
            .timestamp(begin + after);
        producer.send(record, PATIENCE).await.unwrap();
    }
    let at = async |partition: i32, time: i64| {
        let position = source.position_at(&scene.part(partition), time).await;
        position.unwrap().offset()
    };
    assert_eq!(
        (at(0, -1).await, at(0, 0).await, at(0, begin).await),
        (0, 0, 0)
    );
    assert_eq!((at(0, begin + 1).await, at(0, begin + 3001).await), (1, 3));
    assert_eq!(at(0, begin + 3_600_000).await, 4, "else the end");
    assert_eq!(
        (at(1, 0).await, at(1, begin).await),
        (0, 0),
        "an empty partition"
    );

    let transactional = scene.transactional();
    transactional.begin_transaction().unwrap();
    send_in(&transactional, &part, &["x"]);
    send(&producer, &part, b"behind").await;
    assert_eq!(
        at(0, begin + 4001).await,
        4,
        "not beyond the last stable offset"
    );
    transactional.abort_transaction(PATIENCE).unwrap();

    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&scene.name, 0, Offset::Offset(2))
        .unwrap();
    let deleted = scene.admin.delete_records(&list, &AdminOptions::new());
    deleted.await.unwrap();
    assert_eq!(
        (at(0, -1).await, at(0, 0).await),
        (2, 2),
        "not before the log"
    );

    let absent = source.position_at(&scene.part(7), begin).await.unwrap_err();
    assert_eq!(absent.kind, FaultKind::Transient, "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_out_of_range_ends_its_stream_alone() {
    let scene = Scene::new("range");
    scene.topic(2, &[]).await;
    let producer = scene.producer();
    for partition in 0..2 {
        send(&producer, &scene.part(partition), b"a").await;
    }
    let source = scene.source();
    let reader = source.reader(ReaderRole::CatchUp, 2).await.unwrap();
    let mut beyond = reader.open(&scene.part(0), Position::at(50)).await.unwrap();
    let mut fine = reader.open(&scene.part(1), Position::ZERO).await.unwrap();
    let fault = next(&mut beyond).await.unwrap_err();
    assert_eq!(fault, ReadFault::OutOfRange(Position::at(50)));
    read_to(&mut fine, 0, 1).await;
    send(&producer, &scene.part(1), b"b").await;
    read_to(&mut fine, 1, 2).await;

    // A log whose beginning is gone.
    for _ in 0..4 {
        send(&producer, &scene.part(0), b"b").await;
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&scene.name, 0, Offset::Offset(3))
        .unwrap();
    scene
        .admin
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(
        source.bounds(&scene.part(0)).await.unwrap().low,
        Position::at(3)
    );
    drop(beyond);
    let mut below = reader.open(&scene.part(0), Position::at(1)).await.unwrap();
    let fault = next(&mut below).await.unwrap_err();
    assert_eq!(fault, ReadFault::OutOfRange(Position::at(1)));
    drop(below);
    let mut inside = reader.open(&scene.part(0), Position::at(3)).await.unwrap();
    read_to(&mut inside, 3, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_opened_again_shows_nothing_of_the_old_run() {
    let scene = Scene::new("reopen");
    scene.topic(1, &[]).await;
    let part = scene.part(0);
    let producer = scene.producer();
    let sent: Vec<_> = (0..500)
        .map(|i| {
            let (producer, part) = (producer.clone(), part.clone());
            tokio::spawn(async move { send(&producer, &part, format!("{i}").as_bytes()).await })
        })
        .collect();
    for sent in sent {
        sent.await.unwrap();
    }
    let source = scene.source();
    let reader = head(&source).await;
    let refused = reader.open(&part, Position::at(-1)).await;
    assert_eq!(refused.err().unwrap().kind, FaultKind::Bug);
    for round in 0..40 {
        let from = (round * 137) % 500;
        let mut stream = reader.open(&part, Position::at(from)).await.unwrap();
        let twice = reader.open(&part, Position::at(from)).await;
        assert_eq!(twice.err().unwrap().kind, FaultKind::Bug);
        if round % 3 == 0 {
            continue; // Dropped before it brought anything.
        }
        let chunk = stream.next(100).await.unwrap();
        assert_eq!(chunk.range.from, Position::at(from), "round {round}");
        assert_eq!(chunk.records[0].offset, from, "round {round}");
        if round % 3 == 1 {
            read_to(&mut stream, chunk.range.to.offset(), 500).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_as_they_were_sent() {
    let scene = Scene::new("records");
    scene.topic(1, &[]).await;
    let part = scene.part(0);
    let producer: BaseProducer = config(&scene.brokers).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "a",
            value: Some("1"),
        })
        .insert(Header::<&str> {
            key: "none",
            value: None,
        });
    let headers = headers.insert(Header {
        key: "a",
        value: Some(""),
    });
    let full = BaseRecord::<[u8], [u8]>::to(&scene.name)
        .partition(0)
        .key(b"\xff\x00")
        .payload(b"value")
        .timestamp(1_700_000_000_123)
        .headers(headers);
    producer.send(full).map_err(|(e, _)| e).unwrap();
    let tombstone = BaseRecord::<[u8], [u8]>::to(&scene.name)
        .partition(0)
        .key(b"k");
    producer.send(tombstone).map_err(|(e, _)| e).unwrap();
    let empty = BaseRecord::<[u8], [u8]>::to(&scene.name)
        .partition(0)
        .key(b"")
        .payload(b"");
    producer.send(empty).map_err(|(e, _)| e).unwrap();
    let bare = BaseRecord::<[u8], [u8]>::to(&scene.name)
        .partition(0)
        .payload(b"v");
    producer.send(bare).map_err(|(e, _)| e).unwrap();
    producer.flush(PATIENCE).unwrap();
    let headers: [(&[u8], &[u8]); 2] = [(b"\xff\xfe", b"broken"), (b"good", b"\xff")];
    wire::produce(&scene.brokers, &scene.name, &headers);

    let source = scene.source();
    let mut stream = head(&source)
        .await
        .open(&part, Position::ZERO)
        .await
        .unwrap();
    let mut records = Vec::new();
    while records.len() < 5 {
        let chunk = next(&mut stream).await.unwrap();
        for record in &chunk.records {
            let of = |span: viewfold::record::Span| span.of(&chunk.bytes).to_vec();
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(name, value)| (of(*name), value.map(of)))
                .collect();
            records.push((
                record.key.map(of),
                record.value.map(of),
                headers,
                record.timestamp_ms,
            ));
        }
    }
    let expected = vec![
        (b"a".to_vec(), Some(b"1".to_vec())),
        (b"none".to_vec(), None),
        (b"a".to_vec(), Some(Vec::new())),
    ];
    assert_eq!(records[0].0, Some(b"\xff\x00".to_vec()));
    assert_eq!(records[0].1, Some(b"value".to_vec()));
    assert_eq!(records[0].2, expected);
    let readable = vec![(b"good".to_vec(), Some(b"\xff".to_vec()))];
    assert_eq!(
        records[4].2, readable,
        "names that are not UTF-8 are left out"
    );
    assert_eq!(records[0].3, 1_700_000_000_123);
    assert_eq!(
        (&records[1].0, &records[1].1),
        (&Some(b"k".to_vec()), &None)
    );
    assert_eq!(
        (&records[2].0, &records[2].1),
        (&Some(Vec::new()), &Some(Vec::new()))
    );
    assert_eq!(
        (&records[3].0, &records[3].1),
        (&None, &Some(b"v".to_vec()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_record_comes_alone() {
    let scene = Scene::new("huge");
    scene.topic(1, &[("max.message.bytes", "5000000")]).await;
    let part = scene.part(0);
    let producer = scene.producer();
    send(&producer, &part, b"a").await;
    send(&producer, &part, &vec![b'x'; 2 << 20]).await;
    send(&producer, &part, b"b").await;
    let source = scene.source();
    let mut stream = head(&source)
        .await
        .open(&part, Position::ZERO)
        .await
        .unwrap();
    let mut sizes = Vec::new();
    let mut position = Position::ZERO;
    while position < Position::at(3) {
        let chunk = stream.next(64 << 10).await.unwrap();
        assert_eq!(chunk.range.from, position);
        position = chunk.range.to;
        if chunk.bytes.len() > 64 << 10 {
            assert_eq!(chunk.records.len(), 1, "alone");
        }
        sizes.extend(
            chunk
                .records
                .iter()
                .map(|r| r.value.unwrap().of(&chunk.bytes).len()),
        );
    }
    assert_eq!(sizes, [1, 2 << 20, 1]);
}

/// Fills one partition with `megabytes` of 1 kB records.
async fn fill(scene: &Scene, megabytes: usize) -> i64 {
    let producer: BaseProducer = config(&scene.brokers)
        .set("linger.ms", "5")
        .set("batch.size", "500000")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .unwrap();
    let value = vec![b'v'; 1000];
    let count = megabytes * 1000;
    for i in 0..count {
        let key = i.to_be_bytes();
        let mut record = BaseRecord::<[u8], [u8]>::to(&scene.name)
            .partition(0)
            .key(&key)
            .payload(&value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(20));
            record = again;
        }
    }
    producer.flush(PATIENCE).unwrap();
    i64::try_from(count).unwrap()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_pulls_holds_a_bounded_queue_i10() {
    let scene = Scene::new("bounded");
    scene.topic(1, &[]).await;
    let part = scene.part(0);
    let count = fill(&scene, 64).await;
    let mut settings = scene.settings(&[]);
    settings.memory_limit_bytes = 12 << 20;
    let source = KafkaSource::new(settings).unwrap();
    let reader = head(&source).await;
    let mut stream = reader.open(&part, Position::ZERO).await.unwrap();
    let first = stream.next(1000).await.unwrap();
    let before = resident_bytes();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let grown = resident_bytes().saturating_sub(before);
    println!("not pulled: grew by {} KiB", grown >> 10);
    // The share of this reader is 4 MiB; 64 MB are there to be fetched. Other tests run beside.
    assert!(grown < 30 << 20, "grew by {grown} bytes");

    let (started, mut bytes, mut position) = (Instant::now(), 0, first.range.to);
    while position < Position::at(count) {
        let chunk = next(&mut stream).await.unwrap();
        assert_eq!(chunk.range.from, position);
        position = chunk.range.to;
        bytes += chunk.bytes.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("small queue: {:.0} MB/s", bytes as f64 / 1e6 / seconds);

    let roomy = scene.source();
    let reader = head(&roomy).await;
    let mut stream = reader.open(&part, Position::ZERO).await.unwrap();
    let (started, mut bytes, mut chunks) = (Instant::now(), 0, 0);
    let mut position = Position::ZERO;
    while position < Position::at(count) {
        let chunk = next(&mut stream).await.unwrap();
        position = chunk.range.to;
        bytes += chunk.bytes.len();
        chunks += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "64 MB: {:.0} MB/s in {chunks} chunks",
        bytes as f64 / 1e6 / seconds
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_have_an_identity_partitions_and_a_policy() {
    let scene = Scene::new("topics");
    scene
        .topic(2, &[("cleanup.policy", "compact,delete")])
        .await;
    let source = scene.source();
    let before = info(&source, &scene.name).await.unwrap();
    assert_eq!(before.partitions, 2);
    assert!(before.compacted);
    assert!(!before.id.is_empty());
    let topics = listed(&source).await;
    assert!(topics.is_sorted_by(|a, b| a.name < b.name));
    assert!(topics.iter().all(|topic| !topic.name.starts_with("__")));

    let more = [NewPartitions::new(&scene.name, 5)];
    let more = scene.admin.create_partitions(&more, &AdminOptions::new());
    more.await.unwrap()[0].as_ref().unwrap();
    wait_for(&source, &scene.name, |topic| {
        topic.is_some_and(|t| t.partitions == 5)
    })
    .await;

    scene.deleted(&scene.name).await;
    wait_for(&source, &scene.name, |topic| topic.is_none()).await;
    scene.topic(1, &[]).await;
    let after = wait_for(&source, &scene.name, |topic| topic.is_some())
        .await
        .unwrap();
    assert_ne!(before.id, after.id, "a recreated topic is another one");
    assert!(
        !after.compacted,
        "what was known of the old one does not count"
    );

    // The new one can be read, by a client that knew the old one.
    let part = scene.part(0);
    let reader = head(&source).await;
    send(&scene.producer(), &part, b"new").await;
    let mut stream = reader.open(&part, Position::ZERO).await.unwrap();
    read_to(&mut stream, 0, 1).await;
}

async fn wait_for(
    source: &KafkaSource,
    topic: &str,
    fact: impl Fn(Option<&TopicInfo>) -> bool,
) -> Option<TopicInfo> {
    let start = Instant::now();
    loop {
        let found = info(source, topic).await;
        if fact(found.as_ref()) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {topic}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_does_not_exist_is_transient_and_soon_told() {
    let scene = Scene::new("absent");
    let source = scene.source();
    let started = Instant::now();
    let fault = source.bounds(&scene.part(0)).await.unwrap_err();
    println!("absent topic: {fault:?} after {:?}", started.elapsed());
    assert_eq!(fault.kind, FaultKind::Transient);
    scene.topic(1, &[]).await;
    assert_eq!(
        source.bounds(&scene.part(0)).await.unwrap().high,
        Position::ZERO
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_and_no_error_of_a_stream_i14() {
    let settings = Settings {
        brokers: "127.0.0.1:1".to_owned(),
        group_id: "nobody".to_owned(),
        client_id: None,
        properties: BTreeMap::new(),
        memory_limit_bytes: 64 << 20,
    };
    let source = KafkaSource::new(settings).unwrap();
    let reader = head(&source).await;
    let part = TopicPartition::new("orders", 0);
    let mut stream = reader.open(&part, Position::ZERO).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(2), stream.next(1000));
    assert!(waiting.await.is_err(), "it waits");
    let (reason, since) = until("it is told", || source.health()).await;
    println!("{reason} since {:?}", since.elapsed());
    let fault = source.topics().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.contains("127.0.0.1:1"), "{fault}");

    let (member, _events) = source.join().await.unwrap();
    member.subscribe(&["orders".into()]).unwrap();
    let started = Instant::now();
    member.leave(Duration::from_secs(2)).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "leaving is bounded"
    );
}

#[test]
fn properties_that_correctness_depends_on_are_refused() {
    let scene = Scene::new("refused");
    let settings = scene.settings(&[("auto.offset.reset", "earliest")]);
    let fault = KafkaSource::new(settings).err().unwrap();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.message.contains("auto.offset.reset"), "{fault}");
}
