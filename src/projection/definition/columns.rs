//! `[columns]`: names, types, defaults.

use std::sync::Arc;

use super::diagnostic::Problems;
use super::document::{Entry, Kind, Node};
use super::head::{TOP_LEVEL, move_above};
use super::names::{column_name_problem, did_you_mean};
use crate::projection::{ColumnType, Value};

/// Example of a column table, for messages.
const EXAMPLE: &str = "{ type = \"bigint\", default = 0 }";

/// The names of all types.
const TYPES: [&str; 12] = [
    "text",
    "bigint",
    "integer",
    "smallint",
    "numeric",
    "double",
    "boolean",
    "timestamptz",
    "date",
    "uuid",
    "jsonb",
    "text[]",
];

/// What other systems call them.
const OTHER_NAMES: [(&str, &str); 22] = [
    ("string", "text"),
    ("varchar", "text"),
    ("char", "text"),
    ("str", "text"),
    ("int", "integer"),
    ("int4", "integer"),
    ("int2", "smallint"),
    ("int8", "bigint"),
    ("long", "bigint"),
    ("decimal", "numeric"),
    ("money", "numeric(18,2)"),
    ("number", "numeric"),
    ("float", "double"),
    ("float8", "double"),
    ("real", "double"),
    ("double precision", "double"),
    ("bool", "boolean"),
    ("timestamp", "timestamptz"),
    ("datetime", "timestamptz"),
    ("json", "jsonb"),
    ("object", "jsonb"),
    ("array", "text[]"),
];

/// A column as it was declared. Without a type when that was wrong (and is reported).
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: Arc<str>,
    pub(super) at: usize,
    pub(super) ty: Option<ColumnType>,
    pub(super) default: Value,
    /// Where the default stands, when there is one.
    pub(super) default_at: Option<usize>,
    pub(super) index: bool,
}

/// Reads `[columns]`.
pub(super) fn read(entries: &[Entry], problems: &mut Problems<'_>) -> Vec<Declared> {
    entries
        .iter()
        .filter_map(|entry| read_column(entry, problems))
        .collect()
}

fn read_column(entry: &Entry, problems: &mut Problems<'_>) -> Option<Declared> {
    let name = &entry.key;
    if strayed(entry) {
        problems.add(entry.at, move_above(name, "[columns]"));
        return None;
    }
    if let Some(problem) = column_name_problem(name) {
        problems.add(entry.at, problem);
    }
    let mut column = Declared {
        name: name.as_str().into(),
        at: entry.at,
        ty: None,
        default: Value::Null,
        default_at: None,
        index: false,
    };
    match &entry.value.kind {
        Kind::Text(text) => column.ty = read_type(text, entry.value.at(), problems),
        Kind::Table(fields) => read_fields(&mut column, fields, problems),
        _ => problems.add(
            entry.value.at(),
            format!(
                "column `{name}` must be a type or a table, not {}: write {name} = \"text\" or {name} = {EXAMPLE}",
                entry.value.what()
            ),
        ),
    }
    Some(column)
}

/// Whether this is a top-level key that stands below `[columns]` by mistake.
fn strayed(entry: &Entry) -> bool {
    let is_type = match &entry.value.kind {
        Kind::Text(text) => parse_type(text).is_ok(),
        Kind::Table(fields) => fields.iter().any(|f| f.key == "type"),
        _ => false,
    };
    TOP_LEVEL.contains(&entry.key.as_str()) && !is_type
}

fn read_fields(column: &mut Declared, fields: &[Entry], problems: &mut Problems<'_>) {
    let name = column.name.clone();
    let mut default = None;
    let mut has_type = false;
    for field in fields {
        match field.key.as_str() {
            "type" => {
                has_type = true;
                if let Some(text) = field.value.text("type", problems) {
                    column.ty = read_type(text, field.value.at(), problems);
                }
            }
            "default" => default = Some(&field.value),
            "index" => {
                column.index = field.value.boolean("index", problems).unwrap_or_default();
            }
            other => problems.add(
                field.at,
                format!(
                    "unknown key `{other}` of column `{name}`: only type, default and index{}",
                    did_you_mean(other, ["type", "default", "index"])
                ),
            ),
        }
    }
    if !has_type {
        problems.add(
            column.at,
            format!("column `{name}` has no type: write {name} = {EXAMPLE}"),
        );
    }
    let Some(node) = default else { return };
    column.default_at = Some(node.at());
    let Some(ty) = column.ty else { return };
    match read_default(ty, node) {
        Ok(value) => column.default = value,
        Err(problem) => problems.add(
            node.at(),
            format!("the default of column `{name}` ({ty}) {problem}"),
        ),
    }
}

fn read_type(text: &str, at: usize, problems: &mut Problems<'_>) -> Option<ColumnType> {
    parse_type(text)
        .map_err(|problem| problems.add(at, problem))
        .ok()
}

/// Reads a column type. Err = what is wrong with it.
pub(super) fn parse_type(text: &str) -> Result<ColumnType, String> {
    Ok(match text {
        "text" => ColumnType::Text,
        "bigint" => ColumnType::Bigint,
        "integer" => ColumnType::Integer,
        "smallint" => ColumnType::Smallint,
        "numeric" => ColumnType::Numeric,
        "double" => ColumnType::Double,
        "boolean" => ColumnType::Boolean,
        "timestamptz" => ColumnType::Timestamptz,
        "date" => ColumnType::Date,
        "uuid" => ColumnType::Uuid,
        "jsonb" => ColumnType::Jsonb,
        "text[]" => ColumnType::TextArray,
        _ => return parse_decimal(text),
    })
}

fn parse_decimal(text: &str) -> Result<ColumnType, String> {
    let Some(inner) = text
        .strip_prefix("numeric(")
        .and_then(|rest| rest.strip_suffix(')'))
    else {
        return Err(unknown_type(text));
    };
    let numbers = inner.split_once(',').and_then(|(precision, scale)| {
        let precision: u16 = precision.trim().parse().ok()?;
        let scale: u16 = scale.trim().parse().ok()?;
        Some((precision, scale))
    });
    match numbers {
        Some((precision @ 1..=1000, scale)) if scale <= precision => {
            Ok(ColumnType::Decimal { precision, scale })
        }
        _ => Err(format!(
            "`{text}`: write numeric(precision,scale), precision 1 to 1000 digits in all, scale 0 to precision of them behind the point"
        )),
    }
}

fn unknown_type(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let base = lower.split('(').next().unwrap_or_default().trim();
    let meant = OTHER_NAMES
        .iter()
        .find(|(other, _)| *other == base)
        .map(|(_, ours)| format!("; did you mean `{ours}`?"))
        .unwrap_or_else(|| did_you_mean(&lower, TYPES));
    format!(
        "unknown type `{text}`{meant} (types: {}, numeric(p,s))",
        TYPES.join(", ")
    )
}

/// Err continues "the default of column `x` (type) …".
fn read_default(ty: ColumnType, node: &Node) -> Result<Value, String> {
    let parsed = |text: &str| Value::parse(ty, text).map_err(|problem| problem_of(ty, &problem));
    let wrong_kind = || Err(format!("cannot be {}", node.what()));
    match (&node.kind, ty) {
        (Kind::Text(text), _) => parsed(text),
        (Kind::Integer(text) | Kind::Float(text), _) if is_number(ty) => parsed(text),
        (Kind::Boolean(value), ColumnType::Boolean) => Ok(Value::Bool(*value)),
        (Kind::Datetime(text), ColumnType::Timestamptz | ColumnType::Date) => parsed(text),
        (_, ColumnType::Jsonb) => parsed(&json_text(node)?),
        (Kind::Array(items), ColumnType::TextArray) => items
            .iter()
            .map(|item| match &item.kind {
                Kind::Text(text) => Ok(text.as_str().into()),
                _ => Err(format!("has {} among its strings", item.what())),
            })
            .collect::<Result<Vec<Box<str>>, String>>()
            .map(Value::TextArray),
        _ => wrong_kind(),
    }
}

fn problem_of(ty: ColumnType, problem: &str) -> String {
    if ty == ColumnType::Jsonb {
        return format!(
            "must be JSON text ({problem}): \"[]\", \"{{}}\", or '\"text\"' for a string"
        );
    }
    format!("does not fit: {problem}")
}

fn is_number(ty: ColumnType) -> bool {
    ty.is_integer() || ty.is_decimal() || ty == ColumnType::Double
}

/// A TOML value as JSON text.
fn json_text(node: &Node) -> Result<String, String> {
    let joined = |parts: Result<Vec<String>, String>| parts.map(|parts| parts.join(","));
    match &node.kind {
        Kind::Text(text) | Kind::Datetime(text) => Ok(quoted(text)),
        Kind::Integer(text) => Ok(text.clone()),
        Kind::Float(text) if text.ends_with("inf") || text.ends_with("nan") => {
            Err("cannot be infinite or NaN".to_owned())
        }
        Kind::Float(text) => Ok(text.trim_start_matches('+').to_owned()),
        Kind::Boolean(value) => Ok(value.to_string()),
        Kind::Array(items) => {
            joined(items.iter().map(json_text).collect()).map(|inner| format!("[{inner}]"))
        }
        Kind::Table(entries) => joined(
            entries
                .iter()
                .map(|entry| {
                    json_text(&entry.value).map(|value| format!("{}:{value}", quoted(&entry.key)))
                })
                .collect(),
        )
        .map(|inner| format!("{{{inner}}}")),
    }
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
