//! The statement that applies a batch of one shape.
//!
//! One `INSERT … SELECT FROM unnest(…) ON CONFLICT DO UPDATE`, rows in key order, behind the
//! movement of the cursors in a CTE: one round trip. The hidden column `_ops` carries one byte
//! per column where rows differ in what they do ([`super::shape`]), and is null for rows that go.
//! Those are locked in the same key order (`ON CONFLICT DO UPDATE … WHERE false` locks, and
//! inserts what is missing, so that no other lane can slip in) and deleted by the next statement.

use std::fmt::Write as _;

use super::names::quote;
use super::shape::{KEEP, OP, REPLACE, Shape, Use};
use super::value::sql_type;
use crate::projection::{Column, ColumnType, Family, Schema, Value};

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

/// The hidden column with the page of a copy; null in rows that were not copied.
pub(super) const PAGE_COLUMN: &str = "_page";

/// Which array fills a target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
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
pub(super) fn sources(schema: &Schema, shape: &Shape) -> Vec<Source> {
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
