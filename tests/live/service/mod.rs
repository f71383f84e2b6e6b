//! The whole service: the real program against a real Kafka, Postgres and Redis.

mod access;
mod crashes;
mod exactness;
mod faults;
mod feed;
mod listing;
mod readers;
mod refusals;
mod roles;
mod secrets;
mod takeover;
mod tokens;
