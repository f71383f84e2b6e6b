//! The parameters of a batch: one array per target column, rows in key order.

use super::array::Array;
use super::shape::{KEEP, OP, REPLACE, Shape};
use super::upsert::{Source, sources};
use super::value;
use crate::projection::{Cell, Column, Delta, Latest, RowDelta, RowKey, Schema, Value};

/// The arrays for [`super::upsert::statement`], in the order of its parameters.
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
