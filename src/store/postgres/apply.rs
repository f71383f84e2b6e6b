//! Applying a batch: one transaction, all or nothing.
//!
//! 1. The cursors are locked in (topic, partition) order and every claim and position is judged.
//!    Unless every one matches, nothing is changed.
//! 2. Cursors and rows are written in one statement, rows in key order ([`super::upsert`]).
//!    The same statement notes the batch for the change feed ([`super::changes`]).
//! 3. Rows that go were locked in that same order; they are deleted.
//!
//! Lanes that write the same rows from different partitions lock them in one order, so they wait
//! for each other instead of deadlocking. What remains (keys that only turn up while folding
//! onto loaded rows) is resolved by the server, and the batch is tried again at once.
//!
//! Where a blind statement would not be exact, and where the caller folds onto current rows,
//! the rows are locked (missing ones created), loaded, computed by [`projection::apply`] and
//! written whole; created rows that nobody wanted go again before the commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

use super::Database;
use super::cursors::{Columns, judge};
use super::fault::{DEADLOCK, sqlstate};
use super::parameters::{key_parameters, parameters};
use super::plan::Plan;
use super::pool::{BEGIN_WRITE, Session};
use super::shape::Shape;
use crate::fault::{Fault, Result};
use crate::projection::{self, Cell, Family, Latest, Row, RowDelta, RowKey, Schema};
use crate::store::{FoldRows, Generation, Move, Outcome, Verdict};

/// How often a batch is tried that the server chose to end a deadlock.
const ATTEMPTS: usize = 5;

/// Where a batch's rows come from.
pub(super) enum Rows<'a> {
    /// They are known.
    Given(&'a [RowDelta]),
    /// They follow from the current rows of these keys.
    Folded {
        keys: &'a [RowKey],
        fold: &'a FoldRows<'a>,
    },
}

/// Why an attempt ended without an answer.
enum Stop {
    Deadlock,
    /// The caller's fold refused.
    Folding(Fault),
    Fault(Fault),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        if sqlstate(&error) == Some(DEADLOCK) {
            Self::Deadlock
        } else {
            Self::Fault(error.into())
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Applies a batch in one atomic step. The inner fault is the fold's own.
pub(super) async fn apply(
    db: &Database,
    generation: &Generation,
    moves: &[Move],
    rows: Rows<'_>,
) -> Result<Result<Outcome>> {
    if moves.is_empty() {
        return Err(Fault::bug("a batch that moves no cursor"));
    }
    for _ in 0..ATTEMPTS {
        match attempt(db, generation, moves, &rows).await {
            Ok(outcome) => return Ok(Ok(outcome)),
            Err(Stop::Folding(fault)) => return Ok(Err(fault)),
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Deadlock) => {
                db.counters.deadlocks.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%generation, "a batch was chosen to end a deadlock and is tried again");
            }
        }
    }
    Err(Fault::transient("postgres: one deadlock after the other"))
}

async fn attempt(
    db: &Database,
    generation: &Generation,
    moves: &[Move],
    rows: &Rows<'_>,
) -> Result<Outcome, Stop> {
    let mut session = Session::begin(&db.pools.writers, BEGIN_WRITE).await?;
    let verdicts = match judge(&mut session, db, generation.build, moves).await {
        Ok(verdicts) => verdicts,
        Err(error) => {
            session.rollback().await;
            return Err(error.into());
        }
    };
    failpoint!("postgres::locked");
    if let Some(outcome) = decided(verdicts) {
        session.rollback().await;
        return Ok(outcome);
    }
    let plan = db.plan(generation);
    let batch = (generation.build, Columns::of(moves));
    match write(&mut session, &plan, batch, rows).await {
        Ok(()) => {
            failpoint!("postgres::written");
            session.commit().await?;
            failpoint!("postgres::committed");
            Ok(Outcome::Applied)
        }
        Err(stop) => {
            session.rollback().await;
            Err(stop)
        }
    }
}

/// The outcome that follows from the verdicts alone; none when the batch is to be written.
fn decided(verdicts: Vec<Verdict>) -> Option<Outcome> {
    let all = |wanted: Verdict| verdicts.iter().all(|verdict| *verdict == wanted);
    if all(Verdict::NotApplied) {
        None
    } else if all(Verdict::Applied) {
        Some(Outcome::Applied)
    } else {
        Some(Outcome::Refused(verdicts))
    }
}

/// A batch's cursor movements: the build, and the moves as columns.
type Moves<'a> = (uuid::Uuid, Columns<'a>);

async fn write(
    session: &mut PgConnection,
    plan: &Plan,
    moves: Moves<'_>,
    rows: &Rows<'_>,
) -> Result<(), Stop> {
    match rows {
        Rows::Given(rows) => {
            let noted = plan.noting.as_ref().map(|_| noted(rows));
            if let Some(upsert) = plan.upsert(rows) {
                return put(session, plan, moves, (rows, noted), upsert).await;
            }
            let keys: Vec<RowKey> = rows.iter().map(|row| row.key().clone()).collect();
            let loaded = lock_and_load(session, plan, &keys).await?;
            let resolved = resolve(&plan.schema, loaded, rows)?;
            put_whole(session, plan, moves, (&resolved, noted)).await
        }
        Rows::Folded { keys, fold } => {
            let mut loaded = lock_and_load(session, plan, keys).await?;
            let deltas = fold(&loaded).map_err(Stop::Folding)?;
            let unseen: Vec<RowKey> = deltas
                .iter()
                .map(RowDelta::key)
                .filter(|key| keys.binary_search(key).is_err())
                .cloned()
                .collect();
            loaded.extend(lock_and_load(session, plan, &unseen).await?);
            let noted = plan.noting.as_ref().map(|_| noted(&deltas));
            let resolved = resolve(&plan.schema, loaded, &deltas)?;
            put_whole(session, plan, moves, (&resolved, noted)).await
        }
    }
}

/// Locks the rows of `keys` (sorted, distinct) in order and loads them. A missing row is
/// created, so that it is locked too, and comes as none.
async fn lock_and_load(
    session: &mut PgConnection,
    plan: &Plan,
    keys: &[RowKey],
) -> Result<Vec<(RowKey, Option<Row>)>, Stop> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    by_keys(plan, &plan.lock, keys.iter())
        .execute(&mut *session)
        .await?;
    let mut rows: Vec<Option<Row>> = vec![None; keys.len()];
    for found in by_keys(plan, &plan.load, keys.iter())
        .fetch_all(session)
        .await?
    {
        let (place, fresh, row) = plan.decode(&found)?;
        if let Some(slot) = rows.get_mut(place).filter(|_| !fresh) {
            *slot = Some(row);
        }
    }
    Ok(keys.iter().cloned().zip(rows).collect())
}

/// A statement of the plan whose parameters are `keys`.
pub(super) fn by_keys<'q, 'k>(
    plan: &Plan,
    statement: &Arc<str>,
    keys: impl Iterator<Item = &'k RowKey> + Clone,
) -> Query<'q, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(Arc::clone(statement)));
    key_parameters(&plan.schema, keys)
        .into_iter()
        .fold(query, Query::bind)
}

/// What the deltas make of the loaded rows, each written whole, by key. Rows that were only
/// created to be locked, and are not wanted, go.
fn resolve(
    schema: &Schema,
    loaded: Vec<(RowKey, Option<Row>)>,
    deltas: &[RowDelta],
) -> Result<Vec<RowDelta>> {
    let mut rows: BTreeMap<RowKey, Option<Row>> = loaded.into_iter().collect();
    let mut out = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let row = rows.remove(delta.key()).flatten();
        out.push(match projection::apply(schema, row, delta)? {
            Some(row) => RowDelta::Upsert(delta.key().clone(), whole(schema, row)),
            None => RowDelta::Delete(delta.key().clone()),
        });
    }
    let phantoms = rows.into_iter().filter(|(_, row)| row.is_none());
    out.extend(phantoms.map(|(key, _)| RowDelta::Delete(key)));
    out.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(out)
}

/// Cells that replace every column by what `row` holds.
fn whole(schema: &Schema, row: Row) -> Vec<(usize, Cell)> {
    let columns = schema.columns.iter().enumerate();
    columns
        .zip(row.values.into_iter().zip(row.orders))
        .filter(|((index, _), _)| !schema.is_key(*index))
        .map(|((index, column), (value, order))| match order {
            Some(order) if column.family == Family::Latest => {
                (index, Cell::ReplaceLatest(Latest { order, value }))
            }
            _ => (index, Cell::Replace(value)),
        })
        .collect()
}

/// The rows to write, and the keys to note where changes are noted. Rows that were only locked are not noted.
type Written<'a> = (&'a [RowDelta], Option<String>);

/// The keys of a batch's rows as the change log has them: one per line.
fn noted(rows: &[RowDelta]) -> String {
    let size = rows.iter().map(|row| row.key().text().len() + 1).sum();
    let mut keys = String::with_capacity(size);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            keys.push('\n');
        }
        keys.push_str(row.key().text());
    }
    keys
}

/// Moves the cursors and writes `rows`, which replace every column.
async fn put_whole(
    session: &mut PgConnection,
    plan: &Plan,
    moves: Moves<'_>,
    (rows, noted): Written<'_>,
) -> Result<(), Stop> {
    let upsert = plan
        .upsert(rows)
        .ok_or_else(|| Fault::bug("whole rows without a statement"))?;
    put(session, plan, moves, (rows, noted), upsert).await
}

/// Moves the cursors and writes `rows` with the statement of their shape.
async fn put(
    session: &mut PgConnection,
    plan: &Plan,
    (build, columns): Moves<'_>,
    (rows, noted): Written<'_>,
    (shape, upsert): (Shape, Arc<str>),
) -> Result<(), Stop> {
    let (sql, arrays) = if rows.is_empty() {
        (Arc::clone(&plan.moving), Vec::new())
    } else {
        (upsert, parameters(&plan.schema, &shape, rows))
    };
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(build)
        .bind(columns.topics)
        .bind(columns.partitions)
        .bind(columns.targets)
        .bind(columns.newest);
    if let Some(noted) = noted.filter(|_| !rows.is_empty()) {
        query = query.bind(noted);
    }
    for array in arrays {
        query = query.bind(array);
    }
    query.execute(&mut *session).await?;
    let gone = rows.iter().filter_map(|row| match row {
        RowDelta::Delete(key) => Some(key),
        RowDelta::Upsert(..) => None,
    });
    if gone.clone().next().is_some() {
        by_keys(plan, &plan.delete, gone).execute(session).await?;
    }
    Ok(())
}
