//! What is asked about generations and their states, and the mark that readers saw one.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{PostgresControl, generations, records};
use crate::fault::Result;
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, State};

impl PostgresControl {
    /// The generations that run, or are not removed from all of their stores.
    pub(super) async fn listed(&self) -> Result<Vec<GenerationRecord>> {
        let left = format!(
            "EXISTS (SELECT FROM {} AS l WHERE l.build = g.build AND NOT l.cleaned)",
            self.table("generation_states")
        );
        let mut session = self.open().await?;
        let rows = sqlx::query_as(AssertSqlSafe(generations::select(&self.db, &left)))
            .fetch_all(&mut *session)
            .await?;
        session.keep();
        records::gather(rows)
    }

    pub(super) async fn all_of(&self, projection: &str) -> Result<Vec<GenerationRecord>> {
        let mut session = self.open().await?;
        let records = generations::of_projection(&self.db, &mut session, projection).await?;
        session.keep();
        Ok(records)
    }

    /// Whether the build runs in the store.
    pub(super) async fn runs(&self, build: Uuid, store: StoreKind) -> Result<bool> {
        let sql = format!(
            "SELECT state FROM {} WHERE build = $1 AND store = $2",
            self.table("generation_states")
        );
        let mut session = self.open().await?;
        let state: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(build)
            .bind(store.as_str())
            .fetch_optional(&mut *session)
            .await?;
        session.keep();
        let state = state.as_deref().and_then(State::from_name);
        Ok(state.is_some_and(State::runs))
    }

    pub(super) async fn publish(&self, build: Uuid, store: StoreKind) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET published = true WHERE build = $1 AND store = $2 AND NOT published",
            self.table("generation_states")
        );
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(build)
            .bind(store.as_str())
            .execute(&mut *session)
            .await?;
        session.keep();
        Ok(())
    }
}
