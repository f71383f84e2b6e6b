//! Removing a generation: its identity first, so that nothing writes to it any more, then its
//! keys in small steps, and what says that there may be keys last.

use super::pack::Pack;
use super::reply::plain;
use super::scan::Scan;
use super::script::{Call, DROP, SWEEP};
use super::settings::KEYS_PER_SCAN;
use super::{RedisStore, Target};
use crate::fault::{Fault, Result};

impl RedisStore {
    pub(super) async fn remove_generation(&self, target: &Target<'_>) -> Result<()> {
        let number = target.generation.number.to_string();
        let keys = [
            &*target.keys.cursors,
            &*target.keys.meta,
            &*target.projection.live,
        ];
        let reply = self
            .writes
            .call(Call {
                script: &DROP,
                keys: &keys,
                arguments: &[target.build.as_bytes(), number.as_bytes()],
            })
            .await?;
        if plain(reply)? && !self.sweep(target, "").await? {
            return Err(Fault::transient(format!(
                "{} was created again in redis while it was being removed",
                target.generation
            )));
        }
        Ok(())
    }

    /// Unlinks all keys under the generation's number, as long as no generation stands there and nobody
    /// else than `copying` fills one; `false` when that is so. Looks through the whole database, in small steps.
    pub(super) async fn sweep(&self, target: &Target<'_>, copying: &str) -> Result<bool> {
        let mut scan = Scan::new(&target.keys.all);
        while scan.next().is_some() {
            let found = scan.step(self, KEYS_PER_SCAN).await?;
            let rest = found.iter().map(String::as_str);
            let keys: Vec<&str> = rest.filter(|key| *key != target.keys.meta).collect();
            if !keys.is_empty() && !self.unlink(target, &keys, copying).await? {
                return Ok(false);
            }
        }
        self.unlink(target, &[&target.keys.meta], copying).await
    }

    /// `false` when a generation stands there: then nothing was unlinked.
    async fn unlink(&self, target: &Target<'_>, keys: &[&str], copying: &str) -> Result<bool> {
        let packed: Pack = keys.iter().copied().collect();
        let reply = self
            .writes
            .call(Call {
                script: &SWEEP,
                keys: &[&target.keys.cursors, &target.keys.meta],
                arguments: &[&packed.finish(), copying.as_bytes()],
            })
            .await?;
        plain(reply)
    }
}
