//! Projections: pure definitions of how events become rows.
//!
//! A projection never sees a clock or a network. It turns one event into ops on rows
//! ([`Ops`]); the engine folds the ops of many events into one [`RowDelta`] per row
//! ([`fold`]), and a store applies those deltas ([`RowDelta`] describes what that means,
//! [`apply()`] is the executable form of it).

mod apply;
mod builder;
mod decimal;
pub mod definition;
mod delta;
pub mod expr;
pub mod fold;
mod held;
mod loaded;
mod ops;
mod registry;
mod schema;
pub mod trial;
mod value;

pub use apply::{Row, apply};
pub use builder::{SchemaBuilder, is_name};
pub use decimal::Decimal;
pub use definition::{Definition, Diagnostic};
pub use delta::{Cell, Delta, Latest, RowDelta};
pub use fold::Fold;
pub use held::HeldRows;
pub use loaded::LoadedFold;
pub use ops::{Op, Ops, RowAction, RowOps};
pub use registry::Registry;
pub use schema::{Column, ColumnType, Family, Schema, StoreKind};
pub use value::{RowKey, Value, canonical_json, decode_percent};

use std::sync::Arc;

use crate::event::{Event, Path};
use crate::fault::Result;

/// Which topics a projection reads.
#[derive(Clone, Debug)]
pub enum TopicSelector {
    /// The topic of this name.
    Exact(Arc<str>),
    /// Every topic whose whole name matches, never internal ones or `*.dlq`.
    Pattern(regex::Regex),
}

impl TopicSelector {
    /// Whether `topic` is meant.
    pub fn selects(&self, topic: &str) -> bool {
        match self {
            Self::Exact(name) => &**name == topic,
            Self::Pattern(pattern) => {
                !topic.starts_with("__")
                    && !topic.ends_with(".dlq")
                    && pattern
                        .find(topic)
                        .is_some_and(|m| m.start() == 0 && m.end() == topic.len())
            }
        }
    }
}

/// What became of an event that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// A handler ran; its ops (perhaps none) are in `ops`.
    Applied,
    /// A handler matched, and its `when` said no.
    Filtered,
    /// No handler matches this type: counted and listed in status.
    Unmatched,
}

/// The rows that an event's handler may read (`row.<column>`).
pub trait Rows {
    /// The current row of `key`; none when there is no such row.
    fn get(&self, key: &RowKey) -> Option<&Row>;
}

/// How events become rows of one view. Implemented by the typed plan of a definition file
/// and by handlers written in Rust. Implementations are pure: the same event and rows always
/// give the same ops.
pub trait Projection: Send + Sync + 'static {
    /// The view's name, key and columns.
    fn schema(&self) -> &Arc<Schema>;

    /// The topics to read.
    fn topics(&self) -> &[TopicSelector];

    /// The stores that hold the view, the default one for reads first.
    fn stores(&self) -> &[StoreKind] {
        &[StoreKind::Postgres]
    }

    /// Identifies the behaviour of [`Projection::handle`]: change it whenever the same events
    /// would give other rows. Part of the definition's hash.
    fn version(&self) -> String;

    /// The paths under `data` that [`Projection::handle`] asks for by index, through
    /// [`Event::path`]. Others can still be read from [`Event::data`].
    fn paths(&self) -> &[Path] {
        &[]
    }

    /// Whether [`Projection::handle`] looks at rows. Such projections are folded onto loaded rows
    /// instead of blindly.
    fn reads_rows(&self) -> bool {
        false
    }

    /// The keys of the rows that [`Projection::handle`] may look at for this event. Only called
    /// when [`Projection::reads_rows`]; a fault is repeated by `handle` and ignored here.
    fn row_keys(&self, event: &Event<'_>) -> Result<Vec<RowKey>> {
        let _ = event;
        Ok(Vec::new())
    }

    /// Turns one event into ops. On a fault, `ops` is thrown away: an event is applied wholly or not at all.
    fn handle(&self, event: &Event<'_>, rows: &dyn Rows, ops: &mut Ops) -> Result<Handled>;
}
