//! The hermetic suite: no servers, runs on every push.
//! The hermetic suite: no servers, no network but the loopback. Runs on every push.

mod api;
mod cli;
mod config;
mod metrics;
//! Hermetic tests: no server, no network.

mod fold_faults;
mod fold_laws;
mod memory_store;
#[path = "../support/store_contract.rs"]
mod store_contract;
//! The hermetic suite: no server, no clock, no network.

mod definitions;
//! Hermetic tests: no server, no clock, no network.

#[path = "../support/store_contract.rs"]
//! Hermetic tests: no server, no network but the loopback.

#[cfg(test)]
mod source;
