//! The metrics themselves: one field each, one registry.

use std::sync::OnceLock;

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::names;

const TRACK: [&str; 5] = ["projection", "store", "role", "topic", "partition"];
const PIPELINE: [&str; 3] = ["projection", "store", "role"];
const PARTITION: [&str; 2] = ["topic", "partition"];

/// Seconds; a call of a store takes from a fraction of a millisecond up to its 3 s time-out.
const STORE_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 5.0,
];
/// Seconds; from the normal fraction of a second to hours behind.
const VISIBLE_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0,
];
/// Seconds; the buckets that OpenTelemetry recommends for HTTP servers.
const HTTP_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Every metric, one field each. Names, labels and meanings: [`super::names`].
///
/// All are vectors, also those without labels, so that a gauge stays absent until it is set.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field is documented at its name in `names`"
)]
pub struct Metrics {
    pub projection_info: IntGaugeVec,
    pub events_processed: IntCounterVec,
    pub records_fetched: IntCounterVec,
    pub records_decoded: IntCounterVec,
    pub batch_apply_duration: HistogramVec,
    pub event_time_to_visible: HistogramVec,
    pub oldest_unapplied: GaugeVec,
    pub lag_records: IntGaugeVec,
    pub applied_position: IntGaugeVec,
    pub log_end_position: IntGaugeVec,
    pub log_start_position: IntGaugeVec,
    pub heartbeat: GaugeVec,
    pub inflight_bytes: IntGaugeVec,
    pub inflight_limit_bytes: IntGaugeVec,
    pub stalled: IntGaugeVec,
    pub store_operations: IntCounterVec,
    pub store_operation_duration: HistogramVec,
    pub store_pool_connections: IntGaugeVec,
    pub retries: IntCounterVec,
    pub deadlocks_retried: IntCounterVec,
    pub dead_letters: IntGaugeVec,
    pub parked_keys: IntGaugeVec,
    pub rebalances: IntCounterVec,
    pub fenced_writes: IntCounterVec,
    pub rebuild_records_target: IntGaugeVec,
    pub rebuild_records_done: IntGaugeVec,
    pub rebuild_rate_limit: GaugeVec,
    pub rebuild_state: IntGaugeVec,
    pub definition_changed: IntGaugeVec,
    pub http_request_duration: HistogramVec,
    pub consistency_wait: HistogramVec,
    registry: Registry,
}

/// The process's metrics.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants, proved valid by every test that reads a metric"
    )]
    METRICS.get_or_init(|| Metrics::new().expect("metric names are valid and unique"))
}

/// All metrics in Prometheus' text format.
pub fn render() -> String {
    let mut text = Vec::new();
    let families = metrics().registry.gather();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "failed to render metrics");
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Makes metrics and registers them.
struct Maker(Registry);

impl Maker {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn float_gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, labels))
    }
}

impl Metrics {
    #[rustfmt::skip] // One row per metric reads as a table.
    fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(registry.clone());
        let build_info = make.gauge(names::BUILD_INFO, "Version of the binary; always 1.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let metrics = Self {
            projection_info: make.gauge(names::PROJECTION_INFO, "Generations that run here; always 1.", &["projection", "generation", "store", "role"])?,
            events_processed: make.counter(names::EVENTS_PROCESSED, "Events by what became of them.", &["projection", "store", "role", "outcome"])?,
            records_fetched: make.counter(names::RECORDS_FETCHED, "Records read from the log, once for all projections.", &PARTITION)?,
            records_decoded: make.counter(names::RECORDS_DECODED, "Records decoded, once for all projections.", &PARTITION)?,
            batch_apply_duration: make.histogram(names::BATCH_APPLY_DURATION, "Duration of one atomic step of a store.", &PIPELINE, &STORE_BUCKETS)?,
            event_time_to_visible: make.histogram(names::EVENT_TIME_TO_VISIBLE, "From an event's own time until readers see it.", &PIPELINE, &VISIBLE_BUCKETS)?,
            oldest_unapplied: make.float_gauge(names::OLDEST_UNAPPLIED, "When the oldest unapplied record was written; absent when there is none.", &TRACK)?,
            lag_records: make.gauge(names::LAG_RECORDS, "Offsets between position and end of the partition (an upper bound of records).", &TRACK)?,
            applied_position: make.gauge(names::APPLIED_POSITION, "Stored position: the next offset to apply.", &TRACK)?,
            log_end_position: make.gauge(names::LOG_END_POSITION, "Position behind the last readable record.", &PARTITION)?,
            log_start_position: make.gauge(names::LOG_START_POSITION, "First offset that the partition holds.", &PARTITION)?,
            heartbeat: make.float_gauge(names::HEARTBEAT, "When a loop last came around.", &["loop"])?,
            inflight_bytes: make.gauge(names::INFLIGHT_BYTES, "Bytes of records read and not yet committed.", &[])?,
            inflight_limit_bytes: make.gauge(names::INFLIGHT_LIMIT_BYTES, "Bound of the bytes in flight.", &[])?,
            stalled: make.gauge(names::STALLED, "1 for every reason for which a projection stands still in a store.", &["projection", "store", "reason"])?,
            store_operations: make.counter(names::STORE_OPERATIONS, "Calls of a store by result.", &["store", "op", "result"])?,
            store_operation_duration: make.histogram(names::STORE_OPERATION_DURATION, "Duration of calls of a store.", &["store", "op"], &STORE_BUCKETS)?,
            store_pool_connections: make.gauge(names::STORE_POOL_CONNECTIONS, "Connections of a store's pool.", &["store", "state"])?,
            retries: make.counter(names::RETRIES, "Work done again, by kind of fault.", &["projection", "store", "class"])?,
            deadlocks_retried: make.counter(names::DEADLOCKS_RETRIED, "Deadlocks that a store broke and that were retried.", &["store"])?,
            dead_letters: make.gauge(names::DEAD_LETTERS, "Open dead letters.", &["projection"])?,
            parked_keys: make.gauge(names::PARKED_KEYS, "Keys that are held back.", &["projection"])?,
            rebalances: make.counter(names::REBALANCES, "What the consumer group told this instance.", &["kind"])?,
            fenced_writes: make.counter(names::FENCED_WRITES, "Batches refused because another owner holds the claim.", &["store"])?,
            rebuild_records_target: make.gauge(names::REBUILD_RECORDS_TARGET, "Records that a rebuild has to read.", &["projection"])?,
            rebuild_records_done: make.gauge(names::REBUILD_RECORDS_DONE, "Records that a rebuild has read.", &["projection"])?,
            rebuild_rate_limit: make.float_gauge(names::REBUILD_RATE_LIMIT, "Records per second that the governor allows a rebuild.", &["projection"])?,
            rebuild_state: make.gauge(names::REBUILD_STATE, "1 for the state that a rebuild is in.", &["projection", "state"])?,
            definition_changed: make.gauge(names::DEFINITION_CHANGED, "1 where a projection's file differs from what runs.", &["projection"])?,
            http_request_duration: make.histogram(names::HTTP_REQUEST_DURATION, "Duration of HTTP requests.", &["http_request_method", "http_route", "http_response_status_code"], &HTTP_BUCKETS)?,
            consistency_wait: make.histogram(names::CONSISTENCY_WAIT, "How long reads waited for the position they asked for.", &["result"], &HTTP_BUCKETS)?,
            registry,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Counters and histograms whose label values are known from the start begin at 0, so that the
    /// first increase is seen as one.
    fn start_at_zero(&self) {
        for kind in names::REBALANCE_KINDS {
            self.rebalances.with_label_values(&[kind]);
        }
        for store in names::STORES {
            self.fenced_writes.with_label_values(&[store]);
            self.deadlocks_retried.with_label_values(&[store]);
        }
        for result in names::WAIT_RESULTS {
            self.consistency_wait.with_label_values(&[result]);
        }
    }
}
