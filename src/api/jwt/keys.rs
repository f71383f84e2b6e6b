//! The issuer's keys: asked for when they are needed, kept, and asked for again when a token names one that is not
//! known, or when they are old.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::settings::KeySource;

/// The most that asking may take.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// A longer answer is no key set.
const LARGEST: u64 = 512 * 1024;
/// The issuer is not asked more often, whatever key ids tokens carry.
const PAUSE: Duration = Duration::from_secs(60);
/// The same as long as there are no keys at all.
const PAUSE_WITHOUT: Duration = Duration::from_secs(5);
/// Older keys are asked for again beside requests, so that one that was withdrawn goes.
const OLD: Duration = Duration::from_secs(3600);

/// The keys of one issuer.
pub(super) struct Keys {
    source: KeySource,
    known: RwLock<Option<Known>>,
    /// When the issuer was asked last. Held while it is asked, so that one request asks for all.
    asked: Mutex<Option<Instant>>,
}

struct Known {
    keys: Vec<Key>,
    since: Instant,
}

struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has no such key.
    Unknown,
    /// The issuer's keys could not be had yet.
    Away,
}

impl Keys {
    pub(super) fn of(source: KeySource) -> Arc<Self> {
        Arc::new(Self {
            source,
            known: RwLock::new(None),
            asked: Mutex::new(None),
        })
    }

    /// The key of this id; the only one that fits, when the token names none. A key that is known is answered at once.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, NoKey> {
        if let Some(key) = self.known(id, algorithm) {
            self.renew_beside();
            return Ok(key);
        }
        self.renew().await;
        match self.known(id, algorithm) {
            Some(key) => Ok(key),
            None if self.age().is_none() => Err(NoKey::Away),
            None => Err(NoKey::Unknown),
        }
    }

    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = known.as_ref()?.keys.iter().filter(|key| {
            let fits = key.key.family() == algorithm.family();
            let stated = key
                .algorithm
                .is_none_or(|stated| stated.to_string() == name(algorithm));
            let named = id.is_none() || key.id.as_deref() == id;
            fits && stated && named
        });
        let found = fitting.next()?;
        // Without an id there must be no choice.
        let alone = id.is_some() || fitting.next().is_none();
        alone.then(|| found.key.clone())
    }

    /// How old the keys are; none when there are none yet.
    fn age(&self) -> Option<Duration> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| known.since.elapsed())
    }

    fn renew_beside(self: &Arc<Self>) {
        if self.age().is_some_and(|age| age > OLD) && self.asked.try_lock().is_ok() {
            let keys = Arc::clone(self);
            tokio::spawn(async move { keys.renew().await });
        }
    }

    /// Asks the issuer, unless that was done a short while ago. Keys are kept when that fails.
    async fn renew(&self) {
        let mut asked = self.asked.lock().await;
        let pause = match self.age() {
            Some(_) => PAUSE,
            None => PAUSE_WITHOUT,
        };
        if asked.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *asked = Some(Instant::now());
        let source = self.source.clone();
        let fetching = tokio::task::spawn_blocking(move || fetch(&source));
        let fetched = match tokio::time::timeout(FETCH_TIME * 2, fetching).await {
            Ok(Ok(fetched)) => fetched.and_then(|text| read(&text)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "read the keys of the JWT issuer");
                let known = Known {
                    keys,
                    since: Instant::now(),
                };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Err(error) => tracing::warn!(error, "failed to read the keys of the JWT issuer"),
        }
    }
}

/// The text of the key set. Messages do not repeat the address, which might hold a password.
fn fetch(source: &KeySource) -> Result<String, String> {
    match source {
        KeySource::File(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        }
        KeySource::Url(url) => {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(FETCH_TIME))
                .max_redirects(0)
                .build()
                .into();
            let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
            let body = answer.body_mut().with_config().limit(LARGEST);
            body.read_to_string().map_err(|error| error.to_string())
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set. What is not a key for signatures, or of a kind that is not known here, is passed over.
fn read(text: &str) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_str(text).map_err(|error| format!("no key set: {error}"))?;
    let key = |value: Value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let signs = |usage: &PublicKeyUse| *usage == PublicKeyUse::Signature;
        let for_signatures = jwk.common.public_key_use.as_ref().is_none_or(signs);
        let key = DecodingKey::from_jwk(&jwk)
            .ok()
            .filter(|_| for_signatures)?;
        Some(Key {
            id: jwk.common.key_id,
            algorithm: jwk.common.key_algorithm,
            key,
        })
    };
    Ok(set.keys.into_iter().filter_map(key).collect())
}

/// As it is written in tokens and keys.
fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}
