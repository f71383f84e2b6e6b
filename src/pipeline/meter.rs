//! A meter: how fast a position moves.

use std::time::{Duration, Instant};

use crate::position::Position;

/// Samples that follow sooner are left out: the clock's jitter would show.
const SOONEST: Duration = Duration::from_millis(200);
/// What one sample counts for, beside those before it: with one a second, the last five make five sixths.
const WEIGHT: f64 = 0.3;
/// Below so many offsets per second, a position that does not move stands still.
const STILL: f64 = 0.5;

/// How fast a position moves, in offsets per second, over about the last five seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    speed: f64,
    samples: u32,
    last: Option<(Instant, Position)>,
}

impl Meter {
    /// Looks at the position, about once a second; answers its speed. The first samples count alike, so that
    /// the speed is right from the start.
    pub(super) fn sample(&mut self, now: Instant, position: Position) -> f64 {
        if let Some((at, before)) = self.last {
            let elapsed = now.saturating_duration_since(at);
            if elapsed < SOONEST {
                return self.speed;
            }
            let speed = before.distance_to(position) as f64 / elapsed.as_secs_f64();
            self.samples = self.samples.saturating_add(1);
            let weight = WEIGHT.max(1.0 / f64::from(self.samples));
            self.speed += weight * (speed - self.speed);
            if speed == 0.0 && self.speed < STILL {
                self.speed = 0.0;
            }
        }
        self.last = Some((now, position));
        self.speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(meter: &mut Meter, from: Instant, speeds: &[i64]) -> f64 {
        let (mut now, mut offset) = (from, meter.last.map_or(0, |(_, at)| at.offset()));
        let mut speed = meter.sample(now, Position::at(offset));
        for by in speeds {
            now += Duration::from_secs(1);
            offset += by;
            speed = meter.sample(now, Position::at(offset));
        }
        speed
    }

    #[test]
    fn a_steady_speed_is_known_at_once_and_a_new_one_within_five_seconds() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        assert_eq!(run(&mut meter, start, &[1000]), 1000.0);
        let later = start + Duration::from_secs(1);
        let speed = run(&mut meter, later, &[2000; 5]);
        assert!((1750.0..=2000.0).contains(&speed), "{speed}");
    }

    #[test]
    fn what_stands_still_has_no_speed_after_a_while() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        run(&mut meter, start, &[10; 10]);
        let later = start + Duration::from_secs(10);
        assert_eq!(run(&mut meter, later, &[0; 20]), 0.0);
    }
}
