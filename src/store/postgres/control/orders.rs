//! What operators change: builds begun, promoted, cancelled, paused; projections dropped.

use sqlx::{AssertSqlSafe, PgConnection};

use super::audit::{self, Note};
use super::{PostgresControl, generations, topics};
use crate::fault::Result;
use crate::store::control::{Answered, GenerationRecord, NewGeneration, Order};
use crate::store::desired;

impl PostgresControl {
    /// Records the first generation, unless there is one or the definition was dropped.
    pub(super) async fn first_in(
        &self,
        session: &mut PgConnection,
        first: GenerationRecord,
    ) -> Result<Option<GenerationRecord>> {
        // Read first: whoever removes a dropped projection had marked it before.
        let all = generations::of_projection(&self.db, session, &first.projection).await?;
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} WHERE projection = $1 AND hash = $2)",
            self.table("dropped")
        );
        let dropped: bool = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&*first.projection)
            .bind(&*first.hash)
            .fetch_one(&mut *session)
            .await?;
        if dropped {
            return Ok(None);
        }
        if !all.is_empty() {
            return Ok(desired::foremost(all));
        }
        generations::insert(&self.db, session, &first, None).await?;
        let all = generations::of_projection(&self.db, session, &first.projection).await?;
        Ok(desired::foremost(all))
    }

    /// Records a generation to be built.
    pub(super) async fn begin_in(
        &self,
        session: &mut PgConnection,
        new: &NewGeneration,
    ) -> Result<Answered> {
        let all = generations::locked(&self.db, session, &new.projection).await?;
        if all.is_empty() {
            return Ok(Answered::Unknown);
        }
        if let Some(key) = &new.idempotency_key {
            let request = (&*new.projection, key.as_str());
            if let Some(record) = self.repeated(session, request, all.clone()).await? {
                return Ok(Answered::Before(record));
            }
        }
        let record = match desired::begin(&all, new) {
            Ok(record) => record,
            Err(why) => return Ok(Answered::Refused(why)),
        };
        let key = new.idempotency_key.as_deref();
        generations::insert(&self.db, session, &record, key).await?;
        for topic in &new.topics {
            topics::insert(&self.db, session, record.build, topic).await?;
        }
        let detail = serde_json::json!({
            "generation": record.number, "hash": record.hash, "options": record.options,
        });
        let note = Note::new(&new.actor, "rebuild", &new.projection).detail(detail);
        audit::write(&self.db, session, &note).await?;
        Ok(Answered::Done(record))
    }

    /// The one of these generations that the request of this name recorded.
    pub(super) async fn repeated(
        &self,
        session: &mut PgConnection,
        (projection, idempotency_key): (&str, &str),
        all: Vec<GenerationRecord>,
    ) -> Result<Option<GenerationRecord>> {
        let sql = format!(
            "SELECT generation FROM {} WHERE projection = $1 AND idempotency_key = $2",
            self.table("generations")
        );
        let number: Option<i32> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(projection)
            .bind(idempotency_key)
            .fetch_optional(session)
            .await?;
        let number = number.and_then(|number| u32::try_from(number).ok());
        let mut all = all.into_iter();
        Ok(all.find(|record| Some(record.number) == number))
    }

    /// Carries out an order, with an audit row where it changed something.
    pub(super) async fn order_in(
        &self,
        session: &mut PgConnection,
        (projection, number): (&str, u32),
        order: Order,
        actor: &str,
    ) -> Result<Answered> {
        let before = generations::locked(&self.db, session, projection).await?;
        let mut all = before.clone();
        let answered = desired::order(&mut all, number, order);
        let Answered::Done(record) = &answered else {
            return Ok(answered);
        };
        generations::save(&self.db, session, &before, &all).await?;
        let action = match order {
            Order::Promote { .. } => "promote",
            Order::Reissue { .. } => "reissue",
            Order::Cancel => "cancel",
            Order::Pause => "pause",
            Order::Resume => "resume",
        };
        let detail = serde_json::json!({"generation": number, "intent": record.intent});
        let note = Note::new(actor, action, projection).detail(detail);
        audit::write(&self.db, session, &note).await?;
        Ok(answered)
    }

    /// Ends a projection; `false` when there is none.
    pub(super) async fn drop_in(
        &self,
        session: &mut PgConnection,
        projection: &str,
        also: &[String],
        actor: &str,
    ) -> Result<bool> {
        let before = generations::locked(&self.db, session, projection).await?;
        if before.is_empty() {
            return Ok(false);
        }
        let mut all = before.clone();
        desired::drop_all(&mut all);
        let ended = generations::save(&self.db, session, &before, &all).await?;
        let mut hashes: Vec<&str> = all.iter().map(|record| &*record.hash).collect();
        hashes.extend(also.iter().map(String::as_str));
        let sql = format!(
            "INSERT INTO {} (projection, hash) SELECT DISTINCT $1, h FROM unnest($2::text[]) AS h \
             ON CONFLICT DO NOTHING",
            self.table("dropped")
        );
        let dropped = sqlx::query(AssertSqlSafe(sql))
            .bind(projection)
            .bind(&hashes)
            .execute(&mut *session)
            .await?
            .rows_affected();
        if ended || dropped > 0 {
            let numbers: Vec<u32> = all.iter().map(|record| record.number).collect();
            let detail = serde_json::json!({"generations": numbers, "hashes": hashes});
            let note = Note::new(actor, "drop", projection).detail(detail);
            audit::write(&self.db, session, &note).await?;
        }
        Ok(true)
    }

    /// Lets dropped definitions be proposed again.
    pub(super) async fn undrop_in(
        &self,
        session: &mut PgConnection,
        projection: &str,
        actor: &str,
    ) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} WHERE projection = $1 RETURNING hash",
            self.table("dropped")
        );
        let hashes: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(projection)
            .fetch_all(&mut *session)
            .await?;
        if hashes.is_empty() {
            return Ok(());
        }
        let detail = serde_json::json!({"hashes": hashes});
        let note = Note::new(actor, "undrop", projection).detail(detail);
        audit::write(&self.db, session, &note).await
    }
}
