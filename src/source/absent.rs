//! No log at all: what an instance has that only answers reads.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Bounds, EventSource, Member, MemberEvent, Reader, ReaderRole, TopicInfo};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};

/// A source that refuses everything and connects to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSource;

fn refused<T>() -> Result<T> {
    Err(Fault::misconfigured(
        "this instance only answers reads (--role query) and has no connection to Kafka: ask an instance with role all or worker",
    ))
}

#[async_trait]
impl EventSource for NoSource {
    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        refused()
    }

    async fn bounds(&self, _: &TopicPartition) -> Result<Bounds> {
        refused()
    }

    async fn position_at(&self, _: &TopicPartition, _: i64) -> Result<Position> {
        refused()
    }

    async fn join(&self) -> Result<(Arc<dyn Member>, mpsc::UnboundedReceiver<MemberEvent>)> {
        refused()
    }

    async fn reader(&self, _: ReaderRole, _: usize) -> Result<Arc<dyn Reader>> {
        refused()
    }
}
