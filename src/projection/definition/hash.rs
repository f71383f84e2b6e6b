//! What identifies a definition: SHA-256 over a normal form.
//!
//! Comments, white space, the notation of tables and the order of keys without a meaning do
//! not change it; the order of columns, of the key's columns, of stores and of several ops on one
//! column does. `description`, `retain`, `auto_rebuild` and `accept_compacted` change no row
//! and are left out.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::columns::quoted;
use super::document::{Entry, Kind, Node};
use super::family::OpName;
use super::head::Head;
use super::matching::Pattern;
use crate::projection::{Schema, StoreKind};

/// The first line of what is hashed: another normal form gets another one.
const FORM: &str = "viewfold definition 1";

/// SHA-256 of `text` as lower-case hex.
pub(super) fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The normal form of a definition file, part by part: what is hashed, and what is compared.
#[derive(Clone, Debug)]
pub(super) struct NormalForm {
    /// The topics as written, sorted.
    pub(super) topics: Vec<String>,
    stores: Vec<StoreKind>,
    /// As written; empty when it is not there.
    pub(super) on_poison: String,
    shape: String,
    /// The expressions of the projection's key.
    pub(super) key: Option<String>,
    /// By their text.
    pub(super) handlers: Vec<HandlerForm>,
}

/// One handler in normal form.
#[derive(Clone, Debug)]
pub(super) struct HandlerForm {
    /// Its name as written.
    pub(super) name: String,
    /// What its name means: two notations of one pattern are the same.
    pub(super) pattern: String,
    /// `when`, `key`, `each`, `delete`: by name, with what is hashed.
    pub(super) others: Vec<Part>,
    /// Its ops by column; those of one column stay in document order.
    pub(super) ops: Vec<Part>,
}

/// A part of a handler: what it is, and its whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Such as `when` or `add spent`.
    pub(super) name: String,
    /// The same with its expression.
    pub(super) text: String,
}

impl NormalForm {
    /// The normal form of a checked definition.
    pub(super) fn of(schema: &Schema, head: &Head, entries: &[Entry]) -> Self {
        let mut topics = head.topic_texts.clone();
        topics.sort();
        let key = entries.iter().find(|entry| entry.key == "key");
        let on = entries.iter().find(|entry| entry.key == "on");
        let mut handlers = match on.map(|entry| &entry.value.kind) {
            Some(Kind::Table(handlers)) => handlers.iter().map(HandlerForm::of).collect(),
            _ => Vec::new(),
        };
        handlers.sort_by_cached_key(HandlerForm::text);
        Self {
            topics,
            stores: head.stores.clone(),
            on_poison: head.on_poison.clone(),
            shape: shape_text(schema),
            key: key.map(|key| normal(&key.value)),
            handlers,
        }
    }

    /// The hash of the definition file.
    pub(super) fn hash(&self) -> String {
        let mut lines = vec![FORM.to_owned()];
        lines.push(format!("topics {:?}", self.topics));
        lines.push(format!("stores {:?}", self.stores));
        lines.push(format!("on_poison {:?}", self.on_poison));
        lines.push(self.shape.clone());
        lines.extend(self.key.iter().map(|key| format!("key {key}")));
        lines.extend(self.handlers.iter().map(HandlerForm::text));
        sha256(&lines.join("\n"))
    }
}

/// Name, key and columns of a view, one line each.
pub(super) fn shape_text(schema: &Schema) -> String {
    let mut text = format!("view {}", schema.name);
    for (index, column) in schema.columns.iter().enumerate() {
        let default = column.default.canonical();
        let key = schema.key.iter().position(|&key| key == index);
        let _ = write!(
            text,
            "\ncolumn {} {} default {:?} index {} family {:?} key {key:?}",
            column.name, column.ty, default, column.index, column.family
        );
    }
    text
}

impl HandlerForm {
    fn of(entry: &Entry) -> Self {
        let pattern = Pattern::parse(&entry.key);
        let mut form = Self {
            name: entry.key.clone(),
            pattern: format!("{pattern:?}"),
            others: Vec::new(),
            ops: Vec::new(),
        };
        let Kind::Table(fields) = &entry.value.kind else {
            return form;
        };
        let mut ops: Vec<(&str, Part)> = Vec::new();
        for field in fields {
            let op = OpName::from_name(&field.key);
            match (&field.value.kind, op) {
                (Kind::Table(columns), Some(op)) => ops.extend(columns.iter().map(|column| {
                    let name = format!("{} {}", op.as_str(), column.key);
                    let text = format!("{name} {}", normal(&column.value));
                    (column.key.as_str(), Part { name, text })
                })),
                (Kind::Array(columns), Some(op)) => {
                    ops.extend(columns.iter().filter_map(|column| match &column.kind {
                        Kind::Text(column) => {
                            let name = format!("{} {column}", op.as_str());
                            let text = name.clone();
                            Some((column.as_str(), Part { name, text }))
                        }
                        _ => None,
                    }));
                }
                _ => form.others.push(Part {
                    text: format!("{} {}", field.key, normal(&field.value)),
                    name: field.key.clone(),
                }),
            }
        }
        form.others.sort_by(|a, b| a.text.cmp(&b.text));
        ops.sort_by(|a, b| a.0.cmp(b.0));
        form.ops = ops.into_iter().map(|(_, part)| part).collect();
        form
    }

    /// What is hashed of it.
    pub(super) fn text(&self) -> String {
        let joined = |parts: &[Part]| {
            let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            texts.join("; ")
        };
        format!(
            "on {} {} {}",
            self.pattern,
            joined(&self.others),
            joined(&self.ops)
        )
    }
}

fn normal(node: &Node) -> String {
    match &node.kind {
        Kind::Text(text) => quoted(text.trim()),
        Kind::Integer(text) | Kind::Float(text) | Kind::Datetime(text) => text.clone(),
        Kind::Boolean(value) => value.to_string(),
        Kind::Array(items) => {
            let items: Vec<String> = items.iter().map(normal).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Table(entries) => {
            let mut entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}:{}", quoted(&entry.key), normal(&entry.value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
    }
}
