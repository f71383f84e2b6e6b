//! Lines that are slow, narrow, torn or dead: views are exact in the end, and nobody else waits (I2, I4, I14).

use std::time::Duration;

use crate::chaos::{Conduct, Proxy};
use crate::harness::{
    COUNTER, Counted, Deployment, Instance, Traffic, address_of, caught_up, kafka_gate, publish,
    sized, through, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A deployment whose instances reach both stores through proxies.
async fn behind_proxies() -> (Deployment, Proxy, Proxy) {
    let mut deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    let postgres = Proxy::start(address_of(&deployment.postgres_url)).await;
    let redis = Proxy::start(address_of(&deployment.redis_url)).await;
    deployment.postgres_url = through(&deployment.postgres_url, postgres.address());
    deployment.redis_url = through(&deployment.redis_url, redis.address());
    (deployment, postgres, redis)
}

async fn ends_right(deployment: &Deployment, instance: &Instance, traffic: Traffic) {
    let all = traffic.stop();
    caught_up(instance, all.events as i64, LIMIT).await;
    all.assert_seen(deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_narrow_and_torn_lines_to_the_stores_change_nothing() {
    let (deployment, postgres, redis) = behind_proxies().await;
    let so_far = publish(&deployment, 0, 2_000, 40);
    let instance = deployment.start();
    caught_up(&instance, 2_000, LIMIT).await;
    let traffic = Traffic::start(&deployment, so_far, 500);
    let before = postgres.bytes() + redis.bytes();
    for conduct in [
        Conduct::slow(Duration::from_millis(20), Duration::from_millis(20)),
        Conduct::narrow(100_000),
        Conduct::sliced(7),
        Conduct::reset_after(30_000),
        Conduct::cut(),
    ] {
        postgres.set(conduct.clone());
        redis.set(conduct);
        tokio::time::sleep(sized(Duration::from_millis(1500), Duration::from_secs(10))).await;
    }
    assert!(postgres.bytes() + redis.bytes() > before + 10_000);
    postgres.heal();
    redis.heal();
    ends_right(&deployment, &instance, traffic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_line_to_one_store_is_named_and_holds_back_only_that_store() {
    let (deployment, postgres, redis) = behind_proxies().await;
    let so_far = publish(&deployment, 0, 1_000, 40);
    let instance = deployment.start();
    caught_up(&instance, 1_000, LIMIT).await;
    redis.set(Conduct::swallow());
    let traffic = Traffic::start(&deployment, so_far, 300);
    wait_until("redis is named", LIMIT, async || {
        let partitions = instance.partitions();
        let mut redis = partitions.iter().filter(|(_, store, _)| store == "redis");
        redis.all(|(_, _, at)| at["stalled"]["reason"] == "store unreachable")
    })
    .await;
    let sum = format!(
        "select coalesce(sum(events), 0)::bigint from \"{}\".counter",
        deployment.views_schema()
    );
    let reached = deployment.count(&sum).await;
    wait_until("postgres goes on", LIMIT, async || {
        deployment.count(&sum).await > reached + 300
    })
    .await;
    assert!(postgres.open() > 0);
    redis.heal();
    ends_right(&deployment, &instance, traffic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_behind_a_bad_line_is_waited_for_and_nothing_is_lost() {
    let gate = kafka_gate();
    let proxy = Proxy::start_at(gate.gate, gate.behind).await;
    let mut deployment = Deployment::on(&gate.direct, 2, &[("counter", COUNTER)]).await;
    deployment.brokers = proxy.address().to_string();
    let so_far: Counted = publish(&deployment, 0, 1_000, 40);
    let instance = deployment.start();
    caught_up(&instance, 1_000, LIMIT).await;
    assert!(proxy.accepted() > 0, "the broker is reached past its gate");
    let traffic = Traffic::start(&deployment, so_far, 300);
    for conduct in [
        Conduct::slow(Duration::from_millis(50), Duration::from_millis(50)),
        Conduct::reset_after(100_000),
        Conduct::swallow(),
        Conduct::cut(),
    ] {
        proxy.set(conduct);
        tokio::time::sleep(sized(Duration::from_millis(2000), Duration::from_secs(15))).await;
    }
    proxy.heal();
    ends_right(&deployment, &instance, traffic).await;
}
