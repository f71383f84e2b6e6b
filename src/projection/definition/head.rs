//! What stands above the tables: topics, stores and how the projection is run.

use std::time::Duration;

use super::diagnostic::Problems;
use super::document::{Entry, Kind, Node};
use super::names::did_you_mean;
use crate::projection::{StoreKind, TopicSelector};

/// Every key of a definition's top level.
pub(super) const TOP_LEVEL: [&str; 11] = [
    "description",
    "topics",
    "stores",
    "key",
    "columns",
    "on",
    "dedupe",
    "on_poison",
    "retain",
    "auto_rebuild",
    "accept_compacted",
];

/// The most characters of a topic's name in Kafka.
const MAX_TOPIC: usize = 249;

/// The message for a top-level key below the header `below`.
pub(super) fn move_above(key: &str, below: &str) -> String {
    let misplaced = misplaced(key);
    format!("{misplaced} {below}: move it above the first table header")
}

fn misplaced(key: &str) -> String {
    format!("`{key}` is a top-level key, but it stands below")
}

/// The simple keys of the top level.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) description: String,
    pub(super) topics: Vec<TopicSelector>,
    /// The topics as they were written.
    pub(super) topic_texts: Vec<String>,
    pub(super) stores: Vec<StoreKind>,
    /// What `on_poison` says; empty when it is not there.
    pub(super) on_poison: String,
    pub(super) retain: Option<Duration>,
    pub(super) auto_rebuild: bool,
    pub(super) accept_compacted: bool,
}

/// Reads the top level; tables are left to others.
pub(super) fn read(entries: &[Entry], problems: &mut Problems<'_>) -> Head {
    let mut head = Head::default();
    for entry in entries {
        let value = &entry.value;
        match entry.key.as_str() {
            "description" => {
                let text = value.text("description", problems);
                head.description = text.unwrap_or_default().to_owned();
            }
            "topics" => read_topics(value, &mut head, problems),
            "stores" => head.stores = read_stores(value, problems),
            "on_poison" => head.on_poison = read_on_poison(value, problems),
            "dedupe" => read_dedupe(entry, problems),
            "retain" => head.retain = read_duration(value, "retain", problems),
            "auto_rebuild" => {
                head.auto_rebuild = value.boolean("auto_rebuild", problems).unwrap_or_default();
            }
            "accept_compacted" => {
                head.accept_compacted = value
                    .boolean("accept_compacted", problems)
                    .unwrap_or_default();
            }
            "key" | "columns" | "on" => {}
            other => problems.add(
                entry.at,
                format!("unknown key `{other}`{}", did_you_mean(other, TOP_LEVEL)),
            ),
        }
    }
    if !entries.iter().any(|entry| entry.key == "stores") {
        head.stores = vec![StoreKind::Postgres];
    }
    head
}

/// Notes what a definition cannot do without; to be called last, because a key that was found at a
/// wrong place is not also missing.
pub(super) fn note_missing(entries: &[Entry], problems: &mut Problems<'_>) {
    for (key, example) in [
        ("topics", "topics = [\"orders\"]"),
        ("key", "key = { order_id = \"data.orderId\" }"),
        (
            "columns",
            "a [columns] table with at least the key's columns",
        ),
        ("on", "at least one handler, such as [on.\"order.created\"]"),
    ] {
        let present = entries.iter().any(|entry| entry.key == key);
        if !present && !problems.mention(&misplaced(key)) {
            problems.add(0, format!("`{key}` is missing: add {example}"));
        }
    }
}

/// The strings of an array, each once and with its place.
fn strings<'n>(
    node: &'n Node,
    name: &str,
    example: &str,
    problems: &mut Problems<'_>,
) -> Vec<(usize, &'n str)> {
    let Kind::Array(items) = &node.kind else {
        problems.add(
            node.at(),
            format!(
                "`{name}` must be an array of strings, not {}: write {name} = {example}",
                node.what()
            ),
        );
        return Vec::new();
    };
    if items.is_empty() {
        problems.add(
            node.at(),
            format!("`{name}` is empty: write {name} = {example}"),
        );
    }
    let mut texts: Vec<(usize, &str)> = Vec::new();
    for item in items {
        let Kind::Text(text) = &item.kind else {
            problems.add(
                item.at(),
                format!("`{name}` must hold strings, not {}", item.what()),
            );
            continue;
        };
        if texts.iter().any(|(_, earlier)| earlier == text) {
            problems.add(item.at(), format!("`{text}` stands in `{name}` twice"));
        } else {
            texts.push((item.at(), text));
        }
    }
    texts
}

fn read_topics(node: &Node, head: &mut Head, problems: &mut Problems<'_>) {
    for (at, text) in strings(node, "topics", "[\"orders\"]", problems) {
        match parse_topic(text) {
            Ok(topic) => {
                head.topics.push(topic);
                head.topic_texts.push(text.to_owned());
            }
            Err(problem) => problems.add(at, problem),
        }
    }
}

fn parse_topic(text: &str) -> Result<TopicSelector, String> {
    if let Some(pattern) = text.strip_prefix('^') {
        // Checked alone first: an unbalanced parenthesis must not pair with the wrapper's.
        return regex::Regex::new(pattern)
            .and_then(|_| regex::Regex::new(&format!(r"\A(?:{pattern})\z")))
            .map(TopicSelector::Pattern)
            .map_err(|error| format!("topic pattern `{text}`: {}", regex_problem(&error)));
    }
    let valid = !text.is_empty()
        && text.len() <= MAX_TOPIC
        && text != "."
        && text != ".."
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if valid {
        Ok(TopicSelector::Exact(text.into()))
    } else {
        Err(format!(
            "`{text}` is not a topic name: 1 to {MAX_TOPIC} of A-Z a-z 0-9 . _ - (a pattern begins with ^)"
        ))
    }
}

/// The last line of a regex error says what is wrong; the lines before it draw the place.
fn regex_problem(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn read_stores(node: &Node, problems: &mut Problems<'_>) -> Vec<StoreKind> {
    let mut stores = Vec::new();
    for (at, text) in strings(node, "stores", "[\"postgres\"]", problems) {
        match text {
            "postgres" => stores.push(StoreKind::Postgres),
            "redis" => stores.push(StoreKind::Redis),
            other => problems.add(
                at,
                format!(
                    "unknown store `{other}`: only postgres and redis{}",
                    did_you_mean(other, ["postgres", "redis"])
                ),
            ),
        }
    }
    stores
}

fn read_on_poison(node: &Node, problems: &mut Problems<'_>) -> String {
    let Some(text) = node.text("on_poison", problems) else {
        return String::new();
    };
    match text {
        "stop" => return text.to_owned(),
        "park" | "dead_letter" => problems.add(
            node.at(),
            format!(
                "on_poison = \"{text}\" is not available yet: write on_poison = \"stop\" or leave it out (a track then stops at the event until it is skipped)"
            ),
        ),
        other => problems.add(
            node.at(),
            format!(
                "on_poison = \"{other}\": must be \"park\", \"dead_letter\" or \"stop\"{}",
                did_you_mean(other, ["park", "dead_letter", "stop"])
            ),
        ),
    }
    String::new()
}

/// Checks `dedupe = { by = "event.id", window = "7d" }`, and refuses it.
fn read_dedupe(entry: &Entry, problems: &mut Problems<'_>) {
    let example = "dedupe = { by = \"event.id\", window = \"7d\" }";
    problems.add(
        entry.at,
        "`dedupe` is not available yet: leave it out (redelivered records are applied once without it; only a producer's own duplicates are not noticed)",
    );
    let Some(fields) = entry.value.table("dedupe", example, problems) else {
        return;
    };
    for field in fields {
        match field.key.as_str() {
            "by" => {
                field.value.text("by", problems);
            }
            "window" => {
                read_duration(&field.value, "window", problems);
            }
            other => problems.add(
                field.at,
                format!(
                    "unknown key `{other}` of `dedupe`: only by and window{}",
                    did_you_mean(other, ["by", "window"])
                ),
            ),
        }
    }
}

fn read_duration(node: &Node, name: &str, problems: &mut Problems<'_>) -> Option<Duration> {
    let text = node.text(name, problems)?;
    let duration = humantime::parse_duration(text).ok();
    if duration.is_none() {
        problems.add(
            node.at(),
            format!("`{name}`: `{text}` is not a duration: write for example \"24h\", \"7d\" or \"1h 30m\""),
        );
    }
    duration
}
