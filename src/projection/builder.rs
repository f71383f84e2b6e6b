//! Schemas written in Rust.

use std::sync::Arc;

use super::decimal::Decimal;
use super::schema::{Column, ColumnType, Family, Schema};
use super::value::{Value, canonical_json, elements, members};
use crate::fault::{Fault, Result};

/// Builds a [`Schema`]: key columns and columns in document order; what follows a column
/// ([`SchemaBuilder::sum`], [`SchemaBuilder::default_value`], …) is about that column.
///
/// ```
/// use viewfold::projection::{ColumnType, Schema};
///
/// let schema = Schema::builder("customer_orders")
///     .key("customer_id", ColumnType::Text)
///     .column("orders", ColumnType::Bigint)
///     .sum()
///     .default_value(0)
///     .column("last_order_at", ColumnType::Timestamptz)
///     .greatest()
///     .indexed()
///     .build()?;
/// assert_eq!(schema.columns.len(), 3);
/// # Ok::<(), viewfold::fault::Fault>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct SchemaBuilder {
    name: Arc<str>,
    columns: Vec<Column>,
    key: Vec<usize>,
    /// The first call that made no sense.
    misuse: Option<String>,
}

impl Schema {
    /// Begins the schema of the projection `name`.
    pub fn builder(name: &str) -> SchemaBuilder {
        SchemaBuilder {
            name: name.into(),
            columns: Vec::new(),
            key: Vec::new(),
            misuse: None,
        }
    }
}

/// The longest name of a projection or column.
const NAME_LENGTH: usize = 48;

/// Whether `name` may name a projection or a column: `[a-z][a-z0-9_]{0,47}`.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl SchemaBuilder {
    /// The next key column.
    pub fn key(mut self, name: &str, ty: ColumnType) -> Self {
        self.key.push(self.columns.len());
        self.column(name, ty)
    }

    /// The next column. It is of the assign family unless one of the calls behind it says otherwise.
    pub fn column(mut self, name: &str, ty: ColumnType) -> Self {
        self.columns.push(Column {
            name: name.into(),
            ty,
            default: Value::Null,
            index: false,
            family: Family::Assign,
        });
        self
    }

    /// The column takes `latest`.
    pub fn latest(self) -> Self {
        self.family(Family::Latest)
    }

    /// The column takes `add` (and `set`, `unset`).
    pub fn sum(self) -> Self {
        self.family(Family::Sum)
    }

    /// The column takes `max` (and `set`, `unset`).
    pub fn greatest(self) -> Self {
        self.family(Family::Greatest)
    }

    /// The column takes `min` (and `set`, `unset`).
    pub fn least(self) -> Self {
        self.family(Family::Least)
    }

    /// The column takes `append`.
    pub fn list(self) -> Self {
        self.family(Family::List)
    }

    /// The column takes `put` and `remove`.
    pub fn object(self) -> Self {
        self.family(Family::Object)
    }

    /// What the column starts with in a new row. Cast to the column's type; for `jsonb` give a
    /// [`Value::Json`].
    pub fn default_value(self, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.change("a default", |column| column.default = value)
    }

    /// Postgres indexes the column.
    pub fn indexed(self) -> Self {
        self.change("an index", |column| column.index = true)
    }

    fn family(self, family: Family) -> Self {
        self.change("a family", |column| column.family = family)
    }

    fn change(mut self, what: &str, change: impl FnOnce(&mut Column)) -> Self {
        match self.columns.last_mut() {
            Some(column) => change(column),
            None => self.misuse = Some(format!("{what} needs a column before it")),
        }
        self
    }

    /// The schema. What cannot be is a [`crate::fault::FaultKind::Misconfigured`] fault.
    pub fn build(self) -> Result<Arc<Schema>> {
        let name = self.name.clone();
        self.checked()
            .map(Arc::new)
            .map_err(|reason| Fault::misconfigured(format!("projection {name}: {reason}")))
    }

    fn checked(self) -> Result<Schema, String> {
        if let Some(misuse) = self.misuse {
            return Err(misuse);
        }
        if !is_name(&self.name) {
            return Err("the name is not [a-z][a-z0-9_]{0,47}".into());
        }
        if self.key.is_empty() {
            return Err("there is no key column".into());
        }
        let mut schema = Schema {
            name: self.name,
            columns: Vec::with_capacity(self.columns.len()),
            key: self.key,
        };
        for column in self.columns {
            let name = column.name.clone();
            if schema.column(&name).is_some() {
                return Err(format!("column {name} is declared twice"));
            }
            let is_key = schema.is_key(schema.columns.len());
            let column =
                check(column, is_key).map_err(|reason| format!("column {name} {reason}"))?;
            schema.columns.push(column);
        }
        Ok(schema)
    }
}

/// The column with its default in its type's form.
fn check(mut column: Column, is_key: bool) -> Result<Column, String> {
    let ty = column.ty;
    if !is_name(&column.name) {
        return Err("has a name that is not [a-z][a-z0-9_]{0,47}".into());
    }
    if let ColumnType::Decimal { precision, scale } = ty
        && (precision == 0 || u64::from(precision) > Decimal::MAX_DIGITS || scale > precision)
    {
        return Err(format!("is {ty}, which needs 1 ≤ p ≤ 1000 and 0 ≤ s ≤ p"));
    }
    if is_key && !ty.may_be_key() {
        return Err(format!("is {ty}, which no key may be"));
    }
    if is_key && (column.family != Family::Assign || !column.default.is_null()) {
        return Err("belongs to the key, which has no ops and no default".into());
    }
    if !column.family.may_be(ty) {
        return Err(format!("is {ty}, which its ops do not fit"));
    }
    let default = match column.default {
        Value::Json(text) => Value::Json(canonical_json(&text)?),
        other => other,
    };
    column.default = default
        .cast(ty)
        .map_err(|reason| format!("has a default that {reason}"))?;
    let wrong_shape = match (&column.default, column.family) {
        (Value::Json(text), Family::List) => elements(text).err(),
        (Value::Json(text), Family::Object) => members(text).err(),
        _ => None,
    };
    match wrong_shape {
        Some(reason) => Err(format!("has a default that {reason}")),
        None => Ok(column),
    }
}

impl Family {
    /// Whether a column of type `ty` may have the family's ops.
    pub const fn may_be(self, ty: ColumnType) -> bool {
        match self {
            Self::Assign | Self::Latest => true,
            Self::Sum => ty.is_integer() || ty.is_decimal(),
            Self::Greatest | Self::Least => {
                !matches!(ty, ColumnType::Jsonb | ColumnType::TextArray)
            }
            Self::List | Self::Object => matches!(ty, ColumnType::Jsonb),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Decimal> for Value {
    fn from(number: Decimal) -> Self {
        Self::Numeric(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(build: impl FnOnce(SchemaBuilder) -> SchemaBuilder) -> Result<Arc<Schema>> {
        build(Schema::builder("view").key("id", ColumnType::Text)).build()
    }

    #[test]
    fn a_default_takes_the_form_of_its_type() {
        let cents = ColumnType::Decimal {
            precision: 18,
            scale: 2,
        };
        let schema = one(|s| s.column("spent", cents).sum().default_value(5)).unwrap();
        assert_eq!(schema.columns[1].default.canonical().unwrap(), "5.00");
        let schema = one(|s| {
            let json = Value::Json(r#"{"b": 1, "a": 2}"#.into());
            s.column("lines", ColumnType::Jsonb)
                .object()
                .default_value(json)
        });
        let default = &schema.unwrap().columns[1].default;
        assert_eq!(default.canonical().unwrap(), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let number = ColumnType::Bigint;
        let text = ColumnType::Text;
        let json = ColumnType::Jsonb;
        assert!(Schema::builder("view").column("a", text).build().is_err());
        assert!(Schema::builder("View").key("id", text).build().is_err());
        assert!(
            Schema::builder("view")
                .sum()
                .key("id", text)
                .build()
                .is_err()
        );
        assert!(Schema::builder("view").key("id", json).build().is_err());
        assert!(one(|s| s.default_value("x")).is_err());
        assert!(one(|s| s.column("id", number)).is_err());
        assert!(one(|s| s.column("9a", number)).is_err());
        assert!(one(|s| s.column(&"a".repeat(49), number)).is_err());
        assert!(one(|s| s.column("a", text).sum()).is_err());
        assert!(one(|s| s.column("a", ColumnType::Double).sum()).is_err());
        assert!(one(|s| s.column("a", number).list()).is_err());
        assert!(one(|s| s.column("a", json).greatest()).is_err());
        assert!(one(|s| s.column("a", number).default_value("x")).is_err());
        let object = || Value::Json("{}".into());
        assert!(one(|s| s.column("a", json).list().default_value(object())).is_err());
        assert!(one(|s| s.column("a", json).object().default_value(object())).is_ok());
        assert!(one(|s| s.column(&"a".repeat(48), number)).is_ok());
    }
}
