//! The hermetic suite: no server, no network but the loopback. Runs on every push.
//!
//! Every module is `cfg(test)`, so that the lints know its helper functions for tests.

#[cfg(test)]
mod api;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod chaos;
#[cfg(test)]
#[path = "../support/chaos.rs"]
mod chaos_proxy;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod config;
#[cfg(test)]
#[path = "../support/control_contract.rs"]
mod control_contract;
#[cfg(test)]
mod definition_changes;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod fold_faults;
#[cfg(test)]
mod fold_laws;
#[cfg(test)]
mod memory_control;
#[cfg(test)]
mod memory_store;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod source;
#[cfg(test)]
#[path = "../support/store_contract.rs"]
mod store_contract;
