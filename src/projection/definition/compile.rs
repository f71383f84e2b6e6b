//! Expressions of a definition: compiled, with their problems at their places.

use std::sync::Arc;

use super::diagnostic::Problems;
use super::document::{Kind, Node, locate};
use crate::event::Path;
use crate::projection::ColumnType;
use crate::projection::expr::{Expr, Paths, Scope, Want, compile};

/// Compiles the expressions of one definition.
pub(super) struct Compiler<'c, 't> {
    /// What is wrong so far.
    pub(super) problems: &'c mut Problems<'t>,
    columns: Vec<(Arc<str>, ColumnType)>,
    data: Paths,
}

/// Where an expression stands, and what the expressions there have used so far.
#[derive(Default)]
pub(super) struct Place {
    /// The paths under `item`; none outside of `each`.
    pub(super) item: Option<Paths>,
    /// Whether `row` may be read here.
    pub(super) row_allowed: bool,
    data_used: Paths,
    item_used: Paths,
}

impl Place {
    /// A place in a handler, with or without `each`.
    pub(super) fn new(each: bool) -> Self {
        Self {
            item: each.then(Paths::default),
            ..Self::default()
        }
    }

    /// All paths that were used: under `item`, in slot order; under `data`; under `item`, each once.
    pub(super) fn into_paths(self) -> (Vec<Path>, Vec<Path>) {
        (
            self.item.map(Paths::into_vec).unwrap_or_default(),
            self.data_used.into_vec(),
        )
    }
}

impl<'c, 't> Compiler<'c, 't> {
    /// A compiler for a definition with `columns`.
    pub(super) fn new(
        problems: &'c mut Problems<'t>,
        columns: Vec<(Arc<str>, ColumnType)>,
    ) -> Self {
        Self {
            problems,
            columns,
            data: Paths::default(),
        }
    }

    /// All paths under `data`, in slot order.
    pub(super) fn into_paths(self) -> Vec<Path> {
        self.data.into_vec()
    }

    /// Compiles the expression in `node`, which is called `name` in messages.
    pub(super) fn expression(
        &mut self,
        node: &Node,
        name: &str,
        want: Want,
        place: &mut Place,
    ) -> Option<Expr> {
        let source = self.source(node, name)?;
        let mut scope = Scope {
            columns: &self.columns,
            data: &mut self.data,
            item: place.item.as_mut(),
            row_allowed: place.row_allowed,
        };
        match compile(source, want, &mut scope) {
            Ok(expr) => {
                // Once more, only to learn which paths this handler reads.
                let mut scope = Scope {
                    columns: &self.columns,
                    data: &mut place.data_used,
                    item: place.item.is_some().then_some(&mut place.item_used),
                    row_allowed: place.row_allowed,
                };
                compile(source, want, &mut scope).ok();
                Some(expr)
            }
            Err(found) => {
                for problem in found {
                    let at = locate(self.problems.text(), &node.span, source, problem.at);
                    self.problems.add(at, problem.message);
                }
                None
            }
        }
    }

    /// Whether the expression in `node` is right and mentions `item`.
    pub(super) fn uses_item(&self, node: &Node, want: Want, row_allowed: bool) -> bool {
        let Kind::Text(source) = &node.kind else {
            return false;
        };
        let (mut data, mut item) = (Paths::default(), Paths::default());
        let mut scope = Scope {
            columns: &self.columns,
            data: &mut data,
            item: Some(&mut item),
            row_allowed,
        };
        compile(source, want, &mut scope).is_ok() && !item.into_vec().is_empty()
    }

    fn source<'n>(&mut self, node: &'n Node, name: &str) -> Option<&'n str> {
        let hint = match &node.kind {
            Kind::Text(source) => return Some(source),
            Kind::Integer(text) | Kind::Float(text) => format!(": write \"{text}\""),
            Kind::Boolean(value) => format!(": write \"{value}\""),
            _ => String::new(),
        };
        self.problems.add(
            node.at(),
            format!(
                "`{name}` must be an expression in quotes, not {}{hint}",
                node.what()
            ),
        );
        None
    }
}
