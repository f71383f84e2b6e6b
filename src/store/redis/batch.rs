//! Batches as the arguments of `apply.lua`.

use crate::fault::{Fault, Result};
use crate::projection::{
    Cell, Column, ColumnType, Decimal, Delta, Latest, Row, RowDelta, RowKey, Schema, Value,
};

use super::keys::cursor_field;
use super::pack::Pack;
use super::reply::cursor_text;
use super::row::{Fields, ordered};
use crate::store::Move;

/// Ops as `apply.lua` numbers them.
#[derive(Clone, Copy)]
enum Op {
    Replace = 0,
    ReplaceLatest = 1,
    SetOnce = 2,
    Latest = 3,
    Add = 4,
    Max = 5,
    Min = 6,
}

/// About what a row of a few cells takes; only saves copying while the batch grows.
const BYTES_PER_ROW: usize = 96;

/// Forms of rows that are no count of cells.
const DELETE: i32 = -1;
const EXPECT: i32 = -2;
const EXPECT_DELETE: i32 = -3;
const EXPECT_WRITE: i32 = -4;

/// What becomes of a row that was loaded.
pub(super) enum Outlook {
    /// Nothing, but it must still be what it was.
    Stay,
    /// It goes.
    Delete,
    /// It becomes this row.
    Write(Row),
}

/// Moves for a script: field, what must be stored, what is stored then, newest event time.
pub(super) fn pack_moves(moves: &[Move]) -> Vec<u8> {
    let mut pack = Pack::new();
    for wanted in moves {
        let claim = Some(wanted.claim);
        pack.text(&cursor_field(&wanted.partition));
        if wanted.from == wanted.to {
            // Where it begins is where it ends, so it counts as applied: nothing matches.
            pack.text("");
        } else {
            pack.text(&cursor_text(wanted.from, claim));
        }
        pack.text(&cursor_text(wanted.to, claim));
        match wanted.newest_micros {
            Some(micros) => pack.text(&micros.to_string()),
            None => pack.flag(false),
        }
    }
    pack.finish()
}

/// Whether a delta has to be computed here, from the row: a script would have to understand JSON.
pub(super) fn needs_row(delta: &RowDelta) -> bool {
    let RowDelta::Upsert(_, cells) = delta else {
        return false;
    };
    cells.iter().any(|(_, cell)| {
        matches!(
            cell,
            Cell::Op(
                Delta::Append { .. }
                    | Delta::Object(_)
                    | Delta::Max(Value::TextArray(_))
                    | Delta::Min(Value::TextArray(_))
            )
        )
    })
}

/// The rows of a batch, packed.
pub(super) struct PackedRows<'s> {
    schema: &'s Schema,
    /// What row keys begin with.
    stem: &'s str,
    rows: Pack,
    /// Per column, whether an op needs its stored value.
    reads: Vec<bool>,
}

impl<'s> PackedRows<'s> {
    pub(super) fn new(schema: &'s Schema, stem: &'s str, rows: usize) -> Self {
        Self {
            schema,
            stem,
            rows: Pack::with_capacity(rows * BYTES_PER_ROW),
            reads: vec![false; schema.columns.len()],
        }
    }

    /// The columns and the rows, as two arguments.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let mut columns = Pack::new();
        for (index, (column, reads)) in self.schema.columns.iter().zip(self.reads).enumerate() {
            let part = self.schema.key.iter().position(|&key| key == index);
            columns.list(pack_column(column, part, reads));
        }
        (columns.finish(), self.rows.finish())
    }

    /// Adds a delta that does not depend on a loaded row.
    pub(super) fn push(&mut self, delta: &RowDelta) -> Result<()> {
        self.rows.texts(self.stem, delta.key().text());
        match delta {
            RowDelta::Delete(_) => {
                self.rows.number(DELETE);
                Ok(())
            }
            RowDelta::Upsert(_, cells) => {
                self.rows.number(cells.len() as i32);
                cells
                    .iter()
                    .try_for_each(|(index, cell)| self.push_cell(*index, cell))
            }
        }
    }

    fn push_cell(&mut self, index: usize, cell: &Cell) -> Result<()> {
        let Some(column) = self.schema.columns.get(index) else {
            return Err(Fault::bug("a delta for a column that the schema lacks"));
        };
        match cell {
            Cell::Replace(value) => self.push_value(index, Op::Replace, value),
            Cell::ReplaceLatest(latest) => self.push_latest(index, Op::ReplaceLatest, latest),
            Cell::Op(Delta::SetOnce(value)) => self.push_value(index, Op::SetOnce, value),
            Cell::Op(Delta::Latest(latest)) => self.push_latest(index, Op::Latest, latest),
            Cell::Op(Delta::Max(value)) => self.push_value(index, Op::Max, value),
            Cell::Op(Delta::Min(value)) => self.push_value(index, Op::Min, value),
            Cell::Op(Delta::Add(amount)) => {
                self.push_op(index, Op::Add);
                self.rows.maybe(amount_text(column, amount).as_deref());
            }
            Cell::Op(Delta::Append { .. } | Delta::Object(_)) => {
                return Err(Fault::bug("a json op that was not computed beforehand"));
            }
        }
        Ok(())
    }

    fn push_op(&mut self, index: usize, op: Op) {
        self.rows.number((index * 8) as i32 + op as i32);
        if matches!(op, Op::SetOnce | Op::Add | Op::Max | Op::Min)
            && let Some(reads) = self.reads.get_mut(index)
        {
            *reads = true;
        }
    }

    fn push_value(&mut self, index: usize, op: Op, value: &Value) {
        self.push_op(index, op);
        self.rows.maybe(value.canonical().as_deref());
    }

    fn push_latest(&mut self, index: usize, op: Op, latest: &Latest) {
        self.push_value(index, op, &latest.value);
        self.rows.text(&latest.order);
    }

    /// Adds a row that is written only if it still is what was loaded.
    pub(super) fn push_loaded(&mut self, key: &RowKey, loaded: Option<&Fields>, outlook: &Outlook) {
        self.rows.texts(self.stem, key.text());
        self.rows.number(match outlook {
            Outlook::Stay => EXPECT,
            Outlook::Delete => EXPECT_DELETE,
            Outlook::Write(_) => EXPECT_WRITE,
        });
        self.rows.flag(loaded.is_some());
        for field in loaded.into_iter().flatten() {
            self.rows.maybe(field.as_deref());
        }
        if let Outlook::Write(row) = outlook {
            self.push_changes(loaded, row);
        }
    }

    /// The fields and the orders that differ from the loaded ones, each with their count.
    fn push_changes(&mut self, loaded: Option<&Fields>, row: &Row) {
        let known = |at: usize| loaded.and_then(|fields| fields.get(at)?.as_deref());
        let values = row.values.iter().enumerate();
        let values: Vec<_> = values
            .map(|(index, value)| (index, value.canonical()))
            .filter(|(index, text)| text.as_deref() != known(*index))
            .collect();
        self.rows.number(values.len() as i32);
        for (index, text) in values {
            self.rows.number(index as i32);
            self.rows.maybe(text.as_deref());
        }
        let columns = self.schema.columns.len();
        let orders: Vec<_> = ordered(self.schema)
            .enumerate()
            .map(|(at, (index, _))| {
                let order = row.orders.get(index).and_then(|order| order.as_deref());
                (index, order, known(columns + at))
            })
            // A row that was not there may have leftovers of orders.
            .filter(|(_, order, known)| loaded.is_none() || order != known)
            .collect();
        self.rows.number(orders.len() as i32);
        for (index, order, _) in orders {
            self.rows.number(index as i32);
            self.rows.maybe(order);
        }
    }
}

/// One column for `apply.lua`, in its order.
fn pack_column(column: &Column, part: Option<usize>, reads: bool) -> Pack {
    let (kind, scale, digits, highest) = match column.ty {
        ColumnType::Smallint => ("number", Some(0), 5, Some("32767")),
        ColumnType::Integer => ("number", Some(0), 10, Some("2147483647")),
        ColumnType::Bigint => ("number", Some(0), 19, Some("9223372036854775807")),
        ColumnType::Numeric => ("number", None, Decimal::MAX_DIGITS as i32, None),
        ColumnType::Decimal { precision, scale } => {
            let digits = i32::from(precision) - i32::from(scale);
            ("number", Some(i32::from(scale)), digits, None)
        }
        ColumnType::Double => ("double", None, 0, None),
        ColumnType::Timestamptz => ("time", None, 0, None),
        _ => ("text", None, 0, None),
    };
    let mut pack = Pack::new();
    pack.text(&column.name);
    pack.text(kind);
    match scale {
        Some(scale) => pack.number(scale),
        None => pack.flag(false),
    }
    pack.number(digits);
    pack.maybe(highest);
    pack.maybe(column.default.canonical().as_deref());
    match part {
        Some(part) => pack.number(part as i32 + 1),
        None => pack.flag(false),
    }
    pack.flag(column.family == crate::projection::Family::Latest);
    pack.flag(reads);
    pack
}

/// An amount with as many digits behind the point as its column has. None when it has more:
/// it can never give a sum that the column holds, whatever is stored.
fn amount_text(column: &Column, amount: &Decimal) -> Option<String> {
    let scale = match column.ty {
        ColumnType::Numeric => return Some(amount.to_string()),
        ColumnType::Decimal { scale, .. } => scale,
        _ => 0,
    };
    Some(amount.with_scale_exact(scale)?.to_text(scale))
}

/// The fault for a sum that its column cannot hold.
pub(super) fn overflow(column: &Column) -> Fault {
    Fault::poison(format!(
        "column {}: the result does not fit {}",
        column.name, column.ty
    ))
}
