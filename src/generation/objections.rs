//! What speaks against a rebuild: pure functions of what was found.
//! Every objection says what, where, and what to do.

use std::sync::Arc;

use super::catalog::Entry;
use super::plan::{From, RebuildRequest};
use super::starts::{LiveReads, Part, listed};
use super::topics;
use crate::projection::{Column, Definition, Family, Schema, StoreKind, TopicSelector};
use crate::source::{TopicInfo, same_topic};
use crate::store::control::{Base, GenerationRecord, State, TopicRecord};

/// A rebuild is asked for with each partition's start as long as they are not more than this.
const SPELLED_OUT: usize = 32;

/// A rebuild with everything that was found out about it.
pub(super) struct Case<'a> {
    pub(super) projection: &'a str,
    pub(super) definition: &'a Definition,
    pub(super) live: Option<&'a Entry>,
    pub(super) request: &'a RebuildRequest,
    /// Every generation that there was.
    pub(super) history: &'a [GenerationRecord],
    pub(super) topics: &'a [TopicInfo],
    pub(super) reads: &'a LiveReads,
    pub(super) parts: &'a [Part],
    pub(super) dependants: &'a [String],
    /// The stores that can be written to here.
    pub(super) stores: &'a [StoreKind],
}

impl Case<'_> {
    /// Everything that speaks against it.
    pub(super) fn objections(&self) -> Vec<String> {
        let mut said = Vec::new();
        said.extend(self.busy());
        said.extend(self.no_store());
        said.extend(self.no_topic());
        said.extend(self.outside());
        said.extend(self.lost());
        said.extend(self.vanished());
        said.extend(self.compacted());
        said.extend(self.depended_on());
        if self.request.base == Base::Live {
            self.copying(&mut said);
        }
        said
    }

    /// Only one generation of a projection is built or cut over at a time.
    fn busy(&self) -> Option<String> {
        let name = self.projection;
        self.history.iter().find_map(|record| {
            let number = record.number;
            let live_everywhere = record
                .stores
                .iter()
                .all(|(_, state)| *state == State::Live || !state.runs());
            if record.wanted && !live_everywhere {
                Some(format!(
                    "generation {number} of {name} is being cut over: wait until every store shows it \
                     (`viewfold status`)"
                ))
            } else if record.is_anywhere(State::Building) {
                Some(format!(
                    "generation {number} of {name} is building: wait for it, or stop it with \
                     `viewfold cancel {name} {number}`"
                ))
            } else {
                None
            }
        })
    }

    fn no_store(&self) -> Option<String> {
        let wanted = self.definition.plan.stores().iter();
        let absent = wanted.filter(|store| !self.stores.contains(store));
        let absent: Vec<String> = absent.map(ToString::to_string).collect();
        (!absent.is_empty()).then(|| {
            let absent = absent.join(", ");
            format!("{absent} is not configured here: configure it, or take it out of the definition's stores")
        })
    }

    fn no_topic(&self) -> Option<String> {
        self.topics.is_empty().then(|| {
            format!(
                "there is nothing to read: no topic matches {}; create the topic, or correct `topics`",
                selectors(self.definition.plan.topics())
            )
        })
    }

    /// Starts that the log does not hold any more or not yet.
    fn outside(&self) -> Option<String> {
        let outside = self.parts.iter().filter(|part| part.is_outside());
        let outside: Vec<String> = outside
            .map(|part| {
                let record = part.partition.record(part.start.offset());
                let (low, high) = (part.bounds.low, part.bounds.high);
                if part.start < low {
                    format!("{record} is not in the log any more, which begins at {low}")
                } else {
                    format!("{record} lies behind the end of the log, which is {high}")
                }
            })
            .collect();
        let advice = match (self.request.base, &self.request.from) {
            (Base::Live, None) => {
                "the live rows cannot be continued from where they stand: rebuild with `--base empty`, and accept \
                 what is missing with an explicit `--from`"
            }
            _ => "begin inside the log, or leave `--from` out",
        };
        (!outside.is_empty()).then(|| format!("{}: {advice}", listed(outside)))
    }

    /// A view that is filled from the beginning of the log lacks what retention took.
    fn lost(&self) -> Option<String> {
        let lost: Vec<&Part> = self.parts.iter().filter(|part| part.lost()).collect();
        if self.request.base == Base::Live || lost.is_empty() {
            return None;
        }
        let what = lost.iter().map(|part| {
            let from = part.reflected.unwrap_or_default();
            let low = part.bounds.low;
            format!(
                "{} from {from} on, and its log now begins at {low}",
                part.partition
            )
        });
        let starts = lost.iter().map(|part| {
            let record = part.partition.record(part.bounds.low.offset());
            record.to_string()
        });
        let accepted = if lost.len() > SPELLED_OUT {
            "`--from` and the first record of each of them".to_owned()
        } else {
            format!("`--from {}`", starts.collect::<Vec<_>>().join(","))
        };
        Some(format!(
            "retention took records that the live view reflects: {}; a view rebuilt from the beginning would \
             silently lack them: copy the live rows with `--base live`, or accept the loss with {accepted}",
            listed(what)
        ))
    }

    /// Topics that the live rows reflect, that the definition still names, and that are gone.
    fn vanished(&self) -> Option<String> {
        let from_the_beginning = matches!(self.request.from, None | Some(From::Earliest));
        if self.request.base == Base::Live || !from_the_beginning {
            return None;
        }
        let exists = |name: &str| self.topics.iter().any(|topic| &*topic.name == name);
        let selectors = self.definition.plan.topics();
        let gone = self.reads.topics.keys().filter(|name| {
            !exists(name) && selectors.iter().any(|selector| selector.selects(name))
        });
        let gone: Vec<String> = gone.map(ToString::to_string).collect();
        (!gone.is_empty()).then(|| {
            format!(
                "the live view reflects records of {}, which does not exist any more; a rebuilt view would lack \
                 them: copy the live rows with `--base live`, or take the topic out of the definition",
                listed(gone)
            )
        })
    }

    fn compacted(&self) -> Vec<String> {
        let plan = &*self.definition.plan;
        let accepted = self.definition.accept_compacted;
        let refused = self.topics.iter().filter_map(|topic| {
            let itself = TopicRecord {
                topic: topic.name.clone(),
                id: topic.id.clone(),
                starts: Vec::new(),
            };
            topics::refusal(plan, topic, &itself, accepted)
        });
        refused.map(|stall| stall.detail).collect()
    }

    /// The shape of an SQL view can only be extended while others depend on it.
    fn depended_on(&self) -> Option<String> {
        let schema = self.definition.plan.schema();
        let was = self.live_definition().map(|live| live.plan.schema());
        if self.dependants.is_empty() || was.is_some_and(|was| extends(was, schema)) {
            return None;
        }
        Some(format!(
            "the columns of view {} are not only added to at the end, and others depend on it: {}; drop them \
             first, or keep its columns as they are and put new ones behind them",
            self.projection,
            listed(self.dependants.iter().cloned())
        ))
    }

    fn live_definition(&self) -> Option<&Definition> {
        self.live.and_then(|live| live.definition.as_ref().ok())
    }

    /// What speaks against a copy of the live rows.
    fn copying(&self, said: &mut Vec<String>) {
        let empty = "rebuild with `--base empty`";
        let Some(live) = self.live else {
            said.push(
                "there is no live generation whose rows could be copied: leave `--base live` out"
                    .to_owned(),
            );
            return;
        };
        let number = live.record.number;
        let Some(was) = self.live_definition() else {
            said.push(format!(
                "the rows of generation {number} cannot be copied: this instance does not know their shape; {empty}"
            ));
            return;
        };
        if !was.has_key_of(self.definition) {
            said.push(format!(
                "the key has changed, so the rows of generation {number} would stand under other keys: {empty}"
            ));
        }
        let unlike = unlike_columns(was.plan.schema(), self.definition.plan.schema());
        if !unlike.is_empty() {
            said.push(format!(
                "the values of generation {number} do not fit columns {} any more: {empty}",
                unlike.join(", ")
            ));
        }
        for store in self.definition.plan.stores() {
            if !matches!(live.state(*store), Some(State::Live)) {
                said.push(format!(
                    "{store} has no live rows that could be copied: {empty}"
                ));
            }
        }
        for topic in self.topics {
            let known = self.reads.topics.get(&topic.name);
            if known.is_some_and(|known| !same_topic(&known.id, &topic.id)) {
                said.push(format!(
                    "topic {} was deleted and created anew: the positions of the live rows mean other records \
                     now; {empty}",
                    topic.name
                ));
            }
        }
        let read = |name: &&Arc<str>| self.topics.iter().any(|topic| topic.name == **name);
        let removed: Vec<String> = self
            .reads
            .topics
            .keys()
            .filter(|name| !read(name))
            .map(ToString::to_string)
            .collect();
        if !removed.is_empty() {
            said.push(format!(
                "the copied rows would keep what {} brought, which is not read any more: {empty}",
                listed(removed)
            ));
        }
        said.extend(self.doubling());
    }

    /// Reading records again onto rows that reflect them.
    fn doubling(&self) -> Option<String> {
        self.request.from.as_ref()?;
        let plan = &*self.definition.plan;
        let columns = plan.schema().columns.iter();
        let doubling = columns.filter(|column| column.family.doubles_on_replay());
        let doubling: Vec<&str> = doubling.map(|column| &*column.name).collect();
        let what = if !doubling.is_empty() {
            format!("columns {}", doubling.join(", "))
        } else if plan.reads_rows() {
            "handlers that read `row.`".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "{what} would count records twice that are read again onto the copied live rows: leave `--from` out, then the \
             copy goes on where it stands, or rebuild with `--base empty`"
        ))
    }
}

/// The topics as they were written, for a message.
pub(super) fn selectors(topics: &[TopicSelector]) -> String {
    let texts = topics.iter().map(TopicSelector::to_string);
    texts.collect::<Vec<_>>().join(", ")
}

/// Whether `new` has the columns of `old` at the same places, and perhaps more behind them: what an SQL view can
/// become without being dropped.
fn extends(old: &Schema, new: &Schema) -> bool {
    let shape = |column: &Column| (column.name.clone(), column.ty);
    let kept = old.columns.iter().zip(&new.columns);
    old.columns.len() <= new.columns.len() && kept.clone().all(|(a, b)| shape(a) == shape(b))
}

/// The columns of both whose stored values mean something else to the new one.
fn unlike_columns<'s>(old: &Schema, new: &'s Schema) -> Vec<&'s str> {
    // These keep more than a plain value, or a value of a certain form.
    let special = |family| matches!(family, Family::Latest | Family::List | Family::Object);
    let unlike = |column: &&Column| {
        let was = old.column(&column.name).and_then(|at| old.columns.get(at));
        was.is_some_and(|was| {
            let other_family =
                was.family != column.family && (special(was.family) || special(column.family));
            was.ty != column.ty || other_family
        })
    };
    let columns = new.columns.iter().filter(unlike);
    columns.map(|column| &*column.name).collect()
}
