//! The group client: it owns partitions and reads nothing.
//!
//! One thread builds the client, keeps polling it whatever the rest of the process does, and closes it. The
//! callback acknowledges every rebalance at once, on that thread, and only then tells.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::{mpsc, watch};

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::{Member, MemberEvent};

use super::client::{log, refused};
use super::config;
use super::health::Health;
use super::proof::Prover;
use super::settings::Settings;

/// How long one poll may wait, and so how late a new subscription or the end is noticed.
const POLL: Duration = Duration::from_millis(50);

/// Hints are committed at most this often.
const HINT_INTERVAL: Duration = Duration::from_millis(900);

/// How long to wait before a client that failed for good is built anew: at first, and at most.
const REBUILD: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

pub(super) type MemberConsumer = BaseConsumer<MemberContext>;

/// This instance's place in the group.
pub(super) struct KafkaMember {
    shared: Arc<Shared>,
    prover: Prover,
    left: watch::Receiver<bool>,
}

/// What the thread, the callback and the callers have in common.
pub(super) struct Shared {
    state: Mutex<State>,
    events: mpsc::UnboundedSender<MemberEvent>,
    health: Arc<Health>,
}

#[derive(Default)]
struct State {
    client: Option<Arc<MemberConsumer>>,
    /// What this instance owns: acknowledged to the group, and told or about to be told.
    assigned: BTreeMap<TopicPartition, Ownership>,
    topics: Vec<Arc<str>>,
    /// `topics` is not yet what the client subscribes to.
    resubscribe: bool,
    hints: HashMap<TopicPartition, Position>,
    leaving: bool,
}

/// What is known of an owned partition.
#[derive(Clone, Copy, Default)]
struct Ownership {
    /// What this instance committed last, as a hint or a proof.
    committed: Option<Position>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, unless it is being rebuilt.
    pub(super) fn client(&self) -> Option<Arc<MemberConsumer>> {
        self.lock().client.clone()
    }

    /// Whether this instance owns `partition`, as far as the group told it.
    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        self.lock().assigned.contains_key(partition)
    }

    /// What this instance committed for `partition` since it owns it.
    pub(super) fn committed(&self, partition: &TopicPartition) -> Option<Position> {
        self.lock().assigned.get(partition)?.committed
    }

    /// Remembers what was committed; `None` when that is not known any more.
    pub(super) fn has_committed(&self, partition: &TopicPartition, position: Option<Position>) {
        if let Some(owned) = self.lock().assigned.get_mut(partition) {
            owned.committed = position;
        }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    fn tell(&self, event: MemberEvent) {
        // Nobody listens any more: the service is going down.
        let _ = self.events.send(event);
    }

    fn gained(&self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        let new = |partition: &TopicPartition| (partition.clone(), Ownership::default());
        self.lock().assigned.extend(partitions.iter().map(new));
        self.tell(MemberEvent::Assigned(partitions));
    }

    fn gave_up(&self, mut partitions: Vec<TopicPartition>, lost: bool) {
        {
            let mut state = self.lock();
            // What was lost with a failed client is given up again when that is closed.
            partitions.retain(|partition| state.assigned.remove(partition).is_some());
            state.hints.retain(|hinted, _| !partitions.contains(hinted));
        }
        if partitions.is_empty() {
            return;
        }
        self.tell(if lost {
            MemberEvent::Lost(partitions)
        } else {
            MemberEvent::Revoked(partitions)
        });
    }
}

/// The callbacks of the group client.
pub(super) struct MemberContext(Arc<Shared>);

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, _: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.health.met(code);
        }
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions_of(list);
        if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // At the end and paused: whatever happens, nothing is fetched.
            let acknowledged = list
                .set_all_offsets(Offset::End)
                .and_then(|()| consumer.incremental_assign(list))
                .and_then(|()| consumer.pause(list));
            match acknowledged {
                Ok(()) => self.0.gained(partitions),
                Err(error) => {
                    tracing::warn!(%error, "an assignment could not be acknowledged");
                    let _ = consumer.unassign();
                }
            }
        } else {
            let lost = consumer.assignment_lost();
            if let Err(error) = consumer.incremental_unassign(list) {
                tracing::warn!(%error, "a revocation could not be acknowledged");
                let _ = consumer.unassign();
            }
            self.0.gave_up(partitions, lost);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        if result.is_err() {
            // The next hint is sent even if it is the same.
            for partition in partitions_of(list) {
                self.0.has_committed(&partition, None);
            }
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()))
        .collect()
}

impl KafkaMember {
    /// Starts to take part. Asks no broker.
    pub(super) fn join(
        settings: Arc<Settings>,
        health: Arc<Health>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<MemberEvent>)> {
        let (events, received) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            events,
            health,
        });
        // The first client is built here, so that settings which cannot work are told at once.
        let first = build(&settings, &shared)?;
        let (has_left, left) = watch::channel(false);
        let run = Run {
            settings,
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || {
                run.until_left(first);
                has_left.send_replace(true);
            })
            .map_err(|error| Fault::transient(format!("start the member's thread: {error}")))?;
        let prover = Prover::start(Arc::clone(&shared));
        let member = Self {
            shared,
            prover,
            left,
        };
        Ok((member, received))
    }
}

#[async_trait]
impl Member for KafkaMember {
    fn subscribe(&self, topics: &[Arc<str>]) -> Result<()> {
        if let Some(topic) = topics.iter().find(|topic| !is_topic_name(topic)) {
            let what = format!("subscribe to `{topic}`: not the name of a topic");
            return Err(Fault::misconfigured(what));
        }
        let mut state = self.shared.lock();
        state.topics = topics.to_vec();
        state.resubscribe = true;
        Ok(())
    }

    async fn prove(&self, partition: &TopicPartition, position: Position) -> Result<()> {
        self.prover.prove(partition, position).await
    }

    fn hint(&self, positions: &[(TopicPartition, Position)]) {
        let mut state = self.shared.lock();
        for (partition, position) in positions {
            if state.assigned.contains_key(partition) {
                state.hints.insert(partition.clone(), *position);
            }
        }
    }

    async fn leave(&self, deadline: Duration) {
        self.shared.lock().leaving = true;
        let mut left = self.left.clone();
        let gone = left.wait_for(|left| *left);
        if tokio::time::timeout(deadline, gone).await.is_err() {
            tracing::warn!("the group was not left in time: its time-out will do it");
        }
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.shared.lock().leaving = true;
    }
}

/// Kafka's own rule. A name beginning with `^` would be a pattern to librdkafka.
fn is_topic_name(topic: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(legal) && topic != "." && topic != ".."
}

fn build(settings: &Settings, shared: &Arc<Shared>) -> Result<Arc<MemberConsumer>> {
    config::member(settings)
        .create_with_context(MemberContext(Arc::clone(shared)))
        .map(Arc::new)
        .map_err(|error| refused(&error))
}

/// The member's thread.
struct Run {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

impl Run {
    fn until_left(&self, first: Arc<MemberConsumer>) {
        let mut client = Some(first);
        let mut pause = REBUILD.0;
        while !self.shared.lock().leaving {
            let consumer = match client.take().map_or_else(|| self.rebuild(), Ok) {
                Ok(consumer) => consumer,
                Err(error) => {
                    tracing::warn!(%error, "the group client could not be built");
                    self.wait(&mut pause);
                    continue;
                }
            };
            let started = Instant::now();
            self.serve(&consumer);
            if consumer.client().fatal_error().is_some() {
                self.discard(consumer);
            } else {
                self.close(consumer);
            }
            if started.elapsed() > REBUILD.1 {
                pause = REBUILD.0;
            }
            self.wait(&mut pause);
        }
    }

    fn rebuild(&self) -> Result<Arc<MemberConsumer>> {
        build(&self.settings, &self.shared)
    }

    /// Polls until the member leaves or the client fails for good.
    fn serve(&self, consumer: &Arc<MemberConsumer>) {
        {
            let mut state = self.shared.lock();
            state.client = Some(Arc::clone(consumer));
            state.resubscribe = !state.topics.is_empty() || state.resubscribe;
        }
        let mut hinted = Instant::now();
        while !self.shared.lock().leaving {
            self.subscribe(consumer);
            if hinted.elapsed() >= HINT_INTERVAL {
                hinted = Instant::now();
                self.hint(consumer);
            }
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(_)) => tracing::warn!("the group client got a record: ignored"),
                Some(Err(error)) => {
                    // rdkafka's own mark of fatal errors is missing on those of the group.
                    if let Some((code, _)) = consumer.client().fatal_error() {
                        tracing::warn!(%code, "the group client failed for good and is built anew");
                        self.shared.health.failed(code);
                        return;
                    }
                    tracing::debug!(%error, "group client");
                }
            }
        }
    }

    fn subscribe(&self, consumer: &MemberConsumer) {
        let topics = {
            let mut state = self.shared.lock();
            if !std::mem::take(&mut state.resubscribe) {
                return;
            }
            state.topics.clone()
        };
        if topics.is_empty() {
            return consumer.unsubscribe();
        }
        let names: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        if let Err(error) = consumer.subscribe(&names) {
            tracing::warn!(%error, "the subscription was not accepted and is tried again");
            self.shared.lock().resubscribe = true;
            thread::sleep(POLL);
        }
    }

    /// Commits the hints that changed.
    fn hint(&self, consumer: &MemberConsumer) {
        let mut list = TopicPartitionList::new();
        {
            let mut state = self.shared.lock();
            for (partition, position) in std::mem::take(&mut state.hints) {
                let Some(owned) = state.assigned.get_mut(&partition) else {
                    continue;
                };
                if owned.committed != Some(position) {
                    owned.committed = Some(position);
                    add(&mut list, &partition, position);
                }
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "hints were not committed");
        }
    }

    /// Closes the client, which leaves the group, and gives up what it still owned.
    fn close(&self, consumer: Arc<MemberConsumer>) {
        self.shared.lock().client = None;
        if self.shared.health.report().is_some() && self.shared.lock().leaving {
            // librdkafka 2.12.1 can crash when it leaves a group whose coordinator is down. The group's
            // time-out does the same a little later.
            std::mem::forget(consumer);
        } else {
            // A proof under way still holds the client. Closing blocks, so it must happen on this thread.
            while Arc::strong_count(&consumer) > 1 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(consumer);
        }
        self.lose_all();
    }

    /// Lets go of a client that failed for good.
    fn discard(&self, consumer: Arc<MemberConsumer>) {
        self.shared.lock().client = None;
        self.lose_all();
        let held = consumer.assignment();
        if let Err(error) = held.and_then(|held| consumer.incremental_unassign(&held)) {
            tracing::debug!(%error, "the failed client kept its partitions");
        }
        consumer.unsubscribe();
        // librdkafka 2.12.1 may never return from closing such a client, and nothing depends on it.
        let closing = thread::Builder::new().name("kafka-discard".to_owned());
        if let Err(error) = closing.spawn(move || drop(consumer)) {
            tracing::debug!(%error, "the failed client was not closed");
        }
    }

    fn lose_all(&self) {
        let owned: Vec<TopicPartition> = self.shared.lock().assigned.keys().cloned().collect();
        if !owned.is_empty() {
            self.shared.gave_up(owned, true);
        }
    }

    /// Waits before the next client is built, twice as long each time.
    fn wait(&self, pause: &mut Duration) {
        let end = Instant::now() + *pause;
        while Instant::now() < end && !self.shared.lock().leaving {
            thread::sleep(POLL);
        }
        *pause = (*pause * 2).min(REBUILD.1);
    }
}

/// Adds `partition` at `position`. Positions are never negative, so librdkafka takes every one.
pub(super) fn add(list: &mut TopicPartitionList, partition: &TopicPartition, position: Position) {
    let offset = Offset::Offset(position.offset());
    if let Err(error) = list.add_partition_offset(&partition.topic, partition.partition, offset) {
        tracing::debug!(%partition, %error, "not a position");
    }
}
