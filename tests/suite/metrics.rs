//! The metrics that dashboards and alert rules are written against.
#![cfg(test)]

use std::collections::BTreeMap;

use viewfold::position::TopicPartition;
use viewfold::telemetry::{self, TrackLabels, metrics};

/// Name and labels of every metric of the contract.
const PINNED: &str = "
build_info{version}
projection_info{generation,projection,role,store}
events_processed_total{outcome,projection,role,store}
records_fetched_total{partition,topic}
records_decoded_total{partition,topic}
batch_apply_duration_seconds{projection,role,store}
event_time_to_visible_seconds{projection,role,store}
oldest_unapplied_timestamp_seconds{partition,projection,role,store,topic}
lag_records{partition,projection,role,store,topic}
applied_position{partition,projection,role,store,topic}
log_end_position{partition,topic}
log_start_position{partition,topic}
heartbeat_timestamp_seconds{loop}
inflight_bytes{}
inflight_limit_bytes{}
stalled{projection,reason,store}
store_operations_total{op,result,store}
store_operation_duration_seconds{op,store}
store_pool_connections{state,store}
retries_total{class,projection,store}
deadlocks_retried_total{store}
dead_letters{projection}
parked_keys{projection}
rebalances_total{kind}
fenced_writes_total{store}
rebuild_records_target{projection}
rebuild_records_done{projection}
rebuild_rate_limit{projection}
rebuild_state{projection,state}
definition_changed{projection}
http_server_request_duration_seconds{http_request_method,http_response_status_code,http_route}
consistency_wait_seconds{result}
";

fn touch_everything() {
    let m = metrics();
    let partition = TopicPartition::new("pinned", 0);
    telemetry::pipeline_started("pinned", "postgres", "live");
    telemetry::partition_gained(&partition);
    telemetry::heartbeat("pinned");
    m.projection_info
        .with_label_values(&["pinned", "1", "postgres", "live"])
        .set(1);
    telemetry::track_at(track(&partition), 1, 1, Some(1.0));
    m.log_end_position
        .with_label_values(&["pinned", "0"])
        .set(1);
    m.log_start_position
        .with_label_values(&["pinned", "0"])
        .set(1);
    m.inflight_bytes.with_label_values::<&str>(&[]).set(1);
    m.inflight_limit_bytes.with_label_values::<&str>(&[]).set(1);
    m.stalled
        .with_label_values(&["pinned", "redis", "r"])
        .set(1);
    m.store_operations
        .with_label_values(&["redis", "a", "ok"])
        .inc();
    m.store_operation_duration
        .with_label_values(&["redis", "a"])
        .observe(1.0);
    m.store_pool_connections
        .with_label_values(&["redis", "idle"])
        .set(1);
    m.dead_letters.with_label_values(&["pinned"]).set(1);
    m.parked_keys.with_label_values(&["pinned"]).set(1);
    m.definition_changed.with_label_values(&["pinned"]).set(1);
    m.rebuild_records_target
        .with_label_values(&["pinned"])
        .set(1);
    m.rebuild_records_done.with_label_values(&["pinned"]).set(1);
    m.rebuild_rate_limit.with_label_values(&["pinned"]).set(1.0);
    m.rebuild_state
        .with_label_values(&["pinned", "building"])
        .set(1);
    m.http_request_duration
        .with_label_values(&["GET", "/", "200"])
        .observe(1.0);
}

fn track(partition: &TopicPartition) -> TrackLabels<'_> {
    TrackLabels {
        projection: "pinned",
        store: "postgres",
        role: "live",
        partition,
    }
}

/// Every `viewfold_` metric of the rendered text with its labels, sorted.
fn rendered() -> BTreeMap<String, String> {
    let text = telemetry::render();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE viewfold_")?.split(' ').next())
        .collect();
    let mut found = BTreeMap::new();
    for name in names {
        let sample = text
            .lines()
            .find(|line| {
                let rest = line
                    .strip_prefix("viewfold_")
                    .and_then(|l| l.strip_prefix(name));
                rest.is_some_and(|r| r.starts_with(['{', ' ', '_']))
            })
            .unwrap();
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest);
        let mut labels: Vec<&str> = labels
            .split("\",")
            .filter_map(|part| part.split_once("=\"").map(|(label, _)| label))
            .filter(|label| *label != "le")
            .collect();
        labels.sort_unstable();
        found.insert(name.to_owned(), labels.join(","));
    }
    found
}

#[test]
fn metric_names_and_labels_are_those_of_the_contract() {
    touch_everything();
    let pinned: BTreeMap<String, String> = PINNED
        .split_whitespace()
        .map(|line| {
            let (name, labels) = line.trim_end_matches('}').split_once('{').unwrap();
            (name.to_owned(), labels.to_owned())
        })
        .collect();
    assert_eq!(rendered(), pinned);
}

#[test]
fn counters_start_at_zero_and_gauges_are_absent_until_known_and_after_the_partition_was_lost() {
    let partition = TopicPartition::new("gauges", 3);
    telemetry::pipeline_started("gauges", "redis", "building");
    let labels = r#"projection="gauges",role="building",store="redis""#;
    let text = telemetry::render();
    for outcome in telemetry::names::OUTCOMES {
        let line = format!("viewfold_events_processed_total{{outcome=\"{outcome}\",{labels}}} 0");
        assert!(text.contains(&line), "{line}");
    }
    let gauges = TrackLabels {
        projection: "gauges",
        store: "redis",
        role: "building",
        partition: &partition,
    };
    let count = || telemetry::render().matches("topic=\"gauges\"").count();
    assert_eq!(count(), 0);
    telemetry::track_at(gauges, 7, 3, Some(1.0));
    metrics()
        .log_end_position
        .with_label_values(&["gauges", "3"])
        .set(10);
    assert_eq!(count(), 4);
    telemetry::track_at(gauges, 10, 0, None);
    assert_eq!(count(), 3, "nothing is unapplied any more");
    telemetry::track_lost(gauges);
    telemetry::partition_lost(&partition);
    assert_eq!(count(), 0);
}
