//! Tests against real servers. They fail loudly when a server is missing.

mod postgres;
#[path = "../support/store_contract.rs"]
mod store_contract;
