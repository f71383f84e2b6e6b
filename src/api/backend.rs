//! What the routes need from the service.

use std::sync::Arc;

use async_trait::async_trait;
use serde::ser::{Serialize, SerializeMap, Serializer};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::problem::Problem;
use super::status::StatusReport;
use crate::position::RecordName;
use crate::projection::{ColumnType, StoreKind};
use crate::query::{FeedEvent, FeedId, ListQuery, Token, Waited};

/// The service, as the routes see it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Every projection of the deployment. Always answers, also with Postgres away.
    async fn status(&self) -> StatusReport;

    /// The views that can be read, by name.
    async fn views(&self) -> Result<Vec<ViewInfo>, Problem>;

    /// The row of `key`, the text of the path as it was sent (not decoded), in `store`, or in the
    /// view's first store. See [`Problem::unknown_view`], [`Problem::wrong_key`],
    /// [`Problem::unknown_store`].
    async fn point_read(
        &self,
        view: &str,
        key: &str,
        store: Option<StoreKind>,
    ) -> Result<PointAnswer, Problem>;

    /// The rows of `view` that are asked for. See [`Problem::unknown_view`], [`Problem::not_listable`],
    /// [`Problem::bad_request`].
    async fn list(&self, view: &str, query: &ListQuery) -> Result<ListAnswer, Problem>;

    /// The store that answers for `view`: the one that is named, or the view's first. With a token, every
    /// partition that it names has to be one that the view reads. See [`Problem::unknown_view`],
    /// [`Problem::unknown_store`], [`Problem::unknown_partition`].
    async fn answering(
        &self,
        view: &str,
        store: Option<StoreKind>,
        token: Option<&Token>,
    ) -> Result<Answering, Problem>;

    /// Waits until `view` shows the records of `token` in `store`, until `deadline` at the latest. Only a hint:
    /// what is read afterwards decides.
    async fn caught_up(&self, view: (&str, StoreKind), token: &Token, deadline: Instant) -> Waited;

    /// What happens to the rows of `view` from now on, or from `from`; only to the row of `key`, if given (its text,
    /// as in a path). The channel ends when the client does not keep up, and when the view is gone. See
    /// [`Problem::not_listable`].
    async fn changes(
        &self,
        view: &str,
        from: Option<FeedId>,
        key: Option<&str>,
    ) -> Result<mpsc::Receiver<FeedEvent>, Problem>;

    /// Decides that `record` is stepped over. `false` when that was decided before.
    /// See [`Problem::unknown_projection`], [`Problem::refused`].
    async fn skip(&self, skip: Skip) -> Result<bool, Problem>;

    /// What must be well before traffic may come.
    fn readiness(&self) -> Vec<Check>;

    /// What must have happened once since the start.
    fn startup(&self) -> Vec<Check>;
}

/// The store that answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answering {
    /// Which one.
    pub store: StoreKind,
    /// Whether it is the one that answers when none is named.
    pub is_first: bool,
}

/// One line of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub name: String,
    /// Whether it is well.
    pub ok: bool,
    /// What is wrong, or anything worth saying.
    pub detail: String,
}

/// A decision to step over a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Whose record.
    pub projection: String,
    /// Which record.
    pub record: RecordName,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub actor: String,
}

/// What a view looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewInfo {
    /// Its name.
    pub name: Arc<str>,
    /// One sentence for people; empty when not given.
    pub description: String,
    /// Its key columns, in key order.
    pub key: Vec<Arc<str>>,
    /// All columns, in document order.
    pub columns: Vec<(Arc<str>, ColumnType)>,
    /// The stores that hold it, the default one first.
    pub stores: Vec<StoreKind>,
    /// The live generation.
    pub generation: u32,
}

impl Serialize for ViewInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &*self.name)?;
        map.serialize_entry("description", &self.description)?;
        let key: Vec<&str> = self.key.iter().map(|column| &**column).collect();
        map.serialize_entry("key", &key)?;
        map.serialize_entry("columns", &Columns(&self.columns))?;
        map.serialize_entry("stores", &self.stores)?;
        map.serialize_entry("generation", &self.generation)?;
        map.end()
    }
}

struct Columns<'a>(&'a [(Arc<str>, ColumnType)]);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, ty)| (&**name, ty.to_string())))
    }
}

/// A row by its columns, in document order, as JSON (CONTRACT §6).
#[derive(Clone, Debug, PartialEq)]
pub struct RowJson(pub Vec<(Arc<str>, serde_json::Value)>);

impl Serialize for RowJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
    }
}

/// A row, with what it reflects.
#[derive(Clone, Debug, PartialEq)]
pub struct PointAnswer {
    /// The store that answered.
    pub store: StoreKind,
    /// The live generation there.
    pub generation: u32,
    /// The row; none when there is no such row.
    pub row: Option<RowJson>,
    /// The last record that was considered, per partition; partitions without records are left out.
    pub positions: Vec<RecordName>,
    /// The time of the newest applied event, in microseconds since the epoch.
    pub as_of_micros: Option<i64>,
}

/// Some rows of a view, with what they reflect.
#[derive(Clone, Debug, PartialEq)]
pub struct ListAnswer {
    /// The store that answered.
    pub store: StoreKind,
    /// The live generation there.
    pub generation: u32,
    /// The rows, in order.
    pub rows: Vec<RowJson>,
    /// Where the next page begins; empty where no row is left.
    pub next_page_token: String,
    /// How many rows fulfil the conditions, where that was asked.
    pub count: Option<u64>,
    /// The last record that was considered, per partition; partitions without records are left out.
    pub positions: Vec<RecordName>,
    /// The time of the newest applied event, in microseconds since the epoch.
    pub as_of_micros: Option<i64>,
}

/// What an answer reflects.
pub(super) struct Reflected<'a> {
    pub(super) store: StoreKind,
    pub(super) generation: u32,
    pub(super) positions: &'a [RecordName],
    pub(super) as_of_micros: Option<i64>,
}

/// An answer out of a store.
pub(super) trait Reflects {
    /// What it reflects.
    fn reflects(&self) -> Reflected<'_>;
}

impl Reflects for PointAnswer {
    fn reflects(&self) -> Reflected<'_> {
        Reflected {
            store: self.store,
            generation: self.generation,
            positions: &self.positions,
            as_of_micros: self.as_of_micros,
        }
    }
}

impl Reflects for ListAnswer {
    fn reflects(&self) -> Reflected<'_> {
        Reflected {
            store: self.store,
            generation: self.generation,
            positions: &self.positions,
            as_of_micros: self.as_of_micros,
        }
    }
}
