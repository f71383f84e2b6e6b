//! How to reach Redis, and how long to wait for it.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

/// Where a Redis is expected when nothing is configured: on this host, at its registered port.
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

/// What all keys begin with when nothing is configured.
pub const DEFAULT_PREFIX: &str = "viewfold";

/// How long an answer may take. A batch takes milliseconds, so this is an outage; it is
/// short, so that a partition's new owner does not wait for a dead server.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long connecting may take, TLS and authentication included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// After which silence the kernel asks whether the peer is there, and how often then.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_IDLE`].
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Most keys that one script reads, so that no script holds up the others for long.
pub(super) const KEYS_PER_LOAD: usize = 1000;

/// How many keys a step of a scan looks at: about a millisecond of the server's time.
pub(super) const KEYS_PER_SCAN: usize = 1000;

/// About how many rows one script copies, or reads of two generations: about a millisecond of the
/// server's time, so that live batches hardly wait for it.
pub(super) const ROWS_PER_PAGE: usize = 100;

/// How often one page looks on for keys where the database holds many others.
pub(super) const SCANS_PER_PAGE: usize = 100;

/// How often a cutover looks whether the new generation has come level while live batches wait.
pub(super) const CUT_OVER_PAUSE: Duration = Duration::from_millis(10);

/// How many steps of a scan, and how many rows that they find, an estimate of sizes is made from.
pub(super) const SCANS_PER_ESTIMATE: usize = 20;
/// See [`SCANS_PER_ESTIMATE`].
pub(super) const ROWS_PER_ESTIMATE: usize = 64;

/// How often a batch is computed again because somebody else changed its rows in between.
/// Each failure means that another lane got on; only many lanes on one row come this far.
pub(super) const COMPARE_ATTEMPTS: usize = 64;

/// The `[redis]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://` or `rediss://` (TLS) with host, port, user, password and database.
    pub url: SecretString,
    /// What all keys begin with. Deployments that share a server need different ones.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: DEFAULT_URL.into(),
            prefix: DEFAULT_PREFIX.to_owned(),
        }
    }
}
