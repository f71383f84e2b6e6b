//! Readers that must not notice anything: over SQL, Redis and HTTP, all the while.
//!
//! A read fails, or is empty where there was a row, or mixes generations (`weight ≠ events · unit`, or two
//! units in one result), or goes back (fewer events than seen before, a lower `View-Position`): each is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row as _};

use super::{Deployment, Instance, server};

/// How many problems of one reader are written down.
const MOST: usize = 20;

/// What readers found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How many reads there were, by reader.
    pub(crate) reads: BTreeMap<&'static str, u64>,
    /// The generations or units that were seen, by reader, in order.
    pub(crate) seen: BTreeMap<&'static str, Vec<u64>>,
    /// Reads that failed, were empty or mixed, or went back.
    pub(crate) problems: Vec<String>,
}

impl Findings {
    /// Fails unless every reader read, and none noticed anything (I8).
    #[track_caller]
    pub(crate) fn assert_unnoticed(&self) {
        assert!(self.problems.is_empty(), "{:#?}", self.problems);
        assert!(!self.reads.is_empty(), "there was no reader");
        for (reader, reads) in &self.reads {
            assert!(*reads >= 5, "{reader} only read {reads} times");
        }
    }

    /// Fails unless the reader saw these units (SQL, Redis) or generations (HTTP), in this order.
    #[track_caller]
    pub(crate) fn assert_seen(&self, reader: &str, expected: &[u64]) {
        assert_eq!(
            self.seen.get(reader).map(Vec::as_slice),
            Some(expected),
            "{reader}"
        );
    }
}

type Shared = Arc<Mutex<Findings>>;

/// Notes for one reader.
struct Notes {
    name: &'static str,
    shared: Shared,
    /// Events by key, as last seen.
    events: BTreeMap<String, u64>,
    /// Positions by partition, as last seen.
    positions: BTreeMap<String, u64>,
}

/// One row as a reader saw it.
struct Seen {
    key: String,
    events: u64,
    unit: u64,
    weight: u64,
}

impl Notes {
    /// Writes a problem down, the same one once.
    fn problem(&self, text: String) {
        let mut findings = self.shared.lock().unwrap();
        let text = format!("{}: {text}", self.name);
        let mine = format!("{}: ", self.name);
        let problems = &mut findings.problems;
        if !problems.contains(&text)
            && problems.iter().filter(|it| it.starts_with(&mine)).count() < MOST
        {
            problems.push(text);
        }
    }

    fn read(&self) {
        *self
            .shared
            .lock()
            .unwrap()
            .reads
            .entry(self.name)
            .or_default() += 1;
    }

    fn saw(&self, number: u64) {
        let mut findings = self.shared.lock().unwrap();
        let seen = findings.seen.entry(self.name).or_default();
        if seen.last() != Some(&number) {
            seen.push(number);
        }
    }

    /// Judges one row.
    fn row(&mut self, row: &Seen) {
        let Seen {
            key,
            events,
            unit,
            weight,
        } = row;
        if *weight != events * unit {
            self.problem(format!(
                "row {key} is mixed: {events} events, unit {unit}, weight {weight}"
            ));
        }
        let before = self.events.insert(key.clone(), *events).unwrap_or(0);
        if *events < before {
            self.problem(format!(
                "row {key} went back from {before} to {events} events"
            ));
        }
    }

    /// Judges that a row, or all of them, are not there.
    fn absent(&self, key: &str) {
        if self.events.contains_key(key) {
            self.problem(format!("row {key} is empty"));
        }
    }

    /// Judges a `View-Position`.
    fn position(&mut self, text: &str) {
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((partition, offset)) = part.split_once('@') else {
                return self.problem(format!("View-Position `{text}`"));
            };
            let offset: u64 = offset.parse().unwrap();
            let before = self
                .positions
                .insert(partition.to_owned(), offset)
                .unwrap_or(0);
            if offset < before {
                self.problem(format!("{partition} went back from {before} to {offset}"));
            }
        }
    }
}

/// Readers at work.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    shared: Shared,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Reads `view` (of the counter's kind) every `period`: over SQL, from Redis following the pointer, and
    /// over HTTP from both stores, going round `instances`.
    pub(crate) fn start(
        deployment: &Deployment,
        view: &str,
        instances: &[&Instance],
        period: Duration,
    ) -> Self {
        let mut readers = Self {
            stop: Arc::new(AtomicBool::new(false)),
            shared: Shared::default(),
            threads: Vec::new(),
        };
        let sql = format!(
            "select id, events, unit, weight from \"{}\".{view}",
            deployment.views_schema()
        );
        readers.spawn("sql", period, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let url = server("VIEWFOLD_TEST_POSTGRES");
            let mut connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
            move |notes: &mut Notes| runtime.block_on(read_sql(&mut connection, &sql, notes))
        });
        let stem = format!("{}:{{{view}}}", deployment.name);
        let redis = deployment.redis.clone();
        readers.spawn("redis", period, move || {
            let mut connection = redis.get_connection().unwrap();
            let mut turn = 0;
            move |notes: &mut Notes| {
                turn += 1;
                read_redis(&mut connection, &stem, &format!("k{}", turn % 10), notes);
            }
        });
        for (name, store) in [("http postgres", "postgres"), ("http redis", "redis")] {
            let urls: Vec<String> = instances
                .iter()
                .map(|instance| format!("http://{}/v1/views/{view}", instance.api))
                .collect();
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(5)))
                .build()
                .into();
            readers.spawn(name, period, move || {
                let mut turn = 0;
                move |notes: &mut Notes| {
                    turn += 1;
                    let key = format!("k{}", turn % 10);
                    let url = format!("{}/{key}?store={store}", urls[turn % urls.len()]);
                    read_http(&agent, &url, &key, notes);
                }
            });
        }
        readers
    }

    /// Runs one reader in a thread of its own. `connect` is called there: clients may bring a runtime.
    fn spawn<R: FnMut(&mut Notes)>(
        &mut self,
        name: &'static str,
        period: Duration,
        connect: impl FnOnce() -> R + Send + 'static,
    ) {
        let stop = Arc::clone(&self.stop);
        let mut notes = Notes {
            name,
            shared: Arc::clone(&self.shared),
            events: BTreeMap::new(),
            positions: BTreeMap::new(),
        };
        self.threads.push(std::thread::spawn(move || {
            let mut read = connect();
            while !stop.load(Ordering::Relaxed) {
                notes.read();
                read(&mut notes);
                std::thread::sleep(period);
            }
        }));
    }

    /// Ends them; answers what they found.
    pub(crate) fn finish(mut self) -> Findings {
        self.end();
        std::mem::take(&mut self.shared.lock().unwrap())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !std::thread::panicking() {
                panic!("a reader failed");
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.end();
    }
}

async fn read_sql(connection: &mut PgConnection, sql: &str, notes: &mut Notes) {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    let rows = match query.fetch_all(connection).await {
        Ok(rows) => rows,
        Err(error) => return notes.problem(format!("failed: {error}")),
    };
    let number = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap();
    let mut units = BTreeSet::new();
    let mut missing: BTreeSet<String> = notes.events.keys().cloned().collect();
    for row in rows {
        let row = Seen {
            key: row.get("id"),
            events: number(row.get("events")),
            unit: number(row.get("unit")),
            weight: number(row.get("weight")),
        };
        missing.remove(&row.key);
        units.insert(row.unit);
        notes.row(&row);
    }
    missing.iter().for_each(|key| notes.absent(key));
    match (units.len(), units.first()) {
        (0, _) => {}
        (1, Some(unit)) => notes.saw(*unit),
        _ => notes.problem(format!("one result has the units {units:?}")),
    }
}

/// Follows the pointer as the documentation tells readers: the row and the pointer in one transaction,
/// once more where the pointer is another one by then.
fn read_redis(connection: &mut redis::Connection, stem: &str, key: &str, notes: &mut Notes) {
    let mut attempt = || -> redis::RedisResult<Option<BTreeMap<String, String>>> {
        loop {
            let live: Option<String> = redis::cmd("GET")
                .arg(format!("{stem}:live"))
                .query(connection)?;
            let Some(live) = live else { return Ok(None) };
            let (still, row): (Option<String>, BTreeMap<String, String>) = redis::pipe()
                .atomic()
                .cmd("GET")
                .arg(format!("{stem}:live"))
                .cmd("HGETALL")
                .arg(format!("{stem}:{live}:r:{key}"))
                .query(connection)?;
            if still.as_ref() == Some(&live) {
                return Ok(Some(row));
            }
        }
    };
    let row = match attempt() {
        Ok(row) => row.unwrap_or_default(),
        Err(error) => return notes.problem(format!("failed: {error}")),
    };
    if row.is_empty() {
        return notes.absent(key);
    }
    let number = |field: &str| {
        row.get(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let seen = Seen {
        key: key.to_owned(),
        events: number("events"),
        unit: number("unit"),
        weight: number("weight"),
    };
    notes.saw(seen.unit);
    notes.row(&seen);
}

fn read_http(agent: &ureq::Agent, url: &str, key: &str, notes: &mut Notes) {
    let request = agent.get(url).header("prefer", "stale-ok");
    let mut answer = match request.call() {
        Ok(answer) => answer,
        Err(error) => return notes.problem(format!("failed: {error}")),
    };
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let (generation, position) = (header("view-generation"), header("view-position"));
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    match answer.status().as_u16() {
        200 => {}
        404 => return notes.absent(key),
        code => return notes.problem(format!("answered {code}: {body}")),
    }
    let Some(generation) = generation.and_then(|text| text.parse().ok()) else {
        return notes.problem("no View-Generation".to_owned());
    };
    notes.saw(generation);
    notes.position(&position.unwrap_or_default());
    let row: Value = serde_json::from_str(&body).unwrap_or_default();
    let number = |field: &str| row[field].as_u64().unwrap_or(0);
    notes.row(&Seen {
        key: key.to_owned(),
        events: number("events"),
        unit: number("unit"),
        weight: number("weight"),
    });
}
