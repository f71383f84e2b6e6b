//! Steady readers over SQL, Redis and HTTP. Each reads the probe row, and another one to see that no row
//! is missing, mixed from two generations, or older than before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::account::{Account, Wrong};
use super::traffic::{PROBE, account_key};
use super::{Rebuild, VIEW};

/// How many of the accounts are read.
const WATCHED: u64 = 200;

/// A row as it was read.
struct Seen {
    id: String,
    events: u64,
    unit: u64,
    weight: u64,
    last: u64,
}

/// What one reader knows.
struct Memory {
    name: &'static str,
    account: Arc<Account>,
    /// Whether the probe row counts for the time to visible.
    probes: bool,
    events: BTreeMap<String, u64>,
    positions: BTreeMap<String, u64>,
    probe: Option<u64>,
}

impl Memory {
    fn failed(&self, error: impl std::fmt::Display) {
        self.account
            .wrong(Wrong::Failed, || format!("{}: failed: {error}", self.name));
    }

    fn judge(&mut self, row: &Seen) {
        let (name, account) = (self.name, Arc::clone(&self.account));
        if row.weight != row.events * row.unit {
            account.wrong(Wrong::Mixed, || format!("{name}: row {} is mixed", row.id));
        }
        let before = self.events.insert(row.id.clone(), row.events).unwrap_or(0);
        if row.events < before {
            account.wrong(Wrong::Back, || {
                format!(
                    "{name}: row {} went from {before} to {}",
                    row.id, row.events
                )
            });
        }
        if self.probes && row.id == PROBE {
            if let Some(before) = self.probe.filter(|before| row.last > *before) {
                account.visible(name, before, row.last);
            }
            self.probe = Some(row.last);
        }
    }

    /// Judges what was asked for and not found.
    fn absent(&self, id: &str) {
        if self.events.contains_key(id) {
            self.account
                .wrong(Wrong::Mixed, || format!("{}: row {id} is gone", self.name));
        }
    }

    fn position(&mut self, text: &str) {
        for (partition, offset) in text
            .split(',')
            .filter_map(|part| part.trim().split_once('@'))
        {
            let offset: u64 = offset.parse().unwrap_or(0);
            let before = self
                .positions
                .insert(partition.to_owned(), offset)
                .unwrap_or(0);
            if offset < before {
                self.account.wrong(Wrong::Back, || {
                    format!("{}: {partition} went from {before} to {offset}", self.name)
                });
            }
        }
    }
}

/// Readers at work.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(bench: &Rebuild, account: &Arc<Account>) -> anyhow::Result<Self> {
        let mut readers = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        let period = Duration::from_secs_f64(3.0 / bench.pace.reads.max(3) as f64);
        let spread = bench.pace.accounts.min(WATCHED);
        let memory = |name, probes| Memory {
            name,
            account: Arc::clone(account),
            probes,
            events: BTreeMap::new(),
            positions: BTreeMap::new(),
            probe: None,
        };

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let url = bench.servers.postgres.clone();
        let sql = format!(
            r#"SELECT id, events, unit, weight, last FROM "{}".{VIEW} WHERE id = ANY($1)"#,
            bench.schema
        );
        let mut noted = memory("postgres", true);
        readers.spawn(period, move || {
            let mut connection: Option<PgConnection> = None;
            move |turn| {
                let ids = [PROBE.to_owned(), account_key(turn % spread)];
                let read = sql_rows(&mut connection, &url, &sql, &ids);
                match runtime.block_on(read) {
                    Ok(rows) => judge_all(&mut noted, &ids, &rows),
                    Err(error) => {
                        connection = None;
                        noted.failed(error);
                    }
                }
            }
        });

        let client = redis::Client::open(bench.servers.redis.as_str())?;
        let stem = format!("{}:{{{VIEW}}}", bench.prefix);
        let mut connection = client.get_connection()?;
        let mut noted = memory("redis", true);
        readers.spawn(period, move || {
            move |turn| {
                let ids = [PROBE.to_owned(), account_key(turn % spread)];
                match redis_rows(&mut connection, &stem, &ids) {
                    Ok(rows) => judge_all(&mut noted, &ids, &rows),
                    Err(error) => noted.failed(error),
                }
            }
        });

        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let base = format!("{}/v1/views/{VIEW}", bench.api);
        let mut noted = memory("http", false);
        readers.spawn(period, move || {
            move |turn| {
                let id = account_key(turn % spread);
                if let Err(error) = http_row(&agent, &base, &id, &mut noted) {
                    noted.failed(error);
                }
            }
        });
        Ok(readers)
    }

    fn spawn<R: FnMut(u64)>(
        &mut self,
        period: Duration,
        connect: impl FnOnce() -> R + Send + 'static,
    ) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let mut read = connect();
            let mut turn = 0;
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                read(turn);
                turn += 1;
                due = (due + period).max(Instant::now());
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }));
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn judge_all(noted: &mut Memory, ids: &[String], rows: &[Seen]) {
    noted.account.read();
    for id in ids
        .iter()
        .filter(|id| !rows.iter().any(|row| row.id == **id))
    {
        noted.absent(id);
    }
    if let [one, other] = rows
        && one.unit != other.unit
    {
        let name = noted.name;
        noted.account.wrong(Wrong::Mixed, || {
            format!("{name}: one result from two generations")
        });
    }
    rows.iter().for_each(|row| noted.judge(row));
}

async fn sql_rows(
    connection: &mut Option<PgConnection>,
    url: &str,
    sql: &str,
    ids: &[String],
) -> anyhow::Result<Vec<Seen>> {
    if connection.is_none() {
        *connection = Some(PgConnection::connect(url).await?);
    }
    let connection = connection.as_mut().context("no connection")?;
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(sql.to_owned()))
        .bind(ids)
        .fetch_all(connection)
        .await?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let seen = rows
        .into_iter()
        .map(|(id, events, unit, weight, last)| Seen {
            id,
            events: number(events),
            unit: number(unit),
            weight: number(weight),
            last: number(last),
        });
    Ok(seen.collect())
}

/// Follows the pointer: rows and pointer in one transaction, once more where it is another one by then.
fn redis_rows(
    connection: &mut redis::Connection,
    stem: &str,
    ids: &[String],
) -> anyhow::Result<Vec<Seen>> {
    type Fields = BTreeMap<String, String>;
    loop {
        let live: String = redis::cmd("GET")
            .arg(format!("{stem}:live"))
            .query(connection)?;
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("GET").arg(format!("{stem}:live"));
        for id in ids {
            pipe.cmd("HGETALL").arg(format!("{stem}:{live}:r:{id}"));
        }
        let (still, first, second): (String, Fields, Fields) = pipe.query(connection)?;
        if still != live {
            continue;
        }
        let seen = ids
            .iter()
            .zip([first, second])
            .filter(|(_, row)| !row.is_empty());
        return Ok(seen
            .map(|(id, row)| {
                let number =
                    |field: &str| row.get(field).and_then(|it| it.parse().ok()).unwrap_or(0);
                Seen {
                    id: id.clone(),
                    events: number("events"),
                    unit: number("unit"),
                    weight: number("weight"),
                    last: number("last"),
                }
            })
            .collect());
    }
}

fn http_row(agent: &ureq::Agent, base: &str, id: &str, noted: &mut Memory) -> anyhow::Result<()> {
    noted.account.read();
    let mut answer = agent.get(format!("{base}/{id}")).call()?;
    let position = answer.headers().get("view-position");
    let position = position
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = answer.body_mut().read_to_string()?;
    match answer.status().as_u16() {
        200 => {}
        404 => {
            noted.absent(id);
            return Ok(());
        }
        code => anyhow::bail!("answered {code}: {body}"),
    }
    noted.position(&position);
    let row: Value = serde_json::from_str(&body)?;
    let number = |field: &str| row.get(field).and_then(Value::as_u64).unwrap_or(0);
    noted.judge(&Seen {
        id: id.to_owned(),
        events: number("events"),
        unit: number("unit"),
        weight: number("weight"),
        last: number("last"),
    });
    Ok(())
}
