//! A log in memory, for hermetic tests: deterministic, without threads, and without any clock.
//!
//! It keeps the promises of the seam word by word: ranges without gaps, holes, a pinned end, positions
//! out of range, a fenced member. What a test wants to go wrong, it says: see [`MemorySource::fail`],
//! [`MemorySource::stall`] and the group's script.

mod group;
mod log;
mod reader;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::{Bounds, EventSource, Member, MemberEvent, Reader, ReaderRole, TopicInfo};

use group::Group;
use log::Log;
pub use log::MemoryRecord;
use reader::MemoryReader;

/// What can be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`EventSource::topics`].
    Topics,
    /// [`EventSource::bounds`] and [`EventSource::position_at`].
    Bounds,
    /// [`EventSource::join`].
    Join,
    /// [`Reader::open`].
    Open,
    /// [`crate::source::PartitionStream::next`]: the fault ends the stream.
    Next,
    /// [`Member::prove`].
    Prove,
}

/// A whole Kafka in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemorySource {
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    log: Log,
    group: Group,
    faults: Faults,
    stalled: BTreeSet<TopicPartition>,
}

/// What fails next, in order.
#[derive(Default)]
struct Faults(BTreeMap<Call, VecDeque<Fault>>);

impl Faults {
    fn check(&mut self, call: Call) -> Result<()> {
        match self.0.get_mut(&call).and_then(VecDeque::pop_front) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Changes something and wakes whoever waits for it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
        changed
    }
}

/// What producers and brokers do.
impl MemorySource {
    /// Creates a topic, or a new incarnation of it with another id and without records.
    pub fn create_topic(&self, name: &str, partitions: usize) {
        self.create(name, partitions, false);
    }

    /// The same with `cleanup.policy=compact`. Nothing is compacted but by [`Self::remove`].
    pub fn create_compacted_topic(&self, name: &str, partitions: usize) {
        self.create(name, partitions, true);
    }

    fn create(&self, name: &str, partitions: usize, compacted: bool) {
        self.world.change(|state| {
            state.log.create(name, partitions, compacted);
            state.group.balance(&state.log);
        });
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        self.world.change(|state| {
            state.log.delete(name);
            state.group.balance(&state.log);
        });
    }

    /// Adds `more` partitions to a topic.
    pub fn add_partitions(&self, name: &str, more: usize) {
        self.world.change(|state| {
            state.log.add_partitions(name, more);
            state.group.balance(&state.log);
        });
    }

    /// Appends a record and gives its offset.
    ///
    /// # Errors
    /// The partition does not exist. So for all that follow.
    pub fn append(&self, partition: &TopicPartition, record: MemoryRecord) -> Result<i64> {
        self.on(partition, |log| log.append(record))
    }

    /// Appends offsets without records: markers, aborted or compacted records.
    pub fn skip(&self, partition: &TopicPartition, offsets: i64) -> Result<()> {
        self.on(partition, |log| log.skip(offsets))
    }

    /// Begins a transaction: it pins the readable end, and what is appended from now on belongs to it.
    pub fn open_transaction(&self, partition: &TopicPartition) -> Result<()> {
        self.on(partition, log::Partition::open_transaction)
    }

    /// Commits or aborts the transaction and appends its marker.
    pub fn close_transaction(&self, partition: &TopicPartition, commit: bool) -> Result<()> {
        self.on(partition, |log| log.close_transaction(commit))
    }

    /// Retention: what lies before `low` is gone.
    pub fn truncate_before(&self, partition: &TopicPartition, low: Position) -> Result<()> {
        self.on(partition, |log| log.truncate_before(low))
    }

    /// The log loses its tail: `next` is the next offset again.
    pub fn truncate_from(&self, partition: &TopicPartition, next: Position) -> Result<()> {
        self.on(partition, |log| log.truncate_from(next))
    }

    /// Compaction takes one record away.
    pub fn remove(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.on(partition, |log| log.remove(offset))
    }

    fn on<T>(
        &self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut log::Partition) -> T,
    ) -> Result<T> {
        self.world
            .change(|state| state.log.partition_mut(partition).map(change))
    }
}

/// What goes wrong.
impl MemorySource {
    /// The next call of `call` fails with `fault`. Several are met in the order given.
    pub fn fail(&self, call: Call, fault: Fault) {
        self.world
            .change(|state| state.faults.0.entry(call).or_default().push_back(fault));
    }

    /// Streams of `partition` bring nothing until [`Self::resume`], as if its broker were away.
    pub fn stall(&self, partition: &TopicPartition) {
        self.world
            .change(|state| state.stalled.insert(partition.clone()));
    }

    /// Ends [`Self::stall`].
    pub fn resume(&self, partition: &TopicPartition) {
        self.world.change(|state| state.stalled.remove(partition));
    }
}

/// The group. Without script, partitions are spread evenly over the members, in the order of
/// names and of joining. Members are numbered in the order of joining, from 0.
impl MemorySource {
    /// From now on only the script moves partitions.
    pub fn script_group(&self) {
        self.world.change(|state| state.group.scripted = true);
    }

    /// Gives `partitions` to `member` and tells it. A former owner that is not told is a zombie: it
    /// goes on until it has to prove itself.
    pub fn assign(&self, member: usize, partitions: &[TopicPartition]) {
        self.world
            .change(|state| state.group.assign(member, partitions));
    }

    /// Takes `partitions` back in an orderly way.
    pub fn revoke(&self, member: usize, partitions: &[TopicPartition]) {
        self.world
            .change(|state| state.group.revoke(member, partitions));
    }

    /// `member` learns that it lost `partitions`.
    pub fn lose(&self, member: usize, partitions: &[TopicPartition]) {
        self.world
            .change(|state| state.group.lose(member, partitions));
    }

    /// Who owns `partition`.
    pub fn owner(&self, partition: &TopicPartition) -> Option<usize> {
        self.world.lock().group.owner(partition)
    }

    /// What was committed to the group.
    pub fn committed(&self, partition: &TopicPartition) -> Option<Position> {
        self.world.lock().group.committed(partition)
    }
}

#[async_trait]
impl EventSource for MemorySource {
    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let mut state = self.world.lock();
        state.faults.check(Call::Topics)?;
        Ok(state.log.topics())
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        let mut state = self.world.lock();
        state.faults.check(Call::Bounds)?;
        Ok(state.log.partition(partition)?.bounds())
    }

    async fn position_at(&self, partition: &TopicPartition, timestamp_ms: i64) -> Result<Position> {
        let mut state = self.world.lock();
        state.faults.check(Call::Bounds)?;
        Ok(state.log.partition(partition)?.position_at(timestamp_ms))
    }

    async fn join(&self) -> Result<(Arc<dyn Member>, mpsc::UnboundedReceiver<MemberEvent>)> {
        let (events, received) = mpsc::unbounded_channel();
        let number = self.world.change(|state| {
            state.faults.check(Call::Join)?;
            Ok::<usize, Fault>(state.group.join(events))
        })?;
        let member = MemoryMember {
            world: Arc::clone(&self.world),
            number,
        };
        Ok((Arc::new(member), received))
    }

    async fn reader(&self, _: ReaderRole, _: usize) -> Result<Arc<dyn Reader>> {
        Ok(Arc::new(MemoryReader {
            world: Arc::clone(&self.world),
            open: Arc::default(),
        }))
    }
}

struct MemoryMember {
    world: Arc<World>,
    number: usize,
}

#[async_trait]
impl Member for MemoryMember {
    fn subscribe(&self, topics: &[Arc<str>]) -> Result<()> {
        self.world.change(|state| {
            let State { log, group, .. } = state;
            group.subscribe(self.number, topics, log);
        });
        Ok(())
    }

    async fn prove(&self, partition: &TopicPartition, position: Position) -> Result<()> {
        self.world.change(|state| {
            state.faults.check(Call::Prove)?;
            state.group.prove(self.number, partition, position)
        })
    }

    fn hint(&self, positions: &[(TopicPartition, Position)]) {
        self.world
            .change(|state| state.group.hint(self.number, positions));
    }

    async fn leave(&self, _: Duration) {
        self.world.change(|state| {
            let State { log, group, .. } = state;
            group.leave(self.number, log);
        });
    }
}

#[cfg(test)]
mod tests;
