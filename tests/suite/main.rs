//! The hermetic suite: no servers, no network but the loopback. Runs on every push.

mod api;
mod cli;
mod config;
mod definitions;
mod metrics;
mod source;
