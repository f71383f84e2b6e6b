//! The statement that applies a batch of one shape, and its parameters.
//!
//! One `INSERT … SELECT FROM unnest(…) ON CONFLICT DO UPDATE`, rows in key order, behind the
//! movement of the cursors in a CTE: one round trip. The hidden column `_ops` carries one byte
//! per column where rows differ in what they do ([`super::shape`]), and is null for rows that go.
//! Those are locked in the same key order (`ON CONFLICT DO UPDATE … WHERE false` locks, and
//! inserts what is missing, so that no other lane can slip in) and deleted by the next statement.

use std::fmt::Write as _;

use super::array::Array;
use super::names::quote;
use super::shape::{KEEP, OP, REPLACE, Shape, Use};
use super::value::{self, sql_type};
use crate::projection::{
    Cell, Column, ColumnType, Delta, Family, Latest, RowDelta, RowKey, Schema, Value,
};

/// The hidden column with the order of a column of the latest family.
pub(super) fn order_column(column: &Column) -> String {
    quote(&format!("_o_{}", column.name))
}

/// The hidden column with the entries that a batch removes from an object.
pub(super) fn removed_column(column: &Column) -> String {
    quote(&format!("_x_{}", column.name))
}

/// The hidden column with the op mask.
pub(super) const MASK_COLUMN: &str = "_ops";

/// Which array fills a target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The part of the key with this place in the key.
    Key(usize),
    /// The value of the column with this index.
    Value(usize),
    /// Its order.
    Order(usize),
    /// The entries removed from it.
    Removed(usize),
    /// The op mask.
    Mask,
}

/// The columns that a batch of `shape` fills, in the order of the statement's parameters.
fn sources(schema: &Schema, shape: &Shape) -> Vec<Source> {
    let mut sources: Vec<Source> = (0..schema.key.len()).map(Source::Key).collect();
    for (index, (column, used)) in schema.columns.iter().zip(&shape.columns).enumerate() {
        if !used.touched() || schema.is_key(index) {
            continue;
        }
        sources.push(Source::Value(index));
        match column.family {
            Family::Latest => sources.push(Source::Order(index)),
            Family::Object if used.uniform() != Some(REPLACE) => {
                sources.push(Source::Removed(index));
            }
            _ => {}
        }
    }
    if shape.masked() {
        sources.push(Source::Mask);
    }
    sources
}

/// The target column of a source and its type.
fn target(schema: &Schema, source: Source) -> Option<(String, String)> {
    let column = |index: usize| schema.columns.get(index);
    Some(match source {
        Source::Key(place) => {
            let column = column(*schema.key.get(place)?)?;
            (quote(&column.name), sql_type(column.ty))
        }
        Source::Value(index) => {
            let column = column(index)?;
            (quote(&column.name), sql_type(column.ty))
        }
        Source::Order(index) => (order_column(column(index)?), "text".into()),
        Source::Removed(index) => (removed_column(column(index)?), "text[]".into()),
        Source::Mask => (quote(MASK_COLUMN), "bytea".into()),
    })
}

/// `INSERT … ON CONFLICT …` into `table` for batches of `shape`; its first parameter is `$first`.
pub(super) fn statement(schema: &Schema, shape: &Shape, table: &str, first: usize) -> String {
    let mut targets = Vec::new();
    let mut selected = Vec::new();
    let mut arrays = Vec::new();
    let mut aliases = Vec::new();
    for (place, source) in sources(schema, shape).into_iter().enumerate() {
        let Some((name, ty)) = target(schema, source) else {
            continue;
        };
        let array = if source == Source::Mask {
            "bytea[]"
        } else {
            "text[]"
        };
        arrays.push(format!("${}::{array}", first + place));
        selected.push(format!("s.a{place}::{ty}"));
        aliases.push(format!("a{place}"));
        targets.push(name);
    }
    let key = key_names(schema).join(", ");
    let mut sql = format!(
        "INSERT INTO {table} AS t ({}) SELECT {} FROM unnest({}) AS s({}) ON CONFLICT ({key}) DO ",
        targets.join(", "),
        selected.join(", "),
        arrays.join(", "),
        aliases.join(", "),
    );
    let mut assignments = Vec::new();
    for (index, (column, used)) in schema.columns.iter().zip(&shape.columns).enumerate() {
        if used.touched() && !schema.is_key(index) {
            assign(&mut assignments, index, column, *used);
        }
    }
    if assignments.is_empty() && !shape.deletes {
        sql.push_str("NOTHING");
        return sql;
    }
    let only_locks = assignments.is_empty();
    if only_locks {
        assignments.extend(key_names(schema).first().map(|k| format!("{k} = t.{k}")));
    }
    let _ = write!(sql, "UPDATE SET {}", assignments.join(", "));
    if only_locks {
        sql.push_str(" WHERE false");
    } else if shape.deletes {
        let _ = write!(sql, " WHERE EXCLUDED.{} IS NOT NULL", quote(MASK_COLUMN));
    }
    sql
}

/// The key columns, quoted.
pub(super) fn key_names(schema: &Schema) -> Vec<String> {
    schema
        .key_columns()
        .map(|column| quote(&column.name))
        .collect()
}

/// What happens to a stored row's column, and to the hidden columns that belong to it.
fn assign(out: &mut Vec<String>, index: usize, column: &Column, used: Use) {
    let name = quote(&column.name);
    out.push(choose(&name, index, used, &operated(column, &name, used)));
    if column.family == Family::Latest {
        let order = order_column(column);
        let newer = newer(column);
        let operated = format!("CASE WHEN {newer} THEN EXCLUDED.{order} ELSE t.{order} END");
        out.push(choose(&order, index, used, &operated));
    }
}

/// `target = …`, by the mask where rows differ.
fn choose(target: &str, index: usize, used: Use, operated: &str) -> String {
    let value = match used.uniform() {
        Some(KEEP) => format!("t.{target}"),
        Some(REPLACE) => format!("EXCLUDED.{target}"),
        Some(_) => operated.to_owned(),
        None => format!(
            "CASE get_byte(EXCLUDED.{}, {index}) WHEN {REPLACE} THEN EXCLUDED.{target} \
             WHEN {OP} THEN {operated} ELSE t.{target} END",
            quote(MASK_COLUMN),
        ),
    };
    format!("{target} = {value}")
}

fn newer(column: &Column) -> String {
    let order = order_column(column);
    format!("t.{order} IS NULL OR EXCLUDED.{order} >= t.{order}")
}

/// The family's op on the stored column `t.…` with the operand `EXCLUDED.…`.
fn operated(column: &Column, name: &str, used: Use) -> String {
    let (stored, operand) = (format!("t.{name}"), format!("EXCLUDED.{name}"));
    match column.family {
        Family::Assign => format!("coalesce({stored}, {operand})"),
        Family::Latest => format!(
            "CASE WHEN {} THEN {operand} ELSE {stored} END",
            newer(column)
        ),
        Family::Sum => {
            let sum = format!("coalesce({stored}, 0) + {operand}");
            match column.ty {
                // However a sum was split into batches, it has the same digits (I9).
                ColumnType::Numeric => format!("trim_scale({sum})"),
                _ => sum,
            }
        }
        Family::Greatest => format!("greatest({stored}, {operand})"),
        Family::Least => format!("least({stored}, {operand})"),
        Family::List => {
            let joined = format!("coalesce({stored}, '[]'::jsonb) || {operand}");
            match used.keep {
                Some(keep) => format!(
                    "jsonb_path_query_array({joined}, '$[last - {} to last]')",
                    keep.get() - 1
                ),
                None => joined,
            }
        }
        Family::Object => {
            let removed = removed_column(column);
            let merged = format!(
                "(coalesce({stored}, '{{}}'::jsonb) - coalesce(EXCLUDED.{removed}, '{{}}'::text[])) \
                 || coalesce({operand}, '{{}}'::jsonb)"
            );
            match &column.default {
                Value::Null => format!("nullif({merged}, '{{}}'::jsonb)"),
                _ => merged,
            }
        }
    }
}

/// The arrays for [`statement`], in the order of its parameters.
pub(super) fn parameters(schema: &Schema, shape: &Shape, rows: &[RowDelta]) -> Vec<Array> {
    sources(schema, shape)
        .into_iter()
        .map(|source| {
            let mut array = if source == Source::Mask {
                Array::bytes()
            } else {
                Array::texts()
            };
            let column = match source {
                Source::Value(i) | Source::Order(i) | Source::Removed(i) => schema.columns.get(i),
                Source::Key(_) | Source::Mask => None,
            };
            for row in rows {
                match (source, column) {
                    (Source::Key(place), _) => push_value(&mut array, row.key().parts().get(place)),
                    (Source::Value(index), Some(column)) => {
                        push_cell(&mut array, column, cell(row, index));
                    }
                    (Source::Order(index), _) => push_order(&mut array, cell(row, index)),
                    (Source::Removed(index), _) => push_removed(&mut array, cell(row, index)),
                    (Source::Value(_), None) | (Source::Mask, _) => {
                        push_mask(&mut array, schema.columns.len(), row);
                    }
                }
            }
            array
        })
        .collect()
}

/// What an upsert does to column `index`: nothing for rows that go.
enum Does<'a> {
    Goes,
    Keeps,
    Cell(&'a Cell),
}

fn cell(row: &RowDelta, index: usize) -> Does<'_> {
    match row {
        RowDelta::Delete(_) => Does::Goes,
        RowDelta::Upsert(_, cells) => {
            match cells.binary_search_by_key(&index, |(column, _)| *column) {
                Ok(at) => cells
                    .get(at)
                    .map_or(Does::Keeps, |(_, cell)| Does::Cell(cell)),
                Err(_) => Does::Keeps,
            }
        }
    }
}

fn push_value(array: &mut Array, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => array.push_null(),
        Some(value) => array.push_with(|out| value::write(value, out)),
    }
}

/// The operand, which also is what a missing row gets; its default where the column is kept.
fn push_cell(array: &mut Array, column: &Column, does: Does<'_>) {
    match does {
        Does::Goes => array.push_null(),
        Does::Keeps => push_value(array, Some(&column.default)),
        Does::Cell(Cell::Replace(value)) => push_value(array, Some(value)),
        Does::Cell(Cell::ReplaceLatest(latest)) => push_value(array, Some(&latest.value)),
        Does::Cell(Cell::Op(delta)) => push_delta(array, column, delta),
    }
}

fn push_delta(array: &mut Array, column: &Column, delta: &Delta) {
    match delta {
        Delta::SetOnce(value) | Delta::Max(value) | Delta::Min(value) => {
            push_value(array, Some(value));
        }
        Delta::Latest(latest) => push_value(array, Some(&latest.value)),
        Delta::Add(amount) => array.push_with(|out| {
            out.extend_from_slice(amount.to_string().as_bytes());
        }),
        Delta::Append { items, keep } => {
            let kept = keep.map_or(items.len(), |keep| items.len().min(keep as usize));
            let items = items.iter().skip(items.len() - kept).map(|item| &**item);
            array.push_with(|out| value::write_json_array(items, out));
        }
        Delta::Object(entries) => {
            let mut put = entries
                .iter()
                .filter_map(|(name, value)| Some((&**name, value.as_deref()?)))
                .peekable();
            if put.peek().is_none() && column.default.is_null() {
                array.push_null();
            } else {
                array.push_with(|out| value::write_json_object(put, out));
            }
        }
    }
}

fn push_order(array: &mut Array, does: Does<'_>) {
    match does {
        Does::Cell(Cell::ReplaceLatest(Latest { order, .. }))
        | Does::Cell(Cell::Op(Delta::Latest(Latest { order, .. }))) => array.push(order.as_bytes()),
        _ => array.push_null(),
    }
}

fn push_removed(array: &mut Array, does: Does<'_>) {
    match does {
        Does::Cell(Cell::Op(Delta::Object(entries))) if entries.values().any(Option::is_none) => {
            let removed = entries
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| &**name);
            array.push_with(|out| value::write_list(removed, out));
        }
        _ => array.push_null(),
    }
}

fn push_mask(array: &mut Array, columns: usize, row: &RowDelta) {
    let RowDelta::Upsert(_, cells) = row else {
        array.push_null();
        return;
    };
    array.push_with(|out| {
        let start = out.len();
        out.resize(start + columns, KEEP);
        for (index, cell) in cells {
            if let Some(byte) = out.get_mut(start + index) {
                *byte = match cell {
                    Cell::Op(_) => OP,
                    Cell::Replace(_) | Cell::ReplaceLatest(_) => REPLACE,
                };
            }
        }
    });
}

/// One array per key column.
pub(super) fn key_parameters<'a>(
    schema: &Schema,
    keys: impl Iterator<Item = &'a RowKey> + Clone,
) -> Vec<Array> {
    (0..schema.key.len())
        .map(|place| {
            let mut array = Array::texts();
            for key in keys.clone() {
                push_value(&mut array, key.parts().get(place));
            }
            array
        })
        .collect()
}
