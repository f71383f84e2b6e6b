//! What `check` says about a definition.

use std::fmt;

use serde::Serialize;

use super::Definition;
use super::action::Action;
use crate::projection::{Column, Family, TopicSelector};

/// A definition, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The projection's name.
    pub name: String,
    /// One sentence; empty when not given.
    pub description: String,
    /// The topics as they were written.
    pub topics: Vec<String>,
    /// The stores, the default one for reads first.
    pub stores: Vec<String>,
    /// The key's columns in key order.
    pub key: Vec<String>,
    /// The columns in document order.
    pub columns: Vec<ColumnDescription>,
    /// The event types with a handler; empty for a Rust projection.
    pub handlers: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// `key`, or the family of its ops: assign, latest, sum, greatest, least, list, object.
    pub family: &'static str,
    /// `commuting` when the order of events cannot change the value, else `ordered`.
    pub order: &'static str,
    /// What a new row starts with, as canonical text.
    pub default: Option<String>,
    /// Whether Postgres indexes it.
    pub index: bool,
}

impl Family {
    /// The family's name, as in `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Latest => "latest",
            Self::Sum => "sum",
            Self::Greatest => "greatest",
            Self::Least => "least",
            Self::List => "list",
            Self::Object => "object",
        }
    }
}

impl Definition {
    /// Describes the definition.
    pub fn describe(&self) -> Description {
        let schema = self.plan.schema();
        let column = |(index, column): (usize, &Column)| ColumnDescription {
            name: column.name.to_string(),
            ty: column.ty.to_string(),
            family: if schema.is_key(index) {
                "key"
            } else {
                column.family.as_str()
            },
            order: if self.commutes(index) {
                "commuting"
            } else {
                "ordered"
            },
            default: column.default.canonical().map(|text| text.into_owned()),
            index: column.index,
        };
        Description {
            name: self.name.to_string(),
            description: self.description.clone(),
            topics: self
                .plan
                .topics()
                .iter()
                .map(TopicSelector::to_string)
                .collect(),
            stores: self.plan.stores().iter().map(|s| s.to_string()).collect(),
            key: schema
                .key
                .iter()
                .filter_map(|&index| schema.columns.get(index))
                .map(|column| column.name.to_string())
                .collect(),
            columns: schema.columns.iter().enumerate().map(column).collect(),
            handlers: self.handler_names(),
            warnings: self.warnings(),
        }
    }

    /// Whether the order in which events arrive cannot change column `index` of a row that lives on
    /// (deleting a row is always ordered).
    pub fn commutes(&self, index: usize) -> bool {
        let schema = self.plan.schema();
        if schema.is_key(index) {
            return true;
        }
        let Some(plan) = &self.file else {
            let family = schema.columns.get(index).map(|column| column.family);
            return family.is_some_and(Family::commutes) && !self.plan.reads_rows();
        };
        plan.handlers.iter().all(|handler| {
            let mut own = handler.ops.iter().filter(|(column, _)| *column == index);
            own.all(|(_, action)| commutes(action) && !handler.reads_row)
        })
    }

    fn handler_names(&self) -> Vec<String> {
        let handlers = self.file.iter().flat_map(|plan| &plan.handlers);
        handlers.map(|handler| handler.name.clone()).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let Some(plan) = &self.file else {
            return Vec::new();
        };
        let schema = &plan.schema;
        let mut warnings = Vec::new();
        for (index, column) in schema.columns.iter().enumerate() {
            let actions = || {
                plan.handlers
                    .iter()
                    .flat_map(|handler| &handler.ops)
                    .filter(move |(written, _)| *written == index)
                    .map(|(_, action)| action)
            };
            if schema.is_key(index) {
                continue;
            }
            if actions().next().is_none() {
                warnings.push(format!("no handler writes column `{}`", column.name));
            }
            let only_once = |action: &Action| matches!(action, Action::SetOnce(_));
            if !column.default.is_null() && actions().count() > 0 && actions().all(only_once) {
                warnings.push(format!(
                    "column `{}` has a default, so its `set_once` never changes it",
                    column.name
                ));
            }
        }
        let deletes = plan.handlers.iter().filter(|handler| handler.delete);
        let titles: Vec<&str> = deletes.map(|handler| handler.title.as_str()).collect();
        if !titles.is_empty() && schema.columns.iter().any(|c| c.family.commutes()) {
            warnings.push(format!(
                "{} deletes rows, so what is left depends on the order of events, commuting columns included: \
                 keep all events of a row in one partition",
                titles.join(", ")
            ));
        }
        warnings
    }
}

fn commutes(action: &Action) -> bool {
    matches!(
        action,
        Action::Latest { .. } | Action::Add(_) | Action::Max(_) | Action::Min(_)
    )
}

/// As it was written.
impl fmt::Display for TopicSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Pattern(pattern) => {
                let text = pattern.as_str();
                let inner = text
                    .strip_prefix(r"\A(?:")
                    .and_then(|t| t.strip_suffix(r")\z"));
                write!(f, "^{}", inner.unwrap_or(text))
            }
        }
    }
}
