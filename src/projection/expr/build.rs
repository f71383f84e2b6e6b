//! Values that are put together from parts: joined texts, lists and objects.

use std::borrow::Cow;

use super::Env;
use super::eval::val;
use super::plan::Plan;
use super::val::Val;
use crate::fault::{Fault, Result};
use crate::projection::{ColumnType, Value};

pub(super) fn join<'v>(parts: &'v [Plan; 2], env: &Env<'v>) -> Result<Val<'v>> {
    let [left, right] = parts;
    match (val(left, env)?, val(right, env)?) {
        (Val::Text(left), Val::Text(right)) => {
            let mut joined = left.into_owned();
            joined.push_str(&right);
            Ok(Val::Text(Cow::Owned(joined)))
        }
        (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
        _ => Err(Fault::bug("something that is no text is joined")),
    }
}

/// A part of a list or an object: canonical JSON.
fn write(plan: &Plan, env: &Env<'_>, out: &mut String) -> Result<()> {
    match val(plan, env)?.into_value(ColumnType::Jsonb) {
        Ok(Value::Json(text)) => out.push_str(&text),
        Ok(_) => out.push_str("null"),
        Err(e) => return Err(Fault::poison(format!("a part of a JSON value {e}"))),
    }
    Ok(())
}

pub(super) fn list<'v>(parts: &[Plan], env: &Env<'_>) -> Result<Val<'v>> {
    let mut json = String::from("[");
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        write(part, env, &mut json)?;
    }
    json.push(']');
    canonical(&json)
}

pub(super) fn map<'v>(entries: &[(Plan, Plan)], env: &Env<'_>) -> Result<Val<'v>> {
    let mut json = String::from("{");
    for (i, (name, part)) in entries.iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        match val(name, env)? {
            Val::Null => return Err(Fault::poison("the name of a JSON entry is null")),
            name => match name.into_value(ColumnType::Jsonb) {
                Ok(Value::Json(text)) => json.push_str(&text),
                Ok(_) => return Err(Fault::bug("the name of a JSON entry is no text")),
                Err(e) => return Err(Fault::poison(format!("the name of a JSON entry {e}"))),
            },
        }
        json.push(':');
        write(part, env, &mut json)?;
    }
    json.push('}');
    canonical(&json)
}

fn canonical<'v>(json: &str) -> Result<Val<'v>> {
    crate::projection::canonical_json(json)
        .map(|text| Val::Json(Cow::Owned(text.into())))
        .map_err(|e| Fault::poison(format!("a JSON value {e}")))
}

pub(super) fn texts<'v>(parts: &[Plan], env: &Env<'_>) -> Result<Val<'v>> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        match val(part, env)? {
            Val::Text(text) => texts.push(text.into()),
            Val::Null => return Err(Fault::poison("an element of a list of texts is null")),
            _ => return Err(Fault::bug("an element of a list of texts is no text")),
        }
    }
    Ok(Val::Texts(texts))
}
