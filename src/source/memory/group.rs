//! A consumer group in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::MemberEvent;

use super::log::Log;

/// Who owns what. A member is named by the order in which it joined, from 0.
#[derive(Default)]
pub(super) struct Group {
    members: BTreeMap<usize, Membership>,
    joined: usize,
    owners: BTreeMap<TopicPartition, usize>,
    committed: BTreeMap<TopicPartition, Position>,
    /// Only the script moves partitions.
    pub(super) scripted: bool,
}

struct Membership {
    topics: Vec<Arc<str>>,
    /// What it believes to own.
    believes: BTreeSet<TopicPartition>,
    events: mpsc::UnboundedSender<MemberEvent>,
}

impl Membership {
    fn tell(&self, event: MemberEvent) {
        // A test may have dropped the receiver.
        let _ = self.events.send(event);
    }
}

impl Group {
    pub(super) fn join(&mut self, events: mpsc::UnboundedSender<MemberEvent>) -> usize {
        let member = self.joined;
        self.joined += 1;
        let membership = Membership {
            topics: Vec::new(),
            believes: BTreeSet::new(),
            events,
        };
        self.members.insert(member, membership);
        member
    }

    pub(super) fn subscribe(&mut self, member: usize, topics: &[Arc<str>], log: &Log) {
        if let Some(membership) = self.members.get_mut(&member) {
            membership.topics = topics.to_vec();
        }
        self.balance(log);
    }

    pub(super) fn leave(&mut self, member: usize, log: &Log) {
        let Some(membership) = self.members.remove(&member) else {
            return;
        };
        self.owners.retain(|_, owner| *owner != member);
        if !membership.believes.is_empty() {
            let partitions = membership.believes.iter().cloned().collect();
            membership.tell(MemberEvent::Revoked(partitions));
        }
        self.balance(log);
    }

    /// Spreads the partitions evenly, in the order of names and of joining, unless a script does it.
    pub(super) fn balance(&mut self, log: &Log) {
        if self.scripted {
            return;
        }
        let mut wanted: BTreeMap<usize, Vec<TopicPartition>> =
            self.members.keys().map(|m| (*m, Vec::new())).collect();
        let topics: BTreeSet<Arc<str>> = self
            .members
            .values()
            .flat_map(|membership| membership.topics.iter().cloned())
            .collect();
        for topic in topics {
            let takers: Vec<usize> = self
                .members
                .iter()
                .filter(|(_, membership)| membership.topics.contains(&topic))
                .map(|(member, _)| *member)
                .collect();
            let partitions = log.partitions_of(&topic);
            for (partition, member) in partitions.into_iter().zip(takers.iter().cycle()) {
                wanted.entry(*member).or_default().push(partition);
            }
        }
        // Everything that moves is given up before anybody gets it.
        for (member, partitions) in &wanted {
            let keep: BTreeSet<&TopicPartition> = partitions.iter().collect();
            let gone: Vec<TopicPartition> = self
                .believed(*member)
                .into_iter()
                .filter(|partition| !keep.contains(partition))
                .collect();
            self.revoke(*member, &gone);
        }
        for (member, partitions) in wanted {
            let believed: BTreeSet<TopicPartition> = self.believed(member).into_iter().collect();
            let new: Vec<TopicPartition> = partitions
                .into_iter()
                .filter(|partition| !believed.contains(partition))
                .collect();
            self.assign(member, &new);
        }
    }

    fn believed(&self, member: usize) -> Vec<TopicPartition> {
        self.members
            .get(&member)
            .map(|membership| membership.believes.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Gives `partitions` to `member`. Who owned them before is not told: see `revoke` and `lose`.
    pub(super) fn assign(&mut self, member: usize, partitions: &[TopicPartition]) {
        let Some(membership) = self.members.get_mut(&member) else {
            return;
        };
        if partitions.is_empty() {
            return;
        }
        for partition in partitions {
            membership.believes.insert(partition.clone());
            self.owners.insert(partition.clone(), member);
        }
        membership.tell(MemberEvent::Assigned(partitions.to_vec()));
    }

    pub(super) fn revoke(&mut self, member: usize, partitions: &[TopicPartition]) {
        self.take(member, partitions, MemberEvent::Revoked);
    }

    pub(super) fn lose(&mut self, member: usize, partitions: &[TopicPartition]) {
        self.take(member, partitions, MemberEvent::Lost);
    }

    fn take(
        &mut self,
        member: usize,
        partitions: &[TopicPartition],
        event: fn(Vec<TopicPartition>) -> MemberEvent,
    ) {
        let Some(membership) = self.members.get_mut(&member) else {
            return;
        };
        if partitions.is_empty() {
            return;
        }
        for partition in partitions {
            membership.believes.remove(partition);
            if self.owners.get(partition) == Some(&member) {
                self.owners.remove(partition);
            }
        }
        membership.tell(event(partitions.to_vec()));
    }

    pub(super) fn owner(&self, partition: &TopicPartition) -> Option<usize> {
        self.owners.get(partition).copied()
    }

    pub(super) fn prove(
        &mut self,
        member: usize,
        partition: &TopicPartition,
        position: Position,
    ) -> Result<()> {
        let believes = |m: &Membership| m.believes.contains(partition);
        let owns = self.owner(partition) == Some(member);
        if !owns || !self.members.get(&member).is_some_and(believes) {
            let what = format!("{partition} is not assigned to member {member}");
            return Err(Fault::fenced(what));
        }
        self.committed.entry(partition.clone()).or_insert(position);
        Ok(())
    }

    pub(super) fn hint(&mut self, member: usize, positions: &[(TopicPartition, Position)]) {
        for (partition, position) in positions {
            if self.owner(partition) == Some(member) {
                self.committed.insert(partition.clone(), *position);
            }
        }
    }

    pub(super) fn committed(&self, partition: &TopicPartition) -> Option<Position> {
        self.committed.get(partition).copied()
    }
}
