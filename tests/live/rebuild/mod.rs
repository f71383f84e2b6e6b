//! Rebuilding beside the live view: nobody notices, nothing is left behind, and every crash is survived.

mod changed;
mod crashes;
mod faults;
mod options;
mod refusals;
mod same;
mod verification;

use std::time::Duration;

use crate::harness::{COUNTER, Counted, Deployment, Instance, caught_up, publish};

/// How long anything may take here before the test fails.
const LIMIT: Duration = Duration::from_secs(60);
/// How often each reader reads.
const OFTEN: Duration = Duration::from_millis(10);
/// Over how many keys the events are dealt.
const KEYS: u64 = 50;

/// A deployment of the counter, with `events` in its topic.
async fn counter(partitions: i32, events: u64) -> (Deployment, Counted) {
    let deployment = Deployment::new(partitions, &[("counter", COUNTER)]).await;
    let published = publish(&deployment, 0, events, KEYS);
    (deployment, published)
}

/// An instance that has caught up.
async fn started(deployment: &Deployment, published: Counted) -> Instance {
    let instance = deployment.start();
    caught_up(&instance, published.events as i64, LIMIT).await;
    instance
}

/// An instance whose files say something else.
fn with_definition(deployment: &Deployment, folder: &str, text: &str) -> Instance {
    let folder = deployment.other_projections(folder, &[("counter", text)]);
    deployment.launch().projections(&folder).start()
}

/// Waits until an instance answers.
async fn answers(instance: &Instance) {
    crate::harness::wait_until("the instance is ready", LIMIT, async || {
        instance.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;
}

/// Fails unless readers of both stores see this generation.
async fn assert_live(deployment: &Deployment, generation: u32) {
    let live = (
        deployment.postgres_live("counter").await,
        deployment.redis_live("counter").await,
    );
    assert_eq!(live, (Some(generation), Some(generation)));
}

/// Fails unless generation 1 is the only one there ever was, and the only one in the stores.
async fn assert_nothing_begun(deployment: &Deployment) {
    let recorded = format!("select count(*) from \"{}\".generations", deployment.name);
    assert_eq!(deployment.count(&recorded).await, 1);
    assert_eq!(
        deployment.leftovers("counter", 2).await,
        Vec::<String>::new()
    );
    assert_live(deployment, 1).await;
}

/// Waits until nothing of a generation is left in any store.
async fn is_removed(deployment: &Deployment, generation: u32) {
    crate::harness::wait_until("the generation is removed", LIMIT, async || {
        deployment.leftovers("counter", generation).await.is_empty()
    })
    .await;
}
