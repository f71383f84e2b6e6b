//! Whoever coordinates dies at every step; somebody else goes on from there, and it ends right (I1, I2, I4, I8).

use serde_json::{Value, json};

use super::{KEYS, LIMIT, OFTEN, answers, assert_live, counter, is_removed};
use crate::harness::{
    Deployment, Instance, Readers, Traffic, caught_up, publish, sized, wait_until,
};

const REBUILDS: &str = "/v1/projections/counter/rebuilds";

/// An instance that ends where `points` say, and coordinates because it is alone.
async fn victim(deployment: &Deployment, points: &str, events: u64) -> Instance {
    let victim = deployment.launch().failing(points).start();
    caught_up(&victim, events as i64, LIMIT).await;
    victim
}

/// Asks for a rebuild of an instance that may die of it.
fn ask(instance: &Instance, request: &Value) -> Option<(u16, Value)> {
    instance.try_post(REBUILDS, request, Some("the one"))
}

async fn resumes_after(point: &str, request: Value) {
    let (deployment, published) = counter(2, sized(2_000, 50_000)).await;
    let mut dying = victim(&deployment, &format!("{point}=return"), published.events).await;
    let traffic = Traffic::start(&deployment, published, 200);
    // The stores' own readers see all of it; HTTP is read from who is left.
    let _answer = ask(&dying, &request);
    dying.dies(LIMIT).await;
    let heir = deployment.start();
    answers(&heir).await;
    let readers = Readers::start(&deployment, "counter", &[&heir], OFTEN);
    let (code, answer) = ask(&heir, &request).unwrap();
    assert_eq!((code, &answer["generation"]), (202, &json!(2)), "{answer}");
    heir.reaches("counter", 2, "live", LIMIT).await;
    heir.reaches("counter", 1, "standby", LIMIT).await;
    assert_live(&deployment, 2).await;
    let published = traffic.stop();
    caught_up(&heir, published.events as i64, LIMIT).await;
    readers.finish().assert_unnoticed();
    published.assert_seen(&deployment, "counter", 1).await;
    let rebuilt = deployment.table_rows("counter", 2, "id").await;
    assert_eq!(deployment.table_rows("counter", 1, "id").await, rebuilt);
    // The way back is open after a crash, too.
    let ran = heir.command_within(&["rollback", "counter", "--wait"], LIMIT);
    ran.expect(0);
    assert_live(&deployment, 1).await;
}

macro_rules! resumes {
    ($($name:ident at $point:literal with $request:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            resumes_after($point, $request).await;
        }
    )*};
}

resumes! {
    a_rebuild_resumes_after_an_end_before_it_is_recorded at "rebuild::planned" with json!({});
    a_rebuild_resumes_after_an_end_when_it_is_in_its_stores at "rebuild::created" with json!({});
    a_rebuild_resumes_after_an_end_during_verification at "rebuild::verifying" with json!({});
    a_rebuild_resumes_after_an_end_when_it_is_ready at "rebuild::ready" with json!({});
    a_rebuild_resumes_after_an_end_before_the_cutover at "cutover::before" with json!({});
    a_rebuild_resumes_after_an_end_behind_the_cutover_of_postgres at "cutover::postgres_done" with json!({});
    a_rebuild_resumes_after_an_end_between_the_cutovers at "cutover::between" with json!({});
    a_rebuild_resumes_after_an_end_behind_the_cutover_of_redis at "cutover::redis_done" with json!({});
    a_copy_of_live_rows_begins_anew_after_an_end at "copy::page" with json!({"base": "live"});
    a_copied_generation_resumes_after_an_end_behind_its_verification at "rebuild::ready" with json!({"base": "live"});
}

async fn cleans_up_after(point: &str) {
    let (deployment, published) = counter(2, 3_000).await;
    let mut dying = victim(&deployment, &format!("{point}=return"), published.events).await;
    let generation = dying.rebuild("counter", json!({"max_rate": 300}));
    let it = ("counter", generation);
    let begun = |detail: &Value| detail["progress"]["done"].as_u64().unwrap_or(0) > 0;
    dying.comes_to(it, "it has begun", LIMIT, begun).await;
    let cancel = format!("/v1/projections/counter/generations/{generation}/cancel");
    let _answer = dying.try_post(&cancel, &json!({}), None);
    dying.dies(LIMIT).await;
    let heir = deployment.start();
    answers(&heir).await;
    is_removed(&deployment, generation).await;
    assert_eq!(heir.generation("counter", generation)["state"], "cancelled");
    assert_live(&deployment, 1).await;
    let published = publish(&deployment, published.events, 3_500, KEYS);
    caught_up(&heir, 3_500, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_resumes_after_an_end_before_it() {
    cleans_up_after("cleanup::before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_resumes_after_an_end_between_the_stores() {
    cleans_up_after("cleanup::between").await;
}

/// Between the stores the coordinator sleeps, and is stopped there.
async fn stopped_between_the_cutovers(deployment: &Deployment, events: u64) -> Instance {
    let zombie = victim(deployment, "cutover::between=1*sleep(3000)", events).await;
    zombie.rebuild("counter", json!({}));
    wait_until("postgres has cut over and redis not", LIMIT, async || {
        let postgres = deployment.postgres_live("counter").await;
        postgres == Some(2) && deployment.redis_live("counter").await == Some(1)
    })
    .await;
    zombie.freeze();
    assert_eq!(deployment.redis_live("counter").await, Some(1));
    zombie
}

/// Waits until who woke up has found out how things stand, and longer than the sleep it was in.
async fn has_woken_up(zombie: &Instance) {
    let began = std::time::Instant::now();
    wait_until("who woke up answers again", LIMIT, async || {
        let fresh = zombie
            .status()
            .is_some_and(|status| status["control"].is_null());
        fresh && began.elapsed() > std::time::Duration::from_secs(5)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_stopped_between_the_cutovers_publishes_nothing_after_a_rollback() {
    let (deployment, published) = counter(2, 1_000).await;
    let zombie = stopped_between_the_cutovers(&deployment, published.events).await;
    let other = deployment.start();
    answers(&other).await;
    // Somebody else completes the cutover (control state is the truth), then an operator goes back.
    other.reaches("counter", 2, "live", LIMIT).await;
    assert_live(&deployment, 2).await;
    let ran = other.command_within(&["rollback", "counter", "--wait"], LIMIT);
    ran.expect(0);
    assert_live(&deployment, 1).await;
    let readers = Readers::start(&deployment, "counter", &[&other], OFTEN);
    zombie.thaw();
    has_woken_up(&zombie).await;
    assert_live(&deployment, 1).await;
    let published = publish(&deployment, published.events, 1_500, KEYS);
    caught_up(&other, 1_500, LIMIT).await;
    let findings = readers.finish();
    findings.assert_unnoticed();
    findings.assert_seen("http postgres", &[1]);
    findings.assert_seen("http redis", &[1]);
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutover_that_was_left_in_the_middle_is_completed_by_another_instance() {
    let (deployment, published) = counter(2, 1_000).await;
    let zombie = stopped_between_the_cutovers(&deployment, published.events).await;
    let other = deployment.start();
    let traffic = Traffic::start(&deployment, published, 200);
    other.reaches("counter", 2, "live", LIMIT).await;
    zombie.thaw();
    has_woken_up(&zombie).await;
    assert_live(&deployment, 2).await;
    let published = traffic.stop();
    caught_up(&other, published.events as i64, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
}
