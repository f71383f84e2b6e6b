//! A list as it was asked for, and as it is read.

use serde_json::json;

use super::filter::condition;
use super::order::order;
use super::page::{self, Identity};
use super::parameters::parameters;
use super::select::select;
use super::{listed, shown};
use crate::projection::{Schema, Value};
use crate::store::list::{Counting, ListRead};

/// How many rows a page has unless it is said.
const DEFAULT_LIMIT: usize = 50;
/// How many rows a page has at most.
const GREATEST_LIMIT: usize = 1000;
/// How many conditions a list may have; each costs the store work on every row.
const MOST_CONDITIONS: usize = 32;
/// What is not a condition; a column of such a name is `col.<name>`.
const PARAMETERS: &[&str] = &["order", "select", "limit", "page_token", "store"];
/// What may stand before a column's name.
const COLUMN: &str = "col.";

/// A list as it was asked for, before anything is known of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    /// Names as they were written, and what stands behind their `=`.
    conditions: Vec<(String, String)>,
    order: Option<String>,
    select: Option<String>,
    limit: usize,
    page_token: Option<String>,
    /// The store that was asked for.
    pub store: Option<String>,
    /// Whether rows are to be counted.
    pub count: Option<Counting>,
}

/// A list of the rows of one generation.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundList {
    /// What to read.
    pub read: ListRead,
    identity: Identity,
}

impl ListQuery {
    /// Reads the text behind a `?`. The error names the parameter, and says what is possible.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut conditions = Vec::new();
        let [mut order, mut select, mut limit, mut page_token, mut store] =
            [const { None }; PARAMETERS.len()];
        for (name, value) in parameters(query)? {
            let slot = match &*name {
                "order" => &mut order,
                "select" => &mut select,
                "limit" => &mut limit,
                "page_token" => &mut page_token,
                "store" => &mut store,
                _ => {
                    conditions.push((name, value));
                    continue;
                }
            };
            if slot.replace(value).is_some() {
                return Err(format!(
                    "{name} is given twice; a column of this name is {COLUMN}{name}"
                ));
            }
        }
        if conditions.len() > MOST_CONDITIONS {
            return Err(format!(
                "{} conditions are given, at most {MOST_CONDITIONS} are possible; \
                 several values of one column are column=in.(a,b)",
                conditions.len()
            ));
        }
        Ok(Self {
            conditions,
            order,
            select,
            limit: limit.as_deref().map_or(Ok(DEFAULT_LIMIT), read_limit)?,
            page_token,
            store,
            count: None,
        })
    }

    /// The list for a generation with this schema. The error names the parameter, and says what is possible.
    pub fn bind(&self, schema: &Schema) -> Result<BoundList, String> {
        let mut conditions = Vec::with_capacity(self.conditions.len());
        let mut written = Vec::with_capacity(self.conditions.len());
        for (name, text) in &self.conditions {
            let index = column(schema, name)?;
            conditions.push(condition(schema, index, text)?);
            written.push((name.strip_prefix(COLUMN).unwrap_or(name), text));
        }
        let order = order(schema, self.order.as_deref())?;
        let names: Vec<&str> = schema.columns.iter().map(|column| &*column.name).collect();
        let columns = match &self.select {
            Some(text) => select(&names, text)?,
            None => (0..names.len()).collect(),
        };
        let ordered = order.iter().filter_map(|by| {
            let column = schema.columns.get(by.column)?;
            Some((column, by.descending))
        });
        let directions: Vec<_> = ordered
            .clone()
            .map(|(column, descending)| (&*column.name, column.ty.to_string(), descending))
            .collect();
        // The order in which conditions are written means nothing.
        written.sort_unstable();
        let identity = Identity::of(&json!([&*schema.name, directions, written]));
        let types: Vec<_> = ordered.map(|(column, _)| column.ty).collect();
        let after = match self.page_token.as_deref() {
            // Clients may begin with the empty token.
            None | Some("") => None,
            Some(token) => Some(page::read(token, &identity, &types)?),
        };
        Ok(BoundList {
            read: ListRead {
                conditions,
                order,
                after,
                limit: self.limit,
                columns,
                count: self.count,
            },
            identity,
        })
    }
}

impl BoundList {
    /// The token of the page behind the row with these values of the order.
    pub fn token(&self, last: &[Value]) -> Result<String, String> {
        page::write(&self.identity, last)
    }
}

fn read_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok();
    let limit = limit.filter(|limit| (1..=GREATEST_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        format!(
            "limit: {} is not a number from 1 to {GREATEST_LIMIT}",
            shown(text)
        )
    })
}

/// The column that a parameter names.
fn column(schema: &Schema, name: &str) -> Result<usize, String> {
    let plain = name.strip_prefix(COLUMN).unwrap_or(name);
    schema.column(plain).ok_or_else(|| {
        format!(
            "{} is neither a column of view {} nor a parameter; columns: {}; parameters: {}",
            shown(name),
            schema.name,
            listed(schema.columns.iter().map(|column| &*column.name)),
            listed(PARAMETERS.iter().copied()),
        )
    })
}
