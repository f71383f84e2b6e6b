//! One connection to Redis that comes back by itself.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, Value};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::refusal::{classify, spoils_connection};
use super::script::Call;
use super::settings::{
    CONNECT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, RESPONSE_TIMEOUT, USER_TIMEOUT,
};
use crate::fault::{Fault, Result};

/// A connection that is opened when it is first used, shared by all callers, and opened again
/// after it broke.
pub(super) struct Link {
    watches_eviction: bool,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The connection; `number` tells it from earlier ones.
    open: Option<MultiplexedConnection>,
    number: u64,
    /// When connecting failed last. Whoever waited meanwhile gets the same answer: many callers
    /// in a row would otherwise each wait for their own time-out.
    failed: Option<(Instant, Fault)>,
}

impl Link {
    /// A link that is not open yet. One link of a store watches the server's eviction policy.
    pub(super) fn new(url: &SecretString, watches_eviction: bool) -> Result<Self> {
        let wrong = |error: RedisError| Fault::misconfigured(format!("redis url: {error}"));
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(USER_TIMEOUT);
        let target = url
            .expose_secret()
            .into_connection_info()
            .map_err(wrong)?
            .set_tcp_settings(tcp);
        Ok(Self {
            watches_eviction,
            client: Client::open(target).map_err(wrong)?,
            state: Mutex::new(State::default()),
        })
    }

    /// Runs a script.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value> {
        let (mut connection, number) = self.connection().await?;
        let outcome = call.run(&mut connection).await;
        self.settle(number, outcome)
            .await
            .map_err(|fault| fault.during(call.name()))
    }

    /// Runs a single command.
    pub(super) async fn command(&self, command: &redis::Cmd) -> Result<Value> {
        self.numbered(command).await.map(|(value, _)| value)
    }

    /// Runs a single command; also gives the number of the connection, which grows whenever it is
    /// opened again.
    pub(super) async fn numbered(&self, command: &redis::Cmd) -> Result<(Value, u64)> {
        let (mut connection, number) = self.connection().await?;
        let outcome = command.query_async(&mut connection).await;
        let value = self.settle(number, outcome).await?;
        Ok((value, number))
    }

    async fn settle(&self, number: u64, outcome: Result<Value, RedisError>) -> Result<Value> {
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if spoils_connection(&error) {
            let mut state = self.state.lock().await;
            if state.number == number {
                state.open = None;
            }
        }
        Err(classify(&error))
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64)> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(open) = &state.open {
            return Ok((open.clone(), state.number));
        }
        if let Some((when, fault)) = &state.failed
            && *when >= asked
        {
            return Err(fault.clone());
        }
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err(too_slow(CONNECT_TIMEOUT)));
        match opened {
            Ok(connection) => {
                state.number += 1;
                state.open = Some(connection.clone());
                Ok((connection, state.number))
            }
            Err(fault) => {
                state.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn open(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| classify(&error).during("connecting"))?;
        if self.watches_eviction {
            look_at_eviction(connection.clone()).await;
        }
        Ok(connection)
    }
}

/// Says so when the server may throw away what it holds. `INFO` tells where `CONFIG` is forbidden.
async fn look_at_eviction(mut connection: MultiplexedConnection) {
    let asked: Result<String, RedisError> = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await;
    let answer = asked.unwrap_or_default();
    let policy = answer
        .lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"));
    match policy.map(str::trim) {
        Some("noeviction") => {}
        Some(policy) => warn!(
            policy,
            "redis may evict rows and cursors: set maxmemory-policy to noeviction, \
             or views will silently lose rows"
        ),
        None => info!("redis does not tell its maxmemory-policy; it must be noeviction"),
    }
}

fn too_slow(limit: Duration) -> Fault {
    Fault::transient(format!(
        "redis is unreachable: no connection within {} s",
        limit.as_secs()
    ))
}
