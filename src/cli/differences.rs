//! What a verification found, for people.

use serde_json::Value;

use super::get::cell;
use super::output;
use super::progress::{count, lasting};
use crate::api::{Difference, Verification};

/// Counts, columns, and the keys that differ with both values.
pub(super) fn describe(found: &Verification) -> String {
    let mut text = format!(
        "{}: {} of {} keys compared with {} differ",
        found.store,
        count(found.differing),
        count(found.compared),
        found.against
    );
    if found.order_sensitive > 0 {
        let some = count(found.order_sensitive);
        text += &format!(
            ", {some} of them only in columns that depend on the order between partitions"
        );
    }
    let (first, second) = (count(found.rows_first), count(found.rows_second));
    text += &format!(
        "; {first} and {second} rows; took {}\n",
        lasting(found.seconds)
    );
    if !found.same_definition {
        text += "the definitions are different; compared are the columns that both have\n";
    }
    let columns = found.by_column.iter().filter(|(_, rows)| **rows > 0);
    for (column, rows) in columns {
        text += &format!(
            "{}: {column} differs in {} rows\n",
            found.store,
            count(*rows)
        );
    }
    if !found.examples.is_empty() {
        // The first side is the one that is not named.
        let header = ["key", "column", "generation", &*found.against, ""];
        let rows = found.examples.iter().flat_map(rows).collect();
        text += &output::table(&header, rows);
    }
    let named = found.examples.len() as u64;
    if found.differing > named && named > 0 {
        text += &format!("and {} more keys\n", count(found.differing - named));
    }
    text
}

/// A line per column that differs; one line for a row that is on one side only.
fn rows(difference: &Difference) -> Vec<Vec<String>> {
    let note = match difference.order_sensitive {
        true => "order-sensitive",
        false => "",
    };
    let line = |column: &str, first: String, second: String| {
        vec![
            difference.key.clone(),
            column.to_owned(),
            first,
            second,
            note.to_owned(),
        ]
    };
    let absent = |row: &Value| match row.is_null() {
        true => "absent".to_owned(),
        false => row.to_string(),
    };
    if difference.first.is_null() || difference.second.is_null() {
        return vec![line(
            "(row)",
            absent(&difference.first),
            absent(&difference.second),
        )];
    }
    let value = |row: &Value, column: &str| match row.get(column) {
        None | Some(Value::Null) => "null".to_owned(),
        Some(value) => cell(value),
    };
    let columns = difference.columns.iter();
    columns
        .map(|c| line(c, value(&difference.first, c), value(&difference.second, c)))
        .collect()
}
