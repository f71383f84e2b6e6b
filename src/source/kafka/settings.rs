//! What an operator may set about Kafka, and what they may not.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// How to reach Kafka. There is no `Debug`: properties may hold secrets.
#[derive(Clone)]
pub struct Settings {
    /// Bootstrap servers: `host:port`, separated by commas.
    pub brokers: String,
    /// The consumer group of the whole deployment, stable for ever.
    pub group_id: String,
    /// What the clients call themselves; `viewfold` when absent.
    pub client_id: Option<String>,
    /// Further librdkafka properties (SASL, TLS, `group.protocol`, time-outs …). May hold secrets.
    pub properties: BTreeMap<String, String>,
    /// How many bytes the queues of all readers together may hold.
    pub memory_limit_bytes: usize,
}

/// Something in [`Settings`] that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Problem {
    /// The setting, as it is written under `[kafka]`.
    pub key: String,
    /// Why it is refused and what to do instead. Never contains the value.
    pub message: String,
}

/// Properties that are ours to set, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `kafka.brokers` instead"),
    ("metadata.broker.list", "set `kafka.brokers` instead"),
    ("client.id", "set `kafka.client_id` instead"),
    ("group.id", "set `kafka.group_id` instead"),
    (
        "group.instance.id",
        "every instance is a member of its own: a static one would hold its partitions after it left",
    ),
    (
        "enable.auto.commit",
        "positions live in the stores; a commit is only a hint or a proof of membership",
    ),
    (
        "auto.commit.interval.ms",
        "positions live in the stores; nothing is committed automatically",
    ),
    (
        "enable.auto.offset.store",
        "positions live in the stores; the client must not keep its own",
    ),
    (
        "auto.offset.reset",
        "a position outside of the log must stop the track, not jump",
    ),
    (
        "isolation.level",
        "only committed records may be folded (read_committed)",
    ),
    (
        "enable.partition.eof",
        "positions pass transaction markers and compacted records only by it",
    ),
    (
        "allow.auto.create.topics",
        "reading must never create a topic",
    ),
    ("statistics.interval.ms", "viewfold has its own metrics"),
    (
        "queued.min.messages",
        "derived from `pipeline.memory_limit`",
    ),
    (
        "queued.max.messages.kbytes",
        "derived from `pipeline.memory_limit`",
    ),
    ("fetch.max.bytes", "derived from `pipeline.memory_limit`"),
    (
        "max.partition.fetch.bytes",
        "derived from `pipeline.memory_limit`",
    ),
    (
        "fetch.message.max.bytes",
        "derived from `pipeline.memory_limit`",
    ),
    (
        "fetch.queue.backoff.ms",
        "a longer one stalls bounded queues",
    ),
];

/// What the KIP-848 protocol leaves to the broker.
const LEFT_TO_BROKER: &[&str] = &[
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
];

/// The longest metadata refresh interval, in milliseconds: new partitions must be seen soon.
const LONGEST_METADATA_REFRESH: u64 = 15_000;

impl Settings {
    /// Everything that is wrong with these settings, all at once. Pure: asks no broker.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.brokers.trim().is_empty() {
            problems.push(problem("brokers", "at least one `host:port` is needed"));
        }
        if self.group_id.trim().is_empty() {
            problems.push(problem("group_id", "must not be empty"));
        }
        for (name, value) in &self.properties {
            if let Some(message) = self.refusal(name, value) {
                problems.push(problem(&format!("properties.{name}"), &message));
            }
        }
        problems
    }

    /// Whether the group uses the KIP-848 protocol, which needs a broker of version 4 or newer.
    pub fn consumer_protocol(&self) -> bool {
        self.properties
            .get("group.protocol")
            .is_some_and(|value| value.eq_ignore_ascii_case("consumer"))
    }

    fn refusal(&self, name: &str, value: &str) -> Option<String> {
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Some((*reason).to_owned());
        }
        if name.starts_with("test.mock.") {
            return Some("replaces the real brokers by a mock".to_owned());
        }
        if self.consumer_protocol() && LEFT_TO_BROKER.contains(&name) {
            return Some("the broker decides this under `group.protocol=consumer`".to_owned());
        }
        if name == "partition.assignment.strategy" && value != "cooperative-sticky" {
            return Some(
                "only cooperative-sticky keeps the other partitions during a rebalance".to_owned(),
            );
        }
        let refresh = ["topic.metadata.refresh.interval.ms", "metadata.max.age.ms"];
        if refresh.contains(&name) {
            let fine = |ms: u64| (1..=LONGEST_METADATA_REFRESH).contains(&ms);
            if !value.parse().is_ok_and(fine) {
                return Some(format!(
                    "must be within 1 and {LONGEST_METADATA_REFRESH}, so that new partitions are seen soon"
                ));
            }
        }
        librdkafka_refuses(name, value)
    }
}

fn problem(key: &str, message: &str) -> Problem {
    Problem {
        key: key.to_owned(),
        message: message.to_owned(),
    }
}

/// Asks librdkafka about the name and the value alone. Its own text is dropped: it quotes the value.
fn librdkafka_refuses(name: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    let reason = match config.create_native_config().err()? {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => {
            "librdkafka has no such property"
        }
        _ => "librdkafka does not accept this value",
    };
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(properties: &[(&str, &str)]) -> Settings {
        Settings {
            brokers: "localhost:9092".to_owned(),
            group_id: "viewfold".to_owned(),
            client_id: None,
            properties: properties
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            memory_limit_bytes: 64 << 20,
        }
    }

    fn refused(properties: &[(&str, &str)]) -> Vec<String> {
        settings(properties)
            .check()
            .into_iter()
            .map(|problem| problem.key)
            .collect()
    }

    #[test]
    fn plain_settings_have_no_problem() {
        assert_eq!(settings(&[]).check(), []);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut wrong = settings(&[("enable.auto.commit", "false"), ("no.such", "1")]);
        wrong.brokers.clear();
        wrong.group_id.clear();
        assert_eq!(wrong.check().len(), 4);
    }

    #[test]
    fn properties_that_correctness_depends_on_are_refused_whatever_their_value() {
        for (name, reason) in REFUSED {
            let problems = settings(&[(name, "earliest")]).check();
            assert_eq!(problems.len(), 1, "{name}");
            assert_eq!(problems[0].message, *reason);
        }
    }

    #[test]
    fn security_and_timeouts_pass_through() {
        let fine = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
            ("ssl.ca.location", "/etc/ca.pem"),
            ("ssl.ca.pem", "x"),
            ("ssl.key.password", "p"),
            ("ssl.certificate.location", "/etc/c.pem"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("session.timeout.ms", "30000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("topic.metadata.refresh.interval.ms", "5000"),
            ("socket.keepalive.enable", "true"),
        ];
        assert_eq!(refused(&fine), Vec::<String>::new());
    }

    #[test]
    fn the_consumer_protocol_takes_no_session_settings() {
        let refusals = refused(&[
            ("group.protocol", "consumer"),
            ("session.timeout.ms", "30000"),
        ]);
        assert_eq!(refusals, ["properties.session.timeout.ms"]);
        assert_eq!(
            refused(&[("group.protocol", "consumer")]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn another_assignor_and_slow_metadata_are_refused() {
        assert_eq!(
            refused(&[("partition.assignment.strategy", "range")]).len(),
            1
        );
        assert_eq!(
            refused(&[("topic.metadata.refresh.interval.ms", "300000")]).len(),
            1
        );
    }

    #[test]
    fn a_problem_never_shows_the_value() {
        let problems = settings(&[("security.protocol", "hunter2"), ("hunter", "hunter2")]).check();
        assert_eq!(problems.len(), 2);
        for problem in problems {
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }
}
