//! How large a generation is, from a sample: Redis counts keys only for a whole database.

use super::reply::plain;
use super::scan::Scan;
use super::settings::{KEYS_PER_SCAN, ROWS_PER_ESTIMATE, SCANS_PER_ESTIMATE};
use super::{RedisStore, Target};
use crate::fault::Result;

impl RedisStore {
    /// Rows and bytes, from a part of all keys (a scan takes them in an order like chance). None when the sample
    /// holds no row although there may be some, or when the server does not tell sizes.
    pub(super) async fn estimate(&self, target: &Target<'_>) -> Result<Option<(u64, u64)>> {
        let (mut seen, mut rows, mut sample) = (0_u64, 0_u64, Vec::new());
        let mut scan = Scan::new("");
        for _ in 0..SCANS_PER_ESTIMATE {
            let keys = scan.step(self, KEYS_PER_SCAN).await?;
            seen += keys.len() as u64;
            for key in keys {
                let Some(text) = key.strip_prefix(&target.keys.rows) else {
                    continue;
                };
                rows += 1;
                if sample.len() < ROWS_PER_ESTIMATE {
                    sample.push(text.to_owned());
                }
            }
        }
        if sample.is_empty() {
            return Ok(scan.next().is_none().then_some((0, 0)));
        }
        if scan.next().is_some() {
            let all: u64 = plain(self.reads.command(&redis::cmd("DBSIZE")).await?)?;
            rows = scaled(rows, all, seen);
        }
        let mut bytes = 0;
        for text in &sample {
            for stem in [&target.keys.rows, &target.keys.orders] {
                let mut usage = redis::cmd("MEMORY");
                usage.arg("USAGE").arg(format!("{stem}{text}"));
                // Not every user may ask, and not every compatible server knows.
                let Ok(reply) = self.reads.command(&usage).await else {
                    return Ok(None);
                };
                bytes += plain::<Option<u64>>(reply)?.unwrap_or(0);
            }
        }
        Ok(Some((rows, scaled(rows, bytes, sample.len() as u64))))
    }
}

/// `count × all ÷ part`, without overflow.
fn scaled(count: u64, all: u64, part: u64) -> u64 {
    let product = u128::from(count) * u128::from(all) / u128::from(part.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}
