//! The page cursors of copies: read as a whole, deleted in small steps.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Database;
use super::pool::{Session, bounded};
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::store::{BasePages, Generation};

/// Page cursors that are deleted in one step.
const DELETED_AT_ONCE: u64 = 10_000;

/// The page cursors of a generation that was copied; none for others.
pub(super) async fn read(db: &Database, generation: &Generation) -> Result<Option<BasePages>> {
    let sql = format!(
        "SELECT p.page, p.topic, p.partition, p.position FROM {} AS p \
         WHERE p.build = $1 AND EXISTS (SELECT FROM {} AS b WHERE b.build = $1) \
         ORDER BY p.page, p.topic, p.partition",
        db.names.control("base_pages"),
        db.names.control("builds"),
    );
    let mut session = Session::open(&db.pools.control).await?;
    let found: Vec<(i32, String, i32, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(generation.build)
        .fetch_all(&mut *session)
        .await?;
    session.keep();
    let mut pages: Vec<Vec<(TopicPartition, Position)>> = Vec::new();
    let mut topic: Arc<str> = "".into();
    for (page, name, partition, position) in found {
        if *topic != *name {
            topic = name.into();
        }
        let page = usize::try_from(page).unwrap_or_default();
        if pages.len() < page {
            pages.resize_with(page, Vec::new);
        }
        if let Some(cursors) = pages.last_mut() {
            let at = TopicPartition::new(topic.clone(), partition);
            cursors.push((at, Position::at(position)));
        }
    }
    Ok((!pages.is_empty()).then_some(BasePages(pages)))
}

/// Deletes the page cursors of a build, in small steps.
pub(super) async fn delete(db: &Database, build: Uuid) -> Result<()> {
    let pages = db.names.control("base_pages");
    let sql = format!(
        "DELETE FROM {pages} WHERE ctid = ANY (ARRAY( \
         SELECT ctid FROM {pages} WHERE build = $1 LIMIT {DELETED_AT_ONCE}))"
    );
    loop {
        let work = async {
            let mut session = Session::open(&db.pools.control).await?;
            let deleted = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(build)
                .execute(&mut *session)
                .await?;
            session.keep();
            Ok(deleted.rows_affected())
        };
        if bounded("delete the page cursors of", build, work).await? < DELETED_AT_ONCE {
            return Ok(());
        }
    }
}
