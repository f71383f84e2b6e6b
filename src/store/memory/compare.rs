//! Pages of two generations' rows.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::build::Build;
use crate::fault::{Fault, Result};
use crate::projection::{RowKey, Schema};
use crate::store::shapes::same_key;
use crate::store::{ComparePage, PageToken};

/// A generation's shape and what it holds.
type Side<'a> = (&'a Schema, &'a Build);

/// The next `rows` keys behind `after` that are in either generation.
pub(super) fn page(
    (schema, first): Side<'_>,
    (other, second): Side<'_>,
    after: Option<&PageToken>,
    rows: usize,
) -> Result<ComparePage> {
    same_key(schema, other)?;
    let begin = match after {
        None => Bound::Unbounded,
        Some(token) => Bound::Excluded(
            RowKey::parse(schema, &token.0)
                .map_err(|why| Fault::misconfigured(format!("the page's beginning {why}")))?,
        ),
    };
    let rows = rows.max(1);
    let range = (begin, Bound::Unbounded);
    let of = |build: &Build| -> Vec<RowKey> {
        let found = build.rows.range(range.clone());
        found.take(rows + 1).map(|(key, _)| key.clone()).collect()
    };
    let all: BTreeSet<RowKey> = of(first).into_iter().chain(of(second)).collect();
    let more = all.len() > rows;
    let keys: Vec<RowKey> = all.into_iter().take(rows).collect();
    let next = keys.last().filter(|_| more);
    let next = next.map(|key| PageToken(key.text().to_owned()));
    let row = |build: &Build, key: &RowKey| build.rows.get(key).cloned();
    Ok(ComparePage {
        rows: keys
            .into_iter()
            .map(|key| {
                let (a, b) = (row(first, &key), row(second, &key));
                (key, a, b)
            })
            .collect(),
        first: first.cursors.values().cloned().collect(),
        second: second.cursors.values().cloned().collect(),
        next,
    })
}
