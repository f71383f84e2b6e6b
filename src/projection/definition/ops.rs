//! The op tables of a handler.

use super::action::Action;
use super::compile::{Compiler, Place};
use super::document::{Entry, Kind, Node};
use super::family::{OpName, Use};
use super::head::{TOP_LEVEL, move_above};
use super::names::did_you_mean;
use super::shape::Shape;
use crate::projection::expr::{Expr, Want};

/// Reads the ops of one handler.
pub(super) struct OpReader<'r, 'c, 't> {
    pub(super) compiler: &'r mut Compiler<'c, 't>,
    pub(super) shape: &'r Shape,
    /// The handler, as `[on."…"]`.
    pub(super) handler: &'r str,
    pub(super) place: &'r mut Place,
    pub(super) uses: &'r mut Vec<Use>,
    pub(super) ops: &'r mut Vec<(usize, Action)>,
}

impl OpReader<'_, '_, '_> {
    /// Reads `op = …`.
    pub(super) fn read(&mut self, op: OpName, node: &Node) {
        if op == OpName::Unset {
            self.read_unset(node);
            return;
        }
        let example = format!("{} = {{ column = {} }}", op.as_str(), example(op));
        let entries = node.table(op.as_str(), &example, self.compiler.problems);
        for entry in entries.unwrap_or_default() {
            let Some(column) = self.column(op, &entry.key, entry.at, &entry.value) else {
                continue;
            };
            let keep = self.keep(op, entry);
            self.note(column, op, entry.at, keep);
            if let Some(action) = self.action(op, column, entry, keep) {
                self.ops.push((column, action));
            }
        }
    }

    fn note(&mut self, column: usize, op: OpName, at: usize, keep: Option<u32>) {
        self.uses.push(Use {
            column,
            op,
            at,
            handler: self.handler.to_owned(),
            keep,
        });
    }

    fn read_unset(&mut self, node: &Node) {
        let Kind::Array(items) = &node.kind else {
            self.compiler.problems.add(
                node.at(),
                format!(
                    "`unset` must be an array of column names, not {}: write unset = [\"column\"]",
                    node.what()
                ),
            );
            return;
        };
        let mut seen: Vec<&str> = Vec::new();
        for item in items {
            let Kind::Text(name) = &item.kind else {
                let message = format!("`unset` must hold column names, not {}", item.what());
                self.compiler.problems.add(item.at(), message);
                continue;
            };
            if seen.contains(&name.as_str()) {
                let message = format!("`{name}` stands in `unset` twice");
                self.compiler.problems.add(item.at(), message);
                continue;
            }
            seen.push(name);
            if let Some(column) = self.column(OpName::Unset, name, item.at(), item) {
                self.note(column, OpName::Unset, item.at(), None);
                self.ops.push((column, Action::Unset));
            }
        }
    }

    /// The index of column `name`, if `op` may touch it.
    fn column(&mut self, op: OpName, name: &str, at: usize, value: &Node) -> Option<usize> {
        let op_name = op.as_str();
        let problem = match self.shape.index(name) {
            None if !self.shape.columns_known => return None,
            None if TOP_LEVEL.contains(&name) && !matches!(value.kind, Kind::Text(_)) => {
                move_above(name, self.handler)
            }
            None => format!(
                "unknown column `{name}`{}",
                did_you_mean(name, self.shape.names())
            ),
            Some(index) if self.shape.is_key(index) => format!(
                "`{op_name}` on key column `{name}`: a row's key never changes; leave it out"
            ),
            Some(index) => {
                let ty = self.shape.ty(index)?;
                let Some(reason) = op.refuses(ty) else {
                    return Some(index);
                };
                format!("`{op_name}` on column `{name}` ({ty}): {reason}")
            }
        };
        self.compiler.problems.add(at, problem);
        None
    }

    fn keep(&mut self, op: OpName, entry: &Entry) -> Option<u32> {
        let (OpName::Append, Kind::Table(fields)) = (op, &entry.value.kind) else {
            return None;
        };
        let keep = &fields.iter().find(|field| field.key == "keep")?.value;
        if let Kind::Integer(text) = &keep.kind
            && let Ok(number @ 1..) = text.parse::<u32>()
        {
            return Some(number);
        }
        self.compiler.problems.add(
            keep.at(),
            format!("`keep` must be a whole number from 1 to {}", u32::MAX),
        );
        None
    }

    fn action(
        &mut self,
        op: OpName,
        column: usize,
        entry: &Entry,
        keep: Option<u32>,
    ) -> Option<Action> {
        let ty = self.shape.ty(column)?;
        let value = &entry.value;
        let name = format!("{}.{}", op.as_str(), entry.key);
        Some(match op {
            OpName::Set => Action::Set(self.simple(value, &name, Want::Column(ty))?),
            OpName::SetPresent => {
                Action::SetPresent(self.simple(value, &name, Want::Column(ty))?)
            }
            OpName::SetOnce => Action::SetOnce(self.simple(value, &name, Want::Column(ty))?),
            OpName::Max => Action::Max(self.simple(value, &name, Want::Column(ty))?),
            OpName::Min => Action::Min(self.simple(value, &name, Want::Column(ty))?),
            OpName::Add => Action::Add(self.simple(value, &name, Want::Amount)?),
            OpName::Remove => Action::Remove(self.simple(value, &name, Want::Text)?),
            OpName::Latest => {
                let [value, by] = self.pair(
                    entry,
                    op,
                    [("value", Want::Column(ty)), ("by", Want::Order)],
                )?;
                Action::Latest { value, by }
            }
            OpName::Put => {
                let [key, value] =
                    self.pair(entry, op, [("key", Want::Text), ("value", Want::Json)])?;
                Action::Put { key, value }
            }
            OpName::Append => Action::Append {
                item: self.appended(entry)?,
                keep,
            },
            OpName::Unset => return None,
        })
    }

    fn simple(&mut self, node: &Node, name: &str, want: Want) -> Option<Expr> {
        self.compiler.expression(node, name, want, self.place)
    }

    /// The bare expression of `append`, or the one in its table.
    fn appended(&mut self, entry: &Entry) -> Option<Expr> {
        let name = format!("append.{}", entry.key);
        let Kind::Table(fields) = &entry.value.kind else {
            return self.simple(&entry.value, &name, Want::Json);
        };
        self.unknown_fields(fields, OpName::Append, &["value", "keep"]);
        let Some(field) = fields.iter().find(|field| field.key == "value") else {
            let message = format!("`{name}` has no `value`: write {}", example(OpName::Append));
            self.compiler.problems.add(entry.at, message);
            return None;
        };
        self.simple(&field.value, &format!("{name}.value"), Want::Json)
    }

    /// The two expressions of an op's inner table.
    fn pair(&mut self, entry: &Entry, op: OpName, wanted: [(&str, Want); 2]) -> Option<[Expr; 2]> {
        let name = format!("{}.{}", op.as_str(), entry.key);
        let example = example(op);
        let fields = entry.value.table(&name, example, self.compiler.problems)?;
        let [(first, first_want), (second, second_want)] = wanted;
        self.unknown_fields(fields, op, &[first, second]);
        let mut field = |part: &str, want: Want| {
            let Some(field) = fields.iter().find(|field| field.key == part) else {
                let message = format!("`{name}` has no `{part}`: write {example}");
                self.compiler.problems.add(entry.at, message);
                return None;
            };
            self.simple(&field.value, &format!("{name}.{part}"), want)
        };
        let first = field(first, first_want);
        let second = field(second, second_want);
        Some([first?, second?])
    }

    fn unknown_fields(&mut self, fields: &[Entry], op: OpName, known: &[&str]) {
        for field in fields {
            if !known.contains(&field.key.as_str()) {
                self.compiler.problems.add(
                    field.at,
                    format!(
                        "unknown key `{}` of `{}`: only {}{}",
                        field.key,
                        op.as_str(),
                        known.join(" and "),
                        did_you_mean(&field.key, known.iter().copied())
                    ),
                );
            }
        }
    }
}

/// What may stand behind a column in `op`.
fn example(op: OpName) -> &'static str {
    match op {
        OpName::Latest => "{ value = \"data.status\", by = \"event.time\" }",
        OpName::Put => "{ key = \"data.sku\", value = \"data.quantity\" }",
        OpName::Append => "{ value = \"data.id\", keep = 20 }",
        OpName::Remove => "\"data.sku\"",
        OpName::Add => "\"1\"",
        _ => "\"data.field\"",
    }
}
