//! Telemetry: every metric and its name, logs, and the heartbeats of our own loops.
//!
//! Counters and histograms start at 0 ([`pipeline_started`], [`partition_gained`]); gauges are
//! absent until they are known and after their partition was lost ([`track_lost`],
//! [`partition_lost`]), so that nobody mistakes an old figure for a current one (I14).
//!
//! **Architecture invariant:** labels never come from payloads.

mod heartbeat;
mod logs;
mod metrics;
pub mod names;
mod partitions;

pub use heartbeat::{LoopHealth, heartbeat, loop_ended, loop_started, loops};
pub use logs::{LogFormat, check_filter, init};
pub use metrics::{Metrics, metrics, render};
pub use partitions::{
    TrackLabels, partition_gained, partition_lost, pipeline_started, track_at, track_lost,
};
