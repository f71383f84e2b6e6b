//! Bearer tokens: who may do what. Only hashes are ever configured or kept.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a token allows. Each scope includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Reading views and status.
    Read,
    /// Rebuild, pause, promote, roll back, skip, replay.
    Operate,
    /// Everything, dropping included.
    Admin,
}

impl Scope {
    /// All scopes with their names, the least first.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("read", Self::Read),
        ("operate", Self::Operate),
        ("admin", Self::Admin),
    ];

    /// The scope's name in config and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token as it is configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is; named in the audit.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// When it ends to be accepted.
    pub expires: Option<Timestamp>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.scope)
    }
}

impl Token {
    /// The hash of a token's text.
    pub fn hash(text: &str) -> [u8; 32] {
        Sha256::digest(text.as_bytes()).into()
    }

    /// The hash as it is written in config: 64 lower-case hex digits.
    pub fn hex(hash: &[u8; 32]) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a request was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token was sent.
    Missing,
    /// The token is not one of the configured ones.
    Unknown,
    /// The token of this name is no longer accepted.
    Expired(String),
}

/// Finds the token whose text was presented. Every configured hash is compared, in constant time
/// each, so that the time says nothing about any of them.
pub(super) fn find<'t>(
    tokens: &'t [Token],
    text: &str,
    now: Timestamp,
) -> Result<&'t Token, Denied> {
    let hash = Token::hash(text);
    let found = tokens
        .iter()
        .fold(None, |found, token| match same(&token.sha256, &hash) {
            true => Some(token),
            false => found,
        });
    let token = found.ok_or(Denied::Unknown)?;
    if token.expires.is_some_and(|expires| expires <= now) {
        return Err(Denied::Expired(token.name.clone()));
    }
    Ok(token)
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    std::hint::black_box(difference) == 0
}
