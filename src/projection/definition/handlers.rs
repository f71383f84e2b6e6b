//! `[on."…"]`: what happens for each event type.

use super::action::Action;
use super::compile::{Compiler, Place};
use super::document::{Entry, Kind, Node};
use super::family::{OpName, Use};
use super::head::{TOP_LEVEL, move_above};
use super::matching::Pattern;
use super::names::did_you_mean;
use super::ops::OpReader;
use super::run::{Each, Handler, When};
use super::shape::Shape;
use crate::projection::expr::{Expr, Want};

/// The keys of a handler that are no ops.
const OTHER_KEYS: [&str; 4] = ["when", "key", "each", "delete"];

/// Reads all handlers.
pub(super) struct HandlerReader<'r, 'c, 't> {
    compiler: &'r mut Compiler<'c, 't>,
    shape: &'r Shape,
    /// The top-level key.
    key: &'r [(usize, &'r Node)],
    /// Whether any handler has `each`.
    any_each: bool,
    /// What was read: every op on every column.
    pub(super) uses: Vec<Use>,
}

impl<'r, 'c, 't> HandlerReader<'r, 'c, 't> {
    /// A reader for a definition with this shape and top-level key.
    pub(super) fn new(
        compiler: &'r mut Compiler<'c, 't>,
        shape: &'r Shape,
        key: &'r [(usize, &'r Node)],
        any_each: bool,
    ) -> Self {
        Self {
            compiler,
            shape,
            key,
            any_each,
            uses: Vec::new(),
        }
    }

    /// Reads `[on]`. Handlers with problems are left out.
    pub(super) fn read(&mut self, entries: &'r [Entry]) -> Vec<(Pattern, Handler)> {
        let mut handlers: Vec<(Pattern, Handler)> = Vec::new();
        let mut patterns: Vec<(Pattern, &str)> = Vec::new();
        for entry in entries {
            let pattern = match Pattern::parse(&entry.key) {
                Ok(pattern) => pattern,
                Err(problem) => {
                    self.compiler.problems.add(entry.at, problem);
                    continue;
                }
            };
            if let Some((_, earlier)) = patterns.iter().find(|(known, _)| *known == pattern) {
                let message = format!("{} means the same as [on.\"{earlier}\"]", title(entry));
                self.compiler.problems.add(entry.at, message);
            }
            patterns.push((pattern.clone(), &entry.key));
            if let Some(handler) = self.read_handler(entry) {
                handlers.push((pattern, handler));
            }
        }
        handlers
    }

    fn read_handler(&mut self, entry: &'r Entry) -> Option<Handler> {
        let title = title(entry);
        let Kind::Table(fields) = &entry.value.kind else {
            let message = if TOP_LEVEL.contains(&entry.key.as_str()) {
                move_above(&entry.key, "[on]")
            } else {
                format!("{title} must be a table, not {}", entry.value.what())
            };
            self.compiler.problems.add(entry.at, message);
            return None;
        };
        let before = self.compiler.problems.count();
        let each_node = field(fields, "each").map(|field| &field.value);
        let mut place = Place::new(each_node.is_some());
        let key_nodes = self.key_nodes(fields, &title, each_node.is_some());
        let key = self.read_key(&key_nodes, &mut place);
        let mut outside = Place::default();
        let each = each_node.and_then(|node| {
            self.compiler
                .expression(node, "each", Want::Array, &mut outside)
        });
        place.row_allowed = true;
        let when = field(fields, "when")
            .and_then(|field| self.read_when(&field.value, &key_nodes, &mut place));
        let delete = self.read_delete(fields, &title);
        let ops = self.read_ops(fields, &title, &mut place);
        self.unknown_keys(fields, entry);
        if self.compiler.problems.count() > before {
            return None;
        }
        let mut data_used = outside.into_paths().1;
        let (item_paths, more) = place.into_paths();
        data_used.extend(more);
        data_used.sort();
        data_used.dedup();
        let handler = Handler {
            name: entry.key.clone(),
            title,
            key,
            when,
            each: each.map(|array| Each::new(array, item_paths)),
            ops,
            delete,
            data_used,
            reads_row: false,
        };
        Some(handler.ready())
    }

    /// The expressions of the handler's own key, else of the projection's.
    fn key_nodes(
        &mut self,
        fields: &'r [Entry],
        title: &str,
        each: bool,
    ) -> Vec<(usize, &'r Node)> {
        if let Some(own) = field(fields, "key") {
            return self
                .shape
                .read_handler_key(&own.value, own.at, self.compiler.problems);
        }
        for &(column, node) in self.key {
            let Some(ty) = self.shape.ty(column) else {
                continue;
            };
            if self.any_each && !each && self.compiler.uses_item(node, Want::Column(ty), false) {
                self.compiler.problems.add(
                    node.at(),
                    format!(
                        "the key reads `item`, but {title} has no `each`: give it a key of its own"
                    ),
                );
                return Vec::new();
            }
        }
        self.key.to_vec()
    }

    /// Compiles key expressions, in key order.
    pub(super) fn read_key(&mut self, nodes: &[(usize, &Node)], place: &mut Place) -> Vec<Expr> {
        nodes
            .iter()
            .filter_map(|&(column, node)| {
                let ty = self.shape.ty(column)?;
                let name = format!("key.{}", self.shape.name(column));
                self.compiler
                    .expression(node, &name, Want::Column(ty), place)
            })
            .collect()
    }

    /// A `when` that mentions `item` is asked for each element; so is one that reads the row where
    /// the element decides which row that is. Any other is asked once.
    fn read_when(
        &mut self,
        node: &Node,
        key: &[(usize, &Node)],
        place: &mut Place,
    ) -> Option<When> {
        let expr = self
            .compiler
            .expression(node, "when", Want::Condition, place)?;
        let each = place.item.is_some();
        let key_by_item = || {
            key.iter().any(|&(column, node)| {
                self.shape
                    .ty(column)
                    .is_some_and(|ty| self.compiler.uses_item(node, Want::Column(ty), false))
            })
        };
        let by_item = each
            && (self.compiler.uses_item(node, Want::Condition, true)
                || (expr.reads_row() && key_by_item()));
        Some(When {
            once: each && !by_item,
            expr,
        })
    }

    fn read_delete(&mut self, fields: &[Entry], title: &str) -> bool {
        let Some(delete) = field(fields, "delete") else {
            return false;
        };
        let Some(value) = delete.value.boolean("delete", self.compiler.problems) else {
            return false;
        };
        let op = fields.iter().find(|f| OpName::from_name(&f.key).is_some());
        if !value {
            self.compiler
                .problems
                .add(delete.value.at(), "`delete` is true or left out");
        } else if let Some(op) = op {
            let message = format!(
                "`{}` beside `delete` in {title}: a deleted row has no columns; use two handlers, or unset",
                op.key
            );
            self.compiler.problems.add(op.at, message);
        }
        value
    }

    fn read_ops(
        &mut self,
        fields: &[Entry],
        title: &str,
        place: &mut Place,
    ) -> Vec<(usize, Action)> {
        let mut ops = Vec::new();
        for field in fields {
            if let Some(op) = OpName::from_name(&field.key) {
                OpReader {
                    compiler: self.compiler,
                    shape: self.shape,
                    handler: title,
                    place,
                    uses: &mut self.uses,
                    ops: &mut ops,
                }
                .read(op, &field.value);
            }
        }
        ops
    }

    fn unknown_keys(&mut self, fields: &[Entry], entry: &Entry) {
        let known = || {
            let ops = OpName::ALL.into_iter().map(OpName::as_str);
            OTHER_KEYS.into_iter().chain(ops)
        };
        for field in fields {
            let name = field.key.as_str();
            if known().any(|key| key == name) {
                continue;
            }
            let meant = did_you_mean(name, known());
            let message = if TOP_LEVEL.contains(&name) {
                move_above(name, &title(entry))
            } else if meant.is_empty() && looks_like_handler(&field.value, &known) {
                format!(
                    "unknown key `{name}` in {}; if it is part of the event type, quote the whole type: [on.\"{}.{name}\"]",
                    title(entry),
                    entry.key
                )
            } else {
                format!("unknown key `{name}` in {}{meant}", title(entry))
            };
            self.compiler.problems.add(field.at, message);
        }
    }
}

fn field<'f>(fields: &'f [Entry], name: &str) -> Option<&'f Entry> {
    fields.iter().find(|field| field.key == name)
}

/// Whether `[on.order.created]` was written for `[on."order.created"]`.
fn looks_like_handler<'k, I: Iterator<Item = &'k str>>(node: &Node, known: &dyn Fn() -> I) -> bool {
    let Kind::Table(entries) = &node.kind else {
        return false;
    };
    entries.is_empty()
        || entries.iter().any(|entry| {
            known().any(|key| key == entry.key) || looks_like_handler(&entry.value, known)
        })
}

/// The handler's header, for messages.
fn title(entry: &Entry) -> String {
    format!("[on.\"{}\"]", entry.key)
}
