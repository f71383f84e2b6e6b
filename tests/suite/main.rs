//! The hermetic suite: no servers, runs on every push.

mod api;
mod config;
mod metrics;
