use super::*;

const TICK: Duration = Duration::from_millis(250);

/// A store that writes so many records per second, and what waits for it.
struct World {
    capacity: f64,
    live_flow: f64,
    live_waiting: f64,
    done: f64,
    /// The build's rate as the board shows it: a mean of about five seconds, looked at once a second.
    measured: f64,
    second: f64,
    failures: u64,
    clock: Instant,
    ticks: u32,
    governor: Governor,
    max_rate: Option<f64>,
    paused: bool,
}

impl World {
    fn new(capacity: f64, live_flow: f64) -> Self {
        Self {
            capacity,
            live_flow,
            live_waiting: 0.0,
            done: 0.0,
            measured: 0.0,
            second: 0.0,
            failures: 0,
            clock: Instant::now(),
            ticks: 0,
            governor: Governor::default(),
            max_rate: None,
            paused: false,
        }
    }

    fn live_lag(&self) -> f64 {
        self.live_waiting / self.live_flow
    }

    fn tick(&mut self) -> Limit {
        let inputs = Inputs {
            live_lag: self.live_lag(),
            store_unreachable: false,
            store_failures: self.failures,
            measured: self.measured,
            max_rate: self.max_rate,
            live_lag_target: 1.0,
            paused: self.paused,
        };
        let limit = self.governor.decide(inputs, self.clock);
        self.clock += TICK;
        self.ticks += 1;
        let seconds = TICK.as_secs_f64();
        let capacity = self.capacity * seconds;
        // The worst case: what the build sends is written first.
        let built = (limit.rate.unwrap_or(f64::INFINITY) * seconds).min(0.95 * capacity);
        let live = self.live_waiting + self.live_flow * seconds;
        self.live_waiting = (live - (capacity - built)).max(0.0);
        self.done += built;
        self.second += built;
        if self.ticks.is_multiple_of(4) {
            self.measured += 0.3 * (self.second - self.measured);
            self.second = 0.0;
        }
        limit
    }

    fn run(&mut self, seconds: u32) -> Vec<Limit> {
        (0..seconds * 4).map(|_| self.tick()).collect()
    }
}

#[test]
fn the_governor_backs_off_within_five_seconds_and_live_views_recover_while_the_build_goes_on_i7() {
    let mut world = World::new(50_000.0, 10_000.0);
    let mut behind_for = 0;
    let mut worst = 0;
    for _ in 0..4 * 600 {
        world.tick();
        let behind = world.live_lag() > 1.0;
        behind_for = if behind { behind_for + 1 } else { 0 };
        worst = worst.max(behind_for);
    }
    assert!(worst <= 5 * 4, "live views were behind for {worst} ticks");
    assert!(world.done / 600.0 > 15_000.0, "{}", world.done / 600.0);
}

#[test]
fn a_store_that_becomes_slower_is_noticed_within_five_seconds_i7() {
    let mut world = World::new(50_000.0, 10_000.0);
    world.run(60);
    world.capacity = 20_000.0;
    let mut over = None;
    let mut recovered = None;
    for tick in 0..4 * 60 {
        world.tick();
        if world.live_lag() > 1.0 {
            over = over.or(Some(tick));
        } else if over.is_some() {
            recovered = recovered.or(Some(tick));
        }
    }
    assert!(
        recovered.unwrap() - over.unwrap() <= 5 * 4,
        "{over:?} {recovered:?}"
    );
    let done = world.done;
    world.run(120);
    let rate = (world.done - done) / 120.0;
    assert!((2_000.0..=10_500.0).contains(&rate), "{rate}");
}

#[test]
fn live_lag_halves_at_most_twice_a_second_and_never_below_the_floor() {
    let mut world = World::new(50_000.0, 10_000.0);
    world.live_waiting = 1e9;
    let limits = world.run(10);
    let rates: Vec<f64> = limits.iter().filter_map(|limit| limit.rate).collect();
    assert_eq!(rates[0], FIRST / 2.0);
    assert_eq!(rates[1], FIRST / 2.0);
    assert_eq!(rates[2], FIRST / 4.0);
    assert_eq!(rates[39], FLOOR);
    assert!(limits.iter().all(|limit| limit.reason == "live lag"));
}

#[test]
fn a_failing_store_stops_the_build_at_once_until_it_was_calm_for_a_second() {
    let mut world = World::new(50_000.0, 1_000.0);
    let before = world.run(4).last().unwrap().rate.unwrap();
    world.failures += 1;
    assert_eq!(world.tick(), Limit::stop("store"));
    let limits = world.run(2);
    let stopped = limits
        .iter()
        .filter(|limit| limit.rate == Some(0.0))
        .count();
    assert_eq!(stopped, 3, "{limits:?}");
    let after = limits[3];
    assert_eq!(after.reason, "store");
    assert!(after.rate.unwrap() <= before / 4.0);
    assert!(after.rate.unwrap() >= FLOOR);
    assert!(world.run(20).last().unwrap().rate > after.rate);
}

#[test]
fn a_build_starts_slowly_and_is_not_limited_where_nobody_minds() {
    let mut world = World::new(30_000.0, 0.001);
    let limits = world.run(30);
    assert_eq!(limits[0].rate, Some(FIRST));
    assert_eq!(limits[0].reason, "slow start");
    let second = limits[4].rate.unwrap();
    assert!((second - 2.0 * FIRST).abs() < 1.0, "{second}");
    let last = limits.last().unwrap();
    assert_eq!((last.rate, last.reason), (None, "none"));
}

#[test]
fn the_operators_most_is_never_exceeded() {
    let mut world = World::new(30_000.0, 1_000.0);
    world.max_rate = Some(700.0);
    let limits = world.run(60);
    assert!(limits.iter().all(|limit| limit.rate == Some(700.0)));
    assert!(limits.iter().all(|limit| limit.reason == "max rate"));
}

#[test]
fn a_paused_build_stands_still_and_goes_on_where_it_was() {
    let mut world = World::new(30_000.0, 1_000.0);
    world.run(3);
    world.paused = true;
    assert_eq!(world.tick(), Limit::stop("paused"));
    world.run(30);
    world.paused = false;
    assert!(world.tick().rate.unwrap() >= 4.0 * FIRST);
}

#[test]
fn instances_share_the_most_rate_by_what_they_have_left() {
    assert_eq!(share_of(1000, 3, 4), 750.0);
    assert_eq!(share_of(1000, 1, 4), 250.0);
    assert_eq!(share_of(1000, 0, 0), 1000.0);
    // What the others report may be older than what is known here.
    assert_eq!(share_of(1000, 4, 2), 1000.0);
}
