//! `order=col.desc,other`: the order of a list.

use super::{listed, shown};
use crate::projection::{ColumnType, Schema};
use crate::store::list::OrderBy;

/// The order that `text` names, or none, made total by the key: two rows are never equal in it.
pub(super) fn order(schema: &Schema, text: Option<&str>) -> Result<Vec<OrderBy>, String> {
    let mut order: Vec<OrderBy> = Vec::new();
    for part in text.into_iter().flat_map(|text| text.split(',')) {
        let by = order_by(schema, part)?;
        if order.iter().any(|other| other.column == by.column) {
            return Err(format!("order: {} is named twice", shown(part)));
        }
        order.push(by);
    }
    for &column in &schema.key {
        if order.iter().all(|by| by.column != column) {
            order.push(OrderBy {
                column,
                descending: false,
            });
        }
    }
    Ok(order)
}

fn order_by(schema: &Schema, part: &str) -> Result<OrderBy, String> {
    let (name, direction) = match part.split_once('.') {
        Some((name, direction)) => (name, Some(direction)),
        None => (part, None),
    };
    let Some((column, declared)) = schema
        .column(name)
        .and_then(|index| Some((index, schema.columns.get(index)?)))
    else {
        let advice = match schema.column("order") {
            Some(_) => "; a condition on the column order is written col.order=…",
            None => "",
        };
        return Err(format!(
            "order: {} is no column; possible: {}{advice}",
            shown(name),
            listed(schema.columns.iter().map(|column| &*column.name))
        ));
    };
    if !may_order(declared.ty) {
        return Err(format!(
            "order: column {name} is {}, which has no order",
            declared.ty
        ));
    }
    let descending = match direction {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) if other.contains("nulls") => {
            return Err(format!(
                "order: {}: nulls are always last; write {name}.asc or {name}.desc",
                shown(part)
            ));
        }
        Some(other) => {
            return Err(format!(
                "order: {} is no direction; possible: {name}.asc, {name}.desc",
                shown(other)
            ));
        }
    };
    Ok(OrderBy { column, descending })
}

/// Whether values of the type have an order that readers can rely on.
pub(super) const fn may_order(ty: ColumnType) -> bool {
    !matches!(ty, ColumnType::Jsonb | ColumnType::TextArray)
}
