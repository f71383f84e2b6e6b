//! Events from JSON-lines files, decoded as the service would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use crate::config::Config;
use crate::event::lines::chunk_from_lines;
use crate::event::{Chunk, Decoder, Envelope, PathSet};
use crate::projection::{Definition, TopicSelector};

/// The events of `files`, one after the other. Lines that do not name their topic are of `topic`.
pub(super) fn read(files: &[PathBuf], topic: &str, config: &Config) -> Result<Vec<Chunk>, Failure> {
    let mut text = String::new();
    for file in files {
        let part = read_text(file)?;
        // Each file for itself first, so that an error names the file and its own line.
        chunk_from_lines(topic, &part)
            .map_err(|wrong| Failure::Usage(format!("{}: {wrong}", file.display())))?;
        text += &part;
        text.push('\n');
    }
    let raw = chunk_from_lines(topic, &text)
        .map_err(|wrong| Failure::Usage(format!("all files together: {wrong}")))?;
    let mut envelopes: BTreeMap<Arc<str>, Envelope> = BTreeMap::new();
    for chunk in &raw {
        let name = &chunk.partition.topic;
        if !envelopes.contains_key(name) {
            let configured = config.kafka.topics.get(&**name).cloned();
            if let Some(envelope) = configured.or_else(|| Envelope::detect(chunk)) {
                envelopes.insert(name.clone(), envelope);
            }
        }
    }
    let paths = Arc::new(PathSet::default());
    let decoded = raw.into_iter().map(|chunk| {
        let envelope = envelopes.get(&chunk.partition.topic);
        let envelope = envelope.cloned().unwrap_or(Envelope::Plain);
        Decoder::new(envelope, paths.clone()).decode(chunk)
    });
    Ok(decoded.collect())
}

/// Reads a text file that the command line names.
pub(super) fn read_text(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("failed to read {}: {error}", file.display())))
}

/// The topic of lines that do not name theirs: the one asked for, else the definition's first.
pub(super) fn topic(asked: Option<&String>, definition: &Definition) -> Result<String, Failure> {
    if let Some(topic) = asked {
        return Ok(topic.clone());
    }
    let topics = definition.plan.topics();
    let exact = topics.iter().find_map(|selector| match selector {
        TopicSelector::Exact(name) => Some(name.to_string()),
        TopicSelector::Pattern(_) => None,
    });
    exact.ok_or_else(|| {
        Failure::Usage(format!(
            "projection {} reads topics by pattern: --topic NAME says which one the events are of",
            definition.name
        ))
    })
}
