//! Where a rebuild begins to read, partition by partition, and whether the log still holds what that asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{From, PlanError, RebuildRequest};
use super::survey::Survey;
use crate::position::{Position, TopicPartition};
use crate::projection::{ColumnType, Value};
use crate::source::{Bounds, TopicInfo, same_topic};
use crate::store::control::{Base, TopicRecord};

/// How many partitions a message names.
const NAMED: usize = 8;

/// What decides about the starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// The beginning of the log.
    Beginning,
    /// The first records at or after this time, in milliseconds since the epoch.
    Time(i64),
    /// These records; the beginning where a partition is not named.
    Records(BTreeMap<TopicPartition, Position>),
    /// Where the copied rows stand.
    Copy,
}

impl Origin {
    /// Reads what was asked for.
    pub(super) fn of(request: &RebuildRequest) -> Result<Self, PlanError> {
        match (&request.from, request.base) {
            (None, Base::Live) => Ok(Self::Copy),
            (None | Some(From::Earliest), _) => Ok(Self::Beginning),
            (Some(From::Timestamp(text)), _) => match milliseconds(text) {
                Some(time) => Ok(Self::Time(time)),
                None => Err(PlanError::BadRequest(format!(
                    "`{text}` is not a time: write it as in RFC 3339, such as 2026-11-21T06:00:00Z"
                ))),
            },
            (Some(From::Offsets(offsets)), _) => {
                let mut records = BTreeMap::new();
                for (name, offset) in offsets {
                    let partition: TopicPartition = name
                        .parse()
                        .map_err(|error| PlanError::BadRequest(format!("from: {error}")))?;
                    if *offset < 0 {
                        let what = format!("from: {name}@{offset}: offsets begin at 0");
                        return Err(PlanError::BadRequest(what));
                    }
                    records.insert(partition, Position::at(*offset));
                }
                Ok(Self::Records(records))
            }
        }
    }

    /// Whether every partition that it names is one that would be read.
    pub(super) fn check(&self, projection: &str, topics: &[TopicInfo]) -> Result<(), PlanError> {
        let Self::Records(records) = self else {
            return Ok(());
        };
        for named in records.keys() {
            let topic = topics.iter().find(|topic| topic.name == named.topic);
            let wrong = match topic {
                None => format!(
                    "from: {named}: {projection} reads no topic {}; it reads {}",
                    named.topic,
                    names(topics)
                ),
                Some(topic) if named.partition >= topic.partitions => format!(
                    "from: {named}: topic {} has partitions 0 to {}",
                    named.topic,
                    topic.partitions - 1
                ),
                Some(_) => continue,
            };
            return Err(PlanError::BadRequest(wrong));
        }
        Ok(())
    }
}

fn names(topics: &[TopicInfo]) -> String {
    let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
    if names.is_empty() {
        return "none that exists".to_owned();
    }
    names.join(", ")
}

/// RFC 3339 as the first millisecond at or after it.
fn milliseconds(text: &str) -> Option<i64> {
    match Value::Text(text.into()).cast(ColumnType::Timestamptz) {
        Ok(Value::Time(micros)) => Some(-((-micros).div_euclid(1000))),
        _ => None,
    }
}

/// A topic that the live generation reads.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveTopic {
    /// The identity of the topic that its positions belong to.
    pub(super) id: String,
    /// From where on its rows reflect each partition, as far as that is recorded.
    pub(super) starts: BTreeMap<i32, Position>,
}

impl LiveTopic {
    pub(super) fn of(record: TopicRecord) -> (Arc<str>, Self) {
        let topic = Self {
            id: record.id,
            starts: record.starts.into_iter().collect(),
        };
        (record.topic, topic)
    }

    /// Takes the earlier starts of a generation whose rows were copied.
    pub(super) fn include(&mut self, earlier: &TopicRecord) {
        if !same_topic(&self.id, &earlier.id) {
            return;
        }
        for (partition, at) in &earlier.starts {
            let start = self.starts.entry(*partition).or_insert(*at);
            *start = (*start).min(*at);
        }
    }
}

/// What the live generation knows of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveReads {
    pub(super) topics: BTreeMap<Arc<str>, LiveTopic>,
    /// Where it stands; the lowest of its stores. Only asked for when its rows are to be copied.
    pub(super) cursors: BTreeMap<TopicPartition, Position>,
}

/// One partition of a plan.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) partition: TopicPartition,
    pub(super) bounds: Bounds,
    /// Where it begins to be read.
    pub(super) start: Position,
    /// Whether that start was named, by record or time, or is that of the copied rows: then it is no accident.
    pub(super) chosen: bool,
    /// From where on the live rows reflect it; none when they do not, or when the topic is another one now.
    pub(super) reflected: Option<Position>,
}

impl Part {
    /// Whether records that the live rows reflect are gone without anybody having said so.
    pub(super) fn lost(&self) -> bool {
        !self.chosen && self.reflected.is_some_and(|from| from < self.bounds.low)
    }

    pub(super) fn is_outside(&self) -> bool {
        self.start < self.bounds.low || self.start > self.bounds.high
    }
}

/// Every partition of these topics with its start.
pub(super) async fn parts(
    origin: &Origin,
    topics: &[TopicInfo],
    live: &LiveReads,
    survey: &mut Survey,
) -> Result<Vec<Part>, PlanError> {
    let found = survey.bounds(topics).await?;
    let at_time = match origin {
        Origin::Time(time) => {
            let partitions: Vec<TopicPartition> = found.iter().map(|(p, _)| p.clone()).collect();
            survey.positions_at(&partitions, *time).await?
        }
        _ => Vec::new(),
    };
    let mut at_time = at_time.into_iter();
    let part = |(partition, bounds): (TopicPartition, Bounds)| {
        let topic = topics.iter().find(|topic| topic.name == partition.topic);
        let known = live.topics.get(&partition.topic);
        let known = known.filter(|known| topic.is_some_and(|t| same_topic(&known.id, &t.id)));
        // A partition that was added later was read from its very beginning.
        let start_of = |known: &LiveTopic| known.starts.get(&partition.partition).copied();
        let reflected = known.map(|known| start_of(known).unwrap_or(Position::ZERO));
        let chosen = match origin {
            Origin::Beginning => None,
            Origin::Time(_) => at_time.next(),
            Origin::Records(records) => records.get(&partition).copied(),
            Origin::Copy => {
                let stands = live.cursors.get(&partition).copied();
                stands.or_else(|| known.and_then(start_of))
            }
        };
        Part {
            start: chosen.unwrap_or(bounds.low),
            chosen: chosen.is_some(),
            partition,
            bounds,
            reflected,
        }
    };
    Ok(found.into_iter().map(part).collect())
}

/// Some of many, for a message.
pub(super) fn listed(all: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = all.into_iter().collect();
    let more = all.len().saturating_sub(NAMED);
    let some: Vec<String> = all.into_iter().take(NAMED).collect();
    match more {
        0 => some.join(", "),
        _ => format!("{} and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_between_milliseconds_means_the_next_one() {
        assert_eq!(milliseconds("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(milliseconds("1970-01-01T00:00:01.000001Z"), Some(1001));
        assert_eq!(milliseconds("1969-12-31T23:59:59.999999Z"), Some(0));
        assert_eq!(milliseconds("1970-01-01T02:00:01.5+02:00"), Some(1500));
        for wrong in [
            "",
            "earliest",
            "2026-11-21",
            "2026-11-21T06:00:00",
            "1700000000",
        ] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let names = |count: usize| (0..count).map(|n| n.to_string());
        assert_eq!(listed(names(2)), "0, 1");
        assert_eq!(listed(names(10)), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
