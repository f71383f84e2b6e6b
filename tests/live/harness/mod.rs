//! What tests of the whole service are made of: the real program, many times, against real servers.
//!
//! One noun per file: a [`Deployment`] is what instances share, an [`Instance`] is one process, a
//! [`Publisher`] and [`Traffic`] feed it, [`Readers`] watch it, `views` looks into the stores behind it.

mod admin;
mod broker;
mod counter;
mod deployment;
mod instance;
mod readers;
mod redis_server;
mod traffic;
mod views;

use std::time::{Duration, Instant};

pub(crate) use admin::{Answer, caught_up};
pub(crate) use broker::{Acknowledged, Publisher, kafka_gate};
pub(crate) use counter::{COUNTER, Counted, TENFOLD, event};
pub(crate) use deployment::{Deployment, address_of, through};
pub(crate) use instance::{Instance, Ran};
pub(crate) use readers::Readers;
pub(crate) use redis_server::RedisServer;
pub(crate) use traffic::{Traffic, publish};

/// What a server is called in the environment. A missing one is a failed test, not a skipped one.
pub(crate) fn server(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} must name a real server; scripts/test starts them"))
}

/// Whether the long forms were asked for.
pub(crate) fn full() -> bool {
    std::env::var("VIEWFOLD_TEST_FULL").is_ok_and(|value| !value.is_empty())
}

/// A number for the short form, and one for the long one.
pub(crate) fn sized<T>(short: T, long: T) -> T {
    if full() { long } else { short }
}

/// Waits until `done`; fails with `what` after `limit`.
pub(crate) async fn wait_until(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
