//! Connections: three small pools, so that lanes starve neither readers nor control.
//!
//! Every statement is bounded on both sides. The server ends a statement, a wait for a lock
//! or an idle transaction after 3 s, so that a stopped owner keeps nobody
//! waiting (I5). The client gives up a little later, in case the server cannot answer.

use std::fmt::Display;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Postgres};

use super::settings::Settings;
use crate::fault::{Fault, Result};

/// How long to wait for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(3);
/// How long an operation may last in all, with the answer under way: above the server's 3 s, so
/// that where the server can answer, its answer is the one that counts.
const CLIENT_LIMIT: Duration = Duration::from_secs(5);
/// Idle for longer than this, a connection is tried before it is used: it may have died meanwhile.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// Statements kept prepared per connection. One generation needs about six, each shape of batch one more.
const STATEMENT_CACHE: usize = 256;
/// Connections for control tables, schema changes and ending stuck sessions.
const CONTROL_CONNECTIONS: u32 = 3;
/// By this name a claim knows which sessions it may end.
pub(super) const APPLICATION: &str = "viewfold";

/// What every session is set to. A pooler may forget it; what matters for batches is repeated
/// in their transactions. Dead peers are noticed after about 10 s, by the server too.
const SESSION: &str = "SET extra_float_digits = 1; SET jit = off; \
     SET statement_timeout = '3s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '3s'; \
     SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
     SET tcp_keepalives_count = 3; SET tcp_user_timeout = 10000";

/// Begins a transaction that writes, bounded, in one round trip.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
     SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '3s'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// Begins a transaction that sees one instant.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '3s'; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// The pools of one deployment. Nothing is connected before it is used.
#[derive(Debug)]
pub(super) struct Pools {
    /// Batches, claims and cursors.
    pub(super) writers: PgPool,
    /// Reads of rows.
    pub(super) readers: PgPool,
    /// Control tables, schema changes, ending stuck sessions.
    pub(super) control: PgPool,
}

impl Pools {
    /// Reads the URL; does not connect. A URL that cannot be used is `Misconfigured`.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        // The parser's own message could quote the URL, and so the password.
        let options = PgConnectOptions::from_str(settings.url.expose_secret())
            .map_err(|_| Fault::misconfigured("postgres.url is not a valid postgres:// URL"))?;
        let named = options
            .get_application_name()
            .is_some_and(|name| name.starts_with(APPLICATION));
        let options = if named {
            options
        } else {
            options.application_name(APPLICATION)
        };
        // Poolers refuse unknown start-up parameters; the session's settings have it instead.
        let options = options
            .extra_float_digits(None)
            .statement_cache_capacity(STATEMENT_CACHE)
            .disable_statement_logging();
        let pool = |size: u32| {
            PgPoolOptions::new()
                .max_connections(size.max(1))
                .acquire_timeout(ACQUIRE_LIMIT)
                .test_before_acquire(false)
                .before_acquire(|connection, about| {
                    Box::pin(async move {
                        if about.idle_for > TRUSTED_IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(|connection, _| {
                    Box::pin(async move { connection.execute(SESSION).await.map(|_| ()) })
                })
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            writers: pool(settings.writers),
            readers: pool(settings.readers),
            control: pool(CONTROL_CONNECTIONS),
        })
    }
}

/// Runs `work`, which is to `verb` `thing`, within the client's limit.
pub(super) async fn bounded<T>(
    verb: &'static str,
    thing: impl Display,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    within(ACQUIRE_LIMIT + CLIENT_LIMIT, verb, thing, work).await
}

/// Runs `work`, which is to `verb` `thing`, within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    verb: &'static str,
    thing: impl Display,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let fault = match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(fault)) => fault,
        Err(_) => Fault::transient("postgres does not answer"),
    };
    Err(fault.during(format_args!("{verb} {thing}")))
}

/// A connection on loan. Unless [`Session::keep`] was called, it is closed instead of given
/// back: whatever was cut short (a time-out, a cancelled task, a lost answer) dies with it.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    sound: bool,
}

impl Session {
    /// Waits for a connection.
    pub(super) async fn open(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            sound: false,
        })
    }

    /// Waits for a connection and begins a transaction with `begin`.
    pub(super) async fn begin(pool: &PgPool, begin: &'static str) -> Result<Self, sqlx::Error> {
        let mut session = Self::open(pool).await?;
        session.execute(begin).await?;
        Ok(session)
    }

    /// Commits and gives the connection back.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.keep();
        Ok(())
    }

    /// Rolls back and gives the connection back. A failure only costs the connection.
    pub(super) async fn rollback(mut self) {
        if self.execute("ROLLBACK").await.is_ok() {
            self.keep();
        }
    }

    /// Gives the connection back when it goes out of scope.
    pub(super) fn keep(&mut self) {
        self.sound = true;
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.sound {
            self.connection.close_on_drop();
        }
    }
}
