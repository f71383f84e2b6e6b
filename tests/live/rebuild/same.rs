//! The same definition rebuilt gives the same bytes, and nobody notices (I7, I8, I9).

use serde_json::json;

use super::{KEYS, LIMIT, OFTEN, assert_live, counter, started};
use crate::harness::{
    Deployment, Instance, Readers, Traffic, caught_up, publish, sized, wait_until,
};

/// Fails unless both generations hold the same rows in both stores. Nothing may be under way.
async fn assert_byte_equal(deployment: &Deployment, first: u32, second: u32) {
    let view = "counter";
    assert_eq!(
        deployment.table_rows(view, first, "id").await,
        deployment.table_rows(view, second, "id").await
    );
    assert_eq!(
        deployment.redis_rows_of(view, first).await,
        deployment.redis_rows_of(view, second).await
    );
}

async fn is_unnoticed_with(instances: usize) {
    let (deployment, published) = counter(3, sized(5_000, 200_000)).await;
    let mut running: Vec<Instance> = vec![started(&deployment, published).await];
    running.extend((1..instances).map(|_| deployment.start()));
    for instance in &running {
        super::answers(instance).await;
    }
    let traffic = Traffic::start(&deployment, published, 500);
    let all: Vec<&Instance> = running.iter().collect();
    let readers = Readers::start(&deployment, "counter", &all, OFTEN);
    let last = all[all.len() - 1];
    last.command_within(&["rebuild", "counter", "--wait"], LIMIT)
        .expect(0);
    assert_live(&deployment, 2).await;
    let published = traffic.stop();
    caught_up(last, published.events as i64, LIMIT).await;
    let findings = readers.finish();
    findings.assert_unnoticed();
    findings.assert_seen("http postgres", &[1, 2]);
    findings.assert_seen("http redis", &[1, 2]);
    published.assert_seen(&deployment, "counter", 1).await;
    assert_byte_equal(&deployment, 1, 2).await;
    assert_eq!(last.states("counter")[&1], "standby");
    assert_eq!(last.states("counter")[&2], "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_rebuilds_under_traffic_and_readers_see_nothing_of_it() {
    is_unnoticed_with(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_share_a_rebuild_and_readers_see_nothing_of_it() {
    is_unnoticed_with(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_while_instances_come_and_go_and_die() {
    let (deployment, published) = counter(4, sized(20_000, 200_000)).await;
    let steady = started(&deployment, published).await;
    let mut victim = deployment.start();
    let traffic = Traffic::start(&deployment, published, 300);
    let readers = Readers::start(&deployment, "counter", &[&steady], OFTEN);
    let generation = steady.rebuild("counter", json!({"max_rate": sized(4_000, 20_000)}));
    for round in 0..sized(2, 8) {
        wait_until("the victim takes part", LIMIT, async || {
            super::answers(&victim).await;
            true
        })
        .await;
        victim.kill();
        victim = deployment.start();
        if round % 2 == 1 {
            let mut guest = deployment.start();
            super::answers(&guest).await;
            assert_eq!(guest.stop().0, Some(0), "{}", guest.log());
        }
    }
    steady.reaches("counter", generation, "live", LIMIT).await;
    let published = traffic.stop();
    caught_up(&steady, published.events as i64, LIMIT).await;
    readers.finish().assert_unnoticed();
    published.assert_seen(&deployment, "counter", 1).await;
    assert_byte_equal(&deployment, 1, generation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_generations_stay_equal_and_a_second_rebuild_retires_none_of_them_early() {
    let (deployment, published) = counter(2, 2_000).await;
    let instance = started(&deployment, published).await;
    for generation in 2..4 {
        let ran = instance.command_within(&["rebuild", "counter", "--wait"], LIMIT);
        ran.expect(0);
        assert_live(&deployment, generation).await;
    }
    let published = publish(&deployment, published.events, 3_000, KEYS);
    caught_up(&instance, 3_000, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
    assert_byte_equal(&deployment, 2, 3).await;
}
