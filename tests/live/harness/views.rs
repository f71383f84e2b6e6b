//! What is in the stores, read past the program.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use super::Deployment;

/// A Redis row: field → text.
pub(crate) type Fields = BTreeMap<String, String>;

impl Deployment {
    /// Every row of a Postgres view as JSON (numerics as numbers with their digits), by the text of its key column.
    pub(crate) async fn postgres_rows(&self, view: &str, key: &str) -> BTreeMap<String, Value> {
        let from = format!("\"{}\".{view}", self.views_schema());
        self.rows_from(&from, key).await
    }

    /// Every row of a generation's own table, with the columns that are declared.
    pub(crate) async fn table_rows(
        &self,
        projection: &str,
        generation: u32,
        key: &str,
    ) -> BTreeMap<String, Value> {
        let from = format!("\"{}\".{projection}_g{generation}", self.name);
        let mut rows = self.rows_from(&from, key).await;
        for columns in rows.values_mut().filter_map(Value::as_object_mut) {
            columns.retain(|column, _| !column.starts_with('_'));
        }
        rows
    }

    async fn rows_from(&self, from: &str, key: &str) -> BTreeMap<String, Value> {
        let select = format!("select {key}::text as k, to_jsonb(v) as row from {from} v");
        let rows = sqlx::query(AssertSqlSafe(select))
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get::<String, _>("k"), row.get::<Value, _>("row")))
            .collect()
    }

    /// The columns that readers of a Postgres view see, in order.
    pub(crate) async fn view_columns(&self, view: &str) -> Vec<String> {
        let select = "select column_name::text from information_schema.columns \
                      where table_schema = $1 and table_name = $2 order by ordinal_position";
        sqlx::query_scalar(select)
            .bind(self.views_schema())
            .bind(view)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Runs one statement in Postgres.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The one text that a query answers with.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let text = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        text.fetch_one(&self.pool).await.unwrap()
    }

    /// One number out of Postgres.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn redis_connection(&self) -> MultiplexedConnection {
        self.redis.get_multiplexed_async_connection().await.unwrap()
    }

    /// The generation that readers of Redis see; none where nothing is published.
    pub(crate) async fn redis_live(&self, view: &str) -> Option<u32> {
        redis::cmd("GET")
            .arg(format!("{}:{{{view}}}:live", self.name))
            .query_async(&mut self.redis_connection().await)
            .await
            .unwrap()
    }

    /// The generation that readers of Postgres see; none where nothing is published.
    pub(crate) async fn postgres_live(&self, view: &str) -> Option<u32> {
        let select = "select substring(pg_get_viewdef(c.oid) from '_g([0-9]+)')::integer from pg_class c \
                      join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2";
        let number: Option<i32> = sqlx::query_scalar(select)
            .bind(self.views_schema())
            .bind(view)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
            .flatten();
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// Every row of a Redis view as readers see it, by the row's key.
    pub(crate) async fn redis_rows(&self, view: &str) -> BTreeMap<String, Fields> {
        match self.redis_live(view).await {
            Some(generation) => self.redis_rows_of(view, generation).await,
            None => BTreeMap::new(),
        }
    }

    /// Every row of a generation in Redis, by the row's key.
    pub(crate) async fn redis_rows_of(
        &self,
        view: &str,
        generation: u32,
    ) -> BTreeMap<String, Fields> {
        let mut connection = self.redis_connection().await;
        let prefix = format!("{}:{{{view}}}:{generation}:r:", self.name);
        let keys = self.redis_keys(&format!("{prefix}*")).await;
        let mut rows = BTreeMap::new();
        for part in keys.chunks(1000) {
            let mut pipe = redis::pipe();
            part.iter().for_each(|key| {
                pipe.hgetall(key);
            });
            let mut found: Vec<Fields> = pipe.query_async(&mut connection).await.unwrap();
            for fields in &mut found {
                fields.retain(|field, _| !field.starts_with('_'));
            }
            let names = part.iter().map(|key| key[prefix.len()..].to_owned());
            rows.extend(names.zip(found));
        }
        rows
    }

    pub(crate) async fn redis_keys(&self, pattern: &str) -> Vec<String> {
        redis::cmd("KEYS")
            .arg(pattern)
            .query_async(&mut self.redis_connection().await)
            .await
            .unwrap()
    }

    /// The positions that Postgres holds for a projection's newest generation, by `topic/partition`.
    pub(crate) async fn cursors(&self, projection: &str) -> BTreeMap<String, i64> {
        let select = format!(
            "select topic || '/' || partition as p, position from \"{}\".cursors where projection = $1 \
             order by generation",
            self.name
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(projection)
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get("p"), row.get("position")))
            .collect()
    }

    /// What the stores still hold of a generation, by name; empty once it is removed.
    pub(crate) async fn leftovers(&self, projection: &str, generation: u32) -> Vec<String> {
        let stem = format!("{projection}_g{generation}");
        let select = "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                      where n.nspname = $1 and (c.relname = $2 or c.relname like $3)";
        let mut left: Vec<String> = sqlx::query_scalar(select)
            .bind(&self.name)
            .bind(&stem)
            .bind(format!("{}\\_%", stem.replace('_', "\\_")))
            .fetch_all(&self.pool)
            .await
            .unwrap();
        for table in ["cursors", "builds"] {
            let select = format!(
                "select count(*) from \"{}\".{table} where projection = '{projection}' and generation = {generation}",
                self.name
            );
            let rows = self.count(&select).await;
            left.extend((rows > 0).then(|| format!("{rows} rows of {table}")));
        }
        let keys = format!("{}:{{{projection}}}:{generation}:*", self.name);
        left.extend(self.redis_keys(&keys).await);
        left
    }
}
