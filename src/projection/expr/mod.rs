//! Expressions: CEL syntax, checked against the columns they feed, compiled to a typed plan.
//!
//! `source → scan → parse → tree → check → plan`, once, when a definition is read; then
//! [`Expr::eval`] per event, without maps and without building texts that nobody asked for.
//!
//! Types flow from the target. An untyped part (a path into an event) is read as what its
//! place needs: a decimal beside `*`, a text in a text column, the other side's type in a
//! comparison. Where the place does not say, the checker asks for `decimal()` or `string()`.
//!
//! What the language promises beyond CEL:
//! - numbers are exact decimals; nothing is rounded but by `round`, which takes a whole
//!   calculation exactly and rounds it once (half away from zero);
//! - null is contagious in calculations, joined texts and functions, `<` with a null is null,
//!   and null counts as false in a condition; `==` and `!=` know null as a value of its own;
//! - a path that is missing is a poison fault that names it; behind `.?` (and with `.orValue`)
//!   it is null. JSON null is null, and `.orValue(v)` replaces both;
//! - `false && fault` and `fault && false` are false, likewise `true ||`, as in CEL;
//! - of the envelope, a missing `event.id`, `event.type` or `event.time` is a fault; the other
//!   fields read as null; a missing header is a fault, a missing record key is null;
//! - in a row, everything that is not there is null, also below a jsonb column.

mod build;
mod calculate;
mod calendar;
mod calls;
mod check;
mod compare;
mod eval;
mod explain;
mod functions;
mod kind;
mod near;
mod operators;
mod parse;
mod paths;
mod plan;
mod quote;
mod references;
mod scan;
mod tree;
mod val;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{ColumnType, Row, Value};
use crate::event::{Event, Json};
use crate::fault::Result;

pub use paths::Paths;

/// What an expression may mention.
pub struct Scope<'s> {
    /// The columns of the view, in order: what `row.<column>` may name.
    pub columns: &'s [(Arc<str>, ColumnType)],
    /// Collects the paths under `data`.
    pub data: &'s mut Paths,
    /// Collects the paths under `item`; none outside `each`.
    pub item: Option<&'s mut Paths>,
    /// Whether `row` has a meaning here.
    pub row_allowed: bool,
}

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A value of a column of this type.
    Column(ColumnType),
    /// True or false.
    Condition,
    /// Anything that has an order and whose type is known (`by` of `latest`).
    Order,
    /// A text, as the name of an object's entry.
    Text,
    /// Any JSON value.
    Json,
    /// An exact decimal to add.
    Amount,
    /// A path to an array (`each`).
    Array,
}

/// What is wrong with a source text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the offending part begins, in bytes from the start of the source.
    pub at: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expr {
    plan: plan::Plan,
    ty: Option<ColumnType>,
    /// The source, for faults.
    label: Box<str>,
    reads_row: bool,
}

/// Parses `source`, checks all its types and compiles it. All problems at once, by place; a
/// text that is no CEL has only one.
pub fn compile(source: &str, want: Want, scope: &mut Scope<'_>) -> Result<Expr, Vec<Problem>> {
    let tree = parse::parse(source).map_err(|problem| vec![problem])?;
    let checked = check::check(source, &tree, want, scope)?;
    Ok(Expr {
        plan: checked.plan,
        ty: checked.ty,
        label: quote::quote(source).into(),
        reads_row: checked.reads_row,
    })
}

/// What an expression is evaluated against.
#[derive(Clone, Copy)]
pub struct Env<'e> {
    /// The event.
    pub event: &'e Event<'e>,
    /// The values at the paths under `item`, inside `each`.
    pub item: Option<&'e [Json<'e>]>,
    /// The current row; none when there is no such row.
    pub row: Option<&'e Row>,
}

impl Expr {
    /// The value, of the wanted type or null. What the event does not have, or what does not
    /// fit the type, is a poison fault that names the path.
    pub fn eval(&self, env: &Env<'_>) -> Result<Value> {
        eval::value(&self.plan, self.ty, &self.label, env)
    }

    /// Whether a condition holds; null counts as false.
    pub fn eval_bool(&self, env: &Env<'_>) -> Result<bool> {
        eval::condition(&self.plan, env)
    }

    /// The elements of an array, each as JSON text. An absent or null array is a fault, or
    /// empty when it is optional (`data.?items`).
    pub fn eval_array<'e>(&self, env: &Env<'e>) -> Result<Vec<&'e str>> {
        eval::array(&self.plan, env)
    }

    /// Whether it mentions `row`.
    pub fn reads_row(&self) -> bool {
        self.reads_row
    }
}
