//! Decoding for all projections at once: per topic, the envelope and the union of needed paths.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;

use crate::event::{Chunk, Decoder, Envelope, PathSet};
use crate::fault::Result;
use crate::projection::Projection;
use crate::record::RawChunk;
use crate::telemetry;

/// Where the envelope of a topic is configured or remembered.
#[async_trait]
pub trait Envelopes: Send + Sync + 'static {
    /// The configured envelope, or the one that was remembered for the topic.
    async fn known(&self, topic: &str) -> Result<Option<Envelope>>;

    /// Remembers a detected envelope; answers the one that was remembered first.
    async fn remember(&self, topic: &str, detected: Envelope) -> Result<Envelope>;
}

/// Decoders by topic, kept up to date with what projections need.
pub(super) struct Decoding {
    envelopes: Arc<dyn Envelopes>,
    known: Mutex<HashMap<Arc<str>, Envelope>>,
    /// One look-up at a time: the partitions of a new topic all ask at once.
    looking_up: tokio::sync::Mutex<()>,
    paths: RwLock<HashMap<Arc<str>, Arc<PathSet>>>,
}

impl Decoding {
    pub(super) fn new(envelopes: Arc<dyn Envelopes>) -> Self {
        Self {
            envelopes,
            known: Mutex::default(),
            looking_up: tokio::sync::Mutex::default(),
            paths: RwLock::default(),
        }
    }

    /// Sets what `topic`'s records are decoded for: the union of the paths of `plans`.
    pub(super) fn need<'a>(
        &self,
        topic: &Arc<str>,
        plans: impl Iterator<Item = &'a Arc<dyn Projection>>,
    ) {
        let wanted = PathSet::new(plans.flat_map(|plan| plan.paths().iter().cloned()));
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if paths
            .get(topic)
            .is_none_or(|now| now.paths() != wanted.paths())
        {
            paths.insert(Arc::clone(topic), Arc::new(wanted));
        }
    }

    fn paths_of(&self, topic: &str) -> Arc<PathSet> {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        paths.get(topic).cloned().unwrap_or_default()
    }

    /// Decodes a chunk once, for everybody.
    pub(super) async fn decode(
        &self,
        raw: RawChunk,
    ) -> Result<Chunk, (RawChunk, crate::fault::Fault)> {
        let topic = Arc::clone(&raw.partition.topic);
        let envelope = match self.envelope(&topic, &raw).await {
            Ok(envelope) => envelope,
            Err(fault) => return Err((raw, fault)),
        };
        let partition = raw.partition.partition.to_string();
        let records = raw.records.len() as u64;
        let chunk = Decoder::new(envelope, self.paths_of(&topic)).decode(raw);
        let metrics = telemetry::metrics();
        metrics
            .records_decoded
            .with_label_values(&[&*topic, &partition])
            .inc_by(records);
        Ok(chunk)
    }

    /// The same chunk for paths that were asked for after it was decoded.
    pub(super) fn again(&self, chunk: &Chunk) -> Chunk {
        chunk.with_paths(self.paths_of(&chunk.partition().topic))
    }

    async fn envelope(&self, topic: &Arc<str>, raw: &RawChunk) -> Result<Envelope> {
        if let Some(known) = self.known_envelope(topic) {
            return Ok(known);
        }
        let _one_at_a_time = self.looking_up.lock().await;
        if let Some(known) = self.known_envelope(topic) {
            return Ok(known);
        }
        let envelope = match self.envelopes.known(topic).await? {
            Some(known) => known,
            None => match Envelope::detect(raw) {
                Some(detected) => self.envelopes.remember(topic, detected).await?,
                // Only tombstones or holes so far: nothing depends on the envelope yet.
                None => return Ok(Envelope::Plain),
            },
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(Arc::clone(topic), envelope.clone());
        Ok(envelope)
    }

    fn known_envelope(&self, topic: &str) -> Option<Envelope> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(topic)
            .cloned()
    }

    /// Forgets the envelope of a topic that was recreated.
    pub(super) fn forget(&self, topic: &str) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(topic);
    }
}
