//! Samples: JSON lines as raw chunks, for `viewfold try` and `check --sample`.
//!
//! A line is either a record's value (any JSON, in any envelope), or a whole record: an object with
//! the member `value` and no members but these:
//!
//! | member | is | when absent |
//! |---|---|---|
//! | `value` | the record's value; `null` is a tombstone | |
//! | `key` | the record key: text, or any JSON as its text; `null` is no key | no key |
//! | `headers` | an object of names to texts (or any JSON as its text; `null` is no value) | none |
//! | `timestamp` | the record's time: milliseconds since the epoch, or RFC 3339 text | unknown |
//! | `topic`, `partition` | where the record lies | the sample's topic, 0 |
//! | `offset` | its offset, above those before it in the partition | the next one |
//!
//! A value that looks like such a record has to be written as one: `{"value": {"value": 1}}`.
//! Empty lines are passed over.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::json::Json;
use super::scan::scan;
use super::time;
use super::trie::Trie;
use crate::position::{Position, TopicPartition};
use crate::record::{RawChunk, RawRecord};

const MEMBERS: [&str; 7] = [
    "key",
    "headers",
    "value",
    "timestamp",
    "topic",
    "partition",
    "offset",
];

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The records of a sample in the order of its lines: one chunk per run of lines of the same
/// partition. `topic` is where lines lie that do not say so. An error names the line.
pub fn chunk_from_lines(topic: &str, text: &str) -> Result<Vec<RawChunk>, String> {
    let mut chunks: Vec<RawChunk> = Vec::new();
    let mut next: HashMap<TopicPartition, Position> = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        read_line(topic, line, &mut chunks, &mut next)
            .map_err(|wrong| format!("line {}: {wrong}", index + 1))?;
    }
    Ok(chunks)
}

fn read_line(
    topic: &str,
    line: &str,
    chunks: &mut Vec<RawChunk>,
    next: &mut HashMap<TopicPartition, Position>,
) -> Result<(), String> {
    scan(line, 0, &Trie::default(), &mut []).map_err(|wrong| format!("not JSON: {wrong}"))?;
    let members: Members<'_> = serde_json::from_str(line).unwrap_or_default();
    let whole = members.contains_key("value")
        && members.keys().all(|name| MEMBERS.contains(&name.as_str()));
    let line = match whole {
        true => Line::read(&members)?,
        false => Line::of_value(line),
    };
    let partition = TopicPartition::new(line.topic.as_deref().unwrap_or(topic), line.partition);
    let expected = next.get(&partition).copied();
    let offset = line
        .offset
        .unwrap_or(expected.unwrap_or(Position::ZERO).offset());
    if expected.is_some_and(|expected| offset < expected.offset()) {
        return Err(format!(
            "offset {offset} is not above the one before it in {partition}"
        ));
    }
    next.insert(partition.clone(), Position::after(offset));
    let chunk = match chunks.last_mut() {
        Some(chunk) if chunk.partition == partition => chunk,
        _ => {
            let from = expected.unwrap_or(Position::at(offset));
            chunks.push(RawChunk::empty(partition, from));
            match chunks.last_mut() {
                Some(chunk) => chunk,
                None => return Ok(()),
            }
        }
    };
    line.append_to(chunk, offset);
    Ok(())
}

/// What one line says.
struct Line<'a> {
    topic: Option<String>,
    partition: i32,
    offset: Option<i64>,
    timestamp_ms: i64,
    key: Option<String>,
    headers: Vec<(String, Option<String>)>,
    value: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of_value(value: &'a str) -> Self {
        Self {
            topic: None,
            partition: 0,
            offset: None,
            timestamp_ms: -1,
            key: None,
            headers: Vec::new(),
            value: Some(value),
        }
    }

    fn read(members: &Members<'a>) -> Result<Self, String> {
        let member = |name: &str| {
            members
                .get(name)
                .map_or(Json::Missing, |raw| Json::of(raw.get()))
        };
        let mut line = Self::of_value("null");
        line.value = members
            .get("value")
            .map(|raw| raw.get())
            .filter(|text| *text != "null");
        line.key = member("key").into_text().map(|text| text.into_owned());
        line.topic = match member("topic") {
            Json::Missing | Json::Null => None,
            Json::String(topic) if !topic.is_empty() => Some(topic.into_owned()),
            _ => return Err("`topic` is no name".to_owned()),
        };
        line.partition = match whole_number(&member("partition"), "partition")? {
            Some(number) => {
                i32::try_from(number).map_err(|_| "`partition` is too large".to_owned())?
            }
            None => 0,
        };
        line.offset = whole_number(&member("offset"), "offset")?;
        line.timestamp_ms = match member("timestamp") {
            Json::String(text) => time::rfc3339(&text)
                .map(|micros| micros.div_euclid(1000))
                .ok_or("`timestamp` is no RFC 3339 time")?,
            other => whole_number(&other, "timestamp")?.unwrap_or(-1),
        };
        line.headers = match member("headers") {
            Json::Missing | Json::Null => Vec::new(),
            Json::Object(text) => headers(text)?,
            _ => return Err("`headers` is no object".to_owned()),
        };
        Ok(line)
    }

    fn append_to(&self, chunk: &mut RawChunk, offset: i64) {
        let key = self.key.as_ref().map(|key| chunk.store(key.as_bytes()));
        let value = self.value.map(|value| chunk.store(value.as_bytes()));
        let headers = self.headers.iter().map(|(name, value)| {
            let name = chunk.store(name.as_bytes());
            (
                name,
                value.as_ref().map(|value| chunk.store(value.as_bytes())),
            )
        });
        let headers = headers.collect();
        chunk.records.push(RawRecord {
            offset,
            timestamp_ms: self.timestamp_ms,
            key,
            value,
            headers,
        });
        chunk.range.to = Position::after(offset);
        chunk.end = chunk.range.to;
    }
}

fn whole_number(json: &Json<'_>, name: &str) -> Result<Option<i64>, String> {
    match json {
        Json::Missing | Json::Null => Ok(None),
        Json::Number(text) => match text.parse() {
            Ok(number) if (0..i64::MAX).contains(&number) => Ok(Some(number)),
            _ => Err(format!("`{name}` is no whole number from 0 on")),
        },
        _ => Err(format!("`{name}` is no number")),
    }
}

fn headers(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|_| "`headers` is no object")?;
    let header = |(name, raw): (String, &RawValue)| {
        (
            name,
            Json::of(raw.get())
                .into_text()
                .map(|text| text.into_owned()),
        )
    };
    Ok(members.into_iter().map(header).collect())
}
