//! What the deltas of a batch do to each column, so that its statement does no more than that.
//!
//! Most batches are alike: a counter is added to in every row, a status set in every row. Such
//! a column needs no decision per row. Where rows differ, the hidden op mask decides.

use std::num::NonZeroU32;

use super::value::is_json;
use crate::projection::{Cell, Column, ColumnType, Delta, Family, RowDelta, Schema, Value};

/// Rows in which the column is left alone. Also the mask byte of such a row.
pub(super) const KEEP: u8 = 0;
/// Rows in which the column becomes a value.
pub(super) const REPLACE: u8 = 1;
/// Rows in which the family's op is applied to what is stored.
pub(super) const OP: u8 = 2;

/// What the rows of a batch do to one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Use {
    kept: bool,
    replaced: bool,
    operated: bool,
    /// Of a list: how many elements stay.
    pub(super) keep: Option<NonZeroU32>,
}

impl Use {
    /// Whether any row does anything to the column.
    pub(super) fn touched(self) -> bool {
        self.replaced || self.operated
    }

    /// What every row does, where all do the same; else the mask must tell.
    pub(super) fn uniform(self) -> Option<u8> {
        match (self.kept, self.replaced, self.operated) {
            (true, false, false) => Some(KEEP),
            (false, true, false) => Some(REPLACE),
            (false, false, true) => Some(OP),
            _ => None,
        }
    }
}

/// What a batch does to each column of the schema; key columns are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// By column index.
    pub(super) columns: Box<[Use]>,
    /// Whether some rows go. They take part in the upsert to be locked in key order.
    pub(super) deletes: bool,
}

impl Shape {
    /// Which keys exist, and nothing else: locks every key and creates those that are missing.
    pub(super) fn locks(schema: &Schema) -> Self {
        let kept = Use {
            kept: true,
            ..Use::default()
        };
        Self {
            columns: vec![kept; schema.columns.len()].into(),
            deletes: true,
        }
    }

    /// The shape of `rows`; none where a blind statement would not be exact, so that the rows
    /// have to be read first.
    pub(super) fn of(schema: &Schema, rows: &[RowDelta]) -> Option<Self> {
        let mut columns = vec![Use::default(); schema.columns.len()];
        let mut counts = vec![0_usize; schema.columns.len()];
        let mut upserts = 0;
        for row in rows {
            let RowDelta::Upsert(_, cells) = row else {
                continue;
            };
            upserts += 1;
            for (index, cell) in cells {
                let column = schema.columns.get(*index)?;
                note(columns.get_mut(*index)?, column, cell)?;
                *counts.get_mut(*index)? += 1;
            }
        }
        for (used, count) in columns.iter_mut().zip(counts) {
            used.kept = count < upserts;
        }
        Some(Self {
            columns: columns.into(),
            deletes: upserts < rows.len(),
        })
    }

    /// The shape that serves every batch which this one's list bounds serve.
    pub(super) fn general(mut self, schema: &Schema) -> Self {
        for (index, used) in self.columns.iter_mut().enumerate() {
            if !schema.is_key(index) {
                used.kept = true;
                used.replaced = true;
                used.operated = true;
            }
        }
        self.deletes = true;
        self
    }

    /// Whether rows carry a mask: where a column's rows differ, and where rows that go stand
    /// between rows that are written.
    pub(super) fn masked(&self) -> bool {
        self.columns
            .iter()
            .any(|used| used.touched() && (self.deletes || used.uniform().is_none()))
    }
}

/// Adds what `cell` does to `used`; none where only reading the row first is exact.
fn note(used: &mut Use, column: &Column, cell: &Cell) -> Option<()> {
    let Cell::Op(delta) = cell else {
        used.replaced = true;
        return Some(());
    };
    if !is_blind(column, delta) {
        return None;
    }
    let keep = match delta {
        Delta::Append {
            keep: Some(keep), ..
        } => Some(NonZeroU32::new(*keep)?),
        _ => None,
    };
    if used.operated && used.keep != keep {
        return None;
    }
    used.keep = keep;
    used.operated = true;
    Some(())
}

/// Whether one and the same value is right both for a new row (the op applied to the default)
/// and as the operand on a stored one.
fn is_blind(column: &Column, delta: &Delta) -> bool {
    let default = &column.default;
    match delta {
        Delta::SetOnce(_) => column.family == Family::Assign && default.is_null(),
        Delta::Latest(_) => column.family == Family::Latest,
        Delta::Add(amount) => {
            let starts_at_zero =
                default.is_null() || default.to_decimal().is_some_and(|number| number.is_zero());
            let fits = Value::Numeric(amount.clone()).cast(column.ty).is_ok();
            column.family == Family::Sum && starts_at_zero && fits
        }
        Delta::Max(value) => {
            column.family == Family::Greatest
                && ordered_alike(column.ty)
                && (default.is_null() || value.compare(default).is_ge())
        }
        Delta::Min(value) => {
            column.family == Family::Least
                && ordered_alike(column.ty)
                && (default.is_null() || value.compare(default).is_le())
        }
        Delta::Append { items, .. } => {
            column.family == Family::List
                && !items.is_empty()
                && (default.is_null() || is_json(default, "[]"))
        }
        Delta::Object(_) => {
            column.family == Family::Object && (default.is_null() || is_json(default, "{}"))
        }
    }
}

/// Whether Postgres compares the type as [`Value::compare`] does.
fn ordered_alike(ty: ColumnType) -> bool {
    !matches!(ty, ColumnType::Jsonb | ColumnType::TextArray)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::projection::{Decimal, RowKey};

    fn schema(default: Value) -> Arc<Schema> {
        Schema::builder("p")
            .key("id", ColumnType::Bigint)
            .column("total", ColumnType::Smallint)
            .sum()
            .default_value(default)
            .build()
            .unwrap()
    }

    fn row(schema: &Schema, id: i64, cell: Option<Cell>) -> RowDelta {
        let key = RowKey::new(schema, vec![Value::Int(id)]).unwrap();
        RowDelta::Upsert(key, cell.map(|cell| (1, cell)).into_iter().collect())
    }

    fn add(amount: i64) -> Option<Cell> {
        Some(Cell::Op(Delta::Add(Decimal::from(amount))))
    }

    #[test]
    fn rows_that_do_alike_need_no_mask() {
        let schema = schema(Value::Int(0));
        let alike = [row(&schema, 1, add(1)), row(&schema, 2, add(2))];
        let shape = Shape::of(&schema, &alike).unwrap();
        assert_eq!(shape.columns[1].uniform(), Some(OP));
        assert!(!shape.masked());
        let mixed = [row(&schema, 1, add(1)), row(&schema, 2, None)];
        let shape = Shape::of(&schema, &mixed).unwrap();
        assert_eq!(shape.columns[1].uniform(), None);
        assert!(shape.masked());
    }

    #[test]
    fn what_a_blind_statement_would_get_wrong_is_read_first() {
        let plain = schema(Value::Int(0));
        assert!(Shape::of(&plain, &[row(&plain, 1, add(40_000))]).is_none());
        let seven = schema(Value::Int(7));
        assert!(Shape::of(&seven, &[row(&seven, 1, add(1))]).is_none());
        let replaced = row(&seven, 1, Some(Cell::Replace(Value::Int(1))));
        assert!(Shape::of(&seven, &[replaced]).is_some());
    }
}
