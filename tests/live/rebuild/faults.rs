//! Stores that slow down, go away or lose everything during a build (I7, I10, I14).

use std::time::Duration;

use serde_json::{Value, json};

use super::{KEYS, LIMIT, assert_live, started};
use crate::chaos::{Conduct, Proxy};
use crate::harness::{
    COUNTER, Counted, Deployment, Instance, RedisServer, Traffic, address_of, caught_up, publish,
    sized, through, wait_until,
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
    let generation = under_way(&instance, sized(1_000, 5_000)).await;
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
    let generation = under_way(&instance, sized(1_000, 5_000)).await;
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

/// The tables of a deployment's control schema that a backup of it is made of, and what its view shows.
struct Backup {
    tables: Vec<String>,
    view: String,
}

impl Backup {
    async fn of(deployment: &Deployment) -> Self {
        let name = &deployment.name;
        let tables = format!(
            "select coalesce(string_agg(table_name, ','), '') from information_schema.tables \
             where table_schema = '{name}' and table_name not in ('intents', 'audit', 'changes', '_sqlx_migrations')"
        );
        let tables: String = deployment.text(&tables).await;
        let tables: Vec<String> = tables.split(',').map(str::to_owned).collect();
        deployment
            .execute(&format!("create schema \"{name}_backup\""))
            .await;
        for table in &tables {
            let copy =
                format!("create table \"{name}_backup\".{table} as table \"{name}\".{table}");
            deployment.execute(&copy).await;
        }
        let views = deployment.views_schema();
        let view = format!("select pg_get_viewdef('\"{views}\".counter'::regclass)");
        let view = deployment.text(&view).await;
        Self { tables, view }
    }

    async fn restore(&self, deployment: &Deployment) {
        let (name, views) = (&deployment.name, deployment.views_schema());
        let view = format!(
            "create or replace view \"{views}\".counter as {}",
            self.view
        );
        deployment.execute(&view).await;
        deployment
            .execute(&format!("drop table \"{name}\".counter_g2"))
            .await;
        for table in &self.tables {
            let empty = format!("truncate \"{name}\".{table}");
            deployment.execute(&empty).await;
            let fill =
                format!("insert into \"{name}\".{table} select * from \"{name}_backup\".{table}");
            deployment.execute(&fill).await;
        }
        deployment
            .execute(&format!("drop schema \"{name}_backup\" cascade"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_restored_from_before_the_rebuild_publishes_nothing_wrong() {
    let (deployment, published) = super::counter(2, 2_000).await;
    let mut instance = started(&deployment, published).await;
    instance.stop();
    let backup = Backup::of(&deployment).await;
    let mut instance = started(&deployment, published).await;
    instance
        .command_within(&["rebuild", "counter", "--wait"], LIMIT)
        .expect(0);
    super::assert_live(&deployment, 2).await;
    instance.stop();
    backup.restore(&deployment).await;
    // Redis shows a generation that the control tables have never heard of, under an intent greater than theirs.
    assert_eq!(deployment.redis_live("counter").await, Some(2));
    let instance = started(&deployment, published).await;
    wait_until(
        "redis shows what the control tables say",
        LIMIT,
        async || deployment.redis_live("counter").await == Some(1),
    )
    .await;
    let published = publish(&deployment, published.events, 3_000, KEYS);
    caught_up(&instance, 3_000, LIMIT).await;
    published.assert_seen(&deployment, "counter", 1).await;
    // What the lost generation left in Redis is not taken for the next one's.
    let (_, answer) = instance
        .try_post("/v1/projections/counter/rebuilds", &json!({}), None)
        .unwrap();
    let number = answer["generation"].as_u64().unwrap();
    if number == 2 {
        let order = format!("/v1/projections/counter/generations/{number}/cancel");
        assert_eq!(instance.try_post(&order, &json!({}), None).unwrap().0, 202);
        instance
            .command_within(&["rebuild", "counter", "--wait"], LIMIT)
            .expect(0);
    }
    super::assert_live(&deployment, 3).await;
    published.assert_seen(&deployment, "counter", 1).await;
}
