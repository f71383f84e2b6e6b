//! The typed plan of a definition file.

use std::sync::Arc;

use super::matching::Matcher;
use super::run::{Handler, is_tombstone};
use crate::event::{Event, Path};
use crate::fault::Result;
use crate::projection::{Handled, Ops, Projection, RowKey, Rows, Schema, StoreKind, TopicSelector};

/// What a checked definition does.
pub(super) struct Plan {
    pub(super) schema: Arc<Schema>,
    pub(super) topics: Vec<TopicSelector>,
    pub(super) stores: Vec<StoreKind>,
    /// The definition's hash: the same text always behaves the same.
    pub(super) version: String,
    /// The paths under `data`, in slot order.
    pub(super) paths: Vec<Path>,
    pub(super) matcher: Matcher,
    pub(super) handlers: Vec<Handler>,
}

impl Plan {
    /// The index of the handler that runs for `event`.
    pub(super) fn find(&self, event: &Event<'_>) -> Option<usize> {
        self.matcher
            .find(&event.event_type(), || event.match_version())
    }

    /// The handler that runs for `event`.
    fn handler(&self, event: &Event<'_>) -> Option<&Handler> {
        self.handlers.get(self.find(event)?)
    }
}

impl Projection for Plan {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    fn stores(&self) -> &[StoreKind] {
        &self.stores
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn paths(&self) -> &[Path] {
        &self.paths
    }

    fn reads_rows(&self) -> bool {
        self.handlers.iter().any(|handler| handler.reads_row)
    }

    fn row_keys(&self, event: &Event<'_>) -> Result<Vec<RowKey>> {
        match self.handler(event) {
            Some(handler) if handler.reads_row => handler.row_keys(&self.schema, event),
            _ => Ok(Vec::new()),
        }
    }

    fn handle(&self, event: &Event<'_>, rows: &dyn Rows, ops: &mut Ops) -> Result<Handled> {
        let Some(handler) = self.handler(event) else {
            // A tombstone that nobody handles is filtered, not unknown.
            return Ok(if is_tombstone(event) {
                Handled::Filtered
            } else {
                Handled::Unmatched
            });
        };
        handler
            .run(&self.schema, event, rows, ops)
            .map_err(|fault| fault.during(&handler.title))
    }
}
