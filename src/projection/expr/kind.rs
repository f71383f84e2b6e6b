//! What the checker knows about a part's type.

use crate::projection::{ColumnType, Value};

/// The kind of value that a part gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON value of an event or a row: whatever its place makes of it.
    Any,
    /// A text that its place may read as something else: envelope fields, headers, the key.
    Soft,
    Null,
    Bool,
    Text,
    Number,
    Double,
    Time,
    Date,
    Uuid,
    Json,
    Texts,
}

impl Kind {
    /// The kind of a column's values; those of jsonb columns are [`Kind::Json`].
    pub(super) fn of(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Text => Self::Text,
            ColumnType::Bigint
            | ColumnType::Integer
            | ColumnType::Smallint
            | ColumnType::Numeric
            | ColumnType::Decimal { .. } => Self::Number,
            ColumnType::Double => Self::Double,
            ColumnType::Boolean => Self::Bool,
            ColumnType::Timestamptz => Self::Time,
            ColumnType::Date => Self::Date,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Jsonb => Self::Json,
            ColumnType::TextArray => Self::Texts,
        }
    }

    /// The kind of a constant.
    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(_) => Self::Text,
            Value::Int(_) | Value::Numeric(_) => Self::Number,
            Value::Double(_) => Self::Double,
            Value::Bool(_) => Self::Bool,
            Value::Time(_) => Self::Time,
            Value::Date(_) => Self::Date,
            Value::Uuid(_) => Self::Uuid,
            Value::Json(_) => Self::Json,
            Value::TextArray(_) => Self::Texts,
        }
    }

    /// The widest type of this kind, as which other parts are read beside it.
    pub(super) fn ty(self) -> Option<ColumnType> {
        Some(match self {
            Self::Any | Self::Null => return None,
            Self::Soft | Self::Text => ColumnType::Text,
            Self::Bool => ColumnType::Boolean,
            Self::Number => ColumnType::Numeric,
            Self::Double => ColumnType::Double,
            Self::Time => ColumnType::Timestamptz,
            Self::Date => ColumnType::Date,
            Self::Uuid => ColumnType::Uuid,
            Self::Json => ColumnType::Jsonb,
            Self::Texts => ColumnType::TextArray,
        })
    }

    /// For messages: `a text`.
    pub(super) fn named(self) -> &'static str {
        match self {
            Self::Any => "a JSON value",
            Self::Soft | Self::Text => "a text",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Double => "a double",
            Self::Time => "a timestamp",
            Self::Date => "a date",
            Self::Uuid => "a uuid",
            Self::Json => "a JSON list or object",
            Self::Texts => "a list of texts",
        }
    }

    /// Whether values of this kind may stand where `ty` is needed, converted exactly or, at
    /// run time, not at all.
    pub(super) fn fits(self, ty: ColumnType) -> bool {
        let wanted = Self::of(ty);
        match self {
            Self::Any | Self::Null => true,
            Self::Soft => wanted != Self::Texts,
            Self::Text => !matches!(wanted, Self::Texts | Self::Bool),
            Self::Number => matches!(
                wanted,
                Self::Number | Self::Double | Self::Text | Self::Json
            ),
            Self::Time | Self::Date | Self::Uuid | Self::Double => {
                wanted == self || matches!(wanted, Self::Text | Self::Json)
            }
            Self::Bool | Self::Texts | Self::Json => wanted == self || wanted == Self::Json,
        }
    }

    /// What to write instead where [`Kind::fits`] says no.
    pub(super) fn instead(self, ty: ColumnType) -> &'static str {
        match (self, Self::of(ty)) {
            (_, Self::Text) => ": write string(…)",
            (Self::Text, Self::Bool) => ": compare it, x == 'true'",
            (Self::Number, Self::Time) => {
                ": write timestamp_ms(…) for milliseconds since the epoch"
            }
            (Self::Date, Self::Time) => ": write timestamp(…)",
            (Self::Time, Self::Date) => ": write date(…)",
            (Self::Time, Self::Number) => ": write int(…) for seconds since the epoch",
            (Self::Double, Self::Number) => ": write decimal(…), or round(…, n)",
            _ => "",
        }
    }
}
