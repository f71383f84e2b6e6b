//! Looking for keys, in small steps that hold nobody up.

use std::collections::BTreeSet;

use super::RedisStore;
use super::keys::pattern;
use super::reply::plain;
use super::settings::{ROWS_PER_PAGE, SCANS_PER_PAGE};
use crate::fault::{Fault, Result};

/// Where a scan begins, and what the server says when it is over.
const BEGIN: &str = "0";

/// A way through all keys of the database that shows those which begin with `stem`. From begin to end it
/// finds every key that is there all the time, some twice.
pub(super) struct Scan<'s> {
    stem: &'s str,
    /// Where it goes on; none when it is over.
    next: Option<String>,
    /// The connection of its steps: another process keeps the same keys in another order.
    connection: Option<u64>,
}

impl<'s> Scan<'s> {
    pub(super) fn new(stem: &'s str) -> Self {
        Self::at(stem, BEGIN.to_owned())
    }

    /// Goes on where an earlier one stopped.
    pub(super) fn at(stem: &'s str, at: String) -> Self {
        Self {
            stem,
            next: Some(at),
            connection: None,
        }
    }

    /// Where it goes on; none when it is over.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Looks at about `count` keys.
    ///
    /// # Errors
    /// `Transient` also when the connection was renewed since the first step: keys may have been missed.
    pub(super) async fn step(&mut self, store: &RedisStore, count: usize) -> Result<Vec<String>> {
        let Some(at) = &self.next else {
            return Ok(Vec::new());
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(at);
        if !self.stem.is_empty() {
            scan.arg("MATCH").arg(pattern(self.stem));
        }
        scan.arg("COUNT").arg(count);
        let (reply, connection) = store.reads.numbered(&scan).await?;
        if *self.connection.get_or_insert(connection) != connection {
            return Err(Fault::transient(
                "the connection to redis was renewed while its keys were listed; list them again",
            ));
        }
        let (next, keys): (String, Vec<String>) = plain(reply)?;
        self.next = (next != BEGIN).then_some(next);
        Ok(keys)
    }

    /// About `rows` keys (of at most [`ROWS_PER_PAGE`]) without their stem, sorted and distinct. Looks
    /// on where steps find little, but not for ever.
    pub(super) async fn page(&mut self, store: &RedisStore, rows: usize) -> Result<Vec<String>> {
        let rows = rows.clamp(1, ROWS_PER_PAGE);
        let mut keys = BTreeSet::new();
        for _ in 0..SCANS_PER_PAGE {
            let found = self.step(store, rows).await?;
            let texts = found.iter().filter_map(|key| key.strip_prefix(self.stem));
            keys.extend(texts.map(str::to_owned));
            if keys.len() >= rows || self.next.is_none() {
                break;
            }
        }
        Ok(keys.into_iter().collect())
    }
}
