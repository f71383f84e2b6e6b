//! Texts and JSON to values: exactly, or not at all.

use super::super::decimal::Decimal;
use super::super::schema::ColumnType;
use super::Value;
use super::json::canonical_json;
use super::time::{parse_date, parse_timestamp};
use crate::event::Json;

impl Value {
    /// Parses a text exactly: the canonical text of the type, and every other text that means
    /// exactly one value of it (timestamps with any offset, `1.50` and `15e-1` for `numeric(18,2)`,
    /// `2.0` for integers, upper-case UUIDs). Never rounds; of timestamps, what is finer than a
    /// microsecond is cut off. For `jsonb` the text is JSON, for `text[]` a JSON array of strings.
    ///
    /// Refuses U+0000, NaN, infinities, what the type cannot hold, and JSON nested deeper than 128
    /// levels. The error is a lowercase fragment without the payload.
    pub fn parse(ty: ColumnType, text: &str) -> Result<Self, String> {
        let wrong = || format!("is not a valid {ty}");
        match ty {
            ColumnType::Text => plain_text(text).map(Self::Text),
            ColumnType::Bigint | ColumnType::Integer | ColumnType::Smallint => match text.parse() {
                Ok(number) => integer(ty, number),
                Err(_) => decimal(text, ty).and_then(|number| from_decimal(ty, &number)),
            },
            ColumnType::Numeric | ColumnType::Decimal { .. } => {
                decimal(text, ty).and_then(|number| from_decimal(ty, &number))
            }
            ColumnType::Double => double(text),
            ColumnType::Boolean => match text {
                "true" => Ok(Self::Bool(true)),
                "false" => Ok(Self::Bool(false)),
                _ => Err(wrong()),
            },
            ColumnType::Timestamptz => parse_timestamp(text).map(Self::Time).ok_or_else(wrong),
            ColumnType::Date => parse_date(text).map(Self::Date).ok_or_else(wrong),
            ColumnType::Uuid => uuid::Uuid::try_parse(text)
                .map(Self::Uuid)
                .map_err(|_| wrong()),
            ColumnType::Jsonb => canonical_json(text).map(Self::Json),
            ColumnType::TextArray => text_array(text),
        }
    }

    /// Reads a JSON value of an event. `null` is [`Value::Null`]; a missing value is an error
    /// ("is missing"). Numbers and strings count where they parse exactly; booleans only as
    /// `boolean`, arrays of strings as `text[]`; anything as `jsonb` (a string as a JSON string).
    pub fn from_json(ty: ColumnType, json: &Json<'_>) -> Result<Self, String> {
        match (json, ty) {
            (Json::Missing, _) => Err("is missing".into()),
            (Json::Null, _) => Ok(Self::Null),
            (Json::String(text), ColumnType::Jsonb) => Ok(Self::json_string(&plain_text(text)?)),
            (Json::Bool(truth), ColumnType::Jsonb) => Ok(Self::Json(truth.to_string().into())),
            (Json::Number(text) | Json::Array(text) | Json::Object(text), ColumnType::Jsonb) => {
                Self::parse(ty, text)
            }
            (Json::Bool(truth), ColumnType::Boolean) => Ok(Self::Bool(*truth)),
            (Json::Array(text), ColumnType::TextArray) => text_array(text),
            (Json::Number(text), _) if holds_numbers(ty) => Self::parse(ty, text),
            (Json::String(text), _) if ty != ColumnType::TextArray => Self::parse(ty, text),
            (Json::Bool(_), _) => Err(format!("is a boolean, not a {ty}")),
            (Json::Number(_), _) => Err(format!("is a number, not a {ty}")),
            (Json::String(_), _) => Err(format!("is a string, not a {ty}")),
            (Json::Array(_), _) => Err(format!("is an array, not a {ty}")),
            (Json::Object(_), _) => Err(format!("is an object, not a {ty}")),
        }
    }
}

/// Whether a JSON number may be meant for the type: numbers, and text (as written).
fn holds_numbers(ty: ColumnType) -> bool {
    ty.is_integer() || ty.is_decimal() || matches!(ty, ColumnType::Double | ColumnType::Text)
}

/// A text that every store can hold.
pub(super) fn plain_text(text: &str) -> Result<Box<str>, String> {
    if text.as_bytes().contains(&0) {
        return Err("contains U+0000, which no store can hold".into());
    }
    Ok(text.into())
}

fn decimal(text: &str, ty: ColumnType) -> Result<Decimal, String> {
    Decimal::parse(text).map_err(|reason| {
        if reason.starts_with("is not") {
            format!("is not a valid {ty}")
        } else {
            reason
        }
    })
}

/// The integer as a value of the integer type `ty`.
pub(super) fn integer(ty: ColumnType, number: i64) -> Result<Value, String> {
    let fits = match ty {
        ColumnType::Smallint => i16::try_from(number).is_ok(),
        ColumnType::Integer => i32::try_from(number).is_ok(),
        _ => true,
    };
    if fits {
        Ok(Value::Int(number))
    } else {
        Err(format!("is out of range for {ty}"))
    }
}

/// The decimal as a value of the numeric or integer type `ty`.
pub(super) fn from_decimal(ty: ColumnType, number: &Decimal) -> Result<Value, String> {
    match ty {
        ColumnType::Decimal { precision, scale } => {
            let exact = number
                .with_scale_exact(scale)
                .ok_or_else(|| format!("has more than {scale} digits behind the point"))?;
            if exact.fits(precision, scale) {
                Ok(Value::Numeric(exact))
            } else {
                Err(format!("is out of range for {ty}"))
            }
        }
        ColumnType::Numeric if !number.is_within_limits() => Err(format!(
            "has more than {} digits on a side",
            Decimal::MAX_DIGITS
        )),
        ColumnType::Numeric => Ok(Value::Numeric(number.normalized())),
        _ => match number.to_i64() {
            Some(exact) => integer(ty, exact),
            None if number.with_scale_exact(0).is_some() => {
                Err(format!("is out of range for {ty}"))
            }
            None => Err(format!("is not a whole number, as {ty} needs")),
        },
    }
}

/// The nearest double. What would become infinite, or 0 without being 0, is refused.
fn double(text: &str) -> Result<Value, String> {
    let wrong = || "is not a valid double".to_owned();
    if !text
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return Err(wrong());
    }
    let number: f64 = text.parse().map_err(|_| wrong())?;
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let vanished = number == 0.0 && digits.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if number.is_infinite() || vanished {
        return Err("is out of range for double".into());
    }
    // Adding 0 turns a negative zero into zero.
    Ok(Value::Double(number + 0.0))
}

/// A JSON array of strings.
pub(super) fn text_array(json: &str) -> Result<Value, String> {
    let texts: Vec<String> =
        serde_json::from_str(json).map_err(|_| "is not a list of texts".to_owned())?;
    texts
        .into_iter()
        .map(|text| {
            if text.as_bytes().contains(&0) {
                plain_text(&text)
            } else {
                Ok(text.into_boxed_str())
            }
        })
        .collect::<Result<_, _>>()
        .map(Value::TextArray)
}
