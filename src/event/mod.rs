//! One decoded Kafka record: envelope (id, type, version, source, time, correlation, trace) and data.
//!
//! A [`Chunk`] is decoded once, for all projections that read its topic, in one pass over the
//! JSON text: a trie of all the paths that are needed ([`PathSet`]) picks out spans of the
//! chunk's own buffer. Nothing is copied, no tree is built, numbers keep their text.
//!
//! **Architecture invariant:** an event never fails the chunk. What could not be decoded is kept
//! beside the record as a fault, and judged by the pipeline (I11).

mod chunk;
mod cloudevents;
mod debezium;
mod decode;
mod detect;
mod envelope;
mod field;
mod json;
pub mod lines;
mod mapping;
mod names;
mod path;
mod plan;
mod scan;
mod time;
mod trie;
mod view;

#[cfg(test)]
mod tests;

pub use chunk::{Chunk, SlotMap};
pub use decode::Decoder;
pub use envelope::Envelope;
pub use field::Field;
pub use json::Json;
pub use mapping::Mapping;
pub use path::{Path, PathSet, Segment};
pub use scan::elements;
pub use view::Event;
