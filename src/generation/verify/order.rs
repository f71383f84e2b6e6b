//! Which differences the order between partitions explains.
//!
//! Partitions are read independently of each other, so that a column whose ops do not commute may end
//! differently where a row is fed by several of them. Whether it is cannot be seen in the row: the log is read once
//! more, for the keys that differ.

use std::collections::HashMap;

use hashbrown::HashMap as NoRows;

use super::Side;
use super::columns::Finding;
use crate::event::{Chunk, Event};
use crate::fault::{Fault, Result};
use crate::pipeline::guarded;
use crate::position::Range;
use crate::projection::{Op, Ops, Row, RowAction, RowKey};

/// Whether the order between partitions explains a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It does not.
    Fixed,
    /// It can.
    Matters,
    /// It cannot be ruled out, because the log does not reach back.
    Unknown,
}

impl Order {
    pub(super) fn matters(self) -> bool {
        self != Self::Fixed
    }

    pub(super) fn note(self) -> Option<&'static str> {
        match self {
            Self::Fixed | Self::Matters => None,
            Self::Unknown => Some(
                "the log does not reach back any more: whether the row is fed by more than one \
                 partition is not known",
            ),
        }
    }
}

/// What the log says about some keys.
pub(super) struct Feeds<'s> {
    side: &'s Side,
    keys: HashMap<RowKey, Feed>,
    /// Whether the log was read from where the generation began.
    complete: bool,
    ops: Ops,
}

#[derive(Default)]
struct Feed {
    /// The first of the partitions that the key's records were in, by its place among those read.
    partition: Option<usize>,
    /// There are others.
    several: bool,
    /// A record deletes the row.
    deleted: bool,
    /// A record sets a column whose other ops commute.
    replaced: bool,
}

impl<'s> Feeds<'s> {
    pub(super) fn new(
        side: &'s Side,
        keys: impl IntoIterator<Item = RowKey>,
        complete: bool,
    ) -> Self {
        Self {
            side,
            keys: keys.into_iter().map(|key| (key, Feed::default())).collect(),
            complete,
            ops: Ops::new(),
        }
    }

    /// Looks at the records of the chunk in `range`; `partition` is the place of its partition among those read.
    pub(super) fn take(&mut self, partition: usize, chunk: &Chunk, range: Range) -> Result<()> {
        let Some(map) = chunk.map(self.side.plan.paths()) else {
            return Err(Fault::bug(
                "an excerpt was decoded without the paths of its plan",
            ));
        };
        for index in chunk.first_at(range.from)..chunk.first_at(range.to) {
            let event = chunk.event(index, &map);
            if event.fault().is_none() && !self.side.skips(chunk.partition(), event.offset()) {
                self.note(partition, &event);
            }
        }
        Ok(())
    }

    fn note(&mut self, partition: usize, event: &Event<'_>) {
        let (plan, ops) = (&self.side.plan, &mut self.ops);
        if plan.reads_rows() {
            for key in guarded(|| plan.row_keys(event)).unwrap_or_default() {
                if let Some(feed) = self.keys.get_mut(&key) {
                    feed.come_from(partition);
                }
            }
        }
        ops.clear();
        let rows = NoRows::<RowKey, Row>::new();
        // Without its rows an event may fail; its keys were taken above.
        if guarded(|| plan.handle(event, &rows, ops)).is_err() {
            return;
        }
        for row in ops.rows.drain(..) {
            let Some(feed) = self.keys.get_mut(&row.key) else {
                continue;
            };
            feed.come_from(partition);
            match row.action {
                RowAction::Delete => feed.deleted = true,
                RowAction::Upsert(ops) => {
                    let columns = &plan.schema().columns;
                    feed.replaced |= ops.iter().any(|(index, op)| {
                        let column = columns.get(*index);
                        matches!(op, Op::Set(_) | Op::Unset)
                            && column.is_some_and(|column| column.family.commutes())
                    });
                }
            }
        }
    }

    /// Whether the order between partitions explains the difference: the row's records come from several, and what
    /// differs is ordered by its ops, by a delete, or by what handlers see in rows.
    pub(super) fn order(&self, key: &RowKey, finding: &Finding) -> Order {
        let Some(feed) = self.keys.get(key) else {
            return Order::Fixed;
        };
        let ordered = match finding {
            Finding::Columns { ordered: true, .. } if !feed.several && !self.complete => {
                return Order::Unknown;
            }
            Finding::Columns { ordered, .. } => *ordered || feed.deleted || feed.replaced,
            Finding::OneSided => feed.deleted,
        };
        if feed.several && (ordered || self.side.plan.reads_rows()) {
            Order::Matters
        } else {
            Order::Fixed
        }
    }
}

impl Feed {
    fn come_from(&mut self, partition: usize) {
        self.several |= *self.partition.get_or_insert(partition) != partition;
    }
}
