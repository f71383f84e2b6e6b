//! Ops as they are compiled: expressions in, one [`Op`] out.
//!
//! Null changes nothing in every op but `set` (which stores it) and `put` (which stores JSON's
//! null). What an entry is called, and what orders `latest`, must not be null.

use crate::event::Field;
use crate::fault::{Fault, Result};
use crate::projection::expr::{Env, Expr};
use crate::projection::{Latest, Op, Value};

/// One op on one column, ready to run.
#[derive(Debug)]
pub(super) enum Action {
    Set(Expr),
    SetPresent(Expr),
    SetOnce(Expr),
    Unset,
    Latest { value: Expr, by: Expr },
    Add(Expr),
    Max(Expr),
    Min(Expr),
    Append { item: Expr, keep: Option<u32> },
    Put { key: Expr, value: Expr },
    Remove(Expr),
}

impl Action {
    /// Whether it looks at the current row.
    pub(super) fn reads_row(&self) -> bool {
        match self {
            Self::Unset => false,
            Self::Latest { value, by } => value.reads_row() || by.reads_row(),
            Self::Put { key, value } => key.reads_row() || value.reads_row(),
            Self::Set(expr)
            | Self::SetPresent(expr)
            | Self::SetOnce(expr)
            | Self::Add(expr)
            | Self::Max(expr)
            | Self::Min(expr)
            | Self::Append { item: expr, .. }
            | Self::Remove(expr) => expr.reads_row(),
        }
    }

    /// The op for one event or element; none when a null changes nothing.
    pub(super) fn run(&self, env: &Env<'_>) -> Result<Option<Op>> {
        Ok(match self {
            Self::Set(expr) => Some(Op::Set(expr.eval(env)?)),
            Self::SetPresent(expr) => present(expr.eval(env)?).map(Op::Set),
            Self::SetOnce(expr) => present(expr.eval(env)?).map(Op::SetOnce),
            Self::Unset => Some(Op::Unset),
            Self::Latest { value, by } => latest(value, by, env)?.map(Op::Latest),
            Self::Add(expr) => match expr.eval(env)? {
                Value::Null => None,
                Value::Numeric(amount) => Some(Op::Add(amount)),
                _ => return Err(Fault::bug("an amount is not a number")),
            },
            Self::Max(expr) => present(expr.eval(env)?).map(Op::Max),
            Self::Min(expr) => present(expr.eval(env)?).map(Op::Min),
            Self::Append { item, keep } => present(item.eval(env)?).map(|item| Op::Append {
                item: json_of(item),
                keep: *keep,
            }),
            Self::Put { key, value } => Some(Op::Put {
                key: entry_name(key, env)?,
                value: json_of(value.eval(env)?),
            }),
            Self::Remove(expr) => Some(Op::Remove {
                key: entry_name(expr, env)?,
            }),
        })
    }
}

fn present(value: Value) -> Option<Value> {
    (!value.is_null()).then_some(value)
}

fn latest(value: &Expr, by: &Expr, env: &Env<'_>) -> Result<Option<Latest>> {
    let Some(value) = present(value.eval(env)?) else {
        return Ok(None);
    };
    let by = by.eval(env)?;
    if by.is_null() {
        return Err(Fault::poison("`by` is null, so nothing orders the value"));
    }
    let latest = match env.event.field(Field::Id) {
        Some(id) => Latest::new(&by, &id, value),
        // Without an id the place in the log breaks ties, the same in every rebuild.
        None => {
            let event = env.event;
            let place = format!(
                "{}/{:010}@{:020}",
                event.topic(),
                event.partition(),
                event.offset()
            );
            Latest::new(&by, &place, value)
        }
    };
    Ok(Some(latest))
}

/// The name of an object's entry.
fn entry_name(expr: &Expr, env: &Env<'_>) -> Result<Box<str>> {
    match expr.eval(env)? {
        Value::Text(name) => Ok(name),
        Value::Null => Err(Fault::poison("the entry's key is null")),
        _ => Err(Fault::bug("an entry's key is not text")),
    }
}

/// A value as JSON text; null as JSON's null.
fn json_of(value: Value) -> Box<str> {
    match value {
        Value::Json(text) => text,
        other => other.to_json().to_string().into(),
    }
}
