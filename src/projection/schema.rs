//! A view's shape: its name, key and columns.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::Value;

/// Which kind of store holds a view.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A Postgres database.
    Postgres,
    /// A Redis server.
    Redis,
}

impl StoreKind {
    /// The name used in definitions, labels and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// UTF-8 text without U+0000.
    Text,
    /// 64-bit integer.
    Bigint,
    /// 32-bit integer.
    Integer,
    /// 16-bit integer.
    Smallint,
    /// Exact decimal of any size (at most 1000 digits).
    Numeric,
    /// Exact decimal of `precision` digits, `scale` of them behind the point.
    Decimal {
        /// All digits: 1…1000.
        precision: u16,
        /// Digits behind the point: 0…precision.
        scale: u16,
    },
    /// IEEE 754 double; NaN and infinities are refused.
    Double,
    /// True or false.
    Boolean,
    /// An instant, in microseconds.
    Timestamptz,
    /// A calendar day.
    Date,
    /// A UUID.
    Uuid,
    /// Any JSON value.
    Jsonb,
    /// A list of texts.
    TextArray,
}

impl ColumnType {
    /// Whether a key column may have this type.
    pub const fn may_be_key(self) -> bool {
        !matches!(self, Self::Double | Self::Jsonb | Self::TextArray)
    }

    /// Whether it is an integer type.
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::Bigint | Self::Integer | Self::Smallint)
    }

    /// Whether it is an exact decimal type.
    pub const fn is_decimal(self) -> bool {
        matches!(self, Self::Numeric | Self::Decimal { .. })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Bigint => f.write_str("bigint"),
            Self::Integer => f.write_str("integer"),
            Self::Smallint => f.write_str("smallint"),
            Self::Numeric => f.write_str("numeric"),
            Self::Decimal { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Double => f.write_str("double"),
            Self::Boolean => f.write_str("boolean"),
            Self::Timestamptz => f.write_str("timestamptz"),
            Self::Date => f.write_str("date"),
            Self::Uuid => f.write_str("uuid"),
            Self::Jsonb => f.write_str("jsonb"),
            Self::TextArray => f.write_str("text[]"),
        }
    }
}

/// The family of ops that a column belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `set`, `set_present`, `set_once`, `unset`.
    Assign,
    /// `latest`.
    Latest,
    /// `add` (and `set`, `unset`).
    Sum,
    /// `max` (and `set`, `unset`).
    Greatest,
    /// `min` (and `set`, `unset`).
    Least,
    /// `append`.
    List,
    /// `put`, `remove`.
    Object,
}

impl Family {
    /// Whether the order in which events of different partitions arrive cannot matter.
    pub const fn commutes(self) -> bool {
        matches!(
            self,
            Self::Latest | Self::Sum | Self::Greatest | Self::Least
        )
    }

    /// Whether applying the same events again onto their own result changes it.
    pub const fn doubles_on_replay(self) -> bool {
        matches!(self, Self::Sum | Self::List)
    }
}

/// One declared column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, `[a-z][a-z0-9_]{0,47}`.
    pub name: Arc<str>,
    /// Its type.
    pub ty: ColumnType,
    /// What a new row starts with; [`Value::Null`] unless declared.
    pub default: Value,
    /// Whether Postgres should index it.
    pub index: bool,
    /// Its family; key columns and columns that no handler names are [`Family::Assign`].
    pub family: Family,
}

/// A view's name, key and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The projection's and so the view's name.
    pub name: Arc<str>,
    /// The columns in document order.
    pub columns: Vec<Column>,
    /// The key's columns, as indexes into `columns`, in key order. Never empty.
    pub key: Vec<usize>,
}

impl Schema {
    /// The index of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }

    /// The key's columns, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|&index| self.columns.get(index))
    }

    /// Whether column `index` is part of the key.
    pub fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }
}
