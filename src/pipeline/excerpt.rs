//! Excerpts: parts of the log, read and decoded outside of the rings, for verification and plans.

use std::sync::Arc;

use super::decoding::Envelopes;
use crate::event::Chunk;
use crate::fault::{Fault, Result};
use crate::position::{Range, TopicPartition};
use crate::projection::Projection;
use crate::source::EventSource;

/// Reads parts of the log. Uses a client of its own, which is opened when it is first needed.
pub struct Excerpts {
    source: Arc<dyn EventSource>,
    envelopes: Arc<dyn Envelopes>,
}

impl Excerpts {
    /// Reads nothing yet.
    pub fn new(source: Arc<dyn EventSource>, envelopes: Arc<dyn Envelopes>) -> Self {
        Self { source, envelopes }
    }

    /// Reads the records of `range` in order, decoded for these projections (which may ask for the paths
    /// of their plans), and hands them to `each`, chunk by chunk: chunks may begin before and end behind the
    /// range, so `each` must look at offsets. Holds one chunk (≤ 1 MiB, or one larger record) at a time.
    ///
    /// # Errors
    /// `Misconfigured` when the log does not reach back to the range's begin any more; `Transient` when the broker
    /// does not answer or gives nothing for 10 s; whatever `each` answers.
    pub async fn read(
        &self,
        partition: &TopicPartition,
        range: Range,
        plans: &[Arc<dyn Projection>],
        each: &mut (dyn FnMut(&Chunk) -> Result<()> + Send),
    ) -> Result<()> {
        let _ = (&self.source, &self.envelopes, partition, range, plans, each);
        Err(Fault::bug("not built yet"))
    }
}
