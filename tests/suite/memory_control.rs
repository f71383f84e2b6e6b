//! The control tables in memory keep the contract of all control tables.

use std::sync::Arc;

use viewfold::store::memory::MemoryControl;

use crate::control_contract;

#[tokio::test]
async fn the_control_tables_in_memory_keep_the_contract() {
    control_contract::all(Arc::new(MemoryControl::new())).await;
}
