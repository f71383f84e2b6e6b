//! What the feeders share with the rest of the process: readers, decoding, the budget, the board.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::board::Board;
use super::budget::{Budget, HeldChunk, Reservation};
use super::decoding::Decoding;
use super::readers::Readers;
use super::spec::Notice;
use crate::record::RawChunk;
use crate::source::EventSource;
use crate::telemetry;

/// How long it is waited before something that failed is tried again.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

/// What a feeder shares with the rest of the process.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) readers: Arc<Readers>,
    pub(super) decoding: Arc<Decoding>,
    pub(super) budget: Budget,
    pub(super) board: Board,
    pub(super) notices: UnboundedSender<Notice>,
    pub(super) source: Arc<dyn EventSource>,
}

impl Surroundings {
    /// Decodes a chunk once, for everybody.
    pub(super) async fn decode(&self, mut raw: RawChunk, reservation: Reservation) -> HeldChunk {
        let (partition, records) = (raw.partition.clone(), raw.records.len() as u64);
        telemetry::metrics()
            .records_fetched
            .with_label_values(&[&*partition.topic, &partition.partition.to_string()])
            .inc_by(records);
        let chunk = loop {
            match self.decoding.decode(raw).await {
                Ok(chunk) => break chunk,
                Err((back, fault)) => {
                    tracing::warn!(%partition, %fault, "topic's envelope could not be looked up");
                    raw = back;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        self.board.chunk_read(&chunk);
        reservation.bind(chunk)
    }
}
