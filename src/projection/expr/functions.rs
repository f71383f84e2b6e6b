//! The functions, on values. What they may be called with is decided in `calls`.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use regex::Regex;

use super::calendar::{self, Unit};
use super::val::Val;
use crate::event::Json;
use crate::projection::value::{elements, members};
use crate::projection::{ColumnType, Decimal, Value};

/// A function with what its literal arguments were made into.
#[derive(Clone, Debug)]
pub(super) enum Function {
    Size,
    Int,
    Double,
    Decimal,
    String,
    /// Of milliseconds since the epoch.
    TimestampMs,
    /// Of a day: its beginning in UTC.
    Midnight,
    Date(Option<TimeZone>),
    Trunc(Unit, Option<TimeZone>),
    LowerAscii,
    UpperAscii,
    Trim,
    StartsWith,
    EndsWith,
    Contains,
    Matches(Regex),
    Replace,
    Split,
    /// Whether the first is in the second: an array, an object or a list of texts.
    In,
}

impl Function {
    /// Applies it. All arguments but those of `in` are not null, and of the right kinds. The error
    /// fits behind the call's text.
    pub(super) fn apply<'v>(&self, args: &[Val<'v>]) -> Result<Val<'v>, String> {
        match (self, args) {
            (Self::In, [item, list]) => within(item, list).map(Val::Bool),
            (_, args) if args.iter().any(Val::is_null) => Ok(Val::Null),
            (_, [of]) => self.of_one(of),
            (_, [Val::Text(of), Val::Text(with)]) => Ok(match self {
                Self::StartsWith => Val::Bool(of.starts_with(&**with)),
                Self::EndsWith => Val::Bool(of.ends_with(&**with)),
                Self::Contains => Val::Bool(of.contains(&**with)),
                Self::Split if with.is_empty() => {
                    Val::Texts(of.chars().map(|c| c.to_string().into()).collect())
                }
                Self::Split => Val::Texts(of.split(&**with).map(Box::from).collect()),
                _ => return Err(WRONG.into()),
            }),
            (Self::Replace, [Val::Text(of), Val::Text(from), Val::Text(to)]) => {
                Ok(Val::Text(Cow::Owned(of.replace(&**from, to))))
            }
            _ => Err(WRONG.into()),
        }
    }

    fn of_one<'v>(&self, of: &Val<'v>) -> Result<Val<'v>, String> {
        match (self, of) {
            (Self::Size, of) => size(of).map(Val::Number),
            (Self::String, of) => string(of).map(Val::Text),
            (Self::Int, Val::Time(micros)) => Ok(number(micros.div_euclid(1_000_000))),
            (Self::Int, Val::Number(n)) => n.to_i64().map(number).ok_or_else(|| {
                "is not a whole number of 64 bits: write round(x, 0) to round it".into()
            }),
            (Self::Double, Val::Number(_)) => {
                of.clone().into_value(ColumnType::Double).map(Val::from)
            }
            (Self::Decimal, Val::Double(_)) => {
                of.clone().into_value(ColumnType::Numeric).map(Val::from)
            }
            (Self::TimestampMs, Val::Number(ms)) => ms
                .checked_mul(&Decimal::from(1000))
                .and_then(|micros| micros.to_i64())
                .ok_or_else(|| "is not a number of milliseconds".into())
                .and_then(|micros| Value::Time(micros).cast(ColumnType::Timestamptz))
                .map(Val::from),
            (Self::Midnight, Val::Date(days)) => Ok(Val::Time(calendar::midnight(*days))),
            (Self::Date(zone), of) => date(of, zone.as_ref()),
            (Self::Trunc(unit, zone), Val::Time(micros)) => {
                calendar::trunc(*micros, *unit, zone.as_ref()).map(Val::Time)
            }
            (Self::LowerAscii, Val::Text(text)) => {
                Ok(Val::Text(Cow::Owned(text.to_ascii_lowercase())))
            }
            (Self::UpperAscii, Val::Text(text)) => {
                Ok(Val::Text(Cow::Owned(text.to_ascii_uppercase())))
            }
            (Self::Trim, Val::Text(text)) => Ok(Val::Text(match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            })),
            (Self::Matches(pattern), Val::Text(text)) => Ok(Val::Bool(pattern.is_match(text))),
            _ => Err(WRONG.into()),
        }
    }
}

/// Not reached: the checker settles the kinds of all arguments.
const WRONG: &str = "is called with a value of the wrong kind";

fn number<'v>(n: i64) -> Val<'v> {
    Val::Number(Decimal::from(n))
}

/// Characters of a text, elements of an array, entries of an object.
fn size(of: &Val<'_>) -> Result<Decimal, String> {
    let count = match of {
        Val::Text(text) | Val::Raw(Json::String(text)) => text.chars().count(),
        Val::Texts(texts) => texts.len(),
        Val::Raw(Json::Array(json)) => elements(json)?.len(),
        Val::Raw(Json::Object(json)) => members(json)?.len(),
        Val::Json(json) if json.starts_with('[') => elements(json)?.len(),
        Val::Json(json) if json.starts_with('{') => members(json)?.len(),
        _ => return Err("has no size: it is neither a text nor an array nor an object".into()),
    };
    Ok(Decimal::from(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// The text of a value: JSON strings and numbers as they are, the canonical text of the rest.
fn string<'v>(of: &Val<'v>) -> Result<Cow<'v, str>, String> {
    match of {
        Val::Text(text) | Val::Raw(Json::String(text)) => Ok(text.clone()),
        Val::Raw(Json::Number(text)) => Ok(Cow::Borrowed(text)),
        other => {
            let value = match other {
                Val::Raw(_) => other.clone().into_value(ColumnType::Jsonb)?,
                other => other.clone().natural(),
            };
            Ok(Cow::Owned(
                value.canonical().unwrap_or_default().into_owned(),
            ))
        }
    }
}

/// The day of a timestamp, or of a text that is a day or a timestamp.
fn date<'v>(of: &Val<'v>, zone: Option<&TimeZone>) -> Result<Val<'v>, String> {
    let micros = match of {
        Val::Date(days) => return Ok(Val::Date(*days)),
        Val::Time(micros) => *micros,
        Val::Text(text) | Val::Raw(Json::String(text)) => {
            if let Ok(day) = Value::parse(ColumnType::Date, text) {
                return Ok(Val::from(day));
            }
            match Value::parse(ColumnType::Timestamptz, text)? {
                Value::Time(micros) => micros,
                _ => return Err(WRONG.into()),
            }
        }
        _ => return Err("is neither a timestamp nor a day".into()),
    };
    calendar::day(micros, zone).map(Val::Date)
}

fn within(item: &Val<'_>, list: &Val<'_>) -> Result<bool, String> {
    let array = |json: &str| -> Result<bool, String> {
        for element in elements(json)? {
            let element = json_of(element)?;
            if super::compare::same(item, &Val::from(&element)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let object = |json: &str| -> Result<bool, String> {
        let (Val::Text(name) | Val::Raw(Json::String(name))) = item else {
            return Ok(false);
        };
        Ok(members(json)?.iter().any(|(key, _)| **key == **name))
    };
    match list {
        Val::Null => Ok(false),
        Val::Raw(Json::Array(json)) => array(json),
        Val::Raw(Json::Object(json)) => object(json),
        Val::Json(json) if json.starts_with('[') => array(json),
        Val::Json(json) => object(json),
        Val::Texts(texts) => {
            Ok(matches!(item, Val::Text(text) if texts.iter().any(|t| **t == **text)))
        }
        _ => Err("looks into something that is neither an array nor an object".into()),
    }
}

/// One JSON text as the value that it is.
fn json_of(text: &str) -> Result<Value, String> {
    let natural = match text.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| "is not valid json")?;
            return Ok(Value::Text(text.into()));
        }
        Some(b't' | b'f') => ColumnType::Boolean,
        Some(b'n') => return Ok(Value::Null),
        Some(b'[' | b'{') => ColumnType::Jsonb,
        _ => ColumnType::Numeric,
    };
    Value::parse(natural, text)
}
