//! Values of one type as values of another: exactly, or not at all.

use std::borrow::Cow;

use super::super::decimal::Decimal;
use super::super::schema::ColumnType;
use super::Value;
use super::parse::{from_decimal, integer, plain_text, text_array};
use super::text::{array_text, double_text};
use super::time::{is_date, is_timestamp};
use crate::event::Json;

impl Value {
    /// The value as a value of type `ty`, exactly or not at all. Null stays null. Numbers become
    /// numbers of other types where nothing is lost, texts are parsed, what has one canonical text
    /// becomes text, anything becomes `jsonb`. The error is a lowercase fragment without the payload.
    pub fn cast(self, ty: ColumnType) -> Result<Self, String> {
        match (&self, ty) {
            (Self::Null, _)
            | (Self::Bool(_), ColumnType::Boolean)
            | (Self::Uuid(_), ColumnType::Uuid)
            | (Self::Json(_), ColumnType::Jsonb) => Ok(self),
            (Self::Int(number), _) if ty.is_integer() => integer(ty, *number),
            (Self::Int(number), _) if ty.is_decimal() => from_decimal(ty, &Decimal::from(*number)),
            (Self::Numeric(number), _) if ty.is_integer() || ty.is_decimal() => {
                from_decimal(ty, number)
            }
            (Self::Double(number), _) if ty.is_integer() || ty.is_decimal() => {
                Self::parse(ty, &double_text(*number))
            }
            (Self::Double(number), ColumnType::Double) if number.is_finite() => {
                Ok(Self::Double(*number + 0.0))
            }
            (Self::Int(_) | Self::Numeric(_), ColumnType::Double) => {
                Self::parse(ty, &self.canonical().unwrap_or_default())
            }
            (Self::Time(micros), ColumnType::Timestamptz) if is_timestamp(*micros) => Ok(self),
            (Self::Date(days), ColumnType::Date) if is_date(*days) => Ok(self),
            (Self::Time(_), ColumnType::Timestamptz) | (Self::Date(_), ColumnType::Date) => {
                Err("lies outside of the years 0001 to 9999".into())
            }
            (Self::Text(text), ColumnType::Text) => match text.as_bytes().contains(&0) {
                false => Ok(self),
                true => plain_text(text).map(Self::Text),
            },
            (Self::TextArray(texts), ColumnType::TextArray) => {
                match texts.iter().find(|text| text.as_bytes().contains(&0)) {
                    None => Ok(self),
                    Some(text) => plain_text(text).map(Self::Text),
                }
            }
            (Self::Text(text), _) => Self::from_json(ty, &Json::String(Cow::Borrowed(text))),
            (Self::Json(text), _) => from_json_text(ty, text),
            (_, ColumnType::Jsonb) => Ok(self.into_json()),
            (_, ColumnType::Text) if !matches!(self, Self::Bool(_) | Self::TextArray(_)) => {
                Ok(Self::Text(self.canonical().unwrap_or_default().into()))
            }
            _ => Err(format!("is {}, not a {ty}", self.kind())),
        }
    }

    /// The value as JSON text: numbers as JSON numbers, everything else that is no JSON as a string.
    fn into_json(self) -> Self {
        match &self {
            Self::Int(_) | Self::Numeric(_) | Self::Double(_) | Self::Bool(_) => {
                Self::Json(self.canonical().unwrap_or_default().into())
            }
            Self::TextArray(texts) => Self::Json(array_text(texts).into()),
            Self::Null | Self::Json(_) => self,
            Self::Text(_) | Self::Time(_) | Self::Date(_) | Self::Uuid(_) => {
                Self::json_string(&self.canonical().unwrap_or_default())
            }
        }
    }

    /// The exact number that it is, if it is one.
    pub fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int(number) => Some(Decimal::from(*number)),
            Self::Numeric(number) => Some(number.clone()),
            _ => None,
        }
    }
}

/// Canonical JSON text, whose first byte says what it is.
fn from_json_text(ty: ColumnType, text: &str) -> Result<Value, String> {
    let json = match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'[') if ty == ColumnType::TextArray => return text_array(text),
        Some(b'[') => Json::Array(text),
        Some(b'{') => Json::Object(text),
        Some(b'"') => Json::String(Cow::Owned(
            serde_json::from_str(text).map_err(|_| "is not valid json".to_owned())?,
        )),
        _ => Json::Number(text),
    };
    Value::from_json(ty, &json)
}
