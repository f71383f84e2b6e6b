//! Pages of two generations' rows at one instant, with the cursors of both.
//!
//! A page ends at the `n`th of the keys that both have beyond the last page, so that it holds every
//! key up to there from both sides, and no key is on two pages.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::Database;
use super::cursors::read_in;
use super::keyset::{self, compared, list, parameters, texts};
use super::plan::Plan;
use super::pool::{BEGIN_SNAPSHOT, Session};
use crate::fault::{Fault, Result};
use crate::projection::{Row, RowKey};
use crate::store::shapes::same_key;
use crate::store::{ComparePage, Generation, PageToken};

/// The keys of a page: behind the first, up to and with the second. None: without that bound.
type Bounds = (Option<RowKey>, Option<RowKey>);

/// A page of about `rows` rows of both; none when one of them is not here.
pub(super) async fn page(
    db: &Database,
    (first, second): (&Generation, &Generation),
    after: Option<&PageToken>,
    rows: usize,
) -> Result<Option<ComparePage>> {
    same_key(&first.schema, &second.schema)?;
    let after = after
        .map(|token| RowKey::parse(&first.schema, &token.0))
        .transpose()
        .map_err(|why| Fault::misconfigured(format!("the page's beginning {why}")))?;
    let mut session = Session::begin(&db.pools.control, BEGIN_SNAPSHOT).await?;
    let result = page_in(&mut session, db, (first, second), (after, rows.max(1))).await;
    db.close(session, result).await
}

async fn page_in(
    session: &mut PgConnection,
    db: &Database,
    (first, second): (&Generation, &Generation),
    (after, rows): (Option<RowKey>, usize),
) -> Result<Option<ComparePage>> {
    session.execute(keyset::ALONG_THE_KEY).await?;
    let cursors = (
        read_in(session, db, first.build).await?,
        read_in(session, db, second.build).await?,
    );
    let (Some(of_first), Some(of_second)) = cursors else {
        return Ok(None);
    };
    let plans = (db.plan(first), db.plan(second));
    let end = end_of_page(session, (&plans.0, &plans.1), after.as_ref(), rows).await?;
    let next = end.as_ref().map(|key| PageToken(key.text().to_owned()));
    let bounds = (after, end);
    let mut page: BTreeMap<RowKey, (Option<Row>, Option<Row>)> = BTreeMap::new();
    for (key, row) in read(session, &plans.0, &bounds).await? {
        page.entry(key).or_default().0 = Some(row);
    }
    for (key, row) in read(session, &plans.1, &bounds).await? {
        page.entry(key).or_default().1 = Some(row);
    }
    let page = page.into_iter();
    Ok(Some(ComparePage {
        rows: page.map(|(key, (a, b))| (key, a, b)).collect(),
        first: of_first,
        second: of_second,
        next,
    }))
}

/// The last key of a page; none when it is the last page.
async fn end_of_page(
    session: &mut PgConnection,
    (first, second): (&Plan, &Plan),
    after: Option<&RowKey>,
    rows: usize,
) -> Result<Option<RowKey>> {
    let schema = &first.schema;
    let order = list(schema, "");
    let condition = match after {
        Some(_) => format!("WHERE {}", compared(schema, "", ">", 1)),
        None => String::new(),
    };
    let keys = |table: &str| {
        format!("(SELECT {order} FROM {table} {condition} ORDER BY {order} LIMIT {rows})")
    };
    let sql = format!(
        "SELECT {} FROM ({} UNION {}) AS k ORDER BY {} OFFSET {} LIMIT 1",
        texts(schema, "k."),
        keys(&first.table),
        keys(&second.table),
        list(schema, "k."),
        rows - 1,
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for text in after.map(parameters).unwrap_or_default() {
        query = query.bind(text);
    }
    let found = query.fetch_optional(session).await?;
    found.map(|row| keyset::decode(schema, &row, 0)).transpose()
}

/// The rows within the bounds.
async fn read(
    session: &mut PgConnection,
    plan: &Plan,
    (after, end): &Bounds,
) -> Result<Vec<(RowKey, Row)>> {
    let schema = &plan.schema;
    let mut conditions = Vec::new();
    let mut bound = Vec::new();
    for (key, operator) in [(after, ">"), (end, "<=")] {
        if let Some(key) = key {
            conditions.push(compared(schema, "t.", operator, bound.len() + 1));
            bound.extend(parameters(key));
        }
    }
    if conditions.is_empty() {
        conditions.push("true".to_owned());
    }
    let sql = format!(
        "SELECT {} FROM {} AS t WHERE {}",
        plan.selected,
        plan.table,
        conditions.join(" AND ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for text in bound {
        query = query.bind(text);
    }
    let found = query.fetch_all(session).await?;
    let rows = found.iter().map(|found| {
        let row = plan.decode_row(found, 0)?;
        let parts = schema.key.iter().filter_map(|&index| row.values.get(index));
        let key = keyset::key_of(schema, parts.cloned().collect())?;
        Ok((key, row))
    });
    rows.collect()
}
