//! One deployment of the real program: its own topics, group, schemas and key prefix.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, Row};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a server is called in the environment. A missing one is a failed test, not a skipped one.
pub(crate) fn server(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} must name a real server; scripts/test starts them"))
}

/// Whether the long forms were asked for.
pub(crate) fn full() -> bool {
    std::env::var("VIEWFOLD_TEST_FULL").is_ok_and(|value| !value.is_empty())
}

/// A deployment; its instances end with it.
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) pool: PgPool,
    pub(crate) redis: redis::Client,
    pub(crate) redis_url: String,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A running instance.
pub(crate) struct Instance {
    pub(crate) child: Child,
    pub(crate) admin: String,
    pub(crate) log: PathBuf,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Deployment {
    /// A deployment with a topic of `partitions` and these projections; `TOPIC` in a definition
    /// stands for the topic's name.
    pub(crate) async fn new(partitions: i32, projections: &[(&str, &str)]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        let topic = format!("{name}.orders");
        let pool = PgPool::connect(&server("VIEWFOLD_TEST_POSTGRES"))
            .await
            .unwrap();
        let redis_url = server("VIEWFOLD_TEST_REDIS");
        let deployment = Self {
            folder: tempfile::tempdir().unwrap(),
            pool,
            redis: redis::Client::open(redis_url.clone()).unwrap(),
            redis_url,
            environment: BTreeMap::new(),
            name,
            topic,
        };
        std::fs::create_dir(deployment.projections()).unwrap();
        for (name, text) in projections {
            deployment.write_projection(name, text);
        }
        deployment.create_topic(&deployment.topic, partitions).await;
        deployment
    }

    /// The shipped projections, on this deployment's topic.
    pub(crate) async fn shop(partitions: i32) -> Self {
        let text =
            |name: &str| std::fs::read_to_string(format!("projections/{name}.toml")).unwrap();
        let texts: Vec<(&str, String)> = ["orders", "customer_orders", "product_sales"]
            .map(|name| (name, text(name).replace("[\"orders\"]", "[\"TOPIC\"]")))
            .into();
        let borrowed: Vec<(&str, &str)> = texts
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        Self::new(partitions, &borrowed).await
    }

    pub(crate) fn projections(&self) -> PathBuf {
        self.folder.path().join("projections")
    }

    pub(crate) fn write_projection(&self, name: &str, text: &str) {
        let text = text.replace("TOPIC", &self.topic);
        std::fs::write(self.projections().join(format!("{name}.toml")), text).unwrap();
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", server("VIEWFOLD_TEST_KAFKA"))
            .create()
            .unwrap()
    }

    pub(crate) async fn create_topic(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for result in self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        for result in self
            .admin()
            .delete_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    pub(crate) async fn create_compacted_topic(&self, topic: &str) {
        let new =
            NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
        for result in self
            .admin()
            .create_topics([&new], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    pub(crate) async fn grow_topic(&self, partitions: usize) {
        let more = NewPartitions::new(&self.topic, partitions);
        for result in self
            .admin()
            .create_partitions([&more], &AdminOptions::new())
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    /// Starts an instance. Its listeners are on ports of its own.
    pub(crate) fn start(&self) -> Instance {
        let (admin, api) = (free_port(), free_port());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("instance-{number}.log"));
        let file = File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viewfold"));
        command
            .arg("run")
            .current_dir(self.folder.path())
            .env("KAFKA_BROKERS", server("VIEWFOLD_TEST_KAFKA"))
            .env("DATABASE_URL", server("VIEWFOLD_TEST_POSTGRES"))
            .env("REDIS_URL", &self.redis_url)
            .env("VIEWFOLD_KAFKA__GROUP_ID", &self.name)
            .env("VIEWFOLD_POSTGRES__SCHEMA", &self.name)
            .env("VIEWFOLD_POSTGRES__VIEWS_SCHEMA", self.views_schema())
            .env("VIEWFOLD_REDIS__PREFIX", &self.name)
            .env("VIEWFOLD_API__LISTEN", format!("127.0.0.1:{api}"))
            .env("VIEWFOLD_ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
            .env("VIEWFOLD_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
            .env("VIEWFOLD_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "1000")
            .env("RUST_LOG", "info")
            .envs(&self.environment)
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file));
        if self
            .environment
            .get("VIEWFOLD_KAFKA__PROPERTIES__GROUP_PROTOCOL")
            .is_some_and(|it| it == "consumer")
        {
            command
                .env_remove("VIEWFOLD_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS")
                .env_remove("VIEWFOLD_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS");
        }
        Instance {
            child: command.spawn().unwrap(),
            admin: format!("127.0.0.1:{admin}"),
            log,
        }
    }

    pub(crate) fn views_schema(&self) -> String {
        format!("{}_views", self.name)
    }

    /// Every row of a Postgres view as JSON (numerics as text), by the text of its key column.
    pub(crate) async fn postgres_rows(&self, view: &str, key: &str) -> BTreeMap<String, Value> {
        let select = format!(
            "select {key} as k, to_jsonb(v) as row from \"{}\".{view} v",
            self.views_schema()
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get::<String, _>("k"), row.get::<Value, _>("row")))
            .collect()
    }

    /// Every row of a Redis view as field texts, by the row's key.
    pub(crate) async fn redis_rows(
        &self,
        view: &str,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
        let prefix = format!("{}:{{{view}}}:1:r:", self.name);
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{prefix}*"))
            .query_async(&mut connection)
            .await
            .unwrap();
        let mut rows = BTreeMap::new();
        for part in keys.chunks(1000) {
            let mut pipe = redis::pipe();
            part.iter().for_each(|key| {
                pipe.hgetall(key);
            });
            let found: Vec<BTreeMap<String, String>> =
                pipe.query_async(&mut connection).await.unwrap();
            rows.extend(
                part.iter()
                    .map(|key| key[prefix.len()..].to_owned())
                    .zip(found),
            );
        }
        rows
    }

    /// The positions that a store holds for a projection's first generation, by `topic/partition`.
    pub(crate) async fn cursors(&self, projection: &str) -> BTreeMap<String, i64> {
        let select = format!(
            "select topic || '/' || partition as p, position from \"{}\".cursors where projection = $1",
            self.name
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(projection)
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.get("p"), row.get("position")))
            .collect()
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::new(&self.topic)
    }
}

impl Instance {
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks for an orderly end and waits for it; answers the exit code and how long it took.
    pub(crate) fn stop(&mut self) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        (status.code(), asked.elapsed())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// GET on the admin listener: status code and body.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let mut answer = agent
            .get(format!("http://{}{path}", self.admin))
            .call()
            .ok()?;
        Some((
            answer.status().as_u16(),
            answer.body_mut().read_to_string().ok()?,
        ))
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let (code, body) = self.get("/v1/projections")?;
        (code == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// Every partition of every store of every projection: (projection, store, partition status).
    pub(crate) fn partitions(&self) -> Vec<(String, String, Value)> {
        let mut all = Vec::new();
        let status = self.status().unwrap_or_default();
        for projection in status["projections"]
            .as_array()
            .cloned()
            .unwrap_or_default()
        {
            for generation in projection["generations"].as_array().unwrap() {
                for store in generation["stores"].as_array().unwrap() {
                    for partition in store["partitions"].as_array().unwrap() {
                        let name = projection["name"].as_str().unwrap().to_owned();
                        all.push((
                            name,
                            store["store"].as_str().unwrap().to_owned(),
                            partition.clone(),
                        ));
                    }
                }
            }
        }
        all
    }

    /// The sum of a counter over all its labels that contain `label`.
    pub(crate) fn counter(&self, name: &str, label: &str) -> f64 {
        let (_, body) = self.get("/metrics").unwrap();
        body.lines()
            .filter(|line| {
                line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
            })
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a command of the program against this instance.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_viewfold"))
            .args(arguments)
            .current_dir(self.log.parent().unwrap_or(Path::new(".")))
            .env("VIEWFOLD_ADMIN_URL", format!("http://{}", self.admin))
            .output()
            .unwrap()
    }
}

/// Publishes to one topic.
pub(crate) struct Publisher {
    topic: String,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Publisher {
    pub(crate) fn new(topic: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", server("VIEWFOLD_TEST_KAFKA"))
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self {
            topic: topic.to_owned(),
            producer,
        }
    }

    pub(crate) fn send(&self, key: &str, value: &str) {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(value);
        while let Err((_, back)) = self.producer.send(record) {
            std::thread::sleep(Duration::from_millis(2));
            record = back;
        }
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }
}

/// Waits until `done`; fails with `what` after `limit`.
pub(crate) async fn wait_until(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every partition that `instance` knows of is at its end, and `records` lie below.
pub(crate) async fn caught_up(instance: &Instance, records: i64, limit: Duration) {
    let mut last = Vec::new();
    let deadline = Instant::now() + limit;
    loop {
        let partitions = instance.partitions();
        let mut ends: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for (_, _, at) in &partitions {
            let name = (
                at["topic"].as_str().unwrap().to_owned(),
                at["partition"].as_i64().unwrap(),
            );
            let end = ends.entry(name).or_default();
            *end = (*end).max(at["end"].as_i64().unwrap_or(0));
        }
        let reached = |at: &Value| at["position"].is_i64() && at["position"] == at["end"];
        if ends.values().sum::<i64>() >= records
            && !partitions.is_empty()
            && partitions.iter().all(|(_, _, at)| reached(at))
        {
            return;
        }
        last = if partitions.is_empty() {
            last
        } else {
            partitions
        };
        assert!(
            Instant::now() < deadline,
            "not caught up within {limit:?}: {last:#?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A Redis of a test's own, that it may stop. It keeps its data in an append-only file.
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            child: None,
        };
        server.restart();
        server
    }

    /// A new, empty server on the port of one that was stopped.
    pub(crate) fn start_at(other: &Self) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port: other.port,
            child: None,
        };
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn restart(&mut self) {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let client = redis::Client::open(self.url()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let answers = |client: &redis::Client| {
            client.get_connection().is_ok_and(|mut connection| {
                redis::cmd("PING").query::<String>(&mut connection).is_ok()
            })
        };
        while !answers(&client) {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
