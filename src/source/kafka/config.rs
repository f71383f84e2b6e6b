//! What each client is configured with.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::settings::Settings;

/// How many readers share the memory limit: one per role.
const READERS: usize = 3;

/// A partition's queue holds at least this many bytes, and one fetch brings at least as many:
/// below it, every fetch would carry a handful of records.
const SMALLEST_QUEUE: usize = 256 << 10;

/// A fetch brings at most this much of one partition: more only costs memory.
const LARGEST_PARTITION_FETCH: usize = 4 << 20;

/// librdkafka's own limit of one response (`receive.message.max.bytes` is 100 MB).
const LARGEST_FETCH: usize = 50 << 20;

/// What librdkafka spends on a queued record besides its value, in bytes. Its byte limit
/// counts only values, so tiny records are bounded by their number.
const RECORD_OVERHEAD: usize = 512;

/// The bounds of one reader's queues, in bytes (I10).
///
/// The limit is divided by three readers and by the partitions of this one. Half of a
/// partition's share is the queue's threshold, the other half one more fetch: librdkafka asks for
/// more as long as the queue is below its threshold, so it overshoots by one fetch.
/// `fetch.max.bytes` bounds one response per broker; what it holds lands in the queues and
/// is counted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queues {
    /// Threshold of one partition's queue, in bytes of values.
    pub(super) queue: usize,
    /// The same as a number of records.
    pub(super) records: usize,
    /// How much of one partition one fetch brings.
    pub(super) partition_fetch: usize,
    /// How much one fetch brings in all.
    pub(super) fetch: usize,
}

impl Queues {
    /// The queues of a reader of at most `partitions` partitions at once.
    pub(super) fn new(memory_limit: usize, partitions: usize) -> Self {
        let half = Self::share(memory_limit, partitions) / 2;
        let partition_fetch = half.clamp(SMALLEST_QUEUE, LARGEST_PARTITION_FETCH);
        let queue = half.max(SMALLEST_QUEUE);
        Self {
            queue,
            records: (queue / RECORD_OVERHEAD).clamp(500, 100_000),
            partition_fetch,
            fetch: partition_fetch
                .saturating_mul(partitions.max(1))
                .min(memory_limit / READERS)
                .clamp(partition_fetch, LARGEST_FETCH),
        }
    }

    /// How many partitions can be read at once without exceeding `memory_limit`.
    pub(super) fn partitions_at_once(memory_limit: usize) -> usize {
        (memory_limit / READERS / (2 * SMALLEST_QUEUE)).max(1)
    }

    fn share(memory_limit: usize, partitions: usize) -> usize {
        memory_limit / READERS / partitions.max(1)
    }
}

/// What all clients have in common.
fn base(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Warning)
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set(
            "client.id",
            settings.client_id.as_deref().unwrap_or("viewfold"),
        )
        .set("statistics.interval.ms", "0");
    config
}

/// A client that consumes, in whatever way.
fn consumer(settings: &Settings) -> ClientConfig {
    let mut config = base(settings);
    config
        .set("allow.auto.create.topics", "false")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "10");
    config
}

/// The group client. It carries no data.
pub(super) fn member(settings: &Settings) -> ClientConfig {
    let mut config = consumer(settings);
    config
        .set("group.id", &settings.group_id)
        .set("enable.partition.eof", "false")
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "1");
    if !settings.consumer_protocol() {
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // A member has a thread of its own and asks no store, so that only a dead process is silent for
        // ten seconds; the shorter heartbeat lets the others hear of a rebalance within a second.
        for (name, value) in [
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "1000"),
        ] {
            if !settings.properties.contains_key(name) {
                config.set(name, value);
            }
        }
    }
    config
}

/// A manually assigned client. It uses a group id of its own and commits nothing.
pub(super) fn reader(settings: &Settings, queues: Queues) -> ClientConfig {
    let mut config = consumer(settings);
    without_group_settings(&mut config);
    config
        .set("group.id", format!("{}.reader", settings.group_id))
        .set("queued.min.messages", queues.records.to_string())
        .set(
            "queued.max.messages.kbytes",
            (queues.queue >> 10).max(1).to_string(),
        )
        .set(
            "max.partition.fetch.bytes",
            queues.partition_fetch.to_string(),
        )
        .set("fetch.max.bytes", queues.fetch.to_string());
    if !settings.properties.contains_key("fetch.wait.max.ms") {
        // How long the broker may hold an empty answer, and so how late the end of the log is noticed.
        config.set("fetch.wait.max.ms", "100");
    }
    config
}

/// A client without group that asks for topics and bounds.
pub(super) fn metadata(settings: &Settings) -> ClientConfig {
    let mut config = consumer(settings);
    without_group_settings(&mut config);
    config
}

/// The client that asks for topic configurations.
pub(super) fn admin(settings: &Settings) -> ClientConfig {
    let mut config = base(settings);
    without_group_settings(&mut config);
    config
}

/// Only the member takes part in a group protocol.
fn without_group_settings(config: &mut ClientConfig) {
    for name in [
        "group.protocol",
        "group.remote.assignor",
        "partition.assignment.strategy",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
    ] {
        config.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MIB: usize = 1 << 20;

    fn settings(properties: &[(&str, &str)]) -> Settings {
        Settings {
            brokers: "localhost:1".to_owned(),
            group_id: "g".to_owned(),
            client_id: None,
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            memory_limit_bytes: 64 * MIB,
        }
    }

    #[test]
    fn the_queues_of_all_readers_stay_within_the_limit_i10() {
        for limit in [64 * MIB, 256 * MIB, 1024 * MIB] {
            for partitions in [1, 2, 7, 12, 40] {
                if partitions > Queues::partitions_at_once(limit) {
                    continue;
                }
                let queues = Queues::new(limit, partitions);
                let worst = READERS * partitions * (queues.queue + queues.partition_fetch);
                assert!(worst <= limit, "{limit} / {partitions}: {queues:?}");
            }
        }
    }

    #[test]
    fn below_the_floor_a_queue_is_still_usable() {
        let queues = Queues::new(MIB, 1000);
        assert_eq!(queues.queue, SMALLEST_QUEUE);
        assert_eq!(queues.partition_fetch, SMALLEST_QUEUE);
        assert_eq!(Queues::partitions_at_once(64 * MIB), 42);
    }

    #[test]
    fn librdkafka_accepts_every_configuration() {
        for protocol in ["classic", "consumer"] {
            let settings = settings(&[("group.protocol", protocol)]);
            let queues = Queues::new(settings.memory_limit_bytes, 5);
            for config in [
                member(&settings),
                reader(&settings, queues),
                metadata(&settings),
                admin(&settings),
            ] {
                config.create_native_config().unwrap();
            }
            let consumer: Result<rdkafka::consumer::BaseConsumer, _> = member(&settings).create();
            assert!(consumer.is_ok(), "{:?}", consumer.err());
        }
    }

    #[test]
    fn operators_keep_their_timeouts_and_never_our_invariants() {
        let config = member(&settings(&[
            ("session.timeout.ms", "20000"),
            ("isolation.level", "read_uncommitted"),
        ]));
        assert_eq!(config.get("session.timeout.ms"), Some("20000"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
    }
}
