//! Two generations' shapes, side by side: whether their rows can be matched, and what a copy takes over.

use crate::fault::{Fault, Result};
use crate::projection::{Family, Schema};

/// Refuses two generations whose rows have no common key.
pub(super) fn same_key(first: &Schema, second: &Schema) -> Result<()> {
    let columns = |of: &Schema| -> Vec<_> {
        let columns = of.key_columns();
        columns
            .map(|column| (column.name.clone(), column.ty))
            .collect()
    };
    if columns(first) == columns(second) {
        return Ok(());
    }
    Err(Fault::misconfigured(format!(
        "{}: the keys differ, so that rows cannot be matched",
        first.name
    )))
}

/// What a column of a copy takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The index of the column it comes from.
    pub(super) from: usize,
    /// Whether the order of the latest family comes with the value.
    pub(super) ordered: bool,
}

/// Per column of `to`, what it takes over from a row of `from`; none where it starts with its default.
pub(super) fn taken(from: &Schema, to: &Schema) -> Result<Vec<Option<Taken>>> {
    const ADVICE: &str = "the live rows cannot be copied; rebuild from the log instead";
    same_key(from, to)
        .map_err(|fault| Fault::misconfigured(format!("{}: {ADVICE}", fault.message)))?;
    let columns = to.columns.iter().map(|column| {
        let found = from.columns.iter().enumerate();
        let Some((at, old)) = found.clone().find(|(_, old)| old.name == column.name) else {
            return Ok(None);
        };
        if old.ty != column.ty {
            return Err(Fault::misconfigured(format!(
                "{}: column {} was {} and is {}: {ADVICE}",
                to.name, column.name, old.ty, column.ty
            )));
        }
        Ok(Some(Taken {
            from: at,
            ordered: old.family == Family::Latest && column.family == Family::Latest,
        }))
    });
    columns.collect()
}
