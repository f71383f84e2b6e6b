//! Which topics a generation reads, and which it must refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::pipeline::{Reason, Stall, TopicUse};
use crate::projection::{Family, Projection};
use crate::source::{TopicInfo, same_topic};
use crate::store::control::TopicRecord;

/// The existing topics that a projection selects, in name order.
pub(super) fn selected<'t>(plan: &dyn Projection, topics: &'t [TopicInfo]) -> Vec<&'t TopicInfo> {
    topics
        .iter()
        .filter(|topic| {
            plan.topics()
                .iter()
                .any(|selector| selector.selects(&topic.name))
        })
        .collect()
}

/// Why a generation must not read `topic`, if so: it is another topic than the one it began to
/// read, or its old records are compacted away and the projection needs them all.
pub(super) fn refusal(
    plan: &dyn Projection,
    topic: &TopicInfo,
    recorded: &TopicRecord,
    accept_compacted: bool,
) -> Option<Stall> {
    if !same_topic(&recorded.id, &topic.id) {
        return Some(Stall::recreated(&topic.name, &recorded.id, &topic.id));
    }
    let needs_all = needs_every_record(plan);
    if topic.compacted && !accept_compacted && !needs_all.is_empty() {
        let columns: Vec<&str> = needs_all.into_iter().collect();
        return Some(Stall::now(
            Reason::TopicCompacted,
            format!(
                "topic {} is compacted (cleanup.policy): columns {} depend on records that compaction removes; \
                 read an uncompacted topic, or accept it with `accept_compacted = true`",
                topic.name,
                columns.join(", ")
            ),
        ));
    }
    None
}

/// The columns whose value depends on more than the newest record of each key.
pub(super) fn needs_every_record(plan: &dyn Projection) -> BTreeSet<&str> {
    let columns = plan.schema().columns.iter();
    columns
        .filter(|column| !matches!(column.family, Family::Assign | Family::Latest))
        .map(|column| &*column.name)
        .collect()
}

/// The topics that a generation reads, by name.
pub type ReadTopics = BTreeMap<Arc<str>, TopicUse>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recreated_topic_is_told_by_its_identity() {
        let topic = |id: &str| TopicInfo {
            name: "orders".into(),
            id: id.into(),
            partitions: 1,
            compacted: false,
        };
        let recorded = TopicRecord {
            topic: "orders".into(),
            id: "a".into(),
            starts: Vec::new(),
        };
        let plan = crate::projection::Definition::parse(
            "p",
            "p.toml",
            "topics = [\"orders\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\n[on.\"*\"]\n",
        )
        .unwrap()
        .plan;
        assert!(refusal(&*plan, &topic("a"), &recorded, false).is_none());
        let stall = refusal(&*plan, &topic("b"), &recorded, false).unwrap();
        assert_eq!(stall.reason, Reason::TopicRecreated);
    }
}
