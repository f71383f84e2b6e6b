//! The declared columns and the key, as far as they are right.

use std::sync::Arc;

use super::columns::Declared;
use super::diagnostic::Problems;
use super::document::{Entry, Node};
use super::head::{TOP_LEVEL, move_above};
use super::names::did_you_mean;
use crate::projection::ColumnType;

/// What handlers may refer to.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) columns: Vec<Declared>,
    /// The key's columns in key order.
    pub(super) key: Vec<usize>,
    /// Whether there is a `[columns]` table at all: without one, no column is called unknown.
    pub(super) columns_known: bool,
}

impl Shape {
    /// The index of column `name`.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }

    /// Whether column `index` belongs to the key.
    pub(super) fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }

    /// The type of column `index`, if it is right.
    pub(super) fn ty(&self, index: usize) -> Option<ColumnType> {
        self.columns.get(index).and_then(|column| column.ty)
    }

    /// The name of column `index`.
    pub(super) fn name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |column| &column.name)
    }

    /// All column names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// The columns whose types are right, for expressions.
    pub(super) fn typed(&self) -> Vec<(Arc<str>, ColumnType)> {
        self.columns
            .iter()
            .filter_map(|column| Some((column.name.clone(), column.ty?)))
            .collect()
    }

    /// Reads the top-level `key` and gives its expressions in key order.
    pub(super) fn read_key<'n>(
        &mut self,
        node: &'n Node,
        problems: &mut Problems<'_>,
    ) -> Vec<(usize, &'n Node)> {
        let example = "key = { order_id = \"data.orderId\" }";
        let entries = node.table("key", example, problems).unwrap_or_default();
        if entries.is_empty() && matches!(node.kind, super::document::Kind::Table(_)) {
            problems.add(node.at(), format!("`key` is empty: write {example}"));
        }
        let mut parts = Vec::new();
        for entry in entries {
            if let Some(index) = self.key_column(entry, problems) {
                self.key.push(index);
                parts.push((index, &entry.value));
            }
        }
        parts
    }

    fn key_column(&self, entry: &Entry, problems: &mut Problems<'_>) -> Option<usize> {
        let name = entry.key.as_str();
        let Some(index) = self.index(name) else {
            if self.columns_known {
                let message = if TOP_LEVEL.contains(&name) {
                    move_above(name, "[key]")
                } else {
                    format!(
                        "key column `{name}` is not declared in [columns]{}",
                        did_you_mean(name, self.names())
                    )
                };
                problems.add(entry.at, message);
            }
            return None;
        };
        let declared = self.columns.get(index)?;
        if let Some(ty) = declared.ty.filter(|ty| !ty.may_be_key()) {
            problems.add(
                entry.at,
                format!(
                    "key column `{name}` cannot be {ty}: any type but double, jsonb and text[]"
                ),
            );
        }
        if let Some(at) = declared.default_at {
            problems.add(
                at,
                format!("key column `{name}` cannot have a default: its value always comes from the event"),
            );
        }
        Some(index)
    }

    /// Reads a handler's own `key`: exactly the key's columns, in any order.
    pub(super) fn read_handler_key<'n>(
        &self,
        node: &'n Node,
        at: usize,
        problems: &mut Problems<'_>,
    ) -> Vec<(usize, &'n Node)> {
        let example = "key = { order_id = \"data.orderId\" }";
        let Some(entries) = node.table("key", example, problems) else {
            return Vec::new();
        };
        for entry in entries {
            let index = self.index(&entry.key);
            if !index.is_some_and(|index| self.is_key(index)) && !self.key.is_empty() {
                problems.add(
                    entry.at,
                    format!(
                        "`{}` is not a key column: a handler's key names exactly {}{}",
                        entry.key,
                        self.key_names(),
                        did_you_mean(&entry.key, self.key.iter().map(|&key| self.name(key)))
                    ),
                );
            }
        }
        let mut parts = Vec::new();
        for &index in &self.key {
            match entries.iter().find(|e| e.key == self.name(index)) {
                Some(entry) => parts.push((index, &entry.value)),
                None => problems.add(
                    at,
                    format!(
                        "the key does not name `{}`: a handler's key names exactly {}",
                        self.name(index),
                        self.key_names()
                    ),
                ),
            }
        }
        parts
    }

    fn key_names(&self) -> String {
        let names: Vec<&str> = self.key.iter().map(|&index| self.name(index)).collect();
        names.join(", ")
    }
}
