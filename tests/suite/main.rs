//! Hermetic tests: no server, no clock, no network.

mod definitions;
mod memory_store;
#[path = "../support/store_contract.rs"]
mod store_contract;
