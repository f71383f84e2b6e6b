//! tmp
use crate::pipeline::{TrackName, TrackStatus};
use std::time::{Duration, Instant};
use uuid::Uuid;
#[derive(Debug, Default)]
pub struct Governor;
/// l
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// r
    pub rate: Option<f64>,
    /// r
    pub reason: &'static str,
}
pub(super) struct Surroundings {
    pub(super) partitions: usize,
}
pub(super) struct Inputs;
impl Governor {
    pub(super) fn decide(&mut self, _: Inputs, _: Instant) -> Limit {
        Limit {
            rate: None,
            reason: "none",
        }
    }
}
impl Surroundings {
    pub(super) fn of(_: &[(TrackName, TrackStatus)], _: Uuid) -> Self {
        Self { partitions: 1 }
    }
    pub(super) fn inputs(&self, _: Option<f64>, _: Duration, _: bool) -> Inputs {
        Inputs
    }
}
pub(super) fn share(most: u64, here: usize, all: usize) -> f64 {
    most as f64 * here as f64 / all.max(1) as f64
}
