//! Evaluation of a plan: one recursion, borrowing from the event, the row and the plan.

use std::borrow::Cow;

use super::calculate::{Fraction, calculate, negate};
use super::compare::{compare, same};
use super::plan::{Plan, Reference, Root};
use super::val::Val;
use super::{Env, build};
use crate::event::{Field, Json};
use crate::fault::{Fault, Result};
use crate::projection::value::elements;
use crate::projection::{ColumnType, Value};

/// The plan's value as a value of `ty`, or of its own type when there is none.
pub(super) fn value(
    plan: &Plan,
    ty: Option<ColumnType>,
    label: &str,
    env: &Env<'_>,
) -> Result<Value> {
    match (plan, ty) {
        (Plan::Const(value), _) => Ok(value.clone()),
        (Plan::Read(reference, read), Some(ty)) if *read == ty => match lookup(reference, env)? {
            Json::Missing => Ok(Value::Null),
            json => Value::from_json(ty, &json)
                .map_err(|e| Fault::poison(format!("{} {e}", reference.name))),
        },
        (plan, Some(ty)) => val(plan, env)?
            .into_value(ty)
            .map_err(|e| labelled(label, &e)),
        (plan, None) => {
            let natural = val(plan, env)?.natural();
            match &natural {
                // Texts have not been looked at yet; every other value was made by a checked step.
                Value::Text(_) => natural
                    .cast(ColumnType::Text)
                    .map_err(|e| labelled(label, &e)),
                _ => Ok(natural),
            }
        }
    }
}

/// Whether a condition holds.
pub(super) fn condition(plan: &Plan, env: &Env<'_>) -> Result<bool> {
    Ok(truth(plan, env)?.unwrap_or(false))
}

/// The elements of the array that the plan, a path, names.
pub(super) fn array<'e>(plan: &Plan, env: &Env<'e>) -> Result<Vec<&'e str>> {
    let reference = match plan {
        Plan::Raw(reference) => reference,
        _ => {
            return Err(Fault::bug(
                "an array is read from something that is no path",
            ));
        }
    };
    let wrong = |what: &str| Fault::poison(format!("{} {what}", reference.name));
    match lookup(reference, env)? {
        Json::Array(json) => elements(json).map_err(|e| wrong(&e)),
        Json::Missing => Ok(Vec::new()),
        Json::Null if reference.optional => Ok(Vec::new()),
        Json::Null => Err(wrong("is null, not an array")),
        Json::Bool(_) => Err(wrong("is a boolean, not an array")),
        Json::Number(_) => Err(wrong("is a number, not an array")),
        Json::String(_) => Err(wrong("is a string, not an array")),
        Json::Object(_) => Err(wrong("is an object, not an array")),
    }
}

/// A fault of a computed part: `its text` and what is wrong with it.
fn labelled(label: &str, what: &str) -> Fault {
    Fault::poison(format!("`{label}` {what}"))
}

/// What is at a path; [`Json::Missing`] only where that is allowed.
fn lookup<'e>(reference: &Reference, env: &Env<'e>) -> Result<Json<'e>> {
    let json = slot(reference.root, reference.slot, env)?;
    if json != Json::Missing {
        return Ok(json);
    }
    if !reference.optional {
        return Err(missing(&reference.name));
    }
    if let Some((guard, name)) = &reference.guard
        && slot(reference.root, *guard, env)? == Json::Missing
    {
        return Err(missing(name));
    }
    Ok(Json::Missing)
}

fn slot<'e>(root: Root, slot: usize, env: &Env<'e>) -> Result<Json<'e>> {
    match root {
        Root::Data => Ok(env.event.path(slot)),
        Root::Item => env
            .item
            .and_then(|item| item.get(slot))
            .cloned()
            .ok_or_else(|| Fault::bug("an item's path is read outside of `each`")),
    }
}

fn missing(name: &str) -> Fault {
    Fault::poison(format!("{name} is missing"))
}

pub(super) fn val<'v>(plan: &'v Plan, env: &Env<'v>) -> Result<Val<'v>> {
    match plan {
        Plan::Const(value) => Ok(Val::from(value)),
        Plan::Raw(reference) => Ok(Val::of_json(lookup(reference, env)?)),
        Plan::Read(reference, ty) => match lookup(reference, env)? {
            Json::Missing => Ok(Val::Null),
            json => {
                Val::read(json, *ty).map_err(|e| Fault::poison(format!("{} {e}", reference.name)))
            }
        },
        Plan::Has(reference) => {
            let json = slot(reference.root, reference.slot, env)?;
            Ok(Val::Bool(json != Json::Missing))
        }
        Plan::Envelope { .. }
        | Plan::Time { .. }
        | Plan::Key
        | Plan::Header { .. }
        | Plan::Topic
        | Plan::Partition
        | Plan::Offset => of_record(plan, env),
        Plan::Column(index) => Ok(column(*index, env)),
        Plan::ColumnPath(index, path) => match column(*index, env) {
            Val::Json(Cow::Borrowed(text)) => path
                .extract(text)
                .map(|found| Val::of_json(found.into_iter().next().unwrap_or(Json::Missing)))
                .map_err(|e| Fault::bug(format!("a stored json value {e}"))),
            _ => Ok(Val::Null),
        },
        Plan::Cast(of, ty, label) => match val(of, env)? {
            Val::Raw(json) => Val::read(json, *ty),
            Val::Text(text) if *ty == ColumnType::Text => Ok(Val::Text(text)),
            other => other.into_value(*ty).map(Val::from),
        }
        .map_err(|e| labelled(label, &e)),
        Plan::Arithmetic(op, operands, label) => {
            let [left, right] = &**operands;
            calculate(*op, val(left, env)?, val(right, env)?).map_err(|e| labelled(label, &e))
        }
        Plan::Negate(of, label) => negate(val(of, env)?).map_err(|e| labelled(label, &e)),
        Plan::Round(of, digits, label) => match fraction(of, env)? {
            Some(fraction) => fraction
                .round(*digits)
                .map(Val::Number)
                .map_err(|e| labelled(label, &e)),
            None => Ok(Val::Null),
        },
        Plan::Apply(function, args, label) => {
            let args = all(args, env)?;
            function.apply(&args).map_err(|e| labelled(label, &e))
        }
        Plan::If(parts) => {
            let [condition, then, other] = &**parts;
            let chosen = truth(condition, env)?.unwrap_or(false);
            val(if chosen { then } else { other }, env)
        }
        Plan::First(plans) => first(plans, env),
        Plan::Join(parts) => build::join(parts, env),
        Plan::List(parts) => build::list(parts, env),
        Plan::Texts(parts) => build::texts(parts, env),
        Plan::Map(entries) => build::map(entries, env),
        Plan::Compare(..)
        | Plan::IsNull(_)
        | Plan::And(_)
        | Plan::Or(_)
        | Plan::Not(_)
        | Plan::Among(_) => Ok(truth(plan, env)?.map_or(Val::Null, Val::Bool)),
    }
}

fn all<'v>(plans: &'v [Plan], env: &Env<'v>) -> Result<Vec<Val<'v>>> {
    plans.iter().map(|plan| val(plan, env)).collect()
}

/// A condition in three values: true, false, and none for null.
fn truth(plan: &Plan, env: &Env<'_>) -> Result<Option<bool>> {
    match plan {
        Plan::Compare(comparison, operands) => {
            let [left, right] = &**operands;
            Ok(compare(*comparison, &val(left, env)?, &val(right, env)?))
        }
        Plan::IsNull(of) => Ok(Some(val(of, env)?.is_null())),
        Plan::And(operands) => short_circuit(operands, false, env),
        Plan::Or(operands) => short_circuit(operands, true, env),
        Plan::Not(of) => Ok(truth(of, env)?.map(|b| !b)),
        Plan::Among(plans) => {
            let [item, list @ ..] = &**plans else {
                return Ok(Some(false));
            };
            let item = val(item, env)?;
            for element in list {
                if same(&item, &val(element, env)?) {
                    return Ok(Some(true));
                }
            }
            Ok(Some(false))
        }
        other => match val(other, env)? {
            Val::Bool(b) => Ok(Some(b)),
            Val::Null => Ok(None),
            _ => Err(Fault::bug("a condition is neither true nor false")),
        },
    }
}

/// `&&` and `||`: an operand that is `decisive` settles it, even beside a fault or a null.
fn short_circuit(operands: &[Plan; 2], decisive: bool, env: &Env<'_>) -> Result<Option<bool>> {
    let [left, right] = operands;
    let left = truth(left, env);
    if matches!(left, Ok(Some(b)) if b == decisive) {
        return Ok(Some(decisive));
    }
    let right = truth(right, env);
    match (left, right) {
        (_, Ok(Some(b))) if b == decisive => Ok(Some(decisive)),
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
        (Ok(None), _) | (_, Ok(None)) => Ok(None),
        _ => Ok(Some(!decisive)),
    }
}

fn of_record<'v>(plan: &'v Plan, env: &Env<'v>) -> Result<Val<'v>> {
    let event = env.event;
    let text = |text: Option<Cow<'v, str>>| text.map_or(Val::Null, Val::Text);
    let number = |n: i64| Val::Number(n.into());
    match plan {
        Plan::Envelope { field, required } => match event.field(*field) {
            None if *required => Err(missing(field_name(*field))),
            found => Ok(text(found)),
        },
        Plan::Time { required } => match event.time_micros() {
            None if *required => Err(missing("event.time")),
            found => Ok(found.map_or(Val::Null, Val::Time)),
        },
        Plan::Header { name, required } => match event.header(name)? {
            None if *required => Err(missing(&format!("headers[\"{name}\"]"))),
            found => Ok(text(found.map(Cow::Borrowed))),
        },
        Plan::Key => Ok(text(event.key()?.map(Cow::Borrowed))),
        Plan::Topic => Ok(Val::Text(Cow::Borrowed(event.topic()))),
        Plan::Partition => Ok(number(event.partition().into())),
        _ => Ok(number(event.offset())),
    }
}

fn field_name(field: Field) -> &'static str {
    super::references::ENVELOPE
        .iter()
        .find(|(_, f)| *f == field)
        .map_or("an envelope field", |(name, _)| *name)
}

fn column<'v>(index: usize, env: &Env<'v>) -> Val<'v> {
    env.row
        .and_then(|row| row.values.get(index))
        .map_or(Val::Null, Val::from)
}

/// The first that is not null; what stands behind it is not looked at.
fn first<'v>(plans: &'v [Plan], env: &Env<'v>) -> Result<Val<'v>> {
    for plan in plans {
        let found = val(plan, env)?;
        if !found.is_null() {
            return Ok(found);
        }
    }
    Ok(Val::Null)
}

/// A calculation as a fraction, so that it is rounded only once; none for null.
fn fraction(plan: &Plan, env: &Env<'_>) -> Result<Option<Fraction>> {
    match plan {
        Plan::Arithmetic(op, operands, label) => {
            let [left, right] = &**operands;
            match (fraction(left, env)?, fraction(right, env)?) {
                (Some(left), Some(right)) => left
                    .calculate(*op, right)
                    .map(Some)
                    .map_err(|e| labelled(label, &e)),
                _ => Ok(None),
            }
        }
        Plan::Negate(of, _) => Ok(fraction(of, env)?.map(Fraction::neg)),
        other => match val(other, env)? {
            Val::Number(n) => Ok(Some(Fraction::whole(n))),
            Val::Null => Ok(None),
            _ => Err(Fault::bug("something that is no decimal is rounded")),
        },
    }
}
