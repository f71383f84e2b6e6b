//! Comparisons: within a type, and of JSON values by their kind.

use std::cmp::Ordering;

use super::val::Val;
use crate::event::Json;
use crate::projection::Decimal;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Whether it holds. `==` and `!=` know null as a value; otherwise a null gives none.
pub(super) fn compare(comparison: Comparison, left: &Val<'_>, right: &Val<'_>) -> Option<bool> {
    match comparison {
        Comparison::Equal => return Some(same(left, right)),
        Comparison::NotEqual => return Some(!same(left, right)),
        _ if left.is_null() || right.is_null() => return None,
        _ => {}
    }
    let ordering = order(left, right)?;
    Some(match comparison {
        Comparison::Less => ordering == Ordering::Less,
        Comparison::LessOrEqual => ordering != Ordering::Greater,
        Comparison::Greater => ordering == Ordering::Greater,
        _ => ordering != Ordering::Less,
    })
}

fn order(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    Some(match (left, right) {
        (Val::Number(a), Val::Number(b)) => a.cmp(b),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b)?,
        (Val::Text(a), Val::Text(b)) => a.cmp(b),
        (Val::Time(a), Val::Time(b)) => a.cmp(b),
        (Val::Date(a), Val::Date(b)) => a.cmp(b),
        (Val::Uuid(a), Val::Uuid(b)) => a.cmp(b),
        (Val::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Val::Texts(a), Val::Texts(b)) => a.cmp(b),
        _ => return None,
    })
}

/// Whether two values are equal. JSON values are equal when they are of one kind and mean the
/// same: numbers by value, objects whatever the order of their entries.
pub(super) fn same(left: &Val<'_>, right: &Val<'_>) -> bool {
    if let Some(ordering) = order(left, right) {
        return ordering == Ordering::Equal;
    }
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Null, _) | (_, Val::Null) => false,
        (Val::Raw(json), other) | (other, Val::Raw(json)) => raw_is(json, other),
        (Val::Json(_) | Val::Texts(_), _) | (_, Val::Json(_) | Val::Texts(_)) => {
            same_text(left, right)
        }
        _ => false,
    }
}

fn raw_is(json: &Json<'_>, other: &Val<'_>) -> bool {
    match (json, other) {
        (Json::String(a), Val::Text(b)) => a == b,
        (Json::String(a), Val::Raw(Json::String(b))) => a == b,
        (Json::Bool(a), Val::Bool(b)) | (Json::Bool(a), Val::Raw(Json::Bool(b))) => a == b,
        (Json::Number(a), Val::Raw(Json::Number(b))) => a == b || same_number(a, b),
        (Json::Number(a), Val::Number(b)) => Decimal::parse(a).is_ok_and(|a| a == *b),
        (Json::Number(a), Val::Double(b)) => Decimal::parse(a).is_ok_and(|a| a.to_f64() == *b),
        (Json::Array(_) | Json::Object(_), Val::Raw(Json::Array(_) | Json::Object(_)))
        | (Json::Array(_) | Json::Object(_), Val::Json(_) | Val::Texts(_)) => {
            same_text(&Val::Raw(json.clone()), other)
        }
        _ => false,
    }
}

fn same_number(a: &str, b: &str) -> bool {
    matches!((Decimal::parse(a), Decimal::parse(b)), (Ok(a), Ok(b)) if a == b)
}

fn same_text(left: &Val<'_>, right: &Val<'_>) -> bool {
    match (left.to_json_text(), right.to_json_text()) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}
