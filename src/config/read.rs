//! Single settings, read into types. Errors are fragments that fit behind the setting's name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;

use super::node::{Node, Raw};

pub(super) type Read<T> = Result<T, String>;

/// Text that is not empty.
pub(super) fn text(node: &Node) -> Read<String> {
    match &node.raw {
        Raw::Untyped(text) | Raw::String(text) if text.trim().is_empty() => {
            Err("must not be empty".into())
        }
        Raw::Untyped(text) | Raw::String(text) => Ok(text.clone()),
        _ => Err("must be a string".into()),
    }
}

/// A URL of one of these schemes. It may hold a password, so messages never repeat it.
pub(super) fn url(node: &Node, schemes: &[&str]) -> Read<SecretString> {
    let text = text(node)?;
    let known = schemes.iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|r| r.starts_with("://"))
    });
    if known {
        Ok(SecretString::from(text))
    } else {
        let schemes: Vec<String> = schemes.iter().map(|s| format!("{s}://…")).collect();
        Err(format!("must be a URL like {}", schemes.join(" or ")))
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, words: &[(&str, T)]) -> Read<T> {
    let wanted = || {
        let words: Vec<String> = words.iter().map(|(w, _)| format!("`{w}`")).collect();
        format!("must be {}", words.join(" or "))
    };
    let text = text(node).map_err(|_| wanted())?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(wanted)
}

/// At least one text: a list of strings, a single one, or, outside of files, words with commas between them.
pub(super) fn words(node: &Node) -> Read<Vec<String>> {
    let wanted = "must be a string or a list of strings that are not empty";
    let inline = match &node.raw {
        Raw::Untyped(text) if text.trim_start().starts_with('[') => node.inline(text),
        _ => None,
    };
    let words: Vec<String> = match &inline.as_ref().unwrap_or(node).raw {
        Raw::Untyped(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
        Raw::String(text) => vec![text.clone()],
        Raw::List(nodes) => nodes
            .iter()
            .map(text)
            .collect::<Read<_>>()
            .map_err(|_| wanted)?,
        _ => return Err(wanted.into()),
    };
    match words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
        true => Err(wanted.into()),
        false => Ok(words),
    }
}

/// A whole number within bounds.
pub(super) fn integer(node: &Node, bounds: RangeInclusive<u64>) -> Read<u64> {
    let number = match &node.raw {
        Raw::Integer(number) => u64::try_from(*number).ok(),
        Raw::Untyped(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| bounds.contains(n)).ok_or_else(|| {
        let (low, high) = (bounds.start(), bounds.end());
        format!("must be a whole number from {low} to {high}")
    })
}

/// Yes or no.
pub(super) fn flag(node: &Node) -> Read<bool> {
    let flag = match &node.raw {
        Raw::Bool(flag) => Some(*flag),
        Raw::Untyped(text) => text.trim().parse().ok(),
        _ => None,
    };
    flag.ok_or_else(|| "must be true or false".to_owned())
}

/// A duration such as `"500ms"`, `"1s"`, `"24h"`, within bounds.
pub(super) fn duration(node: &Node, bounds: RangeInclusive<Duration>) -> Read<Duration> {
    let duration = match &node.raw {
        Raw::Untyped(text) | Raw::String(text) => humantime::parse_duration(text.trim()).ok(),
        _ => None,
    };
    let duration = duration.ok_or("must be a duration such as \"500ms\", \"1s\" or \"24h\"")?;
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        let low = humantime::format_duration(*bounds.start());
        let high = humantime::format_duration(*bounds.end());
        Err(format!("must be from {low} to {high}"))
    }
}

/// What a byte size may end with, and how many bytes that is.
const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A byte size such as `"64MiB"`, or a number of bytes, within bounds.
pub(super) fn bytes(node: &Node, bounds: RangeInclusive<u64>) -> Read<u64> {
    let size = match &node.raw {
        Raw::Integer(number) => u64::try_from(*number).ok(),
        Raw::Untyped(text) | Raw::String(text) => byte_size(text.trim()),
        _ => None,
    };
    let size = size.ok_or("must be a size such as \"64MiB\", or a number of bytes")?;
    if bounds.contains(&size) {
        Ok(size)
    } else {
        let (low, high) = (written(*bounds.start()), written(*bounds.end()));
        Err(format!("must be from {low} to {high}"))
    }
}

fn byte_size(text: &str) -> Option<u64> {
    let unit = UNITS
        .iter()
        .find_map(|(name, size)| Some((text.strip_suffix(name)?, *size)));
    let (digits, size) = unit.unwrap_or((text, 1));
    let number: u64 = digits.trim_end().parse().ok()?;
    number.checked_mul(size)
}

fn written(bytes: u64) -> String {
    UNITS[..3]
        .iter()
        .rev()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(
            || format!("{bytes}B"),
            |(name, size)| format!("{}{name}", bytes / size),
        )
}

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
pub(super) fn listen(node: &Node) -> Read<SocketAddr> {
    let wanted = "must be an address to listen on such as \"127.0.0.1:8080\" or \"[::]:8080\"";
    let text = text(node).map_err(|_| wanted)?;
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix("localhost:").ok_or(wanted)?;
    let port = port.parse().map_err(|_| wanted)?;
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

/// A name that Postgres takes without quotes, and that leaves room for what we append.
pub(super) fn identifier(node: &Node) -> Read<String> {
    let text = text(node)?;
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if first && rest && text.len() <= 63 && !text.starts_with("pg_") {
        Ok(text)
    } else {
        Err("must be a plain name: a-z, 0-9 and _, at most 63 characters, not pg_…".into())
    }
}
