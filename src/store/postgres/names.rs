//! What things are called in the database. Every name is qualified and quoted: sessions keep
//! their own `search_path`, and projections may be called `order` or `user`.

use crate::fault::{Fault, Result};
use crate::store::Generation;

/// The longest identifier that Postgres does not cut off, in bytes.
const LONGEST: usize = 63;

/// The names of one deployment's schemas.
#[derive(Clone, Debug)]
pub(super) struct Names {
    schema: String,
    views_schema: String,
}

impl Names {
    /// Refuses names that Postgres would cut off, and one schema for both purposes: a view
    /// called like a control table would then collide with it.
    pub(super) fn new(schema: &str, views_schema: &str) -> Result<Self> {
        for (setting, name) in [("schema", schema), ("views_schema", views_schema)] {
            if name.is_empty() || name.len() > LONGEST || name.contains('\0') {
                return Err(Fault::misconfigured(format!(
                    "postgres.{setting} must have 1 to {LONGEST} bytes"
                )));
            }
        }
        if schema == views_schema {
            return Err(Fault::misconfigured(
                "postgres.schema and postgres.views_schema must differ: \
                 views could collide with control tables",
            ));
        }
        Ok(Self {
            schema: schema.to_owned(),
            views_schema: views_schema.to_owned(),
        })
    }

    /// The control schema, as it is.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The views' schema, as it is.
    pub(super) fn views_schema(&self) -> &str {
        &self.views_schema
    }

    /// A control table, qualified and quoted.
    pub(super) fn control(&self, table: &str) -> String {
        format!("{}.{}", quote(&self.schema), quote(table))
    }

    /// A generation's table, qualified and quoted.
    pub(super) fn table(&self, generation: &Generation) -> String {
        let table = format!("{}_g{}", generation.projection, generation.number);
        format!("{}.{}", quote(&self.schema), quote(&table))
    }

    /// A projection's SQL view, qualified and quoted.
    pub(super) fn view(&self, projection: &str) -> String {
        format!("{}.{}", quote(&self.views_schema), quote(projection))
    }
}

/// An identifier, quoted.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_stay_one_identifier() {
        let names = Names::new("my \"own\"", "views").unwrap();
        assert_eq!(names.control("cursors"), r#""my ""own"""."cursors""#);
        assert_eq!(names.view("order"), r#""views"."order""#);
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r"a'b\'c"), r"E'a''b\\''c'");
    }

    #[test]
    fn schemas_that_cannot_be_told_apart_are_refused() {
        assert!(Names::new("a", "a").is_err());
        assert!(Names::new("", "views").is_err());
        assert!(Names::new(&"x".repeat(64), "views").is_err());
    }
}
