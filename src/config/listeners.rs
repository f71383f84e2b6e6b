//! `[api]` and `[admin]`: addresses and tokens.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::node::{Entry, Node, Raw};
use super::problem::{Origin, Problems};
use super::read::{self, Read};
use crate::api::{Scope, Token};

/// One HTTP listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Which tokens it accepts. None: no token is asked for.
    pub tokens: Vec<Token>,
}

impl Listener {
    pub(super) const KEYS: &'static [&'static str] = &["listen", "tokens"];

    pub(super) fn set(&mut self, key: &str, node: &Node, problems: &mut Problems) -> Read<()> {
        match key {
            "listen" => self.listen = read::listen(node)?,
            _ => self.tokens = tokens(node, problems)?,
        }
        Ok(())
    }

    /// Whether it can be reached from this host only.
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
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
