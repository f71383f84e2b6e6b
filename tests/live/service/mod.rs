//! The whole service: the real program against a real Kafka, Postgres and Redis.

mod exactness;
mod harness;
mod refusals;
mod takeover;
