//! How far a build is: a pure function of what its tracks report.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One track of a build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackProgress {
    /// Where the build began to read.
    pub start: i64,
    /// Where it stands.
    pub position: i64,
    /// The end of the log.
    pub end: i64,
    /// Offsets per second that it moves.
    pub rate: f64,
    /// Offsets per second by which the log grows.
    pub growth: f64,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Offsets that have been read since its start.
    pub done: u64,
    /// Offsets from its start to the end of the log now.
    pub target: u64,
    /// Offsets per second.
    pub rate: f64,
    /// When it will be at the end, in seconds: what is left ÷ (rate − growth of the log); null while unknown or
    /// not converging; 0 when there.
    pub eta_seconds: Option<f64>,
    /// Whether it comes nearer to the end at all.
    pub converging: bool,
}

impl Progress {
    /// Of one store's tracks.
    pub fn of(tracks: &[TrackProgress]) -> Self {
        let sum = |of: fn(&TrackProgress) -> i64| -> u64 {
            let all = tracks
                .iter()
                .map(|track| u64::try_from(of(track)).unwrap_or(0));
            all.sum()
        };
        let done = sum(|track| track.position - track.start);
        let left = sum(|track| track.end - track.position);
        let rate = tracks.iter().fold(0.0, |sum, track| sum + track.rate);
        let growth = tracks.iter().fold(0.0, |sum, track| sum + track.growth);
        let gains = rate - growth;
        let converging = left == 0 || gains > 0.0;
        let eta_seconds = match left {
            0 => Some(0.0),
            _ if gains > 0.0 => Some(left as f64 / gains),
            _ => None,
        };
        Self {
            done,
            target: done + left,
            rate,
            eta_seconds,
            converging,
        }
    }

    /// Of two stores: the one that takes longer.
    pub fn slower(self, other: Self) -> Self {
        let left = |of: &Self| of.target - of.done.min(of.target);
        if left(&other) > left(&self) {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACK: TrackProgress = TrackProgress {
        start: 100,
        position: 200,
        end: 1100,
        rate: 100.0,
        growth: 10.0,
    };

    #[test]
    fn the_growth_of_the_log_is_taken_off() {
        let progress = Progress::of(&[TRACK]);
        assert_eq!((progress.done, progress.target), (100, 1000));
        assert_eq!(progress.eta_seconds, Some(10.0));
    }

    #[test]
    fn a_build_that_is_slower_than_the_log_does_not_converge() {
        let progress = Progress::of(&[TrackProgress {
            growth: 100.0,
            ..TRACK
        }]);
        assert!(!progress.converging);
        assert_eq!(progress.eta_seconds, None);
    }

    #[test]
    fn a_build_at_the_end_is_there_whatever_its_rate() {
        let progress = Progress::of(&[TrackProgress {
            position: 1100,
            rate: 0.0,
            ..TRACK
        }]);
        assert_eq!(progress.eta_seconds, Some(0.0));
        assert!(progress.converging);
    }
}
