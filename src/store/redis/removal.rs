//! Removing a generation: its identity first, so that nothing writes to it any more, then its
//! keys in small steps, and what says that there may be keys last.

use super::pack::Pack;
use super::reply::plain;
use super::script::{Call, DROP, SWEEP};
use super::settings::KEYS_PER_SCAN;
use super::{RedisStore, Target};
use crate::fault::Result;

impl RedisStore {
    pub(super) async fn remove_generation(&self, target: &Target<'_>) -> Result<()> {
        let number = target.generation.number.to_string();
        let keys = [
            &*target.keys.cursors,
            &*target.projection.live,
            &*target.projection.intent,
        ];
        let reply = self
            .writes
            .call(Call {
                script: &DROP,
                keys: &keys,
                arguments: &[target.build.as_bytes(), number.as_bytes()],
            })
            .await?;
        if plain(reply)? {
            self.sweep(target).await?;
        }
        Ok(())
    }

    /// Unlinks all keys under the generation's number, as long as no generation stands there.
    /// Looks through the whole database, in small steps.
    pub(super) async fn sweep(&self, target: &Target<'_>) -> Result<()> {
        let pattern = target.keys.pattern();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(KEYS_PER_SCAN);
            let (next, found): (String, Vec<String>) = plain(self.writes.command(&scan).await?)?;
            let rest = found.iter().map(String::as_str);
            let keys: Vec<&str> = rest.filter(|key| *key != target.keys.meta).collect();
            if !keys.is_empty() && !self.unlink(target, &keys).await? {
                return Ok(());
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        self.unlink(target, &[&target.keys.meta]).await.map(drop)
    }

    /// `false` when a generation stands there: then nothing was unlinked.
    async fn unlink(&self, target: &Target<'_>, keys: &[&str]) -> Result<bool> {
        let packed: Pack = keys.iter().copied().collect();
        let reply = self
            .writes
            .call(Call {
                script: &SWEEP,
                keys: &[&target.keys.cursors],
                arguments: &[&packed.finish()],
            })
            .await?;
        plain(reply)
    }
}
