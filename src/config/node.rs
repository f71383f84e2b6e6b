//! One layer of settings as a tree in which every part knows where it was said.

use toml_edit::{Document, Item, Table, TableLike, Value};

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
    Float(f64),
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
    /// Reads a TOML document.
    pub(super) fn document(file: &str, text: &str) -> Result<Self, Problem> {
        let source = Source { file, text };
        match Document::parse(text) {
            Ok(document) => Ok(Self {
                raw: source.entries(document.as_table()),
                origin: Origin::WholeFile(file.to_owned()),
            }),
            Err(error) => Err(Problem {
                origin: source.at(error.span()).unwrap_or_else(|| source.whole()),
                message: error.message().trim().replace('\n', "; "),
            }),
        }
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
        let value: Value = text.parse().ok()?;
        let mut node = Source { file: "", text: "" }.value(&value, &self.origin);
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

    fn at(&self, span: Option<std::ops::Range<usize>>) -> Option<Origin> {
        let before = self.text.get(..span?.start)?;
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = last.chars().count() + 1;
        Some(Origin::File(self.file.to_owned(), line, column))
    }

    fn entries(&self, table: &dyn TableLike) -> Raw {
        let entries = table.iter().map(|(name, item)| {
            let key = table.key(name).and_then(toml_edit::Key::span);
            let origin = self.at(key).unwrap_or_else(|| self.whole());
            Entry {
                key: name.to_owned(),
                value: self.item(item, &origin),
                origin,
            }
        });
        Raw::Table(entries.collect())
    }

    fn table(&self, table: &Table, key: &Origin) -> Node {
        Node {
            raw: self.entries(table),
            origin: self.at(table.span()).unwrap_or_else(|| key.clone()),
        }
    }

    fn item(&self, item: &Item, key: &Origin) -> Node {
        match item {
            Item::None => Node {
                raw: Raw::Table(Vec::new()),
                origin: key.clone(),
            },
            Item::Value(value) => self.value(value, key),
            Item::Table(table) => self.table(table, key),
            Item::ArrayOfTables(tables) => Node {
                raw: Raw::List(tables.iter().map(|table| self.table(table, key)).collect()),
                origin: key.clone(),
            },
        }
    }

    fn value(&self, value: &Value, key: &Origin) -> Node {
        let raw = match value {
            Value::String(text) => Raw::String(text.value().clone()),
            Value::Integer(number) => Raw::Integer(*number.value()),
            Value::Float(number) => Raw::Float(*number.value()),
            Value::Boolean(flag) => Raw::Bool(*flag.value()),
            Value::Datetime(time) => Raw::Datetime(time.value().to_string()),
            Value::Array(values) => Raw::List(values.iter().map(|v| self.value(v, key)).collect()),
            Value::InlineTable(table) => self.entries(table),
        };
        Node {
            raw,
            origin: self.at(value.span()).unwrap_or_else(|| key.clone()),
        }
    }
}
