//! The environment as a layer of settings.
//!
//! `VIEWFOLD_<SECTION>__<KEY>` is `section.key`; the double underscore tells ours from what
//! Kubernetes injects for a service of that name (`VIEWFOLD_PORT`), which is ignored. An empty
//! variable counts as not set, as Compose files and OpenTelemetry mean it.

use std::ffi::OsString;

use super::node::Node;
use super::problem::{Origin, Problems};

/// Conventional names that other tools use too, and the setting that each one is.
const CONVENTIONAL: [(&str, &str, &str); 9] = [
    ("KAFKA_BROKERS", "kafka", "brokers"),
    ("KAFKA_CLIENT_ID", "kafka", "client_id"),
    ("KAFKA_CONSUMER_GROUP_ID", "kafka", "group_id"),
    ("SCHEMA_REGISTRY_URL", "kafka", "schema_registry_url"),
    ("DATABASE_URL", "postgres", "url"),
    ("REDIS_URL", "redis", "url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry", "otlp_endpoint"),
    ("OTEL_SERVICE_NAME", "telemetry", "service_name"),
    ("RUST_LOG", "telemetry", "log"),
];

/// Settings that may hold a secret and so may be given as a file, besides all of `kafka.properties`.
const SECRETS: [&str; 5] = [
    "postgres.url",
    "redis.url",
    "kafka.schema_registry_url",
    "admin.tokens",
    "api.tokens",
];

/// The variables that are settings, the conventional ones first: ours win over them.
pub(super) fn layer(variables: &[(OsString, OsString)], problems: &mut Problems) -> Vec<Node> {
    let mut settings: Vec<Node> = Vec::new();
    for (name, section, key) in CONVENTIONAL {
        let Some((_, value)) = variables.iter().find(|(n, _)| n == name) else {
            continue;
        };
        let path = [section.to_owned(), key.to_owned()];
        settings.extend(setting(name, &path, value, problems));
    }
    let mut ours: Vec<(&str, Vec<String>, &OsString)> = variables
        .iter()
        .filter_map(|(name, value)| {
            let name = name.to_str()?;
            Some((name, path(name)?, value))
        })
        .collect();
    ours.sort_unstable();
    for (name, mut path, value) in ours {
        let plain = name.strip_suffix("_FILE").filter(|_| from_file(&mut path));
        let Some(plain) = plain else {
            settings.extend(setting(name, &path, value, problems));
            continue;
        };
        let doubled = variables
            .iter()
            .any(|(other, value)| other == plain && !value.is_empty());
        if doubled && !value.is_empty() {
            let message = format!("is set beside {plain}: set only one of them");
            problems.add(&Origin::Variable(name.to_owned()), message);
            continue;
        }
        settings.extend(contents(name, &path, value, problems));
    }
    settings
}

/// The path that a variable's name means; none when it is not one of ours.
fn path(name: &str) -> Option<Vec<String>> {
    let name = name.strip_prefix("VIEWFOLD_")?;
    if !name.contains("__") {
        return None;
    }
    let name = name.to_lowercase();
    if let Some(property) = name.strip_prefix("kafka__properties__") {
        let property = property.replace("__", ".").replace('_', ".");
        return Some(vec!["kafka".into(), "properties".into(), property]);
    }
    Some(name.split("__").map(str::to_owned).collect())
}

/// Whether the path of a `…_FILE` variable means the contents of a file; the path is then
/// that of the setting itself.
fn from_file(path: &mut [String]) -> bool {
    let property = path.len() == 3 && path.starts_with(&["kafka".into(), "properties".into()]);
    let Some(last) = path.last_mut() else {
        return false;
    };
    let suffix = if property { ".file" } else { "_file" };
    let Some(plain) = last.strip_suffix(suffix).map(str::to_owned) else {
        return false;
    };
    let whole = std::mem::replace(last, plain);
    let secret = property || SECRETS.contains(&path.join(".").as_str());
    if !secret && let Some(last) = path.last_mut() {
        *last = whole;
    }
    secret
}

fn setting(name: &str, path: &[String], value: &OsString, problems: &mut Problems) -> Option<Node> {
    let origin = Origin::Variable(name.to_owned());
    let Some(text) = value.to_str() else {
        problems.add(&origin, "is not UTF-8");
        return None;
    };
    (!text.is_empty()).then(|| Node::along(path, text.to_owned(), origin))
}

fn contents(name: &str, path: &[String], file: &OsString, problems: &mut Problems) -> Option<Node> {
    if file.is_empty() {
        return None;
    }
    let origin = Origin::Variable(name.to_owned());
    match std::fs::read_to_string(file) {
        // Editors and `echo` end files with a newline that is no part of the secret.
        Ok(text) => {
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            Some(Node::along(path, text, origin))
        }
        Err(error) => {
            let file = std::path::Path::new(file).display();
            problems.add(&origin, format!("failed to read {file}: {error}"));
            None
        }
    }
}
