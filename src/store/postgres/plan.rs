//! The statements of one generation, made once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::changes::note_statement;
use super::names::{Names, quote};
use super::point;
use super::shape::Shape;
use super::upsert::{PAGE_COLUMN, key_names, order_column, statement};
use super::value::{self, sql_type};
use crate::fault::{Fault, Result};
use crate::projection::{Family, Row, RowDelta, Schema, Value};
use crate::store::Generation;

/// How many shapes of batches get a statement of their own before all others share a general
/// one: each is prepared on every connection.
const SHAPES: usize = 64;
/// Parameters of the cursors' movement, which stands before every upsert.
const MOVE_PARAMETERS: usize = 5;

/// The statements of one generation.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<Schema>,
    /// Locks every key in order, and creates the missing ones with defaults.
    pub(super) lock: Arc<str>,
    /// Reads rows by key, each with whether this transaction created it.
    pub(super) load: Arc<str>,
    /// Reads rows by key.
    pub(super) read: Arc<str>,
    /// Reads one row of what readers see, with what it reflects.
    pub(super) point: Arc<str>,
    /// Deletes rows by key.
    pub(super) delete: Arc<str>,
    /// Moves the cursors, for batches without rows.
    pub(super) moving: Arc<str>,
    /// The generation's table, qualified and quoted.
    pub(super) table: String,
    /// What is selected of a row of the table `t`, for [`Plan::decode_row`].
    pub(super) selected: String,
    /// Notes the batch for the change feed, in a CTE; none while there is no feed.
    pub(super) noting: Option<String>,
    upserts: Mutex<HashMap<Shape, Arc<str>>>,
}

impl Plan {
    /// The statements for `generation`; `moving` moves the cursors and stands in a CTE. With `feed`, what
    /// changes is noted in the same statement.
    pub(super) fn new(
        names: &Names,
        moving: Arc<str>,
        generation: &Generation,
        feed: bool,
    ) -> Self {
        let schema = Arc::clone(&generation.schema);
        let table = names.table(generation);
        let (source, matches) = keys_as_source(&schema);
        let columns = selected(&schema);
        let select = |fresh: &str| {
            format!("SELECT k.ord, {fresh}{columns} FROM {source} JOIN {table} AS t ON {matches}")
        };
        Self {
            lock: statement(&schema, &Shape::locks(&schema), &table, 1).into(),
            load: select("t.xmin = pg_current_xact_id()::xid, ").into(),
            read: select("false, ").into(),
            point: point::statement(names, &table, &schema).into(),
            delete: format!("DELETE FROM {table} AS t USING {source} WHERE {matches}").into(),
            noting: feed.then(|| note_statement(names, MOVE_PARAMETERS + 1)),
            upserts: Mutex::default(),
            selected: columns.clone(),
            moving,
            table,
            schema,
        }
    }

    /// The shape under which `rows` are written blindly, and its statement; none where the rows
    /// have to be read first.
    pub(super) fn upsert(&self, rows: &[RowDelta]) -> Option<(Shape, Arc<str>)> {
        let shape = Shape::of(&self.schema, rows)?;
        let mut known = self.upserts.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = if known.len() < SHAPES || known.contains_key(&shape) {
            shape
        } else {
            shape.general(&self.schema)
        };
        let sql = known.entry(shape.clone()).or_insert_with(|| {
            // What is noted takes one parameter more: the keys.
            let (noted, first) = match &self.noting {
                Some(noting) => (format!(", noted AS ({noting})"), MOVE_PARAMETERS + 2),
                None => (String::new(), MOVE_PARAMETERS + 1),
            };
            let upsert = statement(&self.schema, &shape, &self.table, first);
            format!("WITH moved AS ({}){noted} {upsert}", self.moving).into()
        });
        let sql = Arc::clone(sql);
        Some((shape, sql))
    }

    /// The place of the key among those asked for, whether the row is new, and the row.
    pub(super) fn decode(&self, row: &PgRow) -> Result<(usize, bool, Row)> {
        let place: i64 = row.try_get(0)?;
        let fresh: bool = row.try_get(1)?;
        let place = usize::try_from(place - 1)
            .map_err(|_| Fault::bug("postgres: a row that was not asked for"))?;
        Ok((place, fresh, self.decode_row(row, 2)?))
    }

    /// The row whose columns stand from `first` on.
    pub(super) fn decode_row(&self, row: &PgRow, first: usize) -> Result<Row> {
        let mut values = Vec::with_capacity(self.schema.columns.len());
        let mut orders = vec![None; self.schema.columns.len()];
        for (index, column) in self.schema.columns.iter().enumerate() {
            let text: Option<&str> = row.try_get(first + index)?;
            values.push(match text {
                Some(text) => value::read(column.ty, text)?,
                None => Value::Null,
            });
        }
        let mut next = first + self.schema.columns.len();
        for (column, order) in self.schema.columns.iter().zip(&mut orders) {
            if column.family == Family::Latest {
                let text: Option<&str> = row.try_get(next)?;
                *order = text.map(Box::from);
                next += 1;
            }
        }
        let page: Option<i32> = row.try_get(next)?;
        Ok(Row {
            values,
            orders,
            page: page.and_then(|page| u32::try_from(page).ok()).unwrap_or(0),
        })
    }
}

/// `unnest` of the key parameters, numbered, and the condition that joins it to the table.
fn keys_as_source(schema: &Schema) -> (String, String) {
    let places: Vec<usize> = (0..schema.key.len()).collect();
    let list = |item: &dyn Fn(usize) -> String| {
        places
            .iter()
            .map(|&place| item(place))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let source = format!(
        "unnest({}) WITH ORDINALITY AS k({}, ord)",
        list(&|place| format!("${}::text[]", place + 1)),
        list(&|place| format!("k{place}")),
    );
    let matches: Vec<String> = key_names(schema)
        .iter()
        .zip(schema.key_columns())
        .enumerate()
        .map(|(place, (name, column))| format!("t.{name} = k.k{place}::{}", sql_type(column.ty)))
        .collect();
    (source, matches.join(" AND "))
}

/// Every declared column, then the orders of the latest family, as texts, and the page.
pub(super) fn selected(schema: &Schema) -> String {
    let declared = schema
        .columns
        .iter()
        .map(|c| value::read_expression(c.ty, &format!("t.{}", quote(&c.name))));
    let orders = schema
        .columns
        .iter()
        .filter(|column| column.family == Family::Latest)
        .map(|column| format!("t.{}", order_column(column)));
    let page = format!("t.{}", quote(PAGE_COLUMN));
    let all = declared.chain(orders).chain([page]);
    all.collect::<Vec<_>>().join(", ")
}
