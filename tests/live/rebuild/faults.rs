//! Stores that slow down, go away or lose everything during a build (I7, I10, I14).

use std::time::Duration;

use serde_json::{Value, json};

use super::{KEYS, LIMIT, assert_live, started};
use crate::chaos::{Conduct, Proxy};
use crate::harness::{
    COUNTER, Counted, Deployment, Instance, RedisServer, Traffic, address_of, caught_up, publish,
    sized, through,
};

fn done(detail: &Value) -> u64 {
    detail["progress"]["done"].as_u64().unwrap_or(0)
}

/// A deployment with a Redis of its own behind a proxy.
async fn with_redis(server: &RedisServer, events: u64) -> (Deployment, Proxy, Counted) {
    let mut deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    deployment.redis = redis::Client::open(server.url()).unwrap();
    let proxy = Proxy::start(address_of(&server.url())).await;
    deployment.redis_url = through(&server.url(), proxy.address());
    let published = publish(&deployment, 0, events, KEYS);
    (deployment, proxy, published)
}

async fn under_way(instance: &Instance, rate: u64) -> u32 {
    let generation = instance.rebuild("counter", json!({"max_rate": rate}));
    let begun = |detail: &Value| done(detail) > 0;
    let it = ("counter", generation);
    instance.comes_to(it, "it has begun", LIMIT, begun).await;
    generation
}

async fn ends_right(
    deployment: &Deployment,
    instance: &Instance,
    (generation, traffic): (u32, Traffic),
) {
    instance.reaches("counter", generation, "live", LIMIT).await;
    let published = traffic.stop();
    caught_up(instance, published.events as i64, LIMIT).await;
    assert_live(deployment, generation).await;
    published.assert_seen(deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_stops_the_build_at_once_and_it_goes_on_later() {
    let server = RedisServer::start();
    let (deployment, proxy, published) = with_redis(&server, sized(4_000, 100_000)).await;
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 200);
    let generation = under_way(&instance, sized(500, 5_000)).await;
    proxy.set(Conduct::cut());
    let it = ("counter", generation);
    let by_store = |detail: &Value| detail["limited_by"] == "store";
    instance
        .comes_to(it, "the store limits it", LIMIT, by_store)
        .await;
    assert_eq!(deployment.postgres_live("counter").await, Some(1));
    proxy.heal();
    let again = |detail: &Value| detail["limited_by"] != "store";
    instance.comes_to(it, "it goes on", LIMIT, again).await;
    ends_right(&deployment, &instance, (generation, traffic)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_slows_down_makes_the_build_give_way_to_live() {
    let server = RedisServer::start();
    let (mut deployment, proxy, published) = with_redis(&server, sized(20_000, 200_000)).await;
    deployment.set("VIEWFOLD_REBUILD__LIVE_LAG_TARGET", "200ms");
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 300);
    let generation = under_way(&instance, sized(2_000, 20_000)).await;
    proxy.set(Conduct::slow(
        Duration::from_millis(700),
        Duration::from_millis(200),
    ));
    let it = ("counter", generation);
    let gives_way = |detail: &Value| {
        let limited = detail["limited_by"] == "live lag" || detail["limited_by"] == "store";
        limited
            && detail["rate_limit"]
                .as_f64()
                .is_some_and(|rate| rate < 2_000.0)
    };
    instance
        .comes_to(it, "it gives way, and says why", LIMIT, gives_way)
        .await;
    let (_, metrics) = instance.get("/metrics").unwrap();
    assert!(
        metrics.contains("viewfold_rebuild_rate_limit{"),
        "{metrics}"
    );
    proxy.heal();
    ends_right(&deployment, &instance, (generation, traffic)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_lost_everything_during_a_build_is_filled_again_with_both() {
    let mut server = RedisServer::start();
    let (deployment, _proxy, published) = with_redis(&server, sized(3_000, 50_000)).await;
    let instance = started(&deployment, published).await;
    let traffic = Traffic::start(&deployment, published, 200);
    let generation = under_way(&instance, sized(500, 5_000)).await;
    server.stop();
    server = RedisServer::start_at(&server);
    ends_right(&deployment, &instance, (generation, traffic)).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_dies_in_the_middle_and_the_build_goes_on_where_it_stood() {
    let mut deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    deployment.set("VIEWFOLD_REBUILD__LIVE_LAG_TARGET", "10s");
    let published = publish(&deployment, 0, sized(5_000, 100_000), KEYS);
    let mut first = started(&deployment, published).await;
    let mut second = deployment.start();
    super::answers(&second).await;
    let traffic = Traffic::start(&deployment, published, 200);
    let generation = under_way(&first, sized(1_000, 10_000)).await;
    first.kill();
    second.kill();
    let stored = format!(
        "select coalesce(sum(position), 0)::bigint from \"{}\".cursors where generation = {generation}",
        deployment.name
    );
    let reached = deployment.count(&stored).await;
    assert!(reached > 0);
    let third = deployment.start();
    super::answers(&third).await;
    ends_right(&deployment, &third, (generation, traffic)).await;
    // I6: what had been built was not built again.
    assert!(deployment.count(&stored).await > reached);
}
