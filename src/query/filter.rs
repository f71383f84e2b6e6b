//! `column=operator.value`: conditions.

use super::order::may_order;
use super::{listed, shown};
use crate::projection::{ColumnType, Schema, Value};
use crate::store::list::{Comparison, Condition, Test};

/// The operators that compare with one value.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("eq", Comparison::Equal),
    ("neq", Comparison::NotEqual),
    ("gt", Comparison::Greater),
    ("gte", Comparison::GreaterOrEqual),
    ("lt", Comparison::Less),
    ("lte", Comparison::LessOrEqual),
];

/// The condition `text` on column `index`. The error names the column.
pub(super) fn condition(schema: &Schema, index: usize, text: &str) -> Result<Condition, String> {
    let Some(column) = schema.columns.get(index) else {
        return Err(format!("view {} has no column {index}", schema.name));
    };
    let test = test(column.ty, text).map_err(|reason| format!("{}: {reason}", column.name))?;
    Ok(Condition {
        column: index,
        test,
    })
}

fn test(ty: ColumnType, text: &str) -> Result<Test, String> {
    let possible = operators(ty);
    let Some((operator, operand)) = text.split_once('.') else {
        return Err(format!(
            "{} has no operator; conditions are written operator.value, operators are {}",
            shown(text),
            listed(possible.iter().copied())
        ));
    };
    if !possible.contains(&operator) {
        return Err(format!(
            "{} is no operator for {ty}; possible: {}",
            shown(operator),
            listed(possible.iter().copied())
        ));
    }
    match operator {
        "is" => is(ty, operand),
        "in" => {
            let values = items(operand)?.into_iter().map(|text| value(ty, &text));
            values.collect::<Result<_, _>>().map(Test::In)
        }
        "like" => pattern(operand),
        _ => {
            let comparison = COMPARISONS.iter().find(|(name, _)| *name == operator);
            let (_, comparison) = comparison.ok_or_else(|| shown(operator))?;
            Ok(Test::Compare(*comparison, value(ty, operand)?))
        }
    }
}

/// The operators that make sense for a type.
fn operators(ty: ColumnType) -> &'static [&'static str] {
    match ty {
        ColumnType::Text => &["eq", "neq", "gt", "gte", "lt", "lte", "in", "like", "is"],
        _ if may_order(ty) => &["eq", "neq", "gt", "gte", "lt", "lte", "in", "is"],
        _ => &["eq", "neq", "in", "is"],
    }
}

fn value(ty: ColumnType, text: &str) -> Result<Value, String> {
    Value::parse(ty, text).map_err(|reason| {
        let advice = match ty {
            ColumnType::Timestamptz if text.contains(' ') => "; a + is written %2B",
            ColumnType::TextArray => "; it is written as a JSON array",
            _ => "",
        };
        format!("{} {reason}{advice}", shown(text))
    })
}

fn is(ty: ColumnType, operand: &str) -> Result<Test, String> {
    let boolean = |truth| Ok(Test::Compare(Comparison::Equal, Value::Bool(truth)));
    match (operand, ty) {
        ("null", _) => Ok(Test::Null),
        ("not_null", _) => Ok(Test::NotNull),
        ("true", ColumnType::Boolean) => boolean(true),
        ("false", ColumnType::Boolean) => boolean(false),
        (_, ColumnType::Boolean) => Err(format!(
            "{} is no test; possible: is.null, is.not_null, is.true, is.false",
            shown(&format!("is.{operand}"))
        )),
        _ => Err(format!(
            "{} is no test for {ty}; possible: is.null, is.not_null",
            shown(&format!("is.{operand}"))
        )),
    }
}

fn pattern(operand: &str) -> Result<Test, String> {
    let Value::Text(pattern) = value(ColumnType::Text, operand)? else {
        return Err(format!("{} is no pattern", shown(operand)));
    };
    let escapes = pattern.bytes().rev().take_while(|byte| *byte == b'\\');
    if escapes.count() % 2 == 1 {
        return Err(format!(
            "{} ends with a backslash that escapes nothing; \\\\ is a backslash",
            shown(operand)
        ));
    }
    Ok(Test::Like(pattern))
}

const LIST: &str = r#"a list is written in.(a,"b,c"), with \" and \\ inside of quotes"#;

/// The items of `(a,"b,c")`.
fn items(operand: &str) -> Result<Vec<String>, String> {
    let inner = operand
        .strip_prefix('(')
        .and_then(|it| it.strip_suffix(')'));
    let Some(mut rest) = inner else {
        return Err(format!("{} is no list; {LIST}", shown(operand)));
    };
    let mut items = Vec::new();
    loop {
        let (item, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_item(quoted)
                .ok_or_else(|| format!("{} has an open quote; {LIST}", shown(operand)))?,
            None => plain_item(rest)?,
        };
        items.push(item);
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None if tail.is_empty() => return Ok(items),
            None => {
                return Err(format!(
                    "{} stands behind a closing quote; {LIST}",
                    shown(tail)
                ));
            }
        }
    }
}

/// An item up to its comma, and what follows.
fn plain_item(text: &str) -> Result<(String, &str), String> {
    let end = text.find(',').unwrap_or(text.len());
    let (item, tail) = text.split_at(end);
    if item.is_empty() {
        return Err(format!("an empty item is written \"\"; {LIST}"));
    }
    if item.contains(['"', '(', ')', '\\']) {
        return Err(format!("{} has to be quoted; {LIST}", shown(item)));
    }
    Ok((item.to_owned(), tail))
}

/// An item up to its closing quote, and what follows.
fn quoted_item(text: &str) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((item, characters.as_str())),
            '\\' => item.push(characters.next()?),
            other => item.push(other),
        }
    }
}
