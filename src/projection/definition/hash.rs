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
use crate::projection::Schema;

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

/// The hash of a definition file.
pub(super) fn hash(schema: &Schema, head: &Head, entries: &[Entry]) -> String {
    let mut lines = vec![FORM.to_owned()];
    let mut topics = head.topic_texts.clone();
    topics.sort();
    lines.push(format!("topics {topics:?}"));
    lines.push(format!("stores {:?}", head.stores));
    lines.push(format!("on_poison {:?}", head.on_poison));
    lines.push(shape_text(schema));
    if let Some(key) = entries.iter().find(|entry| entry.key == "key") {
        lines.push(format!("key {}", normal(&key.value)));
    }
    let on = entries.iter().find(|entry| entry.key == "on");
    if let Some(Kind::Table(handlers)) = on.map(|entry| &entry.value.kind) {
        let mut handlers: Vec<String> = handlers.iter().map(handler_text).collect();
        handlers.sort();
        lines.append(&mut handlers);
    }
    sha256(&lines.join("\n"))
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

/// One handler: its ops by column; those of one column stay in document order.
fn handler_text(entry: &Entry) -> String {
    let pattern = Pattern::parse(&entry.key);
    let Kind::Table(fields) = &entry.value.kind else {
        return format!("on {pattern:?}");
    };
    let mut others: Vec<String> = Vec::new();
    let mut ops: Vec<(&str, String)> = Vec::new();
    for field in fields {
        let op = OpName::from_name(&field.key);
        match (&field.value.kind, op) {
            (Kind::Table(columns), Some(op)) => ops.extend(columns.iter().map(|column| {
                let text = format!("{} {} {}", op.as_str(), column.key, normal(&column.value));
                (column.key.as_str(), text)
            })),
            (Kind::Array(columns), Some(op)) => {
                ops.extend(columns.iter().filter_map(|column| match &column.kind {
                    Kind::Text(name) => Some((name.as_str(), format!("{} {name}", op.as_str()))),
                    _ => None,
                }));
            }
            _ => others.push(format!("{} {}", field.key, normal(&field.value))),
        }
    }
    others.sort();
    ops.sort_by(|a, b| a.0.cmp(b.0));
    let ops: Vec<String> = ops.into_iter().map(|(_, text)| text).collect();
    format!("on {pattern:?} {} {}", others.join("; "), ops.join("; "))
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
