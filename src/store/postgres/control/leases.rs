//! Leases: rows with an epoch, compared in the transaction that works under them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::PostgresControl;
use crate::fault::Result;
use crate::store::control::Lease;
use crate::store::postgres::Database;

/// Whether nobody took the lease since. Nobody can before the transaction ends.
pub(super) async fn is_newest(
    db: &Database,
    session: &mut PgConnection,
    lease: &Lease,
) -> Result<bool> {
    let sql = format!(
        "SELECT epoch FROM {} WHERE name = $1 FOR SHARE",
        db.names.control("leases")
    );
    let epoch: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(&*lease.name)
        .fetch_optional(session)
        .await?;
    Ok(epoch == Some(lease.epoch))
}

impl PostgresControl {
    /// Takes the lease where it is free or expired, which counts the epoch; renews it where
    /// `holder` has it.
    pub(super) async fn take(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let sql = format!(
            "INSERT INTO {} AS l (name, holder, epoch, expires_at) \
             VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3)) \
             ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, \
             epoch = l.epoch + (l.holder <> EXCLUDED.holder OR l.expires_at <= clock_timestamp())::int, \
             expires_at = clock_timestamp() + make_interval(secs => $3) \
             WHERE l.holder = EXCLUDED.holder OR l.expires_at <= clock_timestamp() \
             RETURNING epoch",
            self.table("leases")
        );
        let mut session = self.open().await?;
        let epoch: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(name)
            .bind(holder)
            .bind(ttl.as_secs_f64())
            .fetch_optional(&mut *session)
            .await?;
        session.keep();
        Ok(epoch.map(|epoch| Lease {
            name: name.into(),
            epoch,
        }))
    }

    /// Lets the lease expire. The row stays: its epoch must never be given twice.
    pub(super) async fn give_back(&self, lease: &Lease, holder: &str) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET expires_at = '-infinity' WHERE name = $1 AND epoch = $2 AND holder = $3",
            self.table("leases")
        );
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(&*lease.name)
            .bind(lease.epoch)
            .bind(holder)
            .execute(&mut *session)
            .await?;
        session.keep();
        Ok(())
    }
}
