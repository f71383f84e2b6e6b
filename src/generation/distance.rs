//! How far a generation is from what readers of a store see.

use std::collections::BTreeMap;

use super::catalog::{Catalog, Entry};
use super::coordinator::Task;
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::StoreKind;
use crate::store::{Cursor, Generation};

/// How many offsets a partition may be behind and still be near. Verification levels what is missing from rows, and
/// live batches wait for it at a cutover: both for a moment only.
pub(super) const NEAR: u64 = 5_000;

/// How far a generation has to come, per partition that it reads.
pub(super) type Ends = BTreeMap<TopicPartition, Position>;

/// Where the live generation stands in a store; the end of the log in partitions where nothing is live.
pub(super) async fn ends(task: &Task, kind: StoreKind) -> Result<Ends> {
    let catalog = task.catalog();
    let live = catalog.live(&task.entry.record.projection, kind);
    let live = match live.and_then(Entry::generation) {
        Some(live) => cursors(task, kind, &live).await?,
        None => Vec::new(),
    };
    let mut ends = Ends::new();
    for partition in partitions(task, &catalog) {
        let end = match position(&live, &partition) {
            Some(live) => live,
            None => task.workshop.source.bounds(&partition).await?.high,
        };
        ends.insert(partition, end);
    }
    Ok(ends)
}

/// The stored cursors of a generation; none where the store does not hold it.
pub(super) async fn cursors(task: &Task, kind: StoreKind, of: &Generation) -> Result<Vec<Cursor>> {
    let cursors = task.store(kind)?.cursors(of).await?;
    Ok(cursors.unwrap_or_default())
}

/// A partition that is more than `slack` offsets before where it has to come; says by how much.
pub(super) fn behind(cursors: &[Cursor], ends: &Ends, slack: u64) -> Option<String> {
    ends.iter().find_map(|(partition, end)| {
        let Some(position) = position(cursors, partition) else {
            return Some(format!("{partition}: not read yet"));
        };
        let by = position.distance_to(*end);
        (by > slack).then(|| format!("{partition}: {by} records behind"))
    })
}

fn position(cursors: &[Cursor], partition: &TopicPartition) -> Option<Position> {
    let mut cursors = cursors.iter();
    let found = cursors.find(|cursor| cursor.partition == *partition);
    found.map(|cursor| cursor.position)
}

/// All partitions that the generation reads.
fn partitions(task: &Task, catalog: &Catalog) -> Vec<TopicPartition> {
    let build = task.entry.record.build;
    let mut entries = catalog.entries.iter();
    let entry = entries.find(|entry| entry.record.build == build);
    let entry = entry.unwrap_or(&task.entry);
    let topics = entry.topics.keys();
    topics
        .flat_map(|topic| entry.partitions_of(topic))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(at: &str, position: i64) -> Cursor {
        Cursor {
            partition: at.parse().unwrap(),
            position: Position::at(position),
            claim: None,
            epoch: 0,
            newest_micros: None,
        }
    }

    #[test]
    fn a_generation_is_near_when_every_partition_is() {
        let ends = Ends::from([
            ("a/0".parse().unwrap(), Position::at(100)),
            ("a/1".parse().unwrap(), Position::at(50)),
        ]);
        let at = |first, second| [cursor("a/0", first), cursor("a/1", second)];
        assert_eq!(behind(&at(90, 50), &ends, 10), None);
        assert_eq!(behind(&at(900, 500), &ends, 0), None);
        let why = behind(&at(100, 39), &ends, 10);
        assert_eq!(why.as_deref(), Some("a/1: 11 records behind"));
        let why = behind(&[cursor("a/1", 50)], &ends, 10);
        assert_eq!(why.as_deref(), Some("a/0: not read yet"));
    }
}
