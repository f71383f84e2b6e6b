//! Generations in the control tables: read, locked, written back.
//!
//! Every change locks all generations of its projection in the order of their numbers, computes
//! what they become ([`crate::store::desired`]), and writes the difference. What takes a lease locks that
//! first: lease, generations, states is the order everywhere.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::leases;
use super::records::gather;
use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, Lease};
use crate::store::desired;
use crate::store::postgres::Database;

/// Records that readers of `store` see `build`, in the caller's transaction. `false`, and nothing
/// is changed, when the lease is not the newest any more or the build is not the wanted one.
pub(in crate::store::postgres) async fn flip_live(
    db: &Database,
    session: &mut PgConnection,
    lease: &Lease,
    build: Uuid,
    store: StoreKind,
) -> Result<bool> {
    let flip = |all: &mut [GenerationRecord]| desired::set_live(all, build, store);
    let changed = change_under(db, session, lease, build, flip).await?;
    Ok(changed.done)
}

/// What became of a change to a projection's generations.
pub(super) struct Changed {
    /// Whether it was done, now or before.
    pub(super) done: bool,
    /// Which generation, where something was written.
    pub(super) written: Option<GenerationRecord>,
    /// All generations as they are now.
    pub(super) all: Vec<GenerationRecord>,
}

/// Changes the generations of the build's projection, if the lease still is the newest.
pub(super) async fn change_under(
    db: &Database,
    session: &mut PgConnection,
    lease: &Lease,
    build: Uuid,
    change: impl FnOnce(&mut [GenerationRecord]) -> bool,
) -> Result<Changed> {
    let nothing = Changed {
        done: false,
        written: None,
        all: Vec::new(),
    };
    if !leases::is_newest(db, session, lease).await? {
        return Ok(nothing);
    }
    let Some(projection) = projection_of(db, session, build).await? else {
        return Ok(nothing);
    };
    let before = locked(db, session, &projection).await?;
    let mut all = before.clone();
    let done = change(&mut all);
    let wrote = save(db, session, &before, &all).await?;
    let written = all.iter().find(|record| wrote && record.build == build);
    Ok(Changed {
        done,
        written: written.cloned(),
        all,
    })
}

async fn projection_of(
    db: &Database,
    session: &mut PgConnection,
    build: Uuid,
) -> Result<Option<String>> {
    let sql = format!(
        "SELECT projection FROM {} WHERE build = $1",
        db.names.control("generations")
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(build)
        .fetch_optional(session)
        .await?)
}

/// Every generation of the projection, by number, locked until the transaction ends.
pub(super) async fn locked(
    db: &Database,
    session: &mut PgConnection,
    projection: &str,
) -> Result<Vec<GenerationRecord>> {
    let sql = format!(
        "SELECT build FROM {} WHERE projection = $1 ORDER BY generation FOR UPDATE",
        db.names.control("generations")
    );
    loop {
        let builds: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
            .bind(projection)
            .fetch_all(&mut *session)
            .await?;
        let records = of_projection(db, session, projection).await?;
        // One may have been added while the lock was waited for. With the others locked, none is.
        if records.iter().all(|record| builds.contains(&record.build)) {
            return Ok(records);
        }
    }
}

/// Every generation of the projection, by number.
pub(super) async fn of_projection(
    db: &Database,
    session: &mut PgConnection,
    projection: &str,
) -> Result<Vec<GenerationRecord>> {
    let rows = sqlx::query_as(AssertSqlSafe(select(db, "g.projection = $1")))
        .bind(projection)
        .fetch_all(session)
        .await?;
    gather(rows)
}

/// `SELECT` of generations with one row per store, ordered; `condition` narrows it.
pub(super) fn select(db: &Database, condition: &str) -> String {
    format!(
        "SELECT g.projection, g.generation, g.build, g.definition, g.hash, g.intent, g.wanted, \
         g.options, g.paused, g.ready, g.verification, g.trouble, g.actor, \
         extract(epoch FROM clock_timestamp() - g.created_at)::float8 AS age, \
         s.store, s.state, s.published, s.cleaned, \
         extract(epoch FROM clock_timestamp() - s.since)::float8 AS state_age \
         FROM {} AS g JOIN {} AS s ON s.build = g.build WHERE {condition} \
         ORDER BY g.projection, g.generation, s.place",
        db.names.control("generations"),
        db.names.control("generation_states"),
    )
}

/// Writes what differs between `before` and `after`; whether anything does.
pub(super) async fn save(
    db: &Database,
    session: &mut PgConnection,
    before: &[GenerationRecord],
    after: &[GenerationRecord],
) -> Result<bool> {
    let mut wrote = false;
    for (_, record) in before.iter().zip(after).filter(|(b, a)| b != a) {
        update(db, session, record).await?;
        update_states(db, session, record).await?;
        wrote = true;
    }
    Ok(wrote)
}

async fn update(
    db: &Database,
    session: &mut PgConnection,
    record: &GenerationRecord,
) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET intent = $2, wanted = $3, options = $4, paused = $5, ready = $6, \
         verification = $7, trouble = $8 WHERE build = $1",
        db.names.control("generations")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(record.build)
        .bind(record.intent)
        .bind(record.wanted)
        .bind(Json(&record.options))
        .bind(record.paused)
        .bind(record.ready)
        .bind(record.verification.as_ref().map(Json))
        .bind(record.trouble.as_deref())
        .execute(session)
        .await?;
    Ok(())
}

/// Marks are only ever set: one that was set meanwhile, without the generation's lock, stays.
async fn update_states(
    db: &Database,
    session: &mut PgConnection,
    record: &GenerationRecord,
) -> Result<()> {
    let sql = format!(
        "UPDATE {} AS s SET state = n.state, published = s.published OR n.published, \
         cleaned = s.cleaned OR n.cleaned, \
         since = CASE WHEN s.state = n.state THEN s.since ELSE clock_timestamp() END \
         FROM unnest($2::text[], $3::text[], $4::bool[], $5::bool[]) \
         AS n(store, state, published, cleaned) WHERE s.build = $1 AND s.store = n.store",
        db.names.control("generation_states")
    );
    let stores = || record.stores.iter().map(|(store, _)| *store);
    let names: Vec<&str> = stores().map(StoreKind::as_str).collect();
    let states: Vec<&str> = record.stores.iter().map(|(_, s)| s.as_str()).collect();
    let published: Vec<bool> = stores().map(|s| record.published.contains(&s)).collect();
    let cleaned: Vec<bool> = stores().map(|s| record.cleaned.contains(&s)).collect();
    sqlx::query(AssertSqlSafe(sql))
        .bind(record.build)
        .bind(names)
        .bind(states)
        .bind(published)
        .bind(cleaned)
        .execute(session)
        .await?;
    Ok(())
}

/// Writes a generation that is not there, with its states; `false` when its number was taken.
pub(super) async fn insert(
    db: &Database,
    session: &mut PgConnection,
    record: &GenerationRecord,
    idempotency_key: Option<&str>,
) -> Result<bool> {
    let sql = format!(
        "INSERT INTO {} (projection, generation, build, definition, hash, intent, wanted, options, \
         actor, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (projection, generation) DO NOTHING",
        db.names.control("generations")
    );
    let number = i32::try_from(record.number)
        .map_err(|_| Fault::bug(format!("{}: the number is out of range", record.projection)))?;
    let inserted = sqlx::query(AssertSqlSafe(sql))
        .bind(&*record.projection)
        .bind(number)
        .bind(record.build)
        .bind(&*record.definition)
        .bind(&*record.hash)
        .bind(record.intent)
        .bind(record.wanted)
        .bind(Json(&record.options))
        .bind(&record.actor)
        .bind(idempotency_key)
        .execute(&mut *session)
        .await?
        .rows_affected();
    if inserted == 0 {
        return Ok(false);
    }
    let sql = format!(
        "INSERT INTO {} (build, store, place, state) SELECT $1, s.store, s.place, s.state \
         FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS s(store, state, place)",
        db.names.control("generation_states")
    );
    let stores: Vec<&str> = record.stores.iter().map(|(s, _)| s.as_str()).collect();
    let states: Vec<&str> = record.stores.iter().map(|(_, s)| s.as_str()).collect();
    sqlx::query(AssertSqlSafe(sql))
        .bind(record.build)
        .bind(stores)
        .bind(states)
        .execute(session)
        .await?;
    Ok(true)
}

/// Forgets a projection of which nothing is left: its next generation is a first one.
pub(super) async fn delete(
    db: &Database,
    session: &mut PgConnection,
    gone: &[GenerationRecord],
) -> Result<()> {
    let builds: Vec<Uuid> = gone.iter().map(|record| record.build).collect();
    for table in ["topics", "generation_states", "generations"] {
        let sql = format!(
            "DELETE FROM {} WHERE build = ANY ($1)",
            db.names.control(table)
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(&builds)
            .execute(&mut *session)
            .await?;
    }
    Ok(())
}
