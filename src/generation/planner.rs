//! tmp
use super::plan::*;
use super::{Catalog, Entry};
use crate::fault::Fault;
use crate::projection::{Definition, StoreKind};
use crate::source::EventSource;
use crate::store::ViewStore;
use crate::store::control::Control;
use std::collections::BTreeMap;
use std::sync::Arc;
/// e
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// b
    #[error("{0}")]
    BadRequest(String),
    /// f
    #[error("{0}")]
    Fault(#[from] Fault),
}
/// p
pub struct Planner {
    /// c
    pub control: Arc<dyn Control>,
    /// s
    pub source: Arc<dyn EventSource>,
    /// s
    pub stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
}
impl Planner {
    /// p
    pub async fn prepare(
        &self,
        _: &str,
        _: Option<&Definition>,
        _: Option<&Entry>,
        _: &Catalog,
        _: &RebuildRequest,
    ) -> Result<Prepared, PlanError> {
        Err(PlanError::BadRequest(String::new()))
    }
    /// o
    pub async fn overview(
        &self,
        _: &[Definition],
        _: &Catalog,
        _: Option<&str>,
    ) -> Result<Vec<Plan>, PlanError> {
        Ok(Vec::new())
    }
}
