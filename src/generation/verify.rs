//! Verification: two generations compared row by row while both go on, or one against a fresh
//! fold of the log.
//!
//! A page of rows of both is read at one instant together with both cursors. The two stand a few
//! records apart; that gap is read from the log and folded in memory, each side's missing part under its
//! own definition, and only then the rows are compared. Nothing stops meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};
use crate::pipeline::Excerpts;
use crate::position::{Position, TopicPartition};
use crate::projection::Projection;
use crate::store::{Generation, ViewStore};

/// One generation to be compared.
#[derive(Clone)]
pub struct Side {
    /// As the store knows it.
    pub generation: Generation,
    /// What folds its events.
    pub plan: Arc<dyn Projection>,
    /// Its definition's hash.
    pub hash: Arc<str>,
    /// Records that operators decided to step over.
    pub skips: Arc<std::collections::HashSet<(TopicPartition, i64)>>,
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The row's key as text.
    pub key: String,
    /// The columns that differ; none when the row is on one side only.
    pub columns: Vec<String>,
    /// The row on the first side, by column; null when absent.
    pub first: serde_json::Value,
    /// The row on the second side.
    pub second: serde_json::Value,
    /// Whether only columns differ whose value depends on the order in which partitions are read.
    pub order_sensitive: bool,
}

/// What a comparison found in one store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The store.
    pub store: String,
    /// What the generation was compared with: `generation 1` or `log`.
    pub against: String,
    /// Whether both run the same definition: then no row may differ.
    pub same_definition: bool,
    /// Rows on the first side (the generation, or the live one).
    pub rows_first: u64,
    /// Rows on the second side.
    pub rows_second: u64,
    /// Keys that were compared.
    pub compared: u64,
    /// Keys that differ, `order_sensitive` ones included.
    pub differing: u64,
    /// Of these, how many differ only in columns that depend on the order between partitions.
    pub order_sensitive: u64,
    /// How many rows differ in each column; rows on one side only count under `(row)`.
    pub by_column: BTreeMap<String, u64>,
    /// Some of the rows that differ, at most [`EXAMPLES`].
    pub examples: Vec<Difference>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How many differing rows are named.
pub const EXAMPLES: usize = 20;

impl Verification {
    /// Whether it passes: no row differs (order-sensitive ones only count when `strict`), or, where the definition
    /// has changed, at most `max_changed` of all keys do.
    pub fn passes(&self, strict: bool, max_changed: Option<f64>) -> bool {
        let _ = (strict, max_changed);
        false
    }
    /// d
    pub fn describe(&self, _: Option<f64>) -> String {
        String::new()
    }
    /// s
    pub fn is_same(&self, _: bool) -> bool {
        false
    }
}

/// Compares generations in one store.
pub struct Verifier {
    store: Arc<dyn ViewStore>,
    excerpts: Arc<Excerpts>,
}

impl Verifier {
    /// A verifier of what `store` holds.
    pub fn new(store: Arc<dyn ViewStore>, excerpts: Arc<Excerpts>) -> Self {
        Self { store, excerpts }
    }

    /// Compares two generations. Only the columns that both declare (with the same type) are compared.
    /// `progress` hears how many keys were compared.
    ///
    /// # Errors
    /// `Transient` when a store or the log is away or a generation is not there (any more).
    pub async fn compare(
        &self,
        first: &Side,
        second: &Side,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Verification> {
        let _ = (&self.store, &self.excerpts, first, second, progress);
        Err(Fault::bug("not built yet"))
    }

    /// Compares a generation with a fresh fold of the log from `starts`, for about the part `sample` (0…1) of its keys.
    /// Takes more than one pass over the log where there are many rows, so that memory stays bounded.
    pub async fn against_log(
        &self,
        side: &Side,
        starts: &[(TopicPartition, Position)],
        sample: f64,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Verification> {
        let _ = (side, starts, sample, progress);
        Err(Fault::bug("not built yet"))
    }
}
