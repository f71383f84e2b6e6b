//! The hermetic suite: no servers, runs on every push.

mod api;
mod cli;
mod config;
mod metrics;
