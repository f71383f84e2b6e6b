//! Generations that are built beside live ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use viewfold::pipeline::{Board, Pace, PipelineKey, PipelineSpec, Role};
use viewfold::projection::StoreKind;
use viewfold::store::ViewStore;
use viewfold::store::memory::MemoryStore;
use viewfold::telemetry;

use super::{PATIENCE, World, expected, partition, positions};

const GRACE: Duration = Duration::from_secs(5);

fn append(world: &World, from: usize, to: usize) {
    let partitions = usize::try_from(world.partitions).unwrap();
    for event in from..to {
        let number = i32::try_from(event % partitions).unwrap();
        world.append(number, event % 30, event % 97);
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The roles under which the projection's positions are published.
fn published_roles(projection: &str, metric: &str) -> Vec<&'static str> {
    let text = telemetry::render();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(&format!("viewfold_{metric}{{")))
        .filter(|line| line.contains(&format!(r#"projection="{projection}""#)))
        .collect();
    let has = |role: &&str| {
        let label = format!(r#"role="{role}""#);
        lines.iter().any(|line| line.contains(&label))
    };
    ["live", "building", "standby"]
        .into_iter()
        .filter(has)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pipeline_changes_its_role_without_being_claimed_again() {
    let world = World::named("changes_roles", 2).await;
    let (engine, board) = world.idle_engine().await;
    let mut events = 0;
    for role in [Role::Building, Role::Live, Role::Standby, Role::Live] {
        engine.set_pipelines(vec![world.spec(&world.generation, role)]);
        append(&world, events, events + 300);
        events += 300;
        world.caught_up().await;
        until("old labels go", || {
            published_roles("changes_roles", "applied_position") == [role.as_str()]
                && published_roles("changes_roles", "projection_info") == [role.as_str()]
        })
        .await;
        let tracks = board.tracks();
        assert!(
            tracks
                .iter()
                .all(|(_, status)| status.role == role.as_str())
        );
    }
    let cursors = world.store.cursors(&world.generation).await.unwrap();
    assert!(cursors.unwrap().iter().all(|cursor| cursor.epoch == 1));
    assert_eq!(world.sums(30).await, expected(30, events));
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_live_positions_are_hinted_to_the_group_i7() {
    let world = World::new(1).await;
    append(&world, 0, 500);
    let next = world.next_generation(2).await;
    let (engine, _) = world.idle_engine().await;
    let building = world.spec(&next, Role::Building);
    building.pace.set(Some(0.0));
    engine.set_pipelines(vec![world.spec(&world.generation, Role::Live), building]);
    world.caught_up().await;
    until("the live position is hinted", || {
        let committed = world.source.committed(&partition(0));
        committed.is_some_and(|at| at.offset() == 500)
    })
    .await;
    assert_eq!(positions(&world.store, &next).await, [0]);
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_build_gets_nothing_while_live_views_go_on_i7() {
    let world = World::new(2).await;
    let next = world.next_generation(2).await;
    let live = world.spec(&world.generation, Role::Live);
    let building = world.spec(&next, Role::Building);
    let paused = PipelineSpec {
        paused: true,
        ..building.clone()
    };
    let (engine, board) = world.idle_engine().await;
    append(&world, 0, 1000);
    engine.set_pipelines(vec![live.clone(), building.clone()]);
    world.reached_the_end(&world.store, &next).await;
    world.caught_up().await;
    engine.set_pipelines(vec![live.clone(), paused]);
    // Far more than the ring holds: it must not wait for the paused ones.
    append(&world, 1000, 40_000);
    world.caught_up().await;
    let sum: i64 = positions(&world.store, &next).await.iter().sum();
    // At most what was handed out before the engine heard of the pause.
    assert!(sum < 40_000, "{sum}");
    append(&world, 40_000, 41_000);
    world.caught_up().await;
    assert_eq!(
        positions(&world.store, &next).await.iter().sum::<i64>(),
        sum
    );
    let stalls = board
        .tracks()
        .into_iter()
        .filter(|(_, s)| s.stall.is_some());
    assert_eq!(stalls.count(), 0);
    engine.set_pipelines(vec![live, building]);
    world.reached_the_end(&world.store, &next).await;
    let sums = world.sums_of(&world.store, &next, 30).await;
    assert_eq!(sums, expected(30, 41_000));
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_keeps_its_pace_for_all_of_its_stores_together_and_live_views_do_not_wait_i7() {
    let world = World::new(3).await;
    append(&world, 0, 3000);
    let next = world.next_generation(2).await;
    let other = Arc::new(MemoryStore::new(StoreKind::Redis));
    let starts: Vec<_> = (0..3)
        .map(|number| (partition(number), viewfold::position::Position::ZERO))
        .collect();
    other.create(&next, &starts).await.unwrap();
    let first = world.spec(&next, Role::Building);
    first.pace.set(Some(1500.0));
    let second = PipelineSpec {
        key: PipelineKey {
            store: StoreKind::Redis,
            ..first.key
        },
        store: Arc::clone(&other) as Arc<dyn ViewStore>,
        ..first.clone()
    };
    let (engine, _) = world.idle_engine().await;
    // The live view goes first, so that all records lie in its ring.
    let live = world.spec(&world.generation, Role::Live);
    engine.set_pipelines(vec![live.clone()]);
    world.caught_up().await;
    let started = Instant::now();
    engine.set_pipelines(vec![live, first, second]);
    append(&world, 3000, 3300);
    world.caught_up().await;
    let live_took = started.elapsed();
    world.reached_the_end(&world.store, &next).await;
    world.reached_the_end(&other, &next).await;
    let took = started.elapsed().as_secs_f64();
    // 3,000 at 1,500 a second; what is appended then may come as part of the head.
    assert!((1.6..12.0).contains(&took), "{took}");
    assert!(live_took.as_secs_f64() < took / 2.0, "{live_took:?}");
    let sums = world.sums_of(&other, &next, 30).await;
    assert_eq!(sums, expected(30, 3300));
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_stores_of_a_build_the_one_that_fell_behind_is_served_first() {
    let world = World::new(1).await;
    append(&world, 0, 12_000);
    let next = world.next_generation(2).await;
    let other = Arc::new(MemoryStore::new(StoreKind::Redis));
    let start = [(partition(0), viewfold::position::Position::ZERO)];
    other.create(&next, &start).await.unwrap();
    let first = world.spec(&next, Role::Building);
    first.pace.set(Some(3000.0));
    let second = PipelineSpec {
        key: PipelineKey {
            store: StoreKind::Redis,
            ..first.key
        },
        store: Arc::clone(&other) as Arc<dyn ViewStore>,
        ..first.clone()
    };
    let paused = PipelineSpec {
        paused: true,
        ..second.clone()
    };
    let (engine, _) = world.idle_engine().await;
    let live = world.spec(&world.generation, Role::Live);
    engine.set_pipelines(vec![live.clone()]);
    world.caught_up().await;
    engine.set_pipelines(vec![live.clone(), first.clone(), paused]);
    let (at_first, at_second) = (
        || async { positions(&world.store, &next).await[0] },
        || async { positions(&other, &next).await[0] },
    );
    while at_first().await < 3000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.set_pipelines(vec![live, first, second]);
    while at_second().await < 3000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reached = at_first().await;
    assert!(reached < 12_000, "{reached}");
    world.reached_the_end(&world.store, &next).await;
    world.reached_the_end(&other, &next).await;
    let sums = world.sums_of(&other, &next, 30).await;
    assert_eq!(sums, expected(30, 12_000));
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_of_a_partition_that_no_live_view_reads_keeps_its_pace_too() {
    let world = World::new(1).await;
    append(&world, 0, 3000);
    let building = world.spec(&world.generation, Role::Building);
    let pace: Pace = building.pace.clone();
    pace.set(Some(1500.0));
    let (engine, board) = world.idle_engine().await;
    let started = Instant::now();
    engine.set_pipelines(vec![building]);
    world.caught_up().await;
    let took = started.elapsed().as_secs_f64();
    assert!((1.6..12.0).contains(&took), "{took}");
    // At the end of the log it follows at once, whatever its pace.
    pace.set(Some(0.0));
    until("the end is known", || at_the_end(&board)).await;
    append(&world, 3000, 3001);
    world.caught_up().await;
    assert_eq!(world.sums(30).await, expected(30, 3001));
    engine.finish(GRACE).await;
}

fn at_the_end(board: &Board) -> bool {
    let tracks = board.tracks();
    tracks
        .iter()
        .all(|(_, status)| status.lag_records() == Some(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_stands_still_holds_back_no_other_one_of_the_partition() {
    let world = World::new(1).await;
    append(&world, 0, 20_000);
    let (second, third) = (
        world.next_generation(2).await,
        world.next_generation(3).await,
    );
    let stopped = world.spec(&second, Role::Building);
    stopped.pace.set(Some(0.0));
    let (engine, _) = world.idle_engine().await;
    let live = world.spec(&world.generation, Role::Live);
    let free = world.spec(&third, Role::Building);
    engine.set_pipelines(vec![live, stopped.clone(), free]);
    world.reached_the_end(&world.store, &third).await;
    world.caught_up().await;
    assert_eq!(positions(&world.store, &second).await, [0]);
    stopped.pace.set(None);
    world.reached_the_end(&world.store, &second).await;
    let sums = world.sums_of(&world.store, &second, 30).await;
    assert_eq!(sums, expected(30, 20_000));
    engine.finish(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_growth_of_the_log_shows_on_the_board() {
    let world = World::new(1).await;
    append(&world, 0, 100);
    let building = world.spec(&world.generation, Role::Building);
    building.pace.set(Some(0.0));
    let (engine, board) = world.idle_engine().await;
    engine.set_pipelines(vec![building]);
    let started = Instant::now();
    let growth = |board: &Board| board.tracks().first().map_or(0.0, |(_, s)| s.growth);
    let mut events = 100;
    // Bounds alone tell: nothing is read.
    while !(600.0..1500.0).contains(&growth(&board)) {
        assert!(started.elapsed() < PATIENCE, "{}", growth(&board));
        let due = 100 + started.elapsed().as_millis() as usize;
        append(&world, events, due);
        events = due;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.finish(GRACE).await;
}
