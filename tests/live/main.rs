//! Tests against real servers, which scripts/test starts. Each fails loudly when its server is not named.

mod kafka;
mod postgres;
mod redis;
mod service;
#[path = "../support/store_contract.rs"]
mod store_contract;

/// The shop's stream and its independent account, shared with the example producer.
mod shop {
    #[path = "../../../examples/shop/expect.rs"]
    pub mod expect;
    #[path = "../../../examples/shop/stream.rs"]
    pub mod stream;
}
