//! How to reach the database, and what to call things there.

use secrecy::SecretString;

/// The schema of the control and generation tables, unless configured.
pub const DEFAULT_SCHEMA: &str = "viewfold";
/// The schema of the SQL views, unless configured.
pub const DEFAULT_VIEWS_SCHEMA: &str = "views";
/// Connections that write, unless configured: two lanes at work, two for claims and idle cursors.
pub const DEFAULT_WRITERS: u32 = 4;
/// Connections that serve reads. Reads are short; more would only queue in the server.
pub const DEFAULT_READERS: u32 = 4;

/// Settings of the Postgres store and the control tables.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A `postgres://` URL; its parameters (`sslmode`, `sslrootcert`, …) count.
    pub url: SecretString,
    /// The schema of the control and generation tables.
    pub schema: String,
    /// The schema of the SQL views that readers select from.
    pub views_schema: String,
    /// Whether changes are noted for the change feed.
    pub changes: bool,
    /// How many connections write at once: batches, claims, cursors. At least 1.
    pub writers: u32,
    /// How many connections serve reads of rows. At least 1.
    pub readers: u32,
}

impl Settings {
    /// The settings for `url`, everything else as by default.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            schema: DEFAULT_SCHEMA.into(),
            views_schema: DEFAULT_VIEWS_SCHEMA.into(),
            changes: true,
            writers: DEFAULT_WRITERS,
            readers: DEFAULT_READERS,
        }
    }
}
