//! `[api]` and `[admin]`: addresses, tokens and limits.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::jwt;
use super::node::{Entry, Node, Raw};
use super::problem::{Origin, Problems};
use super::read::{self, Read};
use crate::api::{Access, JwtSettings, RateLimit, Scope, Token};

/// One HTTP listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Which tokens it accepts. None: no token is asked for.
    pub tokens: Vec<Token>,
    /// Whose JWTs it accepts as well.
    pub jwt: Option<JwtSettings>,
    /// How often one client may ask; none: as often as it likes.
    pub rate_limit: Option<RateLimit>,
    /// How many requests are worked on at once.
    pub max_concurrent: usize,
    /// Web pages of these origins may read answers.
    pub cors_origins: Vec<String>,
}

impl Listener {
    pub(super) const KEYS: &'static [&'static str] = &[
        "listen",
        "tokens",
        "jwt",
        "rate_limit",
        "max_concurrent",
        "cors_origins",
    ];

    /// Open to everybody who can reach `listen`.
    pub(super) fn at(listen: SocketAddr) -> Self {
        let access = Access::default();
        Self {
            listen,
            tokens: access.tokens,
            jwt: access.jwt,
            rate_limit: access.rate_limit,
            max_concurrent: access.max_concurrent,
            cors_origins: access.cors_origins,
        }
    }

    pub(super) fn set(
        &mut self,
        section: &str,
        key: &str,
        node: &Node,
        problems: &mut Problems,
    ) -> Read<()> {
        match key {
            "listen" => self.listen = read::listen(node)?,
            "tokens" => self.tokens = tokens(node, problems)?,
            "jwt" => self.jwt = Some(jwt::set(self.jwt.take(), section, node, problems)?),
            "rate_limit" => self.rate_limit = rate_limit(node)?,
            "max_concurrent" => {
                let most = read::integer(node, 1..=100_000)?;
                self.max_concurrent = usize::try_from(most).map_err(|_| "is too large")?;
            }
            _ => self.cors_origins = origins(node)?,
        }
        Ok(())
    }

    /// What it asks of whoever comes.
    pub fn access(&self) -> Access {
        Access {
            tokens: self.tokens.clone(),
            jwt: self.jwt.clone(),
            rate_limit: self.rate_limit,
            max_concurrent: self.max_concurrent,
            cors_origins: self.cors_origins.clone(),
        }
    }

    /// Whether it can be reached from this host only.
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}

/// `{ per_second, burst }`, or `"off"`.
fn rate_limit(node: &Node) -> Read<Option<RateLimit>> {
    let wanted = "must be { per_second = 100, burst = 200 }, both at least 1, or \"off\"";
    if read::text(node).is_ok_and(|text| text.trim() == "off") {
        return Ok(None);
    }
    let inline = match &node.raw {
        Raw::Untyped(text) => Some(node.inline(text).ok_or(wanted)?),
        _ => None,
    };
    let Raw::Table(entries) = &inline.as_ref().unwrap_or(node).raw else {
        return Err(wanted.into());
    };
    let (mut per_second, mut burst) = (None, None);
    for entry in entries {
        let number = read::integer(&entry.value, 1..=1_000_000).map_err(|_| wanted)?;
        let number = Some(u32::try_from(number).map_err(|_| wanted)?);
        match entry.key.as_str() {
            "per_second" => per_second = number,
            "burst" => burst = number,
            _ => return Err(wanted.into()),
        }
    }
    let per_second = per_second.ok_or(wanted)?;
    // Two seconds' worth at once, unless said otherwise.
    let burst = burst.unwrap_or_else(|| per_second.saturating_mul(2));
    Ok(Some(RateLimit { per_second, burst }))
}

/// Origins as browsers send them: scheme, host and port, nothing behind.
fn origins(node: &Node) -> Read<Vec<String>> {
    let wanted = "must be a list of origins such as \"https://shop.example\", without a path";
    if matches!(&node.raw, Raw::List(nodes) if nodes.is_empty()) {
        return Ok(Vec::new());
    }
    let origins = read::words(node).map_err(|_| wanted)?;
    let good = |origin: &String| {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
            !host.is_empty() && host.chars().all(plain)
        })
    };
    match origins.iter().all(good) {
        true => Ok(origins),
        false => Err(wanted.into()),
    }
}

const TOKEN_KEYS: &str = "name, scope, sha256, expires";

fn tokens(node: &Node, problems: &mut Problems) -> Read<Vec<Token>> {
    let wanted = "must be a list of { name, scope, sha256, expires }";
    let inline = match &node.raw {
        Raw::Untyped(text) => Some(node.inline(text).ok_or(wanted)?),
        _ => None,
    };
    let Raw::List(nodes) = &inline.as_ref().unwrap_or(node).raw else {
        return Err(wanted.into());
    };
    let mut tokens: Vec<Token> = Vec::new();
    for node in nodes {
        let Raw::Table(entries) = &node.raw else {
            problems.add(
                &node.origin,
                format!("a token {wanted}").replace("a list of ", ""),
            );
            continue;
        };
        let Some(token) = token(entries, &node.origin, problems) else {
            continue;
        };
        if tokens.iter().any(|known| known.name == token.name) {
            problems.add(
                &node.origin,
                format!("there are two tokens called `{}`", token.name),
            );
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// Reads one token; none after at least one problem was added.
fn token(entries: &[Entry], origin: &Origin, problems: &mut Problems) -> Option<Token> {
    let before = problems.0.len();
    let (mut name, mut scope, mut sha256, mut expires) = (None, None, None, None);
    for Entry {
        key,
        origin,
        value: node,
    } in entries
    {
        let read = match key.as_str() {
            "name" => read::text(node).map(|text| name = Some(text)),
            "scope" => read::choice(node, &Scope::NAMES).map(|word| scope = Some(word)),
            "sha256" => hash(node).map(|hash| sha256 = Some(hash)),
            "expires" => instant(node).map(|time| expires = Some(time)),
            _ => {
                problems.add(
                    origin,
                    format!("unknown key `{key}` in a token; known are {TOKEN_KEYS}"),
                );
                continue;
            }
        };
        if let Err(message) = read {
            problems.add(&node.origin, format!("{key} of a token {message}"));
        }
    }
    let token = name.zip(scope).zip(sha256);
    if token.is_none() && problems.0.len() == before {
        problems.add(origin, "a token needs name, scope and sha256");
    }
    let ((name, scope), sha256) = token?;
    Some(Token {
        name,
        scope,
        sha256,
        expires,
    })
}

fn hash(node: &Node) -> Read<[u8; 32]> {
    let wanted = "must be 64 hex digits: the SHA-256 of the token, as `viewfold token` prints it";
    let text = read::text(node).map_err(|_| wanted)?;
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wanted.into());
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        let digits = text.get(at..at + 2).ok_or(wanted)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wanted)?;
    }
    Ok(hash)
}

fn instant(node: &Node) -> Read<Timestamp> {
    let wanted = "must be a time with an offset such as 2027-01-31T00:00:00Z";
    let text = match &node.raw {
        Raw::Datetime(text) => text.clone(),
        _ => read::text(node).map_err(|_| wanted)?,
    };
    text.parse().map_err(|_| wanted.to_owned())
}
