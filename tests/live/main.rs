//! Tests against real servers, which scripts/test starts. Each fails loudly when its server is not named.

mod kafka;
mod postgres;
mod redis;
mod service;
mod shop;
#[path = "../support/store_contract.rs"]
mod store_contract;
