//! Values while an expression is evaluated: borrowed from event, row and plan where possible.

use std::borrow::Cow;

use crate::event::Json;
use crate::projection::{ColumnType, Decimal, Value};

/// A value on its way.
#[derive(Clone, Debug)]
pub(super) enum Val<'v> {
    Null,
    Bool(bool),
    Text(Cow<'v, str>),
    Number(Decimal),
    Double(f64),
    Time(i64),
    Date(i32),
    Uuid(uuid::Uuid),
    /// JSON as the event or a row has it; neither missing nor null.
    Raw(Json<'v>),
    /// Canonical JSON text.
    Json(Cow<'v, str>),
    Texts(Vec<Box<str>>),
}

impl<'v> From<&'v Value> for Val<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::Int(n) => Self::Number(Decimal::from(*n)),
            Value::Numeric(n) => Self::Number(n.clone()),
            Value::Double(n) => Self::Double(*n),
            Value::Bool(b) => Self::Bool(*b),
            Value::Time(t) => Self::Time(*t),
            Value::Date(d) => Self::Date(*d),
            Value::Uuid(u) => Self::Uuid(*u),
            Value::Json(text) => Self::Json(Cow::Borrowed(text)),
            Value::TextArray(texts) => Self::Texts(texts.clone()),
        }
    }
}

impl From<Value> for Val<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) => Self::Text(Cow::Owned(text.into())),
            Value::Int(n) => Self::Number(Decimal::from(n)),
            Value::Numeric(n) => Self::Number(n),
            Value::Double(n) => Self::Double(n),
            Value::Bool(b) => Self::Bool(b),
            Value::Time(t) => Self::Time(t),
            Value::Date(d) => Self::Date(d),
            Value::Uuid(u) => Self::Uuid(u),
            Value::Json(text) => Self::Json(Cow::Owned(text.into())),
            Value::TextArray(texts) => Self::Texts(texts),
        }
    }
}

impl<'v> Val<'v> {
    /// A JSON value, which the caller has found to be there.
    pub(super) fn of_json(json: Json<'v>) -> Self {
        match json {
            Json::Missing | Json::Null => Self::Null,
            json => Self::Raw(json),
        }
    }

    /// JSON read as `ty`; texts stay borrowed. The error fits behind the path's name.
    pub(super) fn read(json: Json<'v>, ty: ColumnType) -> Result<Self, String> {
        match (json, ty) {
            (Json::Null, _) => Ok(Self::Null),
            (Json::String(text), ColumnType::Text) => Ok(Self::Text(text)),
            (Json::Bool(value), ColumnType::Boolean) => Ok(Self::Bool(value)),
            (json, ty) => Value::from_json(ty, &json).map(Self::from),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as a value of `ty`, exactly or not at all. The error fits behind a name.
    pub(super) fn into_value(self, ty: ColumnType) -> Result<Value, String> {
        match self {
            Self::Raw(json) => Value::from_json(ty, &json),
            other => other.natural().cast(ty),
        }
    }

    /// The value in the type that it has by itself.
    pub(super) fn natural(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Text(text) => Value::Text(text.into()),
            Self::Number(n) => Value::Numeric(n),
            Self::Double(n) => Value::Double(n),
            Self::Time(t) => Value::Time(t),
            Self::Date(d) => Value::Date(d),
            Self::Uuid(u) => Value::Uuid(u),
            Self::Json(text) => Value::Json(text.into()),
            Self::Texts(texts) => Value::TextArray(texts),
            Self::Raw(json) => {
                Value::from_json(ColumnType::Jsonb, &json).unwrap_or(Value::Null)
            }
        }
    }

    /// The same value as JSON, where a comparison needs it.
    pub(super) fn to_json_text(&self) -> Option<Box<str>> {
        match self.clone().into_value(ColumnType::Jsonb) {
            Ok(Value::Json(text)) => Some(text),
            _ => None,
        }
    }
}
