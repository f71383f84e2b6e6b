//! Hermetic tests: no server, no clock, no network.

#[cfg(test)]
mod definitions;
mod memory_store;
#[path = "../support/store_contract.rs"]
mod store_contract;
