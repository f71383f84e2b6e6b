//! The envelope of a topic: configured, or detected once and remembered in the control tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::Config;
use crate::event::Envelope;
use crate::fault::{Fault, Result};
use crate::pipeline::Envelopes;
use crate::source::EventSource;
use crate::store::control::Control;

/// Envelopes by configuration and memory.
pub(super) struct TopicEnvelopes {
    configured: BTreeMap<String, Envelope>,
    control: Arc<dyn Control>,
    source: Arc<dyn EventSource>,
}

impl TopicEnvelopes {
    pub(super) fn new(
        config: &Config,
        control: Arc<dyn Control>,
        source: Arc<dyn EventSource>,
    ) -> Self {
        Self {
            configured: config.kafka.topics.clone(),
            control,
            source,
        }
    }

    async fn topic_id(&self, topic: &str) -> Result<String> {
        let id = self.source.topic_id(topic).await?;
        id.ok_or_else(|| Fault::transient(format!("topic {topic} is not there (yet)")))
    }
}

#[async_trait]
impl Envelopes for TopicEnvelopes {
    async fn known(&self, topic: &str) -> Result<Option<Envelope>> {
        if let Some(configured) = self.configured.get(topic) {
            return Ok(Some(configured.clone()));
        }
        let remembered = self
            .control
            .envelope(topic, &self.topic_id(topic).await?)
            .await?;
        Ok(remembered.as_deref().and_then(Envelope::from_name))
    }

    async fn remember(&self, topic: &str, detected: Envelope) -> Result<Envelope> {
        let id = self.topic_id(topic).await?;
        let name = self
            .control
            .remember_envelope(topic, &id, &detected.name())
            .await?;
        tracing::info!(topic, envelope = detected.label(), "envelope detected");
        Ok(Envelope::from_name(&name).unwrap_or(detected))
    }
}
