//! Publishes a stream of shop orders, and says what the shipped views must hold afterwards.
//!
//! ```text
//! shop create  --brokers localhost:9092 --partitions 6
//! shop produce --brokers localhost:9092 --seed 1 --events 10000 --rate 500 --duplicates 0.01 --late 0.01
//! shop expect customer_orders --seed 1 --events 10000 --columns customer_id,orders,spent
//! ```

mod expect;
mod stream;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use stream::{Shape, Stream};

#[derive(Parser)]
#[command(about = "A stream of shop orders for trying viewfold")]
struct Shop {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Creates the topic where it is missing.
    Create {
        #[command(flatten)]
        topic: Topic,
        /// How many partitions a new topic gets.
        #[arg(long, default_value_t = 6)]
        partitions: i32,
    },
    /// Publishes the stream.
    Produce {
        #[command(flatten)]
        topic: Topic,
        #[command(flatten)]
        choice: Choice,
        /// Events per second; 0 is as fast as the broker takes them.
        #[arg(long, default_value_t = 0)]
        rate: u64,
    },
    /// Prints the rows that a shipped view must hold after the stream: JSON lines, or chosen
    /// columns joined by `|`.
    Expect {
        /// `orders`, `customer_orders` or `product_sales`.
        view: String,
        #[command(flatten)]
        choice: Choice,
        /// Comma-separated columns.
        #[arg(long, value_delimiter = ',')]
        columns: Vec<String>,
    },
}

#[derive(Args)]
struct Topic {
    /// Comma-separated `host:port`.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "localhost:9092")]
    brokers: String,
    /// The topic's name.
    #[arg(long, default_value = "orders")]
    topic: String,
}

#[derive(Args)]
struct Choice {
    /// The same seed gives the same stream.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many events.
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    /// How many customers there are.
    #[arg(long, default_value_t = 2_000)]
    customers: u64,
    /// How many products there are.
    #[arg(long, default_value_t = 300)]
    products: u64,
    /// The share of events that are published twice, 0…1.
    #[arg(long, default_value_t = 0.0)]
    duplicates: f64,
    /// The share of events that are published late, 0…1.
    #[arg(long, default_value_t = 0.0)]
    late: f64,
    /// Seconds since the epoch at which the stream's own time begins.
    #[arg(long, default_value_t = 1_795_000_000)]
    start: i64,
}

impl Choice {
    fn stream(&self) -> impl Iterator<Item = stream::ShopEvent> {
        let shape = Shape {
            seed: self.seed,
            customers: self.customers,
            products: self.products,
            duplicates: self.duplicates,
            late: self.late,
            start: self.start,
        };
        Stream::new(shape).take(usize::try_from(self.events).unwrap_or(usize::MAX))
    }
}

fn main() -> anyhow::Result<()> {
    match Shop::parse().action {
        Action::Create { topic, partitions } => create(&topic, partitions),
        Action::Produce {
            topic,
            choice,
            rate,
        } => produce(&topic, &choice, rate),
        Action::Expect {
            view,
            choice,
            columns,
        } => expect(&view, &choice, &columns),
    }
}

fn create(topic: &Topic, partitions: i32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", &topic.brokers)
        .create()?;
    let new = NewTopic::new(&topic.topic, partitions, TopicReplication::Fixed(1));
    let made = runtime.block_on(admin.create_topics([&new], &AdminOptions::new()))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, error)) => anyhow::bail!("topic {name} could not be created: {error}"),
        }
    }
    Ok(())
}

fn produce(topic: &Topic, choice: &Choice, rate: u64) -> anyhow::Result<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &topic.brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("compression.type", "zstd")
        .set("partitioner", "murmur2_random")
        .create()?;
    let started = Instant::now();
    for (sent, event) in (0u64..).zip(choice.stream()) {
        if rate > 0 {
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        let payload = serde_json::to_vec(&event.value)?;
        let mut record = BaseRecord::to(&topic.topic)
            .key(&event.customer)
            .payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("publishing failed");
            }
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }
    producer
        .flush(Duration::from_secs(60))
        .context("not everything was published within 60 s")?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("published {} events in {seconds:.1} s", choice.events);
    Ok(())
}

fn expect(view: &str, choice: &Choice, columns: &[String]) -> anyhow::Result<()> {
    let mut expected = expect::Expected::default();
    for event in choice.stream() {
        expected.apply(&event);
    }
    let rows = expected
        .rows(view)
        .with_context(|| format!("there is no shipped view `{view}`"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for row in rows.values() {
        if columns.is_empty() {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
            continue;
        }
        let texts: Vec<String> = columns
            .iter()
            .map(|column| match row.get(column.as_str()) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            })
            .collect();
        writeln!(out, "{}", texts.join("|"))?;
    }
    out.flush()?;
    Ok(())
}
