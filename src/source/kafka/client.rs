//! A librdkafka client with the thread that polls its main queue, and what its callbacks do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use crate::fault::{Fault, Result};

use super::health::Health;

/// How long one poll of a main queue may wait.
const POLL: Duration = Duration::from_millis(250);

/// What librdkafka tells every client.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) health: Arc<Health>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, _: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.health.met(code);
        }
    }
}

impl ConsumerContext for Context {}

/// librdkafka repeats itself while a broker is away, which [`Health`] tells once; so its lines are details.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
    }
}

/// A consumer outside the group. Its own thread polls the main queue as long as it is used, and then
/// closes it, because closing blocks.
pub(super) struct Client {
    consumer: Arc<BaseConsumer<Context>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    unused: AtomicBool,
    broken: AtomicBool,
}

impl Client {
    /// Creates the client. `name` names its thread (at most 15 bytes are shown by the system).
    pub(super) fn create(
        name: &str,
        config: &ClientConfig,
        health: &Arc<Health>,
    ) -> Result<Arc<Self>> {
        let context = Context {
            health: Arc::clone(health),
        };
        let consumer: BaseConsumer<Context> = config
            .create_with_context(context)
            .map_err(|error| refused(&error))?;
        let consumer = Arc::new(consumer);
        let shared = Arc::new(Shared::default());
        let (polled, state) = (Arc::clone(&consumer), Arc::clone(&shared));
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || poll_until_unused(polled, &state))
            .map_err(|error| Fault::transient(format!("start a kafka thread: {error}")))?;
        Ok(Arc::new(Self { consumer, shared }))
    }

    /// The consumer itself.
    pub(super) fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    /// Whether a fatal error ended the client: it will never bring anything again.
    pub(super) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.unused.store(true, Ordering::Relaxed);
    }
}

fn poll_until_unused(consumer: Arc<BaseConsumer<Context>>, shared: &Shared) {
    while !shared.unused.load(Ordering::Relaxed) {
        // Records come only through split queues, so that only errors are of interest here.
        if let Some(Err(error)) = consumer.poll(POLL) {
            // rdkafka's own mark of fatal errors is missing on those of a consumer.
            let fatal = consumer.client().fatal_error().is_some();
            if fatal && !shared.broken.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "a kafka client failed for good and will be replaced");
            }
            tracing::debug!(%error, "kafka client");
        }
    }
    // The user's half goes away right after it said so. The last one closes, and that must be this thread.
    while Arc::strong_count(&consumer) > 1 {
        thread::sleep(Duration::from_millis(1));
    }
    drop(consumer);
}

/// A client that could not even be created. librdkafka's text may quote values, so only the property is named.
pub(super) fn refused(error: &KafkaError) -> Fault {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => {
            Fault::misconfigured(format!("kafka property `{name}` is not accepted"))
        }
        KafkaError::ClientCreation(reason) => {
            Fault::misconfigured(format!("kafka client: {reason}"))
        }
        other => Fault::misconfigured(format!("kafka client: {other}")),
    }
}

/// What an answer of Kafka means: `what` names what was being done and to what.
pub(super) fn classify(what: &str, code: RDKafkaErrorCode) -> Fault {
    let message = format!("{what}: {code}");
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Fault::misconfigured(format!("{message}; grant it in the broker's access rules"))
        }
        RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::InvalidGroupId => {
            Fault::misconfigured(message)
        }
        RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::FencedMemberEpoch
        | RDKafkaErrorCode::FencedInstanceId
        | RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::AssignmentLost => Fault::fenced(message),
        _ => Fault::transient(message),
    }
}
