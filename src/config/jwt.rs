//! `[api.jwt]` and `[admin.jwt]`: tokens of an OpenID Connect issuer.

use std::path::PathBuf;

use super::node::{Node, Raw};
use super::problem::{Origin, Problems};
use super::read::{self, Read};
use crate::api::{JwtAlgorithm, JwtSettings, KeySource, Scope};

const KEYS: &str = "issuer, audience, jwks_url, jwks_file, algorithms, scope_claim, scopes";

/// Applies one layer's settings onto what the layers before it said.
pub(super) fn set(
    known: Option<JwtSettings>,
    section: &str,
    node: &Node,
    problems: &mut Problems,
) -> Read<JwtSettings> {
    let wanted = format!("must be a section with {KEYS}");
    let inline = match &node.raw {
        Raw::Untyped(text) => Some(node.inline(text).ok_or_else(|| wanted.clone())?),
        _ => None,
    };
    let Raw::Table(entries) = &inline.as_ref().unwrap_or(node).raw else {
        return Err(wanted);
    };
    let mut jwt = known.unwrap_or_default();
    for entry in entries {
        let (key, node) = (entry.key.as_str(), &entry.value);
        let read = match key {
            "issuer" => read::text(node).map(|text| jwt.issuer = text),
            "audience" => read::words(node).map(|words| jwt.audience = words),
            "jwks_url" => url(node).map(|url| jwt.keys = Some(KeySource::Url(url))),
            "jwks_file" => read::text(node).map(|path| {
                jwt.keys = Some(KeySource::File(PathBuf::from(path)));
            }),
            "algorithms" => algorithms(node).map(|pinned| jwt.algorithms = pinned),
            "scope_claim" => read::text(node).map(|name| jwt.scope_claim = name),
            "scopes" => scopes(&mut jwt, node),
            _ => {
                let message = format!("unknown key `{key}` in [{section}.jwt]; known are {KEYS}");
                problems.add(&entry.origin, message);
                continue;
            }
        };
        if let Err(message) = read {
            problems.add(&node.origin, format!("{section}.jwt.{key} {message}"));
        }
    }
    Ok(jwt)
}

/// What is still missing after all layers.
pub(super) fn check(jwt: &JwtSettings, section: &str, origin: &Origin, problems: &mut Problems) {
    let missing = [
        (jwt.issuer.is_empty(), "issuer"),
        (jwt.audience.is_empty(), "audience"),
        (jwt.keys.is_none(), "jwks_url (or jwks_file)"),
    ];
    let missing: Vec<&str> = missing
        .into_iter()
        .filter_map(|(missing, name)| missing.then_some(name))
        .collect();
    if !missing.is_empty() {
        let message = format!("[{section}.jwt] needs {}", missing.join(", "));
        problems.add(origin, message);
    }
}

fn url(node: &Node) -> Read<String> {
    let text = read::text(node)?;
    let good = ["https://", "http://"].iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    match good && !text.contains('@') {
        true => Ok(text),
        false => Err("must be a URL like https://… without a password".into()),
    }
}

fn algorithms(node: &Node) -> Read<Vec<JwtAlgorithm>> {
    let wanted = || {
        let names: Vec<&str> = JwtAlgorithm::NAMES.iter().map(|(name, _)| *name).collect();
        format!(
            "must be a list of {} (never `none` or `HS…`: only signatures that viewfold could not make itself)",
            names.join(", ")
        )
    };
    let found = read::words(node)?.into_iter().map(|word| {
        let mut known = JwtAlgorithm::NAMES.iter();
        let found = known.find(|(name, _)| *name == word);
        found.map(|(_, algorithm)| *algorithm).ok_or_else(wanted)
    });
    found.collect()
}

fn scopes(jwt: &mut JwtSettings, node: &Node) -> Read<()> {
    let wanted = "must be { read = \"…\", operate = \"…\", admin = \"…\" }";
    let Raw::Table(entries) = &node.raw else {
        return Err(wanted.into());
    };
    for entry in entries {
        let word = read::text(&entry.value).map_err(|_| wanted)?;
        let named = Scope::NAMES.iter().find(|(name, _)| *name == entry.key);
        let (_, scope) = named.ok_or(wanted)?;
        for (known, value) in &mut jwt.scopes {
            if known == scope {
                value.clone_from(&word);
            }
        }
    }
    Ok(())
}
