//! What a delta means: the executable form of the contract of every store.

use super::delta::RowDelta;
use super::schema::Schema;
use super::value::Value;
use crate::fault::Result;

/// A whole row, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// One value per column of the schema.
    pub values: Vec<Value>,
    /// For columns of the latest family: the stored order; none elsewhere and where nothing was stored.
    pub orders: Vec<Option<Box<str>>>,
}

/// The row after `delta`; none when it is deleted. A result that does not fit its column
/// (overflow) is a poison fault that names the column.
pub fn apply(schema: &Schema, row: Option<Row>, delta: &RowDelta) -> Result<Option<Row>> {
    let _ = (schema, row, delta);
    Err(crate::fault::Fault::bug("not written yet"))
}
