//! The governor: how fast a build may catch up on this instance, so that live views do not notice (I7).
//!
//! | what is seen | the limit | its reason |
//! |---|---|---|
//! | an operator paused the build | 0 | `paused` |
//! | a store that it writes to fails | 0 at once; after a second of calm a quarter of what it was | `store` |
//! | live views are behind by more than the target | halved, at most twice a second | `live lag` |
//! | none of these, from the start on | doubles every second | `slow start` |
//! | none of these, after it was cut | grows by 5 % of the best rate per second | what cut it |
//! | the limit is far above what is read | none | `none` |
//! | the operator's most is below all that | that | `max rate` |

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::pipeline::{Board, Reason, Role, TrackName, TrackStatus};
use crate::projection::StoreKind;

/// Where a build begins, in records per second.
const FIRST: f64 = 5_000.0;
/// Live lag never brings a build to less, in records per second: it would not end.
const FLOOR: f64 = 50.0;
/// The least by which a limit grows, in records per second, every second.
const STEP: f64 = 500.0;
/// The same as a part of the best rate that was seen.
const STEP_PART: f64 = 0.05;
/// What a limit that is so many times above what is read does not limit.
const IDLE: f64 = 4.0;
/// How often live lag may halve the limit.
const HALVING: Duration = Duration::from_millis(500);
/// How long a store has to be well before the build goes on.
const CALM: Duration = Duration::from_secs(1);
/// For how long a limit must have been idle before it is lifted: rates are means of about five seconds.
const SETTLED: Duration = Duration::from_secs(5);
/// The longest time that one decision stands for: whoever slept longer must not jump.
const LONGEST: Duration = Duration::from_secs(2);

/// What the governor looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Inputs {
    /// For how long readers of the live views on this instance have been waiting, in seconds: the greatest.
    pub live_lag: f64,
    /// Whether a store that the build writes to cannot be reached.
    pub store_unreachable: bool,
    /// How many attempts to write to these stores have failed so far. What counts is that it grows.
    pub store_failures: u64,
    /// How fast the build is here, in records per second.
    pub measured: f64,
    /// This instance's share of what the operator allows, in records per second; unlimited when none.
    pub max_rate: Option<f64>,
    /// How far live views may be behind, in seconds.
    pub live_lag_target: f64,
    /// Whether an operator paused the build.
    pub paused: bool,
}

/// What the governor decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Records per second on this instance; unlimited when none.
    pub rate: Option<f64>,
    /// Why not more: `none`, `max rate`, `live lag`, `store`, `paused`, `slow start`.
    pub reason: &'static str,
}

/// Decides for one build on one instance. Meant to be asked a few times a second.
#[derive(Clone, Debug)]
pub(super) struct Governor {
    limit: f64,
    /// Why the limit is what it is.
    reason: &'static str,
    best: f64,
    last: Option<Instant>,
    halved: Option<Instant>,
    /// When a store failed last, while the build waits for it to be calm.
    failed: Option<Instant>,
    failures: Option<u64>,
    /// Since when the limit is far above what is read.
    idle_since: Option<Instant>,
}

impl Default for Governor {
    fn default() -> Self {
        Self {
            limit: FIRST,
            reason: SLOW_START,
            best: 0.0,
            last: None,
            halved: None,
            failed: None,
            failures: None,
            idle_since: None,
        }
    }
}

const SLOW_START: &str = "slow start";

impl Governor {
    /// What the build may read from now on.
    pub(super) fn decide(&mut self, inputs: Inputs, now: Instant) -> Limit {
        let elapsed = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        self.best = self.best.max(inputs.measured);
        self.note_failures(&inputs, now);
        if inputs.paused {
            return self.stop("paused");
        }
        if let Some(failed) = self.failed {
            if now.saturating_duration_since(failed) < CALM {
                return self.stop("store");
            }
            self.failed = None;
            self.cut(4.0, "store", &inputs);
        } else if inputs.live_lag > inputs.live_lag_target {
            self.back_off(&inputs, now);
        } else {
            self.grow(elapsed.min(LONGEST).as_secs_f64());
        }
        self.answer(&inputs, now)
    }

    /// Nothing is read, so nothing is learned about the limit.
    fn stop(&mut self, reason: &'static str) -> Limit {
        self.idle_since = None;
        Limit::stop(reason)
    }

    fn note_failures(&mut self, inputs: &Inputs, now: Instant) {
        let known = self.failures.replace(inputs.store_failures);
        if inputs.store_unreachable || known.is_some_and(|known| known < inputs.store_failures) {
            self.failed = Some(now);
        }
    }

    fn back_off(&mut self, inputs: &Inputs, now: Instant) {
        let may = |halved| now.saturating_duration_since(halved) >= HALVING;
        if self.halved.is_none_or(may) {
            self.halved = Some(now);
            self.cut(2.0, "live lag", inputs);
        }
    }

    /// Divides what is really read, so that a limit that was far above does not take long to come down to it.
    fn cut(&mut self, by: f64, reason: &'static str, inputs: &Inputs) {
        let read = inputs.measured.max(FIRST);
        self.limit = (self.limit.min(read) / by).max(FLOOR);
        self.reason = reason;
        self.idle_since = None;
    }

    fn grow(&mut self, seconds: f64) {
        // There is no use in a limit that nothing will ever reach, and much time to lose on the way back.
        let most = (2.0 * IDLE * self.best).max(64.0 * FIRST);
        let grown = if self.reason == SLOW_START {
            self.limit * seconds.exp2()
        } else {
            self.limit + seconds * (STEP_PART * self.best).max(STEP)
        };
        self.limit = grown.min(most);
    }

    fn answer(&mut self, inputs: &Inputs, now: Instant) -> Limit {
        let idle = self.limit > IDLE * inputs.measured.max(FIRST);
        let since = idle.then(|| self.idle_since.unwrap_or(now));
        self.idle_since = since;
        let lifted = since.is_some_and(|since| now.saturating_duration_since(since) >= SETTLED);
        let own = if lifted { None } else { Some(self.limit) };
        match (own, inputs.max_rate) {
            (own, Some(most)) if own.is_none_or(|own| most <= own) => Limit {
                rate: Some(most),
                reason: "max rate",
            },
            (Some(rate), _) => Limit {
                rate: Some(rate),
                reason: self.reason,
            },
            (None, _) => Limit {
                rate: None,
                reason: "none",
            },
        }
    }
}

impl Limit {
    const fn stop(reason: &'static str) -> Self {
        Self {
            rate: Some(0.0),
            reason,
        }
    }
}

/// What the board shows about a build and the live views beside it, for [`Governor::decide`]. The operator's part of it
/// (most rate, target, pause) is left unlimited. `now_ms` is in milliseconds since the epoch.
pub(super) fn inputs_from(
    board: &Board,
    build: Uuid,
    stores: &[StoreKind],
    now_ms: i64,
    now: Instant,
) -> Inputs {
    let tracks = board.tracks();
    let live = tracks
        .iter()
        .filter(|(_, status)| status.role == Role::Live.as_str() && status.stall.is_none());
    let live_lag = live
        .filter_map(|(_, status)| status.waiting_seconds(now_ms, now))
        .fold(0.0, f64::max);
    let unreachable = |(_, status): &&(TrackName, TrackStatus)| {
        let stall = status.stall.as_ref();
        stall.is_some_and(|stall| stall.reason == Reason::StoreUnreachable)
    };
    let store_unreachable = tracks
        .iter()
        .filter(|((key, _), _)| stores.contains(&key.store))
        .any(|track| unreachable(&track));
    let rate = |store: StoreKind| -> f64 {
        let tracks = tracks.iter();
        let own = tracks.filter(|((key, _), _)| key.build == build && key.store == store);
        own.map(|(_, status)| status.rate).sum()
    };
    Inputs {
        live_lag,
        store_unreachable,
        store_failures: stores
            .iter()
            .map(|store| board.store_failures(*store))
            .sum(),
        // Two stores of a build share what is read for them.
        measured: stores.iter().map(|store| rate(*store)).fold(0.0, f64::max),
        max_rate: None,
        live_lag_target: f64::INFINITY,
        paused: false,
    }
}

/// How many partitions of the build this instance has that have not been read to the end of the log.
pub(super) fn unfinished_here(board: &Board, build: Uuid) -> usize {
    let tracks = board.tracks();
    let unfinished = tracks
        .iter()
        .filter(|((key, _), status)| key.build == build && status.lag_records() != Some(0));
    let partitions = unfinished.map(|((_, partition), _)| partition);
    partitions.collect::<std::collections::BTreeSet<_>>().len()
}

/// One instance's share of the most rate of a build: as its part of the partitions that are not at the end of
/// the log yet. Whoever has none needs none, but may take what one partition would get when it falls behind.
pub(super) fn share_of(max_rate: u64, unfinished_here: usize, unfinished_everywhere: usize) -> f64 {
    let all = unfinished_everywhere.max(unfinished_here).max(1);
    max_rate as f64 * unfinished_here.max(1) as f64 / all as f64
}

#[cfg(test)]
mod tests;
