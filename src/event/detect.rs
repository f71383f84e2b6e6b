//! Which envelope a record suggests.

use super::envelope::Envelope;
use crate::record::{RawChunk, RawRecord};

/// The envelope that one record suggests; none when it has no value or one that is not JSON.
pub(super) fn record(raw: &RawChunk, record: &RawRecord) -> Option<Envelope> {
    record.value.map(|value| value.of(&raw.bytes))?;
    Some(Envelope::Plain)
}
