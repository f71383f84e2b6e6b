//! Which generation readers see.

use super::keys::ProjectionKeys;
use super::reply::{Text, plain, unexpected};
use super::scan::Scan;
use super::script::{Call, FORGET, POINTER, PUBLISH};
use super::settings::KEYS_PER_SCAN;
use super::{RedisStore, Target};
use crate::fault::{Fault, Result};
use crate::store::Pointer;

impl RedisStore {
    pub(super) async fn read_pointer(&self, names: &ProjectionKeys) -> Result<Option<Pointer>> {
        let reply = self
            .reads
            .call(Call {
                script: &POINTER,
                keys: &[&names.live, &names.intent],
                arguments: &[],
            })
            .await?;
        let (named, known): (Text, Text) = plain(reply)?;
        if named.is_none() && known.is_none() {
            return Ok(None);
        }
        let generation = named.map(|text| text.parse()).transpose();
        let intent = known.map(|text| text.parse()).transpose();
        let (Ok(generation), Ok(intent)) = (generation, intent) else {
            return Err(Fault::misconfigured(
                "the live or the intent key in redis holds no number; \
                 something else uses the same prefix: remove that key or choose another prefix",
            ));
        };
        Ok(Some(Pointer {
            generation,
            intent: intent.unwrap_or(0),
        }))
    }

    pub(super) async fn publish_generation(&self, target: &Target<'_>, intent: i64) -> Result<()> {
        let generation = target.generation;
        let (number, intent) = (generation.number.to_string(), intent.to_string());
        let keys = [
            &*target.projection.live,
            &*target.projection.intent,
            &*target.keys.cursors,
            &*target.projection.stem,
        ];
        let arguments: [&[u8]; 3] = [
            target.build.as_bytes(),
            number.as_bytes(),
            intent.as_bytes(),
        ];
        match self.word(&PUBLISH, &keys, &arguments).await?.as_str() {
            "published" | "kept" => Ok(()),
            "gone" => Err(Fault::transient(format!(
                "{generation} is not in redis, so it was not published"
            ))),
            "behind" => Err(Fault::transient(format!(
                "{generation} is behind the generation that readers see in redis, \
                 so it was not published"
            ))),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn forget_projection(
        &self,
        projection: &str,
        names: &ProjectionKeys,
    ) -> Result<()> {
        let mut left = self.generation_left(names).await?;
        if left.is_none() {
            let keys = [&*names.live, &*names.intent, &*names.stem];
            let call = Call {
                script: &FORGET,
                keys: &keys,
                arguments: &[],
            };
            if !plain::<bool>(self.writes.call(call).await?)? {
                left = Some("the live one".to_owned());
            }
        }
        match left {
            None => Ok(()),
            Some(number) => Err(Fault::misconfigured(format!(
                "projection {projection}: generation {number} is still in redis; \
                 remove its generations before the pointer is forgotten"
            ))),
        }
    }

    /// The number of some generation that has an identity.
    async fn generation_left(&self, names: &ProjectionKeys) -> Result<Option<String>> {
        let mut scan = Scan::new(&names.stem);
        while scan.next().is_some() {
            for key in scan.step(self, KEYS_PER_SCAN).await? {
                let inner = key.strip_prefix(&names.stem);
                let number = inner.and_then(|inner| inner.strip_suffix(":cursors"));
                // The key of a row may end alike, but is no number.
                if let Some(number) = number
                    && number.parse::<u32>().is_ok()
                {
                    return Ok(Some(number.to_owned()));
                }
            }
        }
        Ok(None)
    }
}
