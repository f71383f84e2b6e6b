//! Tables of generations: created, removed.

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use super::names::{literal, quote};
use super::pool::{BEGIN_WRITE, Session, bounded};
use super::upsert::{MASK_COLUMN, PAGE_COLUMN, key_names, order_column, removed_column};
use super::value::{has_collation, sql_type, to_text};
use super::view;
use super::{Database, base_pages};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Column, ColumnType, Family, Schema, StoreKind};
use crate::store::{Generation, other_build};

/// Room left in each page, so that an update finds place beside the row it replaces.
const FILLFACTOR: u32 = 70;

/// `CREATE TABLE` and its indexes, for the rows of `schema`.
pub(super) fn create_table(schema: &Schema, table: &str) -> String {
    let mut columns = Vec::new();
    for (index, column) in schema.columns.iter().enumerate() {
        columns.push(declared_column(schema, index, column));
    }
    columns.push(format!("{} bytea", quote(MASK_COLUMN)));
    columns.push(format!("{} integer", quote(PAGE_COLUMN)));
    for column in &schema.columns {
        match column.family {
            Family::Latest => columns.push(format!("{} text COLLATE \"C\"", order_column(column))),
            Family::Object => columns.push(format!("{} text[]", removed_column(column))),
            _ => {}
        }
    }
    columns.push(format!("PRIMARY KEY ({})", key_names(schema).join(", ")));
    let mut sql = format!(
        "CREATE TABLE {table} ({}) WITH (fillfactor = {FILLFACTOR});",
        columns.join(", ")
    );
    for column in schema.columns.iter().filter(|column| column.index) {
        sql.push_str(&format!(
            "CREATE INDEX ON {table} ({});",
            quote(&column.name)
        ));
    }
    sql
}

fn declared_column(schema: &Schema, index: usize, column: &Column) -> String {
    let name = quote(&column.name);
    let ty = sql_type(column.ty);
    let mut sql = format!("{name} {ty}");
    if has_collation(column.ty) {
        sql.push_str(" COLLATE \"C\"");
    }
    if schema.is_key(index) {
        sql.push_str(" NOT NULL");
    } else if let Some(default) = to_text(&column.default) {
        sql.push_str(&format!(" DEFAULT {}::{ty}", literal(&default)));
    }
    // Where the server would take more digits than a view may hold, and give them back.
    if column.ty == ColumnType::Numeric && column.family == Family::Sum {
        sql.push_str(&format!(" CHECK (abs({name}) < 1e1000)"));
    }
    sql
}

/// Creates the generation's table and cursors, if they are not there.
pub(super) async fn create(
    db: &Database,
    generation: &Generation,
    starts: &[(TopicPartition, Position)],
) -> Result<()> {
    let mut session = Session::begin(&db.pools.control, BEGIN_WRITE).await?;
    let result = create_in(&mut session, db, generation, starts).await;
    db.close(session, result).await
}

async fn create_in(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
    starts: &[(TopicPartition, Position)],
) -> Result<()> {
    if !identify(session, db, generation).await? {
        return Ok(());
    }
    let table = create_table(&generation.schema, &db.names.table(generation));
    session.execute(AssertSqlSafe(table)).await?;
    super::cursors::insert(session, db, generation, starts).await
}

/// Gives the generation its identity. `false` when it had it before; another build is refused.
pub(super) async fn identify(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<bool> {
    let builds = db.names.control("builds");
    let insert = format!(
        "INSERT INTO {builds} (projection, generation, build) VALUES ($1, $2, $3) \
         ON CONFLICT (projection, generation) DO NOTHING"
    );
    let created = sqlx::query(AssertSqlSafe(insert))
        .bind(&*generation.projection)
        .bind(number(generation)?)
        .bind(generation.build)
        .execute(&mut *session)
        .await?
        .rows_affected();
    if created > 0 {
        return Ok(true);
    }
    match build_of(session, db, generation).await? {
        Some(build) if build == generation.build => Ok(false),
        _ => Err(other_build(generation, StoreKind::Postgres)),
    }
}

/// The build that the store holds under this generation's number. It cannot be removed before
/// the transaction ends.
pub(super) async fn build_of(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<Option<Uuid>> {
    let sql = format!(
        "SELECT build FROM {} WHERE projection = $1 AND generation = $2 FOR SHARE",
        db.names.control("builds")
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(&*generation.projection)
        .bind(number(generation)?)
        .fetch_optional(session)
        .await?)
}

/// Removes the generation: its view if that shows it, its table, cursors and identity; then the
/// page cursors of a copy, in small steps.
pub(super) async fn remove(db: &Database, generation: &Generation) -> Result<()> {
    let work = async {
        let mut session = Session::begin(&db.pools.control, BEGIN_WRITE).await?;
        let result = remove_in(&mut session, db, generation).await;
        db.close(session, result).await
    };
    let removed = bounded("remove", generation, work).await;
    db.forget(generation.build);
    removed?;
    base_pages::delete(db, generation.build).await
}

async fn remove_in(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<()> {
    let table = db.names.table(generation);
    let mut deleted = delete_records(session, db, generation).await?;
    if deleted.builds == 0 {
        if build_of(session, db, generation).await?.is_some() || !exists(session, &table).await? {
            return Ok(());
        }
        // An unfinished copy. Its last step may be under way: that ends first.
        let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        session.execute(AssertSqlSafe(lock)).await?;
        deleted = delete_records(session, db, generation).await?;
    }
    if deleted.pointers > 0 {
        view::drop_view(session, db, &generation.projection).await?;
    }
    let table = format!("DROP TABLE IF EXISTS {table}");
    session.execute(AssertSqlSafe(table)).await?;
    Ok(())
}

/// How many records of a build were deleted.
struct Deleted {
    builds: u64,
    pointers: u64,
}

/// Deletes the build's identity, cursors and pointer. Cursors before tables: the order in which batches lock.
async fn delete_records(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<Deleted> {
    let mut deleted = [0; 4];
    let tables = ["builds", "cursors", "pointers", "change_horizons"];
    for (count, table) in deleted.iter_mut().zip(tables) {
        let sql = format!("DELETE FROM {} WHERE build = $1", db.names.control(table));
        *count = sqlx::query(AssertSqlSafe(sql))
            .bind(generation.build)
            .execute(&mut *session)
            .await?
            .rows_affected();
    }
    let [builds, _, pointers, _] = deleted;
    Ok(Deleted { builds, pointers })
}

/// Whether there is a table under this name.
async fn exists(session: &mut PgConnection, table: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(session)
        .await?)
}

/// The generation's number as the column has it.
pub(super) fn number(generation: &Generation) -> Result<i32> {
    i32::try_from(generation.number)
        .map_err(|_| Fault::bug(format!("{generation}: the number is out of range")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::projection::Value;

    #[test]
    fn a_default_cannot_break_out_of_its_literal() {
        let column = Column {
            name: Arc::from("note"),
            ty: ColumnType::Text,
            default: Value::Text("it's \\ me".into()),
            index: false,
            family: Family::Assign,
        };
        let schema = Schema {
            name: Arc::from("p"),
            columns: vec![column.clone(), column],
            key: vec![0],
        };
        let sql = create_table(&schema, "t");
        assert!(sql.contains(r"DEFAULT E'it''s \\ me'::text"), "{sql}");
    }
}
