//! Hermetic tests: no server, no network.

mod memory_store;
#[path = "../support/store_contract.rs"]
mod store_contract;
