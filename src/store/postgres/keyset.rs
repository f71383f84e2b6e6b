//! Reading a table in the order of its key, page by page. The order is the server's; a text key is `COLLATE "C"`.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::names::quote;
use super::value::{self, read_expression, sql_type};
use crate::fault::{Fault, Result};
use crate::projection::{RowKey, Schema, Value};

/// Lets the planner walk along the primary key, whatever is known of the table.
pub(super) const ALONG_THE_KEY: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";

/// The key columns as a list, each `{prefix}{name}`.
pub(super) fn list(schema: &Schema, prefix: &str) -> String {
    let names = schema.key_columns();
    let names = names.map(|column| format!("{prefix}{}", quote(&column.name)));
    names.collect::<Vec<_>>().join(", ")
}

/// The key columns as texts that [`decode`] reads.
pub(super) fn texts(schema: &Schema, prefix: &str) -> String {
    let texts = schema.key_columns().map(|column| {
        let name = format!("{prefix}{}", quote(&column.name));
        read_expression(column.ty, &name)
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// The key columns, compared with the parameters from `$first` on.
pub(super) fn compared(schema: &Schema, prefix: &str, operator: &str, first: usize) -> String {
    let parameters: Vec<String> = schema
        .key_columns()
        .enumerate()
        .map(|(place, column)| format!("${}::text::{}", first + place, sql_type(column.ty)))
        .collect();
    let names = list(schema, prefix);
    format!("ROW({names}) {operator} ROW({})", parameters.join(", "))
}

/// The parameters for [`compared`].
pub(super) fn parameters(key: &RowKey) -> Vec<Option<String>> {
    key.parts().iter().map(value::to_text).collect()
}

/// The key whose columns stand from `first` on.
pub(super) fn decode(schema: &Schema, row: &PgRow, first: usize) -> Result<RowKey> {
    let parts = schema.key_columns().enumerate().map(|(place, column)| {
        let text: &str = row.try_get(first + place)?;
        value::read(column.ty, text)
    });
    key_of(schema, parts.collect::<Result<_>>()?)
}

/// The key of these values.
pub(super) fn key_of(schema: &Schema, parts: Vec<Value>) -> Result<RowKey> {
    RowKey::new(schema, parts).map_err(|_| Fault::bug("postgres: a stored key cannot be read back"))
}
