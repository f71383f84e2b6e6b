//! Tests against real servers, which scripts/test starts. Each fails loudly when its server is not named.
//!
//! Every module is `cfg(test)`, so that the lints know its helper functions for tests.

#[cfg(test)]
#[path = "../support/chaos.rs"]
mod chaos;
#[cfg(test)]
#[path = "../support/control_contract.rs"]
mod control_contract;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod postgres_cutover;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod service;
#[cfg(test)]
mod shop;
#[cfg(test)]
#[path = "../support/store_contract.rs"]
mod store_contract;
