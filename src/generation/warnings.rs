//! What an operator should know about a rebuild that nothing speaks against: pure functions of what was found.

use super::estimate;
use super::objections::{Case, selectors};
use super::starts::listed;
use super::topics;
use crate::source::{TopicInfo, same_topic};
use crate::store::control::Base;

impl Case<'_> {
    /// What an operator should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut said = Vec::new();
        for selector in self.definition.plan.topics() {
            let matches = |topic: &TopicInfo| selector.selects(&topic.name);
            if !self.topics.is_empty() && !self.topics.iter().any(matches) {
                said.push(format!(
                    "no topic matches {} yet: it is read from its beginning once there is one",
                    selectors(std::slice::from_ref(selector))
                ));
            }
        }
        self.warn_of_topics(&mut said);
        self.warn_of_retention(&mut said);
        let anything = self
            .parts
            .iter()
            .any(|part| part.bounds.low < part.bounds.high);
        if anything && self.request.base == Base::Empty && estimate::records(self.parts) == 0 {
            said.push(
                "every start is at the end of the log: the view begins without rows".to_owned(),
            );
        }
        said
    }

    fn warn_of_topics(&self, said: &mut Vec<String>) {
        let needs_all = topics::needs_every_record(&*self.definition.plan);
        for topic in self.topics {
            let known = self.reads.topics.get(&topic.name);
            let recreated = known.is_some_and(|known| !same_topic(&known.id, &topic.id));
            if recreated && self.request.base == Base::Empty {
                said.push(format!(
                    "topic {} was deleted and created anew since generation {} began to read it: only the new \
                     records are read",
                    topic.name,
                    self.live.map_or(0, |live| live.record.number)
                ));
            }
            if topic.compacted && self.definition.accept_compacted && !needs_all.is_empty() {
                let columns: Vec<&str> = needs_all.iter().copied().collect();
                said.push(format!(
                    "topic {} is compacted, which is accepted: columns {} reflect only what compaction left",
                    topic.name,
                    columns.join(", ")
                ));
            }
        }
    }

    fn warn_of_retention(&self, said: &mut Vec<String>) {
        if self.request.base == Base::Live {
            return;
        }
        let gone = self
            .parts
            .iter()
            .filter(|part| !part.chosen && !part.lost() && part.bounds.low.offset() > 0);
        let gone: Vec<String> = gone
            .map(|part| part.partition.record(part.start.offset()).to_string())
            .collect();
        if !gone.is_empty() {
            said.push(format!(
                "the log does not hold its first records any more: it is read from {} on",
                listed(gone)
            ));
        }
        let later = self
            .parts
            .iter()
            .filter(|part| part.chosen && part.reflected.is_some_and(|from| from < part.start));
        let later: Vec<String> = later
            .map(|part| {
                let from = part.reflected.unwrap_or_default();
                format!(
                    "{} from {from} on, and this begins at {}",
                    part.partition, part.start
                )
            })
            .collect();
        if !later.is_empty() {
            said.push(format!(
                "the live view also reflects records before the start, which the rebuilt one will lack: {}",
                listed(later)
            ));
        }
    }
}
