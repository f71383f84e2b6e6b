//! The shop's stream and its independent account, shared with the example producer.

#[path = "../../examples/shop/expect.rs"]
pub(crate) mod expect;
#[path = "../../examples/shop/stream.rs"]
pub(crate) mod stream;
