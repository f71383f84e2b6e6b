//! Point reads.
//!
//! One statement sees one instant, so that a row and the cursors that it reflects need no transaction: it reads the
//! pointer, the cursors of the generation that readers see, and the row in the generation that they saw last. Where
//! the pointer names another one, that row is thrown away and the question is put again (I8). Never through the SQL
//! view, whose definition is not part of a snapshot.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::fault::{NO_TABLE, sqlstate};
use super::keyset;
use super::names::Names;
use super::pointers;
use super::pool::Session;
use super::{Database, plan};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{RowKey, Schema};
use crate::store::{Cursor, Generation, PointRead};

/// How often readers may be moved while one read is under way.
const ATTEMPTS: usize = 4;

/// Where the columns of the row begin in an answer.
const ROW: usize = 9;

/// Which generation readers of a projection saw last. A supposition: every answer says whether it still holds.
#[derive(Debug, Default)]
pub(super) struct Seen(RwLock<HashMap<Arc<str>, u32>>);

impl Seen {
    fn get(&self, projection: &str) -> Option<u32> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.get(projection).copied()
    }

    fn set(&self, projection: &str, number: u32) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(projection.into(), number);
    }
}

/// The statement: `$1` is the projection, the key follows.
pub(super) fn statement(names: &Names, table: &str, schema: &Schema) -> String {
    format!(
        "SELECT p.generation, p.build, c.topics, c.partitions, c.positions, c.claims, c.epochs, c.newest, \
         ROW({key}) IS NOT NULL, {columns} FROM {pointers} AS p \
         CROSS JOIN LATERAL (SELECT array_agg(c.topic) AS topics, array_agg(c.partition) AS partitions, \
         array_agg(c.position) AS positions, array_agg(c.claim) AS claims, array_agg(c.epoch) AS epochs, \
         array_agg(c.newest_micros) AS newest FROM (SELECT * FROM {cursors} WHERE build = p.build \
         ORDER BY topic, partition) AS c) AS c \
         LEFT JOIN {table} AS t ON {matches} WHERE p.projection = $1",
        key = keyset::list(schema, "t."),
        columns = plan::selected(schema),
        pointers = names.control("pointers"),
        cursors = names.control("cursors"),
        matches = keyset::compared(schema, "t.", "=", 2),
    )
}

/// What one question came to.
enum Answer {
    Read(PointRead),
    /// Readers see this generation.
    Elsewhere(u32, Uuid),
    /// They see none.
    NotPublished,
    /// The generation that was asked is not there any more.
    Gone,
}

/// The row of `key` in the live generation and that generation's cursors, at one instant.
pub(super) async fn read(
    db: &Database,
    projection: &str,
    key: &RowKey,
    schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
) -> Result<Option<PointRead>> {
    let mut supposed = db.seen.get(projection).and_then(schemas);
    for _ in 0..ATTEMPTS {
        let generation = match supposed.take() {
            Some(generation) => generation,
            None => match live(db, projection, schemas).await? {
                Some(generation) => generation,
                None => return Ok(None),
            },
        };
        match ask(db, &generation, key).await? {
            Answer::Read(read) => {
                if db.seen.get(projection) != Some(read.generation) {
                    db.seen.set(projection, read.generation);
                }
                return Ok(Some(read));
            }
            Answer::Elsewhere(number, build) => {
                supposed = Some(known(projection, number, build, schemas)?);
            }
            Answer::NotPublished => return Ok(None),
            Answer::Gone => {}
        }
    }
    Err(Fault::transient(format!(
        "readers of {projection} were moved {ATTEMPTS} times meanwhile"
    )))
}

/// The generation that readers see, as the pointer says.
async fn live(
    db: &Database,
    projection: &str,
    schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
) -> Result<Option<Generation>> {
    let number = pointers::read(db, projection).await?;
    let Some(number) = number.and_then(|pointer| pointer.generation) else {
        return Ok(None);
    };
    schemas(number).map_or_else(|| Err(unmet(projection, number)), |found| Ok(Some(found)))
}

/// The generation that an answer names.
fn known(
    projection: &str,
    number: u32,
    build: Uuid,
    schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
) -> Result<Generation> {
    let found = schemas(number).filter(|generation| generation.build == build);
    found.ok_or_else(|| unmet(projection, number))
}

fn unmet(projection: &str, number: u32) -> Fault {
    Fault::transient(format!(
        "{projection} generation {number} is live, but not known to this instance yet"
    ))
}

async fn ask(db: &Database, generation: &Generation, key: &RowKey) -> Result<Answer> {
    let plan = db.plan(generation);
    let mut session = Session::open(&db.pools.readers).await?;
    let query = sqlx::query(AssertSqlSafe(Arc::clone(&plan.point))).bind(&*generation.projection);
    let query = keyset::parameters(key)
        .into_iter()
        .fold(query, |query, part| query.bind(part));
    let found = query.fetch_optional(&mut *session).await;
    let found = match found {
        Err(error) if sqlstate(&error) == Some(NO_TABLE) => {
            session.keep();
            return Ok(Answer::Gone);
        }
        found => found?,
    };
    session.keep();
    let Some(found) = found else {
        return Ok(Answer::NotPublished);
    };
    let (number, build): (i32, Uuid) = (found.try_get(0)?, found.try_get(1)?);
    let number = u32::try_from(number).map_err(|_| {
        Fault::bug(format!(
            "{}: generation {number} is live",
            generation.projection
        ))
    })?;
    if build != generation.build {
        return Ok(Answer::Elsewhere(number, build));
    }
    let is_there: bool = found.try_get(ROW - 1)?;
    Ok(Answer::Read(PointRead {
        generation: number,
        row: is_there.then(|| plan.decode_row(&found, ROW)).transpose()?,
        cursors: cursors(&found)?,
    }))
}

/// The cursors of an answer; none where the generation has no partition yet.
fn cursors(found: &PgRow) -> Result<Vec<Cursor>> {
    let Some(topics): Option<Vec<String>> = found.try_get(2)? else {
        return Ok(Vec::new());
    };
    let (partitions, positions): (Vec<i32>, Vec<i64>) = (found.try_get(3)?, found.try_get(4)?);
    let (claims, epochs): (Vec<Option<Uuid>>, Vec<i64>) = (found.try_get(5)?, found.try_get(6)?);
    let newest: Vec<Option<i64>> = found.try_get(7)?;
    let places = topics.into_iter().zip(partitions).zip(positions);
    let states = claims.into_iter().zip(epochs).zip(newest);
    let cursor = |(((topic, partition), position), ((claim, epoch), newest_micros))| Cursor {
        partition: TopicPartition::new(topic, partition),
        position: Position::at(position),
        claim,
        epoch,
        newest_micros,
    };
    Ok(places.zip(states).map(cursor).collect())
}
