//! One layer of settings as a tree in which every part knows where it was said.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// A setting, or a table of settings.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    /// Text from the environment or the command line: read as whatever is wanted.
    Untyped(String),
    String(String),
    Integer(i64),
    /// As written, also integers beyond 64 bits.
    Float(String),
    Bool(bool),
    Datetime(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) origin: Origin,
    pub(super) value: Node,
}

impl Node {
    /// Reads a TOML document: what could be read of it, and every problem of its syntax.
    pub(super) fn document(file: &str, text: &str) -> (Self, Vec<Problem>) {
        let source = Source { file, text };
        let (table, errors) = DeTable::parse_recoverable(text);
        let problem = |error: toml::de::Error| Problem {
            origin: error
                .span()
                .map_or_else(|| source.whole(), |s| source.at(s.start)),
            message: error.message().trim().replace('\n', "; "),
        };
        let node = Self {
            raw: source.entries(table.into_inner()),
            origin: source.whole(),
        };
        (node, errors.into_iter().map(problem).collect())
    }

    /// One setting from outside of files, as a tree of tables along `path`.
    pub(super) fn along(path: &[String], text: String, origin: Origin) -> Self {
        let raw = Raw::Untyped(text);
        let leaf = Self {
            raw,
            origin: origin.clone(),
        };
        path.iter().rev().fold(leaf, |value, key| {
            let entry = Entry {
                key: key.clone(),
                origin: origin.clone(),
                value,
            };
            Self {
                raw: Raw::Table(vec![entry]),
                origin: origin.clone(),
            }
        })
    }

    /// Text from outside of files that should hold a list or table, read as a TOML value.
    pub(super) fn inline(&self, text: &str) -> Option<Self> {
        let value = DeValue::parse(text.trim()).ok()?;
        let mut node = Source { file: "", text }.value(value);
        node.relocate(&self.origin);
        Some(node)
    }

    fn relocate(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.raw {
            Raw::List(nodes) => nodes.iter_mut().for_each(|node| node.relocate(origin)),
            Raw::Table(entries) => {
                for entry in entries {
                    entry.origin = origin.clone();
                    entry.value.relocate(origin);
                }
            }
            _ => {}
        }
    }
}

/// A file's text, in which byte offsets become lines and columns.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn whole(&self) -> Origin {
        Origin::WholeFile(self.file.to_owned())
    }

    /// The place of byte `start`.
    fn at(&self, start: usize) -> Origin {
        let before = self.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = last.chars().count() + 1;
        Origin::File(self.file.to_owned(), line, column)
    }

    /// The entries of a table in document order.
    fn entries(&self, table: DeTable<'_>) -> Raw {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (Spanned<toml::de::DeString<'_>>, Spanned<DeValue<'_>>)| Entry {
            origin: self.at(key.span().start),
            key: key.into_inner().into_owned(),
            value: self.value(value),
        };
        Raw::Table(entries.into_iter().map(entry).collect())
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Node {
        let origin = self.at(value.span().start);
        let raw = match value.into_inner() {
            DeValue::String(text) => Raw::String(text.into_owned()),
            DeValue::Integer(number) => {
                let text = number.as_str().to_owned();
                let number = i64::from_str_radix(number.as_str(), number.radix());
                number.map_or(Raw::Float(text), Raw::Integer)
            }
            DeValue::Float(number) => Raw::Float(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Raw::Bool(flag),
            DeValue::Datetime(time) => Raw::Datetime(time.to_string()),
            DeValue::Array(values) => {
                Raw::List(values.into_iter().map(|v| self.value(v)).collect())
            }
            DeValue::Table(table) => self.entries(table),
        };
        Node { raw, origin }
    }
}
