//! Folding onto rows that were loaded, for handlers that look at rows.

use std::sync::Arc;

use hashbrown::HashMap;

use super::Rows;
use super::apply::{Row, apply_cell};
use super::delta::{Cell, Latest, RowDelta};
use super::fold::Fold;
use super::ops::{Op, Ops, RowAction, RowOps};
use super::schema::{Family, Schema};
use super::value::RowKey;
use crate::fault::Result;

/// Folds ops onto rows that were loaded, for handlers that look at rows: each event sees what the
/// events before it did.
#[derive(Debug)]
pub struct LoadedFold {
    schema: Arc<Schema>,
    loaded: HashMap<RowKey, Loaded>,
    /// Rows that were not loaded, because no handler looks at them.
    others: Fold,
}

#[derive(Debug)]
struct Loaded {
    row: Option<Row>,
    touched: bool,
}

impl LoadedFold {
    /// A fold onto `rows`, as a store loaded them.
    pub fn new(schema: Arc<Schema>, rows: &[(RowKey, Option<Row>)]) -> Self {
        let loaded = rows
            .iter()
            .map(|(key, row)| {
                let row = row.clone();
                let touched = false;
                (key.clone(), Loaded { row, touched })
            })
            .collect();
        Self {
            others: Fold::new(schema.clone()),
            schema,
            loaded,
        }
    }

    /// Applies one event's ops, in order, and leaves `ops` empty. After a fault the fold must be
    /// thrown away: it may hold a part of the event.
    pub fn absorb(&mut self, ops: &mut Ops) -> Result<()> {
        for row in ops.rows.drain(..) {
            match self.loaded.get_mut(&row.key) {
                Some(loaded) => loaded.absorb(&self.schema, row)?,
                None => self.others.absorb_row(row)?,
            }
        }
        Ok(())
    }

    /// The deltas of the rows that were touched, sorted by key. They replace every column beside
    /// the key, or delete the row; only of rows that were not loaded they are ops.
    pub fn finish(mut self) -> Vec<RowDelta> {
        let mut deltas = self.others.finish();
        let touched = self.loaded.into_iter().filter(|(_, l)| l.touched);
        deltas.extend(touched.map(|(key, loaded)| match loaded.row {
            Some(row) => RowDelta::Upsert(key, replacements(&self.schema, row)),
            None => RowDelta::Delete(key),
        }));
        deltas.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        deltas
    }
}

impl Loaded {
    fn absorb(&mut self, schema: &Schema, RowOps { key, action }: RowOps) -> Result<()> {
        self.touched = true;
        match action {
            RowAction::Delete => self.row = None,
            RowAction::Upsert(ops) => {
                let row = self.row.get_or_insert_with(|| Row::new(schema, &key));
                for (index, op) in ops {
                    apply_op(schema, row, index, op)?;
                }
            }
        }
        Ok(())
    }
}

impl Rows for LoadedFold {
    fn get(&self, key: &RowKey) -> Option<&Row> {
        self.loaded.get(key)?.row.as_ref()
    }
}

fn apply_op(schema: &Schema, row: &mut Row, index: usize, op: Op) -> Result<()> {
    match op.into_cell(schema, index)? {
        Some(cell) => apply_cell(schema, row, index, &cell),
        None => Ok(()),
    }
}

/// Cells that make every column beside the key what it is in `row`.
fn replacements(schema: &Schema, row: Row) -> Vec<(usize, Cell)> {
    let columns = schema.columns.iter().zip(row.values).zip(row.orders);
    columns
        .enumerate()
        .filter(|(index, _)| !schema.is_key(*index))
        .map(|(index, ((column, value), order))| {
            let cell = match order {
                Some(order) if column.family == Family::Latest => {
                    Cell::ReplaceLatest(Latest { order, value })
                }
                _ => Cell::Replace(value),
            };
            (index, cell)
        })
        .collect()
}
