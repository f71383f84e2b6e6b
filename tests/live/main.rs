//! Tests against real servers. They fail loudly when a server is missing.

mod postgres;
//! Tests against real servers. Each fails loudly when its server is not named.

mod redis;
#[path = "../support/store_contract.rs"]
mod store_contract;
//! Tests against real servers. Each fails loudly when its server is missing.

#[cfg(test)]
mod kafka;
