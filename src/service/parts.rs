//! The concrete stores and sources. The only file that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};

use super::envelopes::TopicEnvelopes;
use crate::config::{Config, Role};
use crate::fault::Result;
use crate::pipeline::Envelopes;
use crate::projection::StoreKind;
use crate::source::kafka::{self, KafkaSource};
use crate::source::{EventSource, NoSource};
use crate::store::ViewStore;
use crate::store::control::Control;
use crate::store::postgres::{self, PostgresStore};
use crate::store::redis::{self, RedisStore};

/// Connections to everything outside. None of them needs its server to be up.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) control: Arc<dyn Control>,
    pub(super) source: Arc<dyn EventSource>,
    pub(super) stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    pub(super) envelopes: Arc<dyn Envelopes>,
}

impl Connections {
    pub(super) fn open(config: &Config, role: Role) -> Result<Self> {
        let store = postgres(config)?;
        let control = store.control();
        let redis = RedisStore::connect(&redis::Settings {
            url: config.redis.url.clone(),
            prefix: config.redis.prefix.clone(),
        })?;
        let mut stores: BTreeMap<StoreKind, Arc<dyn ViewStore>> = BTreeMap::new();
        stores.insert(StoreKind::Postgres, Arc::new(store));
        stores.insert(StoreKind::Redis, Arc::new(redis));
        let control: Arc<dyn Control> = Arc::new(control);
        let source = source(config, role)?;
        let envelopes = TopicEnvelopes::new(config, Arc::clone(&control), Arc::clone(&source));
        Ok(Self {
            control,
            source,
            stores,
            envelopes: Arc::new(envelopes),
        })
    }

    /// Whether each of these stores answers.
    pub(super) async fn ping(&self, used: &BTreeSet<StoreKind>) -> Vec<(&'static str, Result<()>)> {
        let stores = self.stores.iter().filter(|(kind, _)| used.contains(kind));
        join_all(stores.map(|(kind, store)| async { (kind.as_str(), store.ping().await) })).await
    }
}

/// The database of this deployment.
pub(super) fn postgres(config: &Config) -> Result<PostgresStore> {
    PostgresStore::connect(&postgres::Settings {
        url: config.postgres.url.clone(),
        schema: config.postgres.schema.clone(),
        views_schema: config.postgres.views_schema.clone(),
        changes: config.postgres.changes,
        // One connection per lane of a handful of pipelines at once, and some for claims.
        writers: u32::try_from(4 * config.pipeline.lanes + 4).unwrap_or(u32::MAX),
        ..postgres::Settings::new(config.postgres.url.clone())
    })
}

/// Whoever only answers reads never connects to Kafka.
fn source(config: &Config, role: Role) -> Result<Arc<dyn EventSource>> {
    if role == Role::Query {
        return Ok(Arc::new(NoSource));
    }
    let source = KafkaSource::new(kafka::Settings {
        brokers: config.kafka.brokers.clone(),
        group_id: config.kafka.group_id.clone(),
        client_id: Some(config.kafka.client_id.clone()),
        properties: properties(config),
        // Half of the limit for what the client has fetched, half for what is decoded.
        memory_limit_bytes: config.pipeline.memory_limit / 2,
    })?;
    Ok(Arc::new(source))
}

/// What goes to librdkafka as it is.
fn properties(config: &Config) -> BTreeMap<String, String> {
    let exposed =
        |(key, value): (&String, &SecretString)| (key.clone(), value.expose_secret().to_owned());
    config.kafka.properties.iter().map(exposed).collect()
}

/// The host's name: what people know this instance by.
pub(super) fn instance_name() -> String {
    let host = hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok());
    let host = host
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "viewfold".to_owned());
    // Two instances on one host need two names.
    format!("{host}-{}", std::process::id())
}
