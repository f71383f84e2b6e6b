//! Looking for keys, in small steps that hold nobody up.

use std::collections::BTreeSet;

use super::RedisStore;
use super::keys::pattern;
use super::reply::plain;
use super::settings::{KEYS_PER_SCAN, SCANS_PER_PAGE};
use crate::fault::Result;

/// Where a scan begins, and what it says when it is over.
pub(super) const START: &str = "0";

/// Keys that one step found, and where the next one begins; none after the last one.
pub(super) struct Found {
    pub(super) keys: Vec<String>,
    pub(super) next: Option<String>,
}

impl RedisStore {
    /// One step through the whole database: about `count` keys are looked at, and those that begin
    /// with `stem` are given. A scan from begin to end finds every key that is there all the time, some twice.
    pub(super) async fn scan(&self, stem: &str, at: &str, count: usize) -> Result<Found> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(at);
        if !stem.is_empty() {
            scan.arg("MATCH").arg(pattern(stem));
        }
        scan.arg("COUNT").arg(count);
        let (next, keys): (String, Vec<String>) = plain(self.reads.command(&scan).await?)?;
        Ok(Found {
            keys,
            next: (next != START).then_some(next),
        })
    }

    /// About `rows` keys that begin with `stem`, without it, sorted and distinct. Looks on where steps find
    /// little, but not for ever.
    pub(super) async fn scan_page(&self, stem: &str, at: &str, rows: usize) -> Result<Found> {
        let rows = rows.clamp(1, KEYS_PER_SCAN);
        let mut keys = BTreeSet::new();
        let mut next = Some(at.to_owned());
        for _ in 0..SCANS_PER_PAGE {
            let Some(at) = next.take_if(|_| keys.len() < rows) else {
                break;
            };
            let found = self.scan(stem, &at, rows).await?;
            let texts = found.keys.iter().filter_map(|key| key.strip_prefix(stem));
            keys.extend(texts.map(str::to_owned));
            next = found.next;
        }
        Ok(Found {
            keys: keys.into_iter().collect(),
            next,
        })
    }
}
