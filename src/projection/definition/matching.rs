//! Which handler runs: the most exact one, found by hash.
//!
//! In this order: the type with its version (`order.created.v2`), the type, the longest
//! prefix (`order.*`), `*`. A record without value has the type `$tombstone`, which only a
//! handler of that very name takes: `*` never does, so that a log with tombstones does not
//! fail handlers that read `data`.

use hashbrown::HashMap;

/// The type of records without value.
pub(super) const TOMBSTONE: &str = "$tombstone";

/// What a handler's name means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern {
    /// One type, in one version or any.
    Type(String, Option<u32>),
    /// Every type that begins so (with the dot).
    Prefix(String),
    /// Every type.
    Any,
}

impl Pattern {
    /// Reads the name of a handler. Err = what is wrong with it.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        if name == "*" {
            return Ok(Self::Any);
        }
        if let Some(prefix) = name.strip_suffix('*') {
            if prefix.ends_with('.') && prefix.len() > 1 && !prefix.contains('*') {
                return Ok(Self::Prefix(prefix.to_owned()));
            }
            return Err(format!(
                "`{name}`: `*` stands alone or behind a prefix with a dot, as in \"order.*\""
            ));
        }
        if name.is_empty() {
            return Err("an event type cannot be empty".to_owned());
        }
        if name.contains('*') {
            return Err(format!(
                "`{name}`: `*` stands alone or at the end, as in \"order.*\""
            ));
        }
        if name.starts_with('$') && name != TOMBSTONE {
            return Err(format!(
                "`{name}`: the only type that begins with `$` is `{TOMBSTONE}`"
            ));
        }
        let (kind, version) = split_version(name);
        Ok(Self::Type(kind.to_owned(), version))
    }
}

/// Takes a trailing `.vN` off a type.
fn split_version(name: &str) -> (&str, Option<u32>) {
    let versioned = name.rsplit_once(".v").and_then(|(kind, digits)| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let version = digits.parse().ok().filter(|_| plain)?;
        (!kind.is_empty()).then_some((kind, version))
    });
    match versioned {
        Some((kind, version)) => (kind, Some(version)),
        None => (name, None),
    }
}

/// The handlers of one type, by version.
#[derive(Debug, Default)]
struct Versions {
    any: Option<usize>,
    exact: Vec<(u32, usize)>,
}

/// Finds the handler (as an index) for an event type.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    types: HashMap<String, Versions>,
    prefixes: HashMap<String, usize>,
    any: Option<usize>,
}

impl Matcher {
    /// Lets `pattern` mean handler `index`.
    pub(super) fn add(&mut self, pattern: Pattern, index: usize) {
        match pattern {
            Pattern::Type(kind, None) => self.types.entry(kind).or_default().any = Some(index),
            Pattern::Type(kind, Some(version)) => self
                .types
                .entry(kind)
                .or_default()
                .exact
                .push((version, index)),
            Pattern::Prefix(prefix) => {
                self.prefixes.insert(prefix, index);
            }
            Pattern::Any => self.any = Some(index),
        }
    }

    /// The handler that runs for `kind` (without its `.vN`). `version` is only asked for where versions matter.
    pub(super) fn find(&self, kind: &str, version: impl FnOnce() -> Option<u32>) -> Option<usize> {
        if let Some(versions) = self.types.get(kind) {
            let exact = || {
                let wanted = version()?;
                let found = versions.exact.iter().find(|(v, _)| *v == wanted);
                found.map(|(_, index)| *index)
            };
            let own = if versions.exact.is_empty() {
                None
            } else {
                exact()
            };
            if let Some(index) = own.or(versions.any) {
                return Some(index);
            }
        }
        if kind == TOMBSTONE {
            return None;
        }
        if !self.prefixes.is_empty() {
            for (dot, _) in kind.rmatch_indices('.') {
                let prefix = kind.get(..=dot).unwrap_or_default();
                if let Some(index) = self.prefixes.get(prefix) {
                    return Some(*index);
                }
            }
        }
        self.any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(names: &[&str]) -> Matcher {
        let mut matcher = Matcher::default();
        for (index, name) in names.iter().enumerate() {
            matcher.add(Pattern::parse(name).unwrap(), index);
        }
        matcher
    }

    #[test]
    fn the_most_exact_handler_wins() {
        let names = [
            "*",
            "order.*",
            "order.line.*",
            "order.created",
            "order.created.v2",
        ];
        let matcher = matcher(&names);
        let found = |kind, version| matcher.find(kind, || version).map(|index| names[index]);
        assert_eq!(found("order.created", Some(2)), Some("order.created.v2"));
        assert_eq!(found("order.created", Some(3)), Some("order.created"));
        assert_eq!(found("order.created", None), Some("order.created"));
        assert_eq!(found("order.line.added", Some(2)), Some("order.line.*"));
        assert_eq!(found("order.paid", None), Some("order.*"));
        assert_eq!(found("order", None), Some("*"));
        assert_eq!(found("orders.paid", None), Some("*"));
    }

    #[test]
    fn only_its_own_handler_takes_a_tombstone() {
        assert_eq!(matcher(&["*"]).find(TOMBSTONE, || None), None);
        assert_eq!(
            matcher(&["*", "$tombstone"]).find(TOMBSTONE, || None),
            Some(1)
        );
    }

    #[test]
    fn a_version_without_a_handler_of_its_own_falls_through() {
        let matcher = matcher(&["a.b.v1", "a.*"]);
        assert_eq!(matcher.find("a.b", || Some(1)), Some(0));
        assert_eq!(matcher.find("a.b", || Some(2)), Some(1));
    }

    #[test]
    fn wrong_names_are_refused() {
        for name in ["", "order*", "*.created", "a.*.b", "$delete", ".*", "**"] {
            assert!(Pattern::parse(name).is_err(), "{name}");
        }
        assert_eq!(
            Pattern::parse("a.v02"),
            Ok(Pattern::Type("a".into(), Some(2)))
        );
        assert_eq!(
            Pattern::parse("a.vx"),
            Ok(Pattern::Type("a.vx".into(), None))
        );
    }
}
