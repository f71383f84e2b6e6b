//! One deployment of the real program: its own topics, group, schemas and key prefix.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::PgPool;

use super::instance::{Instance, Launch};
use super::{Publisher, server};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A number that nothing else in this process has.
pub(super) fn unique() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A deployment; its instances end with it.
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) folder: tempfile::TempDir,
    /// Where the tests look into Postgres: always the server itself.
    pub(crate) pool: PgPool,
    /// Where the tests look into Redis.
    pub(crate) redis: redis::Client,
    /// Where instances find Redis.
    pub(crate) redis_url: String,
    /// Where instances find Postgres.
    pub(crate) postgres_url: String,
    /// Where instances find Kafka.
    pub(crate) brokers: String,
    /// Where tests publish and administer: the broker itself.
    pub(crate) kafka: String,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Deployment {
    /// A deployment with a topic of `partitions` and these projections; `TOPIC` in a definition
    /// stands for the topic's name.
    pub(crate) async fn new(partitions: i32, projections: &[(&str, &str)]) -> Self {
        Self::on(&server("VIEWFOLD_TEST_KAFKA"), partitions, projections).await
    }

    /// The same on another broker than the usual one.
    pub(crate) async fn on(kafka: &str, partitions: i32, projections: &[(&str, &str)]) -> Self {
        // Servers may be older than the system's process numbers.
        let name = format!("t{:08x}_{}", rand::random::<u32>(), unique());
        let topic = format!("{name}.orders");
        let postgres_url = server("VIEWFOLD_TEST_POSTGRES");
        let pool = PgPool::connect(&postgres_url).await.unwrap();
        let redis_url = server("VIEWFOLD_TEST_REDIS");
        let deployment = Self {
            folder: tempfile::tempdir().unwrap(),
            pool,
            redis: redis::Client::open(redis_url.clone()).unwrap(),
            redis_url,
            postgres_url,
            brokers: kafka.to_owned(),
            kafka: kafka.to_owned(),
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

    /// A folder of definitions beside the usual one, for instances of another version.
    pub(crate) fn other_projections(&self, folder: &str, projections: &[(&str, &str)]) -> PathBuf {
        let path = self.folder.path().join(folder);
        std::fs::create_dir(&path).unwrap();
        for (name, text) in projections {
            let text = text.replace("TOPIC", &self.topic);
            std::fs::write(path.join(format!("{name}.toml")), text).unwrap();
        }
        path
    }

    /// Sets a variable for the instances that start from here on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Starts an instance. Its listeners are on ports of its own.
    pub(crate) fn start(&self) -> Instance {
        self.launch().start()
    }

    /// An instance that is told more than the others.
    pub(crate) fn launch(&self) -> Launch<'_> {
        Launch::new(self)
    }

    pub(crate) fn views_schema(&self) -> String {
        format!("{}_views", self.name)
    }

    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::new(&self.kafka, &self.topic)
    }
}

/// `url` with `address` in the place of its server: the way through a proxy.
pub(crate) fn through(url: &str, address: std::net::SocketAddr) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{user}@{address}{path}"),
        None => format!("{scheme}://{address}{path}"),
    }
}

/// The server that `url` names.
pub(crate) fn address_of(url: &str) -> std::net::SocketAddr {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap();
    let host = authority.rsplit('@').next().unwrap();
    std::net::ToSocketAddrs::to_socket_addrs(host)
        .unwrap()
        .next()
        .unwrap()
}
