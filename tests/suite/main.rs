//! Hermetic tests: no server, no network.

mod fold_faults;
mod fold_laws;
mod memory_store;
#[path = "../support/store_contract.rs"]
mod store_contract;
