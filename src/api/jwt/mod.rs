//! Bearer tokens that somebody else issues: JWTs of a configured issuer.
//!
//! Answers say only that a token is not accepted; the log says why, at debug.

mod keys;
mod provider;
mod settings;

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

pub use settings::{JwtAlgorithm, JwtSettings, KeySource};

use self::keys::{Keys, NoKey};
use super::token::Scope;

/// How far clocks may differ, in seconds.
const LEEWAY: f64 = 60.0;
/// The most characters of `sub` that are taken over into the audit.
const LONGEST_NAME: usize = 128;

/// What a listener asks of JWTs.
pub(super) struct Jwt {
    settings: JwtSettings,
    keys: Arc<Keys>,
}

/// Who a token is for, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) name: String,
    /// None: nothing.
    pub(super) scope: Option<Scope>,
}

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotAccepted {
    /// For the log, never for the client.
    Invalid(String),
    /// It cannot be judged now: the issuer's keys are not there yet.
    Undecided,
}

impl Jwt {
    /// None where no keys are configured.
    pub(super) fn new(settings: JwtSettings) -> Option<Self> {
        provider::install();
        let keys = Keys::of(settings.keys.clone()?);
        Some(Self { settings, keys })
    }

    /// Whether the text could be a JWT: our own tokens have no dots.
    pub(super) fn looks_like(text: &str) -> bool {
        text.split('.').count() == 3
    }

    /// Checks the signature, the issuer, the audience and the times.
    pub(super) async fn judge(&self, text: &str, now: Timestamp) -> Result<Bearer, NotAccepted> {
        let invalid = |error: jsonwebtoken::errors::Error| NotAccepted::Invalid(error.to_string());
        let header = decode_header(text).map_err(invalid)?;
        let pinned = self
            .settings
            .algorithms
            .iter()
            .any(|known| known.of_library() == header.alg);
        if !pinned {
            let reason = format!(
                "algorithm {:?} is not one of the configured ones",
                header.alg
            );
            return Err(NotAccepted::Invalid(reason));
        }
        let found = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = found.map_err(|missing| match missing {
            NoKey::Away => NotAccepted::Undecided,
            NoKey::Unknown => NotAccepted::Invalid("its key is not one of the issuer's".into()),
        })?;
        let mut wanted = Validation::new(header.alg);
        wanted.set_issuer(&[&self.settings.issuer]);
        wanted.set_audience(&self.settings.audience);
        wanted.set_required_spec_claims(&["iss", "aud"]);
        // The library does not read numbers as this build of serde_json gives them: see `in_time`.
        wanted.validate_exp = false;
        let claims: Map<String, Value> = decode(text, &key, &wanted).map_err(invalid)?.claims;
        in_time(&claims, now).map_err(NotAccepted::Invalid)?;
        Ok(Bearer {
            name: name(&claims),
            scope: self.scope(&claims),
        })
    }

    /// The greatest scope that the claim names.
    fn scope(&self, claims: &Map<String, Value>) -> Option<Scope> {
        let claim = &self.settings.scope_claim;
        let nested = || {
            let mut steps = claim.split('.');
            let first = claims.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        };
        let said = claims.get(claim).or_else(nested)?;
        let words: Vec<&str> = match said {
            Value::String(text) => text.split_whitespace().collect(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let scopes = self.settings.scopes.iter();
        let named = scopes.filter(|(_, word)| words.contains(&word.as_str()));
        named.map(|(scope, _)| *scope).max()
    }
}

/// `exp` must be there and ahead, `nbf` behind where it is given, both give or take [`LEEWAY`].
fn in_time(claims: &Map<String, Value>, now: Timestamp) -> Result<(), String> {
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|seconds| seconds.is_finite()) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(format!("{name} is not a number")),
        },
    };
    let now = now.as_duration().as_secs_f64();
    match seconds("exp")? {
        None => return Err("it has no exp".into()),
        Some(end) if end + LEEWAY <= now => return Err("it has expired".into()),
        Some(_) => {}
    }
    match seconds("nbf")? {
        Some(begin) if begin - LEEWAY > now => Err("it is not valid yet".into()),
        _ => Ok(()),
    }
}

/// The token's subject, as it may be written into logs and the audit.
fn name(claims: &Map<String, Value>) -> String {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("-");
    let plain = subject.chars().filter(|c| !c.is_control());
    let plain: String = plain.take(LONGEST_NAME).collect();
    format!("jwt:{plain}")
}
