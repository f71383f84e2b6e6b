//! The hermetic suite: no servers, runs on every push.

mod config;
mod metrics;
