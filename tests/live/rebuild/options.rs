//! What can be asked of a rebuild, and of a generation under way (I7, I14).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    KEYS, LIMIT, OFTEN, answers, assert_live, counter, is_removed, started, with_definition,
};
use crate::harness::{
    COUNTER, Counted, Deployment, Instance, Readers, TENFOLD, Traffic, caught_up, publish, sized,
    wait_until,
};

fn done(detail: &Value) -> u64 {
    detail["progress"]["done"].as_u64().unwrap_or(0)
}

/// How long to look at something that must not move.
const WHILE: Duration = Duration::from_secs(3);

async fn stands_still(instance: &Instance, generation: u32) {
    let before = done(&instance.generation("counter", generation));
    tokio::time::sleep(WHILE).await;
    let after = instance.generation("counter", generation);
    // What was in the rings when the order came may still be written.
    assert!(done(&after) <= before + 1_000, "{before} → {after:#}");
    let settled = done(&after);
    tokio::time::sleep(WHILE).await;
    let later = instance.generation("counter", generation);
    assert_eq!(done(&later), settled, "{later:#}");
    assert_eq!(later["paused"], true);
    assert_eq!(later["limited_by"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_promotion_waits_for_the_operator() {
    let (deployment, published) = counter(2, 2_000).await;
    let instance = started(&deployment, published).await;
    let run = |arguments: &[&str]| instance.command_within(arguments, LIMIT).expect(0);
    let ran = run(&["rebuild", "counter", "--promote", "manual", "--wait"]);
    assert!(ran.text().contains("ready"), "{ran:?}");
    let detail = instance.generation("counter", 2);
    assert_eq!(
        (&detail["ready"], &detail["state"]),
        (&json!(true), &json!("building"))
    );
    assert_live(&deployment, 1).await;
    // It goes on being fed until it is wanted.
    let published = publish(&deployment, published.events, 3_000, KEYS);
    caught_up(&instance, 3_000, LIMIT).await;
    run(&["promote", "counter", "--wait"]);
    assert_live(&deployment, 2).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

/// Rebuilds, with another definition, from a part of the log, and expects only that part.
async fn from(deployment: &Deployment, from: &str, expected: u64) {
    let new = with_definition(deployment, "tenfold", TENFOLD);
    answers(&new).await;
    new.command_within(&["rebuild", "counter", "--from", from, "--wait"], LIMIT)
        .expect(0);
    assert_live(deployment, 2).await;
    let rows = deployment.postgres_rows("counter", "id").await;
    let events: u64 = rows
        .values()
        .map(|row| row["events"].as_u64().unwrap())
        .sum();
    assert_eq!(events, expected);
    let rows = deployment.redis_rows("counter").await;
    let events: u64 = rows
        .values()
        .map(|row| row["events"].parse::<u64>().unwrap())
        .sum();
    assert_eq!(events, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_from_an_offset_reads_from_exactly_there() {
    let (deployment, published) = counter(1, 1_000).await;
    let _old = started(&deployment, published).await;
    let start = format!("{}/0@600", deployment.topic);
    from(&deployment, &start, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_from_a_time_reads_what_was_published_from_then_on() {
    let (deployment, published) = counter(2, 1_000).await;
    let _old = started(&deployment, published).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = jiff::Timestamp::now().to_string();
    tokio::time::sleep(Duration::from_millis(50)).await;
    publish(&deployment, 1_000, 1_300, KEYS);
    from(&deployment, &start, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_live_rows_goes_on_with_every_event_once() {
    let (deployment, published) = counter(3, sized(10_000, 200_000)).await;
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 1_000);
    let readers = Readers::start(&deployment, "counter", &[&instance], OFTEN);
    let ran = instance.command_within(&["rebuild", "counter", "--base", "live", "--wait"], LIMIT);
    ran.expect(0);
    assert_live(&deployment, 2).await;
    let published = traffic.stop();
    caught_up(&instance, published.events as i64, LIMIT).await;
    readers.finish().assert_unnoticed();
    // I2: sums double where a record is folded onto a row that has it already.
    published.assert_seen(&deployment, "counter", 1).await;
    assert_eq!(
        deployment.table_rows("counter", 1, "id").await,
        deployment.table_rows("counter", 2, "id").await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_many_rows_is_taken_page_by_page_under_traffic() {
    let keys = sized(5_000, 100_000);
    let deployment = Deployment::new(3, &[("counter", COUNTER)]).await;
    let published = publish(&deployment, 0, 2 * keys, keys);
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 2_000);
    instance
        .command_within(&["rebuild", "counter", "--base", "live", "--wait"], LIMIT)
        .expect(0);
    let published: Counted = traffic.stop();
    caught_up(&instance, published.events as i64, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_kept() {
    let (deployment, published) = counter(2, 2_000).await;
    let instance = started(&deployment, published).await;
    let began = Instant::now();
    let ran = instance.command_within(
        &["rebuild", "counter", "--max-rate", "400", "--wait"],
        LIMIT,
    );
    ran.expect(0);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(4),
        "2000 records at 400/s took {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_survives_a_restart_of_everything_and_ends() {
    let (deployment, published) = counter(2, 6_000).await;
    let mut instance = started(&deployment, published).await;
    let generation = instance.rebuild("counter", json!({"max_rate": 1_000}));
    let begun = |detail: &Value| done(detail) > 0;
    let it = ("counter", generation);
    instance.comes_to(it, "it has begun", LIMIT, begun).await;
    assert_eq!(instance.order("counter", generation, "pause").0, 202);
    stands_still(&instance, generation).await;
    instance.kill();
    drop(instance);

    let instance = started_again(&deployment).await;
    instance
        .comes_to(it, "it is known again", LIMIT, |detail| {
            detail["paused"] == true
        })
        .await;
    stands_still(&instance, generation).await;
    // Live goes on all the while (I7).
    let published = publish(&deployment, published.events, 6_500, KEYS);
    wait_until("live goes on", LIMIT, async || {
        let rows = deployment.postgres_rows("counter", "id").await;
        rows.values()
            .map(|row| row["events"].as_u64().unwrap())
            .sum::<u64>()
            == 6_500
    })
    .await;
    assert_live(&deployment, 1).await;
    instance.command(&["resume", "counter"]).expect(0);
    instance.reaches("counter", generation, "live", LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

async fn started_again(deployment: &Deployment) -> Instance {
    let instance = deployment.start();
    answers(&instance).await;
    instance
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_table_no_key_and_no_row() {
    let (deployment, published) = counter(2, 5_000).await;
    let instance = started(&deployment, published).await;
    let generation = instance.rebuild("counter", json!({"max_rate": 500}));
    let begun = |detail: &Value| done(detail) > 0;
    let it = ("counter", generation);
    instance.comes_to(it, "it has begun", LIMIT, begun).await;
    assert!(!deployment.leftovers("counter", generation).await.is_empty());
    instance.command(&["cancel", "counter"]).expect(0);
    is_removed(&deployment, generation).await;
    assert_eq!(
        instance.generation("counter", generation)["state"],
        "cancelled"
    );
    assert_live(&deployment, 1).await;
    // Its number is not given again.
    let ran = instance.command_within(&["rebuild", "counter", "--wait"], LIMIT);
    ran.expect(0);
    assert_live(&deployment, generation + 1).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_generation_goes_when_its_time_is_over() {
    let text = format!("retain = \"2s\"\n{COUNTER}");
    let deployment = Deployment::new(1, &[("counter", &text)]).await;
    let published = publish(&deployment, 0, 1_000, KEYS);
    let instance = started(&deployment, published).await;
    let ran = instance.command_within(&["rebuild", "counter", "--wait"], LIMIT);
    ran.expect(0);
    is_removed(&deployment, 1).await;
    assert_eq!(instance.generation("counter", 1)["state"], "retired");
    instance.command(&["rollback", "counter"]).expect(3);
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_projection_is_gone_and_its_file_does_not_bring_it_back() {
    let (deployment, published) = counter(2, 1_000).await;
    let mut instance = started(&deployment, published).await;
    let run = |instance: &Instance, arguments: &[&str]| instance.command_within(arguments, LIMIT);
    run(&instance, &["rebuild", "counter", "--wait"]).expect(0);
    run(&instance, &["drop", "counter", "--confirm", "other"]).expect(3);
    assert_live(&deployment, 2).await;
    run(&instance, &["drop", "counter", "--confirm", "counter"]).expect(0);
    is_removed(&deployment, 1).await;
    is_removed(&deployment, 2).await;
    wait_until("no key is left", LIMIT, async || {
        let keys = format!("{}:{{counter}}*", deployment.name);
        deployment.redis_keys(&keys).await.is_empty()
            && deployment.view_columns("counter").await.is_empty()
    })
    .await;
    let audited = format!(
        "select count(*) from \"{}\".audit where projection = 'counter' and action like '%drop%'",
        deployment.name
    );
    assert_eq!(deployment.count(&audited).await, 1);

    assert_eq!(instance.stop().0, Some(0));
    let instance = deployment.start();
    wait_until("the file is known as dropped", LIMIT, async || {
        let status = instance.status().unwrap_or_default();
        status["projections"][0]["definition"] == "dropped"
    })
    .await;
    assert!(deployment.view_columns("counter").await.is_empty());
    // An operator brings it back.
    run(&instance, &["rebuild", "counter", "--wait"]).expect(0);
    caught_up(&instance, 1_000, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
}
