//! The memory store keeps the contract of every store.

use std::sync::Arc;

use viewfold::projection::StoreKind;
use viewfold::store::memory::MemoryStore;

use crate::store_contract;

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    let store = MemoryStore::new(StoreKind::Postgres);
    store_contract::all(Arc::new(store)).await;
}
