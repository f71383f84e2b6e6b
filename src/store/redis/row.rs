//! Rows as hashes: a column is a field, its value the canonical text, null no field.

use std::collections::HashMap;

use super::pack::Pack;
use super::reply::Text;
use crate::fault::{Fault, Result};
use crate::projection::{Column, Family, Row, Schema, Value};

/// What a hash holds of a row: a text per column, then one per column that has an order, then, in
/// a generation that was copied, the page with which the row was.
pub(super) type Fields = Vec<Text>;

/// The columns whose values have an order beside them, by index.
pub(super) fn ordered(schema: &Schema) -> impl Iterator<Item = (usize, &Column)> {
    let columns = schema.columns.iter().enumerate();
    columns.filter(|(_, column)| column.family == Family::Latest)
}

/// The names of the fields that a script reads of a row.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: Pack,
    orders: Pack,
}

impl Columns {
    /// All columns of a view.
    pub(super) fn of(schema: &Schema) -> Self {
        let mut all = Self::default();
        for column in &schema.columns {
            all.push(&column.name, column.family == Family::Latest);
        }
        all
    }

    /// Adds a column, with its orders where it has some.
    pub(super) fn push(&mut self, name: &str, ordered: bool) {
        self.names.text(name);
        if ordered {
            self.orders.text(name);
        }
    }

    /// The names of columns and of those with an order, as two arguments.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u8>) {
        (self.names.finish(), self.orders.finish())
    }
}

/// The row that the fields hold; none when there is no such row. A row always has its key columns.
pub(super) fn row_of(schema: &Schema, fields: &[Text]) -> Result<Option<Row>> {
    let mark = schema.key.first().and_then(|&index| fields.get(index));
    if !matches!(mark, Some(Some(_))) {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(schema.columns.len());
    for (column, field) in schema.columns.iter().zip(fields) {
        values.push(match field {
            None => Value::Null,
            Some(text) => Value::parse(column.ty, text).map_err(|_| corrupt(&column.name))?,
        });
    }
    let mut orders = vec![None; schema.columns.len()];
    let stored = fields.iter().skip(schema.columns.len());
    for ((index, _), order) in ordered(schema).zip(stored) {
        if let Some(slot) = orders.get_mut(index) {
            *slot = order.as_deref().map(Box::from);
        }
    }
    let page = fields.get(schema.columns.len() + ordered(schema).count());
    let page = match page.and_then(|text| text.as_deref()) {
        Some(text) => text.parse().map_err(|_| corrupt("#page"))?,
        None => 0,
    };
    Ok(Some(Row {
        values,
        orders,
        page,
    }))
}

/// The same fields, from the answers of `HGETALL`.
pub(super) fn fields_of(
    schema: &Schema,
    mut row: HashMap<String, String>,
    mut orders: HashMap<String, String>,
) -> Fields {
    let columns = schema
        .columns
        .iter()
        .map(|column| row.remove(&*column.name));
    let orders = ordered(schema).map(|(_, column)| orders.remove(&*column.name));
    columns.chain(orders).collect()
}

/// The fault for a stored text that is no value of its column.
pub(super) fn corrupt(column: &str) -> Fault {
    Fault::misconfigured(format!(
        "column {column} of a row in redis holds no value of its type; \
         something else writes to the view's keys: rebuild the projection"
    ))
}
