//! How long a track may hold back the others of its partition before it falls out of the ring.

use std::time::Duration;

use tokio::time::Instant;

use super::spec::Role;

/// The span over which holding back is added up.
const HOLD_WINDOW: Duration = Duration::from_secs(60);

/// How long a track may hold back others within [`HOLD_WINDOW`].
const fn patience(role: Role) -> Duration {
    match role {
        Role::Live => Duration::from_secs(5),
        Role::Building | Role::Standby => Duration::from_secs(1),
    }
}

/// How long a track has held others back.
#[derive(Debug)]
pub(super) struct Hold {
    window: Instant,
    held: Duration,
    barred_until: Option<Instant>,
}

impl Hold {
    pub(super) fn new() -> Self {
        Self {
            window: Instant::now(),
            held: Duration::ZERO,
            barred_until: None,
        }
    }

    /// Whether the track may go on holding the others back, after it did so for `elapsed` more.
    pub(super) fn may_hold(&mut self, role: Role, elapsed: Duration, now: Instant) -> bool {
        if self.barred_until.is_some_and(|until| now < until) {
            return false;
        }
        if now - self.window > HOLD_WINDOW {
            self.window = now;
            self.held = Duration::ZERO;
        }
        self.held += elapsed;
        if self.held <= patience(role) {
            return true;
        }
        self.barred_until = Some(now + HOLD_WINDOW);
        self.held = Duration::ZERO;
        false
    }
}
