//! What instances say about themselves.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::PostgresControl;
use crate::fault::Result;
use crate::store::control::InstanceReport;

impl PostgresControl {
    pub(super) async fn write_report(
        &self,
        instance: &str,
        report: &serde_json::Value,
    ) -> Result<()> {
        let sql = format!(
            "INSERT INTO {} (instance, report, at) VALUES ($1, $2::jsonb, clock_timestamp()) \
             ON CONFLICT (instance) DO UPDATE SET report = EXCLUDED.report, at = EXCLUDED.at",
            self.table("instances")
        );
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(instance)
            .bind(Json(report))
            .execute(&mut *session)
            .await?;
        session.keep();
        Ok(())
    }

    pub(super) async fn read_reports(&self, max_age_seconds: f64) -> Result<Vec<InstanceReport>> {
        let sql = format!(
            "SELECT instance, report, age FROM (SELECT instance, report, \
             extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM {}) AS aged \
             WHERE age <= $1 ORDER BY instance",
            self.table("instances")
        );
        let mut session = self.open().await?;
        let rows: Vec<(String, serde_json::Value, f64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(max_age_seconds)
            .fetch_all(&mut *session)
            .await?;
        session.keep();
        let report = |(instance, report, age): (String, _, f64)| InstanceReport {
            instance,
            report,
            age_seconds: age.max(0.0),
        };
        Ok(rows.into_iter().map(report).collect())
    }

    pub(super) async fn remove_report(&self, instance: &str) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} WHERE instance = $1",
            self.table("instances")
        );
        let mut session = self.open().await?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(instance)
            .execute(&mut *session)
            .await?;
        session.keep();
        Ok(())
    }
}
