//! What exists in Kafka: topics, their identity, and the readable bounds of partitions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::OwnedResourceSpecifier;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::source::{Bounds, TopicInfo};

use super::client::{Client, Context, classify, refused};
use super::config;
use super::health::Health;
use super::native::{self, Described};
use super::settings::Settings;

/// How long a question to the brokers may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer about `cleanup.policy` is good for: it costs a question per topic and hardly ever changes.
const COMPACTION_FRESH: Duration = Duration::from_secs(60);

/// Asks the brokers. Keeps two clients connected: one for topics and bounds, one for configurations.
pub(super) struct Metadata {
    client: Arc<Client>,
    admin: AdminClient<Context>,
    health: Arc<Health>,
    brokers: String,
    compaction: Mutex<HashMap<TopicId, Compaction>>,
    told_unknown: AtomicBool,
}

/// A topic's name and id.
type TopicId = (String, String);

#[derive(Clone, Copy)]
struct Compaction {
    compacted: bool,
    asked: Instant,
}

impl Metadata {
    pub(super) fn new(settings: &Settings, health: &Arc<Health>) -> Result<Self> {
        let context = Context {
            health: Arc::clone(health),
        };
        Ok(Self {
            client: Client::create("kafka-metadata", &config::metadata(settings), health)?,
            admin: config::admin(settings)
                .create_with_context(context)
                .map_err(|error| refused(&error))?,
            health: Arc::clone(health),
            brokers: settings.brokers.clone(),
            compaction: Mutex::default(),
            told_unknown: AtomicBool::new(false),
        })
    }

    /// All topics but Kafka's own, in name order.
    pub(super) async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let client = Arc::clone(&self.client);
        let (broker, listed) = self.ask("list topics", move || list(&client, None)).await?;
        let compacted = self.compaction_of(broker, &listed).await?;
        let mut topics: Vec<TopicInfo> = listed
            .into_iter()
            .zip(compacted)
            .map(|(topic, compacted)| TopicInfo {
                name: topic.name.into(),
                id: topic.id,
                partitions: topic.partitions,
                compacted,
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// The id of one topic; none when there is no such topic.
    pub(super) async fn topic_id(&self, topic: &str) -> Result<Option<String>> {
        let (client, asked) = (Arc::clone(&self.client), topic.to_owned());
        let what = format!("ask for the id of topic {topic}");
        let (_, listed) = self.ask(&what, move || list(&client, Some(&asked))).await?;
        Ok(listed
            .into_iter()
            .find(|found| found.name == topic)
            .map(|found| found.id))
    }

    /// The bounds of one partition. The client is `read_committed`, so the high one is the last stable offset.
    pub(super) async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        let client = Arc::clone(&self.client);
        let asked = partition.clone();
        let what = format!("ask for the bounds of {partition}");
        let (low, high) = self
            .ask(&what, move || match watermarks(&client, &asked) {
                Err(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic) => {
                    // It may be new: the client remembers for a while that there was none.
                    let topic = Some(&*asked.topic);
                    let refreshed = client.consumer().fetch_metadata(topic, TIMEOUT);
                    refreshed.map_err(|error| code_of(&error))?;
                    watermarks(&client, &asked)
                }
                known => known,
            })
            .await?;
        Ok(Bounds {
            low: Position::at(low),
            high: Position::at(high),
        })
    }

    /// Where the first record lies whose timestamp is at or after `timestamp_ms`; the readable end when there is none.
    pub(super) async fn position_at(
        &self,
        partition: &TopicPartition,
        timestamp_ms: i64,
    ) -> Result<Position> {
        let found = if timestamp_ms < 0 {
            // For the broker such a number means the log's beginning, its end, and so on.
            Some(0)
        } else {
            let client = Arc::clone(&self.client);
            let asked = partition.clone();
            let what = format!("ask for a position by time in {partition}");
            self.ask(&what, move || offset_at(&client, &asked, timestamp_ms))
                .await?
        };
        // Asked afterwards: what was found cannot lie behind this end, unless the log was truncated.
        let Bounds { low, high } = self.bounds(partition).await?;
        Ok(found.map_or(high, |offset| Position::at(offset).min(high).max(low)))
    }

    /// Runs a blocking question off the async threads.
    async fn ask<T, F>(&self, what: &str, question: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, RDKafkaErrorCode> + Send + 'static,
    {
        let answer = tokio::task::spawn_blocking(question)
            .await
            .map_err(|error| Fault::bug(format!("{what}: {error}")))?;
        match answer {
            Ok(value) => {
                self.health.answered();
                Ok(value)
            }
            Err(code) => {
                self.health.met(code);
                Err(classify(&format!("{what} at {}", self.brokers), code))
            }
        }
    }

    /// Whether each topic is compacted, from memory where that is fresh.
    async fn compaction_of(&self, broker: i32, topics: &[Described]) -> Result<Vec<bool>> {
        let unknown: Vec<&Described> = {
            let known = self.known_compaction();
            let fresh = |topic: &&Described| {
                let known = known.get(&key(topic));
                known.is_none_or(|known| known.asked.elapsed() >= COMPACTION_FRESH)
            };
            topics.iter().filter(fresh).collect()
        };
        let asked = if unknown.is_empty() {
            Vec::new()
        } else {
            self.describe_configs(broker, &unknown).await?
        };
        let policies: HashMap<&str, bool> = asked.iter().filter_map(policy).collect();
        let now = Instant::now();
        let mut known = self.known_compaction();
        for topic in unknown {
            let compacted = policies.get(topic.name.as_str()).copied().unwrap_or(false);
            known.insert(
                key(topic),
                Compaction {
                    compacted,
                    asked: now,
                },
            );
        }
        // Topics that are gone, or have another id, are forgotten some time later.
        known.retain(|_, topic| topic.asked.elapsed() < 2 * COMPACTION_FRESH);
        let compacted = |topic| known.get(&key(topic)).is_some_and(|known| known.compacted);
        Ok(topics.iter().map(compacted).collect())
    }

    /// The configurations of `topics`, without those that may not be seen.
    async fn describe_configs(
        &self,
        broker: i32,
        topics: &[&Described],
    ) -> Result<Vec<ConfigResource>> {
        let specifiers: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(&topic.name))
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .broker_id(broker);
        let answer = match self.admin.describe_configs(&specifiers, &options).await {
            Ok(answer) => answer,
            Err(error) => {
                let code = code_of(&error);
                if never_answers(code) {
                    self.tell_unknown(code);
                    return Ok(Vec::new());
                }
                self.health.met(code);
                let what = format!("ask for topic configurations at {}", self.brokers);
                return Err(classify(&what, code));
            }
        };
        let mut resources = Vec::with_capacity(answer.len());
        for resource in answer {
            match resource {
                Ok(resource) => resources.push(resource),
                Err(code) => self.tell_unknown(code),
            }
        }
        Ok(resources)
    }

    /// Says once that some `cleanup.policy` cannot be seen.
    fn tell_unknown(&self, code: RDKafkaErrorCode) {
        if !self.told_unknown.swap(true, Ordering::Relaxed) {
            tracing::warn!(%code, "cleanup.policy of some topics cannot be read: they count as not compacted");
        }
    }

    fn known_compaction(&self) -> std::sync::MutexGuard<'_, HashMap<TopicId, Compaction>> {
        self.compaction
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(topic: &Described) -> TopicId {
    (topic.name.clone(), topic.id.clone())
}

/// The topic's name, and whether its `cleanup.policy` contains `compact`.
fn policy(resource: &ConfigResource) -> Option<(&str, bool)> {
    let OwnedResourceSpecifier::Topic(name) = &resource.specifier else {
        return None;
    };
    let policy = resource.get("cleanup.policy")?.value.as_deref()?;
    let compacted = policy.split(',').any(|part| part.trim() == "compact");
    Some((name, compacted))
}

/// The first and the next readable offset. Blocks.
fn watermarks(client: &Client, of: &TopicPartition) -> Result<(i64, i64), RDKafkaErrorCode> {
    client
        .consumer()
        .fetch_watermarks(&of.topic, of.partition, TIMEOUT)
        .map_err(|error| code_of(&error))
}

/// The offset of the first record at or after a time; none when no record is as late. Blocks.
fn offset_at(
    client: &Client,
    of: &TopicPartition,
    timestamp_ms: i64,
) -> Result<Option<i64>, RDKafkaErrorCode> {
    let mut asked = TopicPartitionList::with_capacity(1);
    asked
        .add_partition_offset(&of.topic, of.partition, Offset::Offset(timestamp_ms))
        .map_err(|error| code_of(&error))?;
    let answer = client
        .consumer()
        .offsets_for_times(asked, TIMEOUT)
        .map_err(|error| code_of(&error))?;
    let element = answer.find_partition(&of.topic, of.partition);
    let element = element.ok_or(RDKafkaErrorCode::UnknownPartition)?;
    element.error().map_err(|error| code_of(&error))?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

/// All readable topics, and the broker that told. Blocks.
fn list(client: &Client, one: Option<&str>) -> Result<(i32, Vec<Described>), RDKafkaErrorCode> {
    let metadata = client
        .consumer()
        .fetch_metadata(one, TIMEOUT)
        .map_err(|error| code_of(&error))?;
    let readable = metadata
        .topics()
        .iter()
        // A topic with an error has no partitions to look at.
        .filter(|topic| topic.error().is_none() && !is_internal(topic.name()));
    let mut topics: Vec<Described> = readable
        .map(|topic| Described {
            name: topic.name().to_owned(),
            id: String::new(),
            partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
            internal: false,
        })
        .collect();
    let broker = metadata.orig_broker_id();
    if topics.is_empty() {
        return Ok((broker, topics));
    }
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    match native::describe_topics(client, broker, &names, TIMEOUT) {
        // Number of partitions and id come from one answer: they belong to the same incarnation.
        Ok(described) => topics = described,
        Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {}
        Err(code) => return Err(code),
    }
    topics.retain(|topic| !topic.internal && topic.partitions > 0);
    Ok((broker, topics))
}

/// Kafka's own topics: brokers mark some as internal, and all begin like this.
fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

fn never_answers(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
    )
}

fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::AdminOp(code) => *code,
        other => other
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown),
    }
}
