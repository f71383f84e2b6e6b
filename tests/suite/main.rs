//! The hermetic suite: no server, no network but the loopback. Runs on every push.

mod api;
mod architecture;
mod cli;
mod config;
mod definitions;
mod fold_faults;
mod fold_laws;
mod memory_store;
mod metrics;
mod source;
#[path = "../support/store_contract.rs"]
mod store_contract;
