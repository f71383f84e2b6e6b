//! Tests of the whole module, and what they share.

mod detection;
mod envelopes;
mod faults;
mod properties;
mod samples;

use std::sync::Arc;

use super::{Chunk, Decoder, Envelope, Path, PathSet, SlotMap};
use crate::position::{Position, TopicPartition};
use crate::record::{RawChunk, RawRecord};

/// One record to be decoded.
#[derive(Clone, Copy, Default)]
struct Sent<'a> {
    key: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
    value: Option<&'a [u8]>,
}

impl<'a> Sent<'a> {
    fn json(value: &'a str) -> Self {
        Self {
            value: Some(value.as_bytes()),
            ..Self::default()
        }
    }
}

/// A raw chunk of topic `orders`, partition 3, offsets 10, 12, 14 …, written at 1,700,000,000,000 ms.
fn raw(records: &[Sent<'_>]) -> RawChunk {
    let mut raw = RawChunk::empty(TopicPartition::new("orders", 3), Position::at(10));
    // What lies before the first record must not shift anything.
    raw.store(b"\xff\"{");
    for (index, sent) in records.iter().enumerate() {
        let offset = 10 + 2 * index as i64;
        let key = sent.key.map(|key| raw.store(key));
        let value = sent.value.map(|value| raw.store(value));
        let headers = sent
            .headers
            .iter()
            .map(|(name, value)| (raw.store(name.as_bytes()), Some(raw.store(value))))
            .collect();
        raw.records.push(RawRecord {
            offset,
            timestamp_ms: 1_700_000_000_000,
            key,
            value,
            headers,
        });
        raw.range.to = Position::after(offset);
    }
    raw.end = raw.range.to;
    raw
}

fn paths(dotted: &[&str]) -> Vec<Path> {
    let path = |text: &&str| match *text {
        "" => Path::default(),
        text => Path::dotted(text).unwrap(),
    };
    dotted.iter().map(path).collect()
}

fn decode(envelope: Envelope, records: &[Sent<'_>], wanted: &[&str]) -> (Chunk, SlotMap) {
    let wanted = paths(wanted);
    let set = Arc::new(PathSet::new(wanted.clone()));
    let chunk = Decoder::new(envelope, set).decode(raw(records));
    let map = chunk.map(&wanted).unwrap();
    (chunk, map)
}

/// Detects the envelope from the first record and decodes all of them by it.
fn detect_and_decode(records: &[Sent<'_>], wanted: &[&str]) -> (Chunk, SlotMap) {
    let envelope = Envelope::detect(&raw(records)).unwrap();
    let stored = Envelope::from_name(&envelope.name()).unwrap();
    assert_eq!(stored, envelope);
    decode(stored, records, wanted)
}

fn fault(envelope: &Envelope, sent: Sent<'_>) -> Option<String> {
    let (chunk, map) = decode(envelope.clone(), &[sent], &["id"]);
    let fault = chunk.event(0, &map).fault()?;
    assert_eq!(fault.kind, crate::fault::FaultKind::Poison);
    Some(fault.message)
}
