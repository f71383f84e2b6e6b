//! Folding: the ops of many events become one delta per row.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::delta::{Cell, Delta, RowDelta};
use super::ops::{Ops, RowAction, RowOps};
use super::schema::Schema;
use super::value::RowKey;
use crate::fault::Result;

/// Folds ops into one delta per row.
#[derive(Debug)]
pub struct Fold {
    schema: Arc<Schema>,
    rows: HashMap<RowKey, Change>,
    bytes: usize,
}

/// What a row's events did so far.
#[derive(Debug)]
enum Change {
    /// By increasing column, each at most once.
    Upsert(Vec<(usize, Cell)>),
    Delete,
}

/// What a row adds to the size of a batch beside its key and cells.
const ROW_OVERHEAD: usize = 32;

impl Fold {
    /// An empty fold of rows of `schema`.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self {
            schema,
            rows: HashMap::new(),
            bytes: 0,
        }
    }

    /// Combines one event's ops, in order, onto what was folded so far, and leaves `ops` empty.
    /// After a fault the fold must be thrown away: it may hold a part of the event.
    pub fn absorb(&mut self, ops: &mut Ops) -> Result<()> {
        for row in ops.rows.drain(..) {
            self.absorb_row(row)?;
        }
        Ok(())
    }

    pub(super) fn absorb_row(&mut self, RowOps { key, action }: RowOps) -> Result<()> {
        let change = match self.rows.entry(key) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => {
                self.bytes += ROW_OVERHEAD + vacant.key().text().len();
                vacant.insert(Change::Upsert(Vec::new()))
            }
        };
        let ops = match action {
            RowAction::Upsert(ops) => ops,
            RowAction::Delete => {
                if let Change::Upsert(cells) = change {
                    let weights = cells.iter().map(|(_, cell)| cell.weight());
                    self.bytes = self.bytes.saturating_sub(weights.sum());
                }
                *change = Change::Delete;
                return Ok(());
            }
        };
        if let Change::Delete = change {
            let cells = fresh(&self.schema);
            self.bytes += cells.iter().map(|(_, cell)| cell.weight()).sum::<usize>();
            *change = Change::Upsert(cells);
        }
        if let Change::Upsert(cells) = change {
            if cells.is_empty() {
                cells.reserve_exact(ops.len());
            }
            for (index, op) in ops {
                if let Some(cell) = op.into_cell(&self.schema, index)? {
                    add_cell(&self.schema, cells, (index, cell), &mut self.bytes)?;
                }
            }
        }
        Ok(())
    }

    /// How many rows have a delta.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// About how many bytes the deltas take on their way to a store.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The deltas, sorted by key; the fold is empty afterwards and keeps its memory.
    pub fn finish(&mut self) -> Vec<RowDelta> {
        self.bytes = 0;
        let mut deltas: Vec<RowDelta> = self
            .rows
            .drain()
            .map(|(key, change)| match change {
                Change::Upsert(cells) => RowDelta::Upsert(key, cells),
                Change::Delete => RowDelta::Delete(key),
            })
            .collect();
        deltas.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        deltas
    }
}

/// The cells of a row that was deleted and comes again: every column starts from its default.
fn fresh(schema: &Schema) -> Vec<(usize, Cell)> {
    schema
        .columns
        .iter()
        .enumerate()
        .filter(|(index, _)| !schema.is_key(*index))
        .map(|(index, column)| (index, Cell::Replace(column.default.clone())))
        .collect()
}

/// Combines `next` onto the row's cells, and keeps account of their size.
fn add_cell(
    schema: &Schema,
    cells: &mut Vec<(usize, Cell)>,
    (index, next): (usize, Cell),
    bytes: &mut usize,
) -> Result<()> {
    let at = cells.partition_point(|(column, _)| *column < index);
    match cells.get_mut(at) {
        Some((column, cell)) if *column == index => {
            let grows = matches!(cell, Cell::Op(Delta::Append { .. } | Delta::Object(_)));
            if grows {
                // Measuring a long list on every append would cost more than a rough figure is worth.
                let (more, before) = (next.weight(), entries(cell));
                cell.then(next, schema, index)?;
                *bytes += if entries(cell) > before { more } else { 0 };
            } else {
                let before = cell.weight();
                cell.then(next, schema, index)?;
                *bytes = (*bytes + cell.weight()).saturating_sub(before);
            }
        }
        _ => {
            *bytes += next.weight();
            cells.insert(at, (index, next));
        }
    }
    Ok(())
}

/// How many elements or entries a cell of the list or object family holds.
fn entries(cell: &Cell) -> usize {
    match cell {
        Cell::Op(Delta::Append { items, .. }) => items.len(),
        Cell::Op(Delta::Object(entries)) => entries.len(),
        _ => 0,
    }
}
