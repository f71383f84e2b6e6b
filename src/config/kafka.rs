//! `[kafka]`: the brokers, the group, and how each topic's records are wrapped.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::node::{Entry, Node, Raw};
use super::problem::{Origin, Problems};
use super::read::{self, Read};
use crate::source::kafka::Settings;

/// The log.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The one consumer group of the deployment.
    pub group_id: String,
    /// How clients call themselves.
    pub client_id: String,
    /// Further properties of librdkafka, by their dotted names. Any may be a secret.
    pub properties: BTreeMap<String, SecretString>,
    /// How the records of a topic are wrapped, where it is not to be detected.
    pub topics: BTreeMap<String, Envelope>,
    /// Where schemas are registered.
    pub schema_registry_url: Option<SecretString>,
}

/// How the records of a topic say what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Detected once, then remembered.
    #[default]
    Auto,
    /// A built-in one: `cloudevents`, `plain` or `debezium`.
    Named(&'static str),
    /// Envelope field (or `data`) to its dotted place in the record.
    Fields(BTreeMap<String, String>),
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            group_id: "viewfold".into(),
            client_id: "viewfold".into(),
            properties: BTreeMap::new(),
            topics: BTreeMap::new(),
            schema_registry_url: None,
        }
    }
}

/// The fields that an envelope's mapping may place.
const FIELDS: [&str; 14] = [
    "id",
    "type",
    "version",
    "source",
    "time",
    "subject",
    "correlation_id",
    "causation_id",
    "trace_id",
    "user_id",
    "aggregate_id",
    "aggregate_type",
    "aggregate_version",
    "data",
];

impl Kafka {
    pub(super) const KEYS: &'static [&'static str] = &[
        "brokers",
        "group_id",
        "client_id",
        "properties",
        "topics",
        "schema_registry_url",
    ];

    /// `origins` learns where each property was said.
    pub(super) fn set(
        &mut self,
        key: &str,
        node: &Node,
        problems: &mut Problems,
        origins: &mut BTreeMap<String, Origin>,
    ) -> Read<()> {
        match key {
            "brokers" => self.brokers = brokers(node)?,
            "group_id" => self.group_id = read::text(node)?,
            "client_id" => self.client_id = read::text(node)?,
            "properties" => self.set_properties(node, problems, origins)?,
            "topics" => self.set_topics(node, problems)?,
            _ => self.schema_registry_url = Some(read::url(node, &["http", "https"])?),
        }
        Ok(())
    }

    fn set_properties(
        &mut self,
        node: &Node,
        problems: &mut Problems,
        origins: &mut BTreeMap<String, Origin>,
    ) -> Read<()> {
        let Raw::Table(entries) = &node.raw else {
            return Err("must be a section [kafka.properties]".into());
        };
        let mut properties = Vec::new();
        flatten("", entries, &mut properties);
        for (name, entry) in properties {
            let text = match &entry.value.raw {
                Raw::Untyped(text) | Raw::String(text) | Raw::Float(text) => text.clone(),
                Raw::Integer(number) => number.to_string(),
                Raw::Bool(flag) => flag.to_string(),
                _ => {
                    let message = format!("kafka.properties.{name} must be a string or a number");
                    problems.add(&entry.value.origin, message);
                    continue;
                }
            };
            let setting = format!("kafka.properties.{name}");
            origins.insert(setting, entry.origin.clone());
            self.properties.insert(name, SecretString::from(text));
        }
        Ok(())
    }

    /// What the source takes.
    pub fn settings(&self, memory_limit_bytes: usize) -> Settings {
        let properties = self.properties.iter();
        Settings {
            brokers: self.brokers.clone(),
            group_id: self.group_id.clone(),
            client_id: Some(self.client_id.clone()),
            properties: properties
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect(),
            memory_limit_bytes,
        }
    }

    fn set_topics(&mut self, node: &Node, problems: &mut Problems) -> Read<()> {
        let Raw::Table(topics) = &node.raw else {
            return Err("must be sections [kafka.topics.<topic>]".into());
        };
        for topic in topics {
            let Raw::Table(entries) = &topic.value.raw else {
                let message = format!("kafka.topics.{} must be a section", topic.key);
                problems.add(&topic.origin, message);
                continue;
            };
            for entry in entries {
                self.set_topic(&topic.key, entry, problems);
            }
        }
        Ok(())
    }

    fn set_topic(&mut self, topic: &str, entry: &Entry, problems: &mut Problems) {
        let read = match entry.key.as_str() {
            "envelope" => envelope(&entry.value, problems).map(|envelope| {
                self.topics.insert(topic.to_owned(), envelope);
            }),
            "format" => format(&entry.value),
            key => {
                let message = format!(
                    "unknown key `{key}` in [kafka.topics.{topic}]; known are envelope, format \
                     (a topic with dots needs quotes: [kafka.topics.\"a.b\"])"
                );
                return problems.add(&entry.origin, message);
            }
        };
        if let Err(message) = read {
            let key = &entry.key;
            problems.add(
                &entry.value.origin,
                format!("kafka.topics.{topic}.{key} {message}"),
            );
        }
    }
}

/// Nested tables are dotted names: `sasl = { password = … }` is `sasl.password`.
fn flatten<'e>(prefix: &str, entries: &'e [Entry], found: &mut Vec<(String, &'e Entry)>) {
    for entry in entries {
        let name = format!("{prefix}{}", entry.key);
        match &entry.value.raw {
            Raw::Table(inner) => flatten(&format!("{name}."), inner, found),
            _ => found.push((name, entry)),
        }
    }
}

fn brokers(node: &Node) -> Read<String> {
    let text = read::text(node)?;
    let valid = text.split(',').all(|broker| {
        let broker = broker.trim();
        let host = match broker.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            Some((_, _)) => "",
            None => broker,
        };
        !host.is_empty() && !host.contains(char::is_whitespace)
    });
    if valid {
        Ok(text)
    } else {
        Err("must be a list like \"host:9092,other:9092\"".into())
    }
}

fn envelope(node: &Node, problems: &mut Problems) -> Read<Envelope> {
    let inline = match &node.raw {
        Raw::Untyped(text) if text.trim_start().starts_with('{') => node.inline(text),
        _ => None,
    };
    let node = inline.as_ref().unwrap_or(node);
    let Raw::Table(entries) = &node.raw else {
        let words = ["auto", "cloudevents", "plain", "debezium"].map(|word| (word, word));
        let word = read::choice(node, &words)
            .map_err(|wanted| format!("{wanted} or a table like {{ id = \"eventId\", … }}"))?;
        return Ok(match word {
            "auto" => Envelope::Auto,
            word => Envelope::Named(word),
        });
    };
    let mut fields = BTreeMap::new();
    for entry in entries {
        let key = entry.key.as_str();
        if !FIELDS.contains(&key) {
            let message = format!(
                "unknown envelope field `{key}`; known are {}",
                FIELDS.join(", ")
            );
            problems.add(&entry.origin, message);
            continue;
        }
        match read::text(&entry.value) {
            Ok(place) => {
                fields.insert(key.to_owned(), place);
            }
            Err(message) => problems.add(
                &entry.value.origin,
                format!("envelope field {key} {message}"),
            ),
        }
    }
    Ok(Envelope::Fields(fields))
}

fn format(node: &Node) -> Read<()> {
    match read::choice(
        node,
        &[("json", true), ("avro", false), ("protobuf", false)],
    )? {
        true => Ok(()),
        false => Err("is not available yet: only `json` is".into()),
    }
}
