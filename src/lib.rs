//! viewfold folds Kafka domain events into read views in Postgres and Redis, exactly once in effect.

#[macro_use]
pub mod failpoint;

pub mod api;
pub mod cli;
pub mod config;
pub mod event;
pub mod fault;
pub mod generation;
pub mod lifecycle;
pub mod pipeline;
pub mod position;
pub mod projection;
pub mod quarantine;
pub mod query;
pub mod record;
pub mod service;
pub mod source;
pub mod store;
pub mod telemetry;
