//! The Postgres store and the control tables, against a real server.
//!
//! `VIEWFOLD_TEST_POSTGRES` is the URL of a database as a superuser. Every test creates a
//! database of its own beside it, and drops it in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};
use uuid::Uuid;
use viewfold::fault::{Fault, FaultKind};
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{
    Cell, ColumnType, Decimal, Delta, RowDelta, RowKey, Schema, StoreKind, Value,
};
use viewfold::store::control::{Control, Decision, State, TopicRecord};
use viewfold::store::postgres::{PostgresControl, PostgresStore, Settings};
use viewfold::store::{Batch, Claimed, Generation, Move, Outcome, Verdict, ViewStore};

use crate::store_contract;

/// A database of its own.
struct Place {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl Place {
    async fn new() -> Self {
        let base = std::env::var("VIEWFOLD_TEST_POSTGRES").expect(
            "VIEWFOLD_TEST_POSTGRES is not set: the URL of a Postgres database, as a superuser",
        );
        let server: PgConnectOptions = base.parse().expect("VIEWFOLD_TEST_POSTGRES is no URL");
        let name = format!("viewfold_test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect_with(&server)
            .await
            .expect("the server of VIEWFOLD_TEST_POSTGRES cannot be reached");
        admin
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .unwrap();
        let (before, query) = base.split_once('?').unwrap_or((&base, ""));
        let (before, _) = before.rsplit_once('/').unwrap();
        let url = format!("{before}/{name}?{query}");
        Self { server, name, url }
    }

    fn settings(&self) -> Settings {
        Settings::new(self.url.clone())
    }

    /// A migrated database and a store on it.
    async fn with_store() -> (Self, PostgresStore) {
        let place = Self::new().await;
        let store = PostgresStore::connect(&place.settings()).unwrap();
        store.control().migrate().await.unwrap();
        (place, store)
    }

    /// Sessions that are not viewfold's.
    async fn sql(&self) -> PgPool {
        PgPoolOptions::new().connect(&self.url).await.unwrap()
    }

    /// One session under the name `application`.
    async fn session(&self, application: &str) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let options = options.application_name(application);
        PgConnection::connect_with(&options).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect_with(&server).await.unwrap();
                admin.execute(AssertSqlSafe(sql)).await.unwrap();
            });
        });
        if dropped.join().is_err() {
            eprintln!("database {} was left behind", self.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store_keeps_the_contract() {
    let (_place, store) = Place::with_store().await;
    store_contract::all(Arc::new(store)).await;
}
