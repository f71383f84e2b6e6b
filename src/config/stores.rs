//! `[postgres]` and `[redis]`.

use secrecy::SecretString;

use super::node::Node;
use super::read::{self, Read};

/// The database: views and control tables.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// How to connect.
    pub url: SecretString,
    /// The schema of control and generation tables.
    pub schema: String,
    /// The schema of the SQL views that readers select from.
    pub views_schema: String,
    /// Whether changes are noted for the change feed. All instances alike.
    pub changes: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: SecretString::from("postgres://viewfold:viewfold@localhost:5432/viewfold"),
            schema: "viewfold".into(),
            views_schema: "views".into(),
            changes: true,
        }
    }
}

impl Postgres {
    pub(super) const KEYS: &'static [&'static str] = &["url", "schema", "views_schema", "changes"];

    pub(super) fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        match key {
            "url" => self.url = read::url(node, &["postgres", "postgresql"])?,
            "schema" => self.schema = read::identifier(node)?,
            "views_schema" => self.views_schema = read::identifier(node)?,
            _ => self.changes = read::flag(node)?,
        }
        Ok(())
    }
}

/// The Redis server. Only asked when a projection names `redis` among its stores.
#[derive(Clone, Debug)]
pub struct Redis {
    /// How to connect.
    pub url: SecretString,
    /// What all keys begin with.
    pub prefix: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: SecretString::from("redis://localhost:6379"),
            prefix: "viewfold".into(),
        }
    }
}

impl Redis {
    pub(super) const KEYS: &'static [&'static str] = &["url", "prefix"];

    pub(super) fn set(&mut self, key: &str, node: &Node) -> Read<()> {
        match key {
            "url" => self.url = read::url(node, &["redis", "rediss", "redis+unix", "unix"])?,
            _ => self.prefix = prefix(node)?,
        }
        Ok(())
    }
}

/// A brace would change the slot of every key, and a space invites mistakes in scripts.
fn prefix(node: &Node) -> Read<String> {
    let text = read::text(node)?;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
    if text.chars().all(plain) {
        Ok(text)
    } else {
        Err("must be printable ASCII without spaces and braces".into())
    }
}
