//! Every metric name, label and label value that viewfold promises. Dashboards and alert rules are
//! written against these; a test pins them.

/// Version of the binary; always 1.
pub const BUILD_INFO: &str = "viewfold_build_info";
/// Which generations run here, and as what; always 1.
pub const PROJECTION_INFO: &str = "viewfold_projection_info";
/// Events by what became of them.
pub const EVENTS_PROCESSED: &str = "viewfold_events_processed_total";
/// Records read from the log, once per instance however many projections use them.
pub const RECORDS_FETCHED: &str = "viewfold_records_fetched_total";
/// Records decoded, once per instance however many projections use them.
pub const RECORDS_DECODED: &str = "viewfold_records_decoded_total";
/// How long one atomic step of a store takes.
pub const BATCH_APPLY_DURATION: &str = "viewfold_batch_apply_duration_seconds";
/// From an event's own time until readers see it.
pub const EVENT_TIME_TO_VISIBLE: &str = "viewfold_event_time_to_visible_seconds";
/// When the oldest record that is not yet applied was written.
pub const OLDEST_UNAPPLIED: &str = "viewfold_oldest_unapplied_timestamp_seconds";
/// Offsets between a track's position and the end of its partition.
pub const LAG_RECORDS: &str = "viewfold_lag_records";
/// A track's stored position: the next offset.
pub const APPLIED_POSITION: &str = "viewfold_applied_position";
/// The position behind a partition's last readable record.
pub const LOG_END_POSITION: &str = "viewfold_log_end_position";
/// The first offset that a partition still holds.
pub const LOG_START_POSITION: &str = "viewfold_log_start_position";
/// When a loop last came around.
pub const HEARTBEAT: &str = "viewfold_heartbeat_timestamp_seconds";
/// Bytes of records that are read and not yet committed.
pub const INFLIGHT_BYTES: &str = "viewfold_inflight_bytes";
/// The bound of [`INFLIGHT_BYTES`].
pub const INFLIGHT_LIMIT_BYTES: &str = "viewfold_inflight_limit_bytes";
/// 1 for every reason for which a projection stands still in a store.
pub const STALLED: &str = "viewfold_stalled";
/// Calls of a store by result.
pub const STORE_OPERATIONS: &str = "viewfold_store_operations_total";
/// How long calls of a store take.
pub const STORE_OPERATION_DURATION: &str = "viewfold_store_operation_duration_seconds";
/// Connections of a store's pool by state.
pub const STORE_POOL_CONNECTIONS: &str = "viewfold_store_pool_connections";
/// Work that was done again, by the kind of fault.
pub const RETRIES: &str = "viewfold_retries_total";
/// Deadlocks that a store broke and that were retried at once.
pub const DEADLOCKS_RETRIED: &str = "viewfold_deadlocks_retried_total";
/// Open dead letters.
pub const DEAD_LETTERS: &str = "viewfold_dead_letters";
/// Keys that are held back.
pub const PARKED_KEYS: &str = "viewfold_parked_keys";
/// What the consumer group told this instance.
pub const REBALANCES: &str = "viewfold_rebalances_total";
/// Batches refused because another owner holds the claim.
pub const FENCED_WRITES: &str = "viewfold_fenced_writes_total";
/// Records that a rebuild has to read.
pub const REBUILD_RECORDS_TARGET: &str = "viewfold_rebuild_records_target";
/// Records that a rebuild has read.
pub const REBUILD_RECORDS_DONE: &str = "viewfold_rebuild_records_done";
/// The rate that the governor allows a rebuild, in records per second.
pub const REBUILD_RATE_LIMIT: &str = "viewfold_rebuild_rate_limit";
/// 1 for the state that a rebuild is in.
pub const REBUILD_STATE: &str = "viewfold_rebuild_state";
/// 1 where a projection's file differs from what runs.
pub const DEFINITION_CHANGED: &str = "viewfold_definition_changed";
/// How long HTTP requests take.
pub const HTTP_REQUEST_DURATION: &str = "viewfold_http_server_request_duration_seconds";
/// How long reads waited for the position that they asked for.
pub const CONSISTENCY_WAIT: &str = "viewfold_consistency_wait_seconds";

/// What can become of an event: the values of the label `outcome`.
pub const OUTCOMES: [&str; 6] = [
    "applied",
    "duplicate",
    "filtered",
    "parked",
    "dead_lettered",
    "skipped",
];
/// What a generation is to its readers: the values of the label `role`.
pub const ROLES: [&str; 3] = ["live", "building", "standby"];
/// What the group can tell: the values of the label `kind`.
pub const REBALANCE_KINDS: [&str; 3] = ["assigned", "revoked", "lost"];
/// How a read that waited ended: the values of the label `result` of [`CONSISTENCY_WAIT`].
pub const WAIT_RESULTS: [&str; 3] = ["at_once", "waited", "not_caught_up"];
/// The values of the label `store`.
pub const STORES: [&str; 2] = ["postgres", "redis"];
