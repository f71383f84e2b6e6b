//! Views in Postgres, and the control tables.
//!
//! A generation is a table `<schema>.<projection>_g<N>`: the declared columns, then hidden ones
//! whose names begin with `_`. Readers select from `<views_schema>.<projection>`. Cursors stand in
//! `<schema>.cursors`, and move in the transaction that writes the rows (I4).
//!
//! A batch runs through `apply` (the transaction), `cursors` (the verdicts), `shape` (what the
//! deltas do to each column), `upsert` (the statement) and `parameters`.
//!
//! **Architecture invariant:** nothing outside of this directory imports sqlx.

mod access;
mod apply;
mod array;
mod base_pages;
mod changes;
mod claim;
mod compare;
mod control;
mod copy;
mod cursors;
mod cutover;
mod ddl;
mod fault;
mod keyset;
mod lists;
mod migrate;
mod names;
mod parameters;
mod plan;
mod point;
mod pointers;
mod pool;
mod reads;
mod settings;
mod shape;
mod upsert;
mod value;
mod view;

pub use access::ReaderGrant;
pub use control::PostgresControl;
pub use settings::{
    DEFAULT_READERS, DEFAULT_SCHEMA, DEFAULT_VIEWS_SCHEMA, DEFAULT_WRITERS, Settings,
};

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use uuid::Uuid;

use self::apply::Rows;
use self::names::Names;
use self::plan::Plan;
use self::pool::{Pools, Session, bounded, within};
use super::changes::ChangeLog;
use super::list::{ListRead, Listed};
use super::{
    BasePages, Batch, Claimed, ComparePage, Cursor, CutOver, CutOverOutcome, FoldRows, Generation,
    Move, Outcome, PageToken, PointRead, Pointer, Verdict, ViewStore,
};
use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowKey, StoreKind};

/// What happened since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that the server chose to end a deadlock.
    pub deadlocks: u64,
    /// Sessions of former owners that were ended because they kept a claim waiting.
    pub terminated: u64,
    /// Connections that are open now.
    pub connections: u32,
    /// Of these, how many are idle.
    pub idle: u32,
}

#[derive(Debug, Default)]
struct Counters {
    deadlocks: AtomicU64,
    terminated: AtomicU64,
}

/// One database, as this deployment uses it.
struct Database {
    pools: Pools,
    names: Names,
    lock_cursors: Arc<str>,
    move_cursors: Arc<str>,
    /// Whether changes are noted for the change feed.
    feed: bool,
    plans: RwLock<HashMap<Uuid, Arc<Plan>>>,
    seen: point::Seen,
    counters: Counters,
}

impl Database {
    fn new(settings: &Settings) -> Result<Self> {
        let names = Names::new(&settings.schema, &settings.views_schema)?;
        let cursors = names.control("cursors");
        Ok(Self {
            pools: Pools::new(settings)?,
            feed: settings.changes,
            lock_cursors: cursors::lock_statement(&cursors).into(),
            move_cursors: cursors::move_statement(&cursors).into(),
            names,
            plans: RwLock::default(),
            seen: point::Seen::default(),
            counters: Counters::default(),
        })
    }

    /// The statements of the generation.
    fn plan(&self, generation: &Generation) -> Arc<Plan> {
        let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&generation.build) {
            return Arc::clone(plan);
        }
        drop(plans);
        let moving = Arc::clone(&self.move_cursors);
        let plan = Plan::new(&self.names, moving, generation, self.feed);
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        let plan = plans
            .entry(generation.build)
            .or_insert_with(|| Arc::new(plan));
        Arc::clone(plan)
    }

    fn forget(&self, build: Uuid) {
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        plans.remove(&build);
    }

    /// Ends the transaction: commits what succeeded, takes back what did not.
    async fn close<T>(&self, session: Session, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => {
                session.commit().await?;
                Ok(value)
            }
            Err(fault) => {
                session.rollback().await;
                Err(fault)
            }
        }
    }
}

/// Views in a Postgres database.
#[derive(Clone)]
pub struct PostgresStore {
    db: Arc<Database>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres schema {}", self.db.names.schema())
    }
}

impl PostgresStore {
    /// A store for these settings. Nothing is connected before it is used, so the server need not
    /// be up; settings that cannot work are `Misconfigured`.
    pub fn connect(settings: &Settings) -> Result<Self> {
        Ok(Self {
            db: Arc::new(Database::new(settings)?),
        })
    }

    /// The control tables in the same database, over connections reserved for them.
    pub fn control(&self) -> PostgresControl {
        PostgresControl::new(Arc::clone(&self.db))
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let pools = &self.db.pools;
        let all = [&pools.writers, &pools.readers, &pools.control];
        let idle: usize = all.iter().map(|pool| pool.num_idle()).sum();
        Counts {
            deadlocks: self.db.counters.deadlocks.load(Ordering::Relaxed),
            terminated: self.db.counters.terminated.load(Ordering::Relaxed),
            connections: all.iter().map(|pool| pool.size()).sum(),
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
        }
    }
}

#[async_trait]
impl ViewStore for PostgresStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Postgres
    }

    async fn ping(&self) -> Result<()> {
        bounded("reach", "the server", async {
            let mut session = Session::open(&self.db.pools.control).await?;
            sqlx::query("SELECT 1").execute(&mut *session).await?;
            session.keep();
            Ok(())
        })
        .await
    }

    async fn create(
        &self,
        generation: &Generation,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let work = ddl::create(&self.db, generation, starts);
        bounded("create", generation, work).await
    }

    async fn add_cursor(
        &self,
        generation: &Generation,
        partition: &TopicPartition,
        start: Position,
    ) -> Result<bool> {
        let work = cursors::add(&self.db, generation, partition, start);
        bounded("add a cursor to", generation, work).await
    }

    async fn publish(&self, generation: &Generation, intent: i64) -> Result<()> {
        let work = pointers::publish(&self.db, generation, intent);
        bounded("publish", generation, work).await
    }

    async fn cursors(&self, generation: &Generation) -> Result<Option<Vec<Cursor>>> {
        let work = cursors::read(&self.db, generation);
        bounded("read the cursors of", generation, work).await
    }

    async fn claim(&self, generation: &Generation, read: &Cursor, claim: Uuid) -> Result<Claimed> {
        let work = claim::claim(&self.db, generation, read, claim);
        bounded("claim", &read.partition, work).await
    }

    async fn apply(&self, generation: &Generation, batch: &Batch) -> Result<Outcome> {
        let rows = Rows::Given(&batch.rows);
        let work = apply::apply(&self.db, generation, &batch.moves, rows);
        bounded("apply a batch to", generation, work).await?
    }

    async fn apply_reading(
        &self,
        generation: &Generation,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome> {
        let work = apply::apply(&self.db, generation, moves, Rows::Folded { keys, fold });
        bounded("apply a batch to", generation, work).await?
    }

    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>> {
        let work = cursors::advance(&self.db, generation, moves);
        bounded("advance", generation, work).await
    }

    async fn rows(&self, generation: &Generation, keys: &[RowKey]) -> Result<Vec<Option<Row>>> {
        let work = reads::rows(&self.db, generation, keys);
        bounded("read rows of", generation, work).await
    }

    async fn point_read(
        &self,
        projection: &str,
        key: &RowKey,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>> {
        let work = point::read(&self.db, projection, key, schemas);
        bounded("read a row of", projection, work).await
    }

    async fn list(&self, generation: &Generation, read: &ListRead) -> Result<Listed> {
        let work = lists::list(&self.db, generation, read);
        within(lists::LIMIT, "list rows of", generation, work).await
    }

    async fn live_cursors(
        &self,
        projection: &str,
        _schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<Vec<Cursor>>> {
        let work = reads::live_cursors(&self.db, projection);
        bounded("read the cursors of", projection, work).await
    }

    fn change_log(&self) -> Option<&dyn ChangeLog> {
        self.db.feed.then_some(self)
    }

    async fn remove(&self, generation: &Generation) -> Result<()> {
        ddl::remove(&self.db, generation).await
    }

    async fn pointer(&self, projection: &str) -> Result<Option<Pointer>> {
        let work = pointers::read(&self.db, projection);
        bounded("read the pointer of", projection, work).await
    }

    async fn forget(&self, projection: &str) -> Result<()> {
        let work = pointers::forget(&self.db, projection);
        bounded("forget the pointer of", projection, work).await
    }

    async fn cut_over(&self, cut: &CutOver) -> Result<CutOverOutcome> {
        let work = cutover::cut_over(&self.db, cut);
        bounded("cut over to", &cut.to, work).await
    }

    async fn compare_page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>> {
        let work = compare::page(&self.db, (first, second), after, rows);
        bounded("read a page of", first, work).await
    }

    async fn create_from(
        &self,
        from: &Generation,
        to: &Generation,
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        copy::create_from(&self.db, (from, to), starts, progress).await
    }

    async fn base_pages(&self, generation: &Generation) -> Result<Option<BasePages>> {
        let work = base_pages::read(&self.db, generation);
        bounded("read the page cursors of", generation, work).await
    }

    async fn size(&self, generation: &Generation) -> Result<Option<(u64, u64)>> {
        let work = reads::size(&self.db, generation);
        bounded("measure", generation, work).await
    }

    async fn dependants(&self, projection: &str) -> Result<Vec<String>> {
        let work = view::dependants(&self.db, projection);
        bounded("find what depends on the view of", projection, work).await
    }
}
