//! Lists of rows, in one snapshot with the pointer and the cursors.
//!
//! Names come from the definition and are quoted; values are always parameters.
//!
//! A page begins behind the values of its predecessor's last row, so it finds its place along an index, and
//! rows that come and go elsewhere do not move it. Where the order's first column may be null, a page is read in two
//! parts, rows with a value and rows without: so both can use an index on it, whose nulls stand
//! where the other direction wants them.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres, Row as _};

use super::Database;
use super::fault::{CANCELLED, NO_TABLE, sqlstate};
use super::names::quote;
use super::pool::{BEGIN_SNAPSHOT, Session};
use super::reads::live;
use super::value::{self, read_expression, sql_type};
use crate::fault::{Fault, Result};
use crate::projection::{Column, Schema, Value};
use crate::store::Generation;
use crate::store::list::{
    Comparison, Condition, Counting, LARGEST_PAGE, ListPage, ListRead, Listed, OrderBy, Test,
};

/// How long a list may take in all: to wait for a connection, to count, and to read both parts of a page.
pub(super) const LIMIT: Duration = Duration::from_secs(12);
/// Counting may take less than a statement otherwise, so that the page still finds time.
const COUNT_LIMIT: &str = "SET LOCAL statement_timeout = '2s'";
/// As for every statement of a snapshot.
const PAGE_LIMIT: &str = "SET LOCAL statement_timeout = '3s'";

/// A page of the generation's rows, if it is the one that readers see.
pub(super) async fn list(
    db: &Database,
    generation: &Generation,
    read: &ListRead,
) -> Result<Listed> {
    let mut session = Session::begin(&db.pools.readers, BEGIN_SNAPSHOT).await?;
    let result = list_in(&mut session, db, generation, read).await;
    db.close(session, result).await
}

async fn list_in(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    read: &ListRead,
) -> Result<Listed> {
    let Some(live) = live(session, db, &generation.projection).await? else {
        return Ok(Listed::NotPublished);
    };
    if live.build != generation.build {
        return Ok(Listed::Elsewhere(live.number));
    }
    let table = db.names.table(generation);
    let count = match read.count {
        None => None,
        Some(counting) => match count(session, &generation.schema, &table, read, counting).await {
            Ok(count) => Some(count),
            Err(error) if is_cancelled(&error) => return Ok(Listed::CountTooSlow),
            Err(error) => return Err(unread(generation, error)),
        },
    };
    let mut found = Found::default();
    for part in parts(&generation.schema, read) {
        let left = read.limit + 1 - found.rows.len();
        let statement = page_statement(&generation.schema, &table, read, (part, left))?;
        match found
            .add(session, &generation.schema, read, statement)
            .await?
        {
            Ok(()) => {}
            Err(error) if is_cancelled(&error) => return Ok(Listed::RowsTooSlow),
            Err(error) => return Err(unread(generation, error)),
        }
        if found.more {
            break;
        }
    }
    Ok(Listed::Page(ListPage {
        rows: found.rows,
        next: found.last.filter(|_| found.more),
        cursors: live.cursors,
        count,
    }))
}

fn is_cancelled(error: &sqlx::Error) -> bool {
    sqlstate(error) == Some(CANCELLED)
}

/// A table that is gone although its pointer was seen: it was removed meanwhile.
fn unread(generation: &Generation, error: sqlx::Error) -> Fault {
    match sqlstate(&error) {
        Some(NO_TABLE) => Fault::transient(format!("{generation} was removed just now")),
        _ => error.into(),
    }
}

/// How many rows fulfil the conditions.
async fn count(
    session: &mut PgConnection,
    schema: &Schema,
    table: &str,
    read: &ListRead,
    counting: Counting,
) -> Result<u64, sqlx::Error> {
    let mut statement = Statement::new(schema);
    let wanted = statement.all(&read.conditions);
    let from = format!("FROM {table} AS t WHERE {wanted}");
    if counting == Counting::Estimated {
        let sql = format!("EXPLAIN (FORMAT JSON) SELECT 1 {from}");
        let plan: PgRow = statement.query(sql).fetch_one(session).await?;
        let plan: serde_json::Value = plan.try_get(0)?;
        let rows = plan.pointer("/0/Plan/Plan Rows");
        let rows = rows.and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        return Ok(rows.max(0.0) as u64);
    }
    session.execute(COUNT_LIMIT).await?;
    let sql = format!("SELECT count(*) {from}");
    let row = statement.query(sql).fetch_one(&mut *session).await?;
    session.execute(PAGE_LIMIT).await?;
    let count: i64 = row.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Which rows a part of a page is read from, by the order's first column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All: the column is never null.
    Whole,
    /// Those where it has a value.
    Known,
    /// Those where it is null; they come last.
    Null,
}

fn parts(schema: &Schema, read: &ListRead) -> &'static [Part] {
    let first = read.order.first();
    if first.is_none_or(|first| schema.is_key(first.column)) {
        return &[Part::Whole];
    }
    let after = read.after.as_ref().and_then(|values| values.first());
    match after {
        Some(Value::Null) => &[Part::Null],
        _ => &[Part::Known, Part::Null],
    }
}

/// What selects a part of the page, at most `left` rows of it.
fn page_statement<'s>(
    schema: &'s Schema,
    table: &str,
    read: &ListRead,
    (part, left): (&Part, usize),
) -> Result<(Statement<'s>, String)> {
    let mut statement = Statement::new(schema);
    let wanted = statement.all(&read.conditions);
    let mut conditions = vec![wanted];
    let mut order: &[OrderBy] = &read.order;
    let mut after = read.after.as_deref();
    match (part, order.split_first()) {
        (Part::Known, Some((first, _))) => {
            conditions.push(format!("{} IS NOT NULL", statement.name(first.column)));
        }
        (Part::Null, Some((first, rest))) => {
            conditions.push(format!("{} IS NULL", statement.name(first.column)));
            order = rest;
            after = match after.and_then(<[Value]>::split_first) {
                Some((Value::Null, rest)) => Some(rest),
                _ => None,
            };
        }
        _ => {}
    }
    let places: Vec<Place> = order
        .iter()
        .enumerate()
        .map(|(at, by)| Place {
            name: statement.name(by.column),
            by: *by,
            nullable: !(schema.is_key(by.column) || at == 0 && *part == Part::Known),
        })
        .collect();
    if let Some(after) = after {
        conditions.push(statement.behind(&places, after));
    }
    let order: Vec<String> = places.iter().map(Place::sorted).collect();
    let ordered = ordered(read);
    let selected = read.columns.iter().chain(&ordered).map(|&index| {
        let column = column(schema, index)?;
        Ok(read_expression(column.ty, &statement.name(index)))
    });
    let sql = format!(
        "SELECT {} FROM {table} AS t WHERE {} ORDER BY {} LIMIT {left}",
        selected.collect::<Result<Vec<_>>>()?.join(", "),
        conditions.join(" AND "),
        order.join(", "),
    );
    Ok((statement, sql))
}

fn column(schema: &Schema, index: usize) -> Result<&Column> {
    let column = schema.columns.get(index);
    column.ok_or_else(|| Fault::bug(format!("list of {}: column {index}", schema.name)))
}

/// A column of the order, within one part of the page.
struct Place {
    name: String,
    by: OrderBy,
    nullable: bool,
}

impl Place {
    fn operator(&self) -> &'static str {
        if self.by.descending { "<" } else { ">" }
    }

    /// Says what to do with nulls only where there may be some: an index serves the shorter form.
    fn sorted(&self) -> String {
        match (self.by.descending, self.nullable) {
            (false, _) => self.name.clone(),
            (true, false) => format!("{} DESC", self.name),
            (true, true) => format!("{} DESC NULLS LAST", self.name),
        }
    }
}

/// A statement in the making, with its parameters.
struct Statement<'s> {
    schema: &'s Schema,
    parameters: Vec<Option<String>>,
}

impl<'s> Statement<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            parameters: Vec::new(),
        }
    }

    fn name(&self, index: usize) -> String {
        let column = self.schema.columns.get(index);
        column.map_or_else(String::new, |column| format!("t.{}", quote(&column.name)))
    }

    /// A parameter with this value of the column's type.
    fn bind(&mut self, index: usize, value: &Value) -> String {
        let column = self.schema.columns.get(index);
        let ty = column.map_or_else(|| "text".into(), |column| sql_type(column.ty));
        format!("{}::{ty}", self.text(value::to_text(value)))
    }

    fn text(&mut self, text: Option<String>) -> String {
        self.parameters.push(text);
        format!("${}::text", self.parameters.len())
    }

    fn all(&mut self, conditions: &[Condition]) -> String {
        let each: Vec<String> = conditions.iter().map(|it| self.condition(it)).collect();
        match each.is_empty() {
            true => "true".into(),
            false => each.join(" AND "),
        }
    }

    fn condition(&mut self, condition: &Condition) -> String {
        let index = condition.column;
        let name = self.name(index);
        match &condition.test {
            Test::Null => format!("{name} IS NULL"),
            Test::NotNull => format!("{name} IS NOT NULL"),
            Test::Like(pattern) => {
                let pattern = self.text(Some(pattern.to_string()));
                format!("{name} LIKE {pattern}")
            }
            Test::In(values) if values.is_empty() => "false".into(),
            Test::In(values) => {
                let values: Vec<String> = values.iter().map(|it| self.bind(index, it)).collect();
                format!("{name} IN ({})", values.join(", "))
            }
            Test::Compare(comparison, value) => {
                let operator = match comparison {
                    Comparison::Equal => "=",
                    Comparison::NotEqual => "<>",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                };
                format!("{name} {operator} {}", self.bind(index, value))
            }
        }
    }

    /// Whether a row stands behind the one with these values.
    ///
    /// Rows compare as rows where all columns go one way and none may be null. Otherwise some
    /// column is beyond its value, and those before it are the same; the first one's bound is
    /// said apart, because an index can use only that.
    fn behind(&mut self, places: &[Place], after: &[Value]) -> String {
        let values: Vec<Option<String>> = places
            .iter()
            .zip(after)
            .map(|(place, value)| (!value.is_null()).then(|| self.bind(place.by.column, value)))
            .collect();
        let Some(first) = places.first() else {
            return "true".into();
        };
        let alike = |place: &Place| place.operator() == first.operator() && !place.nullable;
        if places.iter().all(alike) && values.iter().all(Option::is_some) {
            let names: Vec<&str> = places.iter().map(|place| &*place.name).collect();
            let values: Vec<&str> = values.iter().flatten().map(|value| &**value).collect();
            let (names, values) = (names.join(", "), values.join(", "));
            return format!("ROW({names}) {} ROW({values})", first.operator());
        }
        let mut same: Vec<String> = Vec::new();
        let mut ways: Vec<String> = Vec::new();
        for (place, value) in places.iter().zip(&values) {
            let Place { name, nullable, .. } = place;
            let Some(value) = value else {
                // Nothing stands behind null.
                same.push(format!("{name} IS NULL"));
                continue;
            };
            let beyond = format!("{name} {} {value}", place.operator());
            let beyond = match nullable {
                true => format!("({beyond} OR {name} IS NULL)"),
                false => beyond,
            };
            ways.push([&same[..], &[beyond]].concat().join(" AND "));
            same.push(format!("{name} = {value}"));
        }
        let ways = match ways.is_empty() {
            true => "false".into(),
            false => format!("({})", ways.join(" OR ")),
        };
        match values.first() {
            Some(Some(value)) if !first.nullable => {
                format!("{} {}= {value} AND {ways}", first.name, first.operator())
            }
            _ => ways,
        }
    }

    /// The statement `sql` with these parameters. It is hardly ever asked twice, so it is not kept prepared.
    fn query(self, sql: String) -> Query<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for text in self.parameters {
            query = query.bind(text);
        }
        query
    }
}

/// The rows found so far, each with its values of the order.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<Value>>,
    last: Option<Vec<Value>>,
    bytes: usize,
    /// Whether there are rows for which the page has no room.
    more: bool,
}

impl Found {
    /// Adds the rows of a statement, as long as there is room. The inner failure is the server's.
    async fn add(
        &mut self,
        session: &mut PgConnection,
        schema: &Schema,
        read: &ListRead,
        (statement, sql): (Statement<'_>, String),
    ) -> Result<Result<(), sqlx::Error>> {
        let mut rows = statement.query(sql).fetch(session);
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            if self.rows.len() == read.limit || self.bytes > LARGEST_PAGE {
                self.more = true;
                return Ok(Ok(()));
            }
            let mut values = Vec::with_capacity(row.len());
            for (at, index) in read.columns.iter().chain(&ordered(read)).enumerate() {
                let text: Option<&str> = row.try_get(at)?;
                self.bytes += text.map_or(0, str::len);
                values.push(match text {
                    Some(text) => value::read(column(schema, *index)?.ty, text)?,
                    None => Value::Null,
                });
            }
            self.last = Some(values.split_off(read.columns.len()));
            self.rows.push(values);
        }
    }
}

/// The columns of the order.
fn ordered(read: &ListRead) -> Vec<usize> {
    read.order.iter().map(|by| by.column).collect()
}
