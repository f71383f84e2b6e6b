//! A changed definition takes over, goes back and takes over again, unnoticed (I8).

use sqlx::{AssertSqlSafe, Row};

use super::{LIMIT, OFTEN, answers, assert_live, counter, started, with_definition};
use crate::harness::{COUNTER, Readers, TENFOLD, Traffic, caught_up, sized, wait_until};

/// Fewer columns in another order.
const SHUFFLED: &str = r#"
topics = ["TOPIC"]
stores = ["postgres", "redis"]
key = { id = "data.id" }
[columns]
weight = { type = "bigint", default = 0 }
unit = "bigint"
id = "text"
events = { type = "bigint", default = 0 }
[on."*"]
set = { unit = "10" }
add = { events = "1", weight = "10" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_comes_goes_with_a_rollback_and_comes_again() {
    let (deployment, published) = counter(3, sized(3_000, 100_000)).await;
    let old = started(&deployment, published).await;
    let new = with_definition(&deployment, "tenfold", TENFOLD);
    answers(&new).await;
    let traffic = Traffic::start(&deployment, published, 500);
    let readers = Readers::start(&deployment, "counter", &[&old, &new], OFTEN);
    let has_column = async || {
        let columns = deployment.view_columns("counter").await;
        columns.last().is_some_and(|last| last == "doubled")
    };
    let run = |arguments: &[&str]| new.command_within(arguments, LIMIT).expect(0);
    run(&["rebuild", "counter", "--wait"]);
    assert_live(&deployment, 2).await;
    assert!(has_column().await);
    run(&["rollback", "counter", "--wait"]);
    assert_live(&deployment, 1).await;
    assert!(!has_column().await);
    run(&["promote", "counter", "2", "--wait"]);
    assert_live(&deployment, 2).await;
    let published = traffic.stop();
    caught_up(&new, published.events as i64, LIMIT).await;
    let findings = readers.finish();
    findings.assert_unnoticed();
    for reader in ["sql", "redis"] {
        findings.assert_seen(reader, &[1, 10, 1, 10]);
    }
    for reader in ["http postgres", "http redis"] {
        findings.assert_seen(reader, &[1, 2, 1, 2]);
    }
    published.assert_seen(&deployment, "counter", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_dropped_and_reordered_and_grants_owner_and_comment_stay() {
    let (deployment, published) = counter(2, 2_000).await;
    let instance = started(&deployment, published).await;
    let (view, role) = (
        format!("\"{}\".counter", deployment.views_schema()),
        format!("{}_reader", deployment.name),
    );
    deployment
        .execute(&format!(
            "create role {role}; grant select on {view} to {role} with grant option; \
             comment on view {view} is 'what readers read'"
        ))
        .await;
    let about = format!(
        "select relacl::text as acl, relowner::int8 as owner, obj_description(oid, 'pg_class') as comment \
         from pg_class where oid = '{view}'::regclass"
    );
    let described = async || {
        let row = sqlx::query(AssertSqlSafe(about.clone()))
            .fetch_one(&deployment.pool)
            .await
            .unwrap();
        (
            row.get::<String, _>("acl"),
            row.get::<i64, _>("owner"),
            row.get::<String, _>("comment"),
        )
    };
    let before = described().await;
    let new = with_definition(&deployment, "shuffled", SHUFFLED);
    answers(&new).await;
    let traffic = Traffic::start(&deployment, published, 200);
    let readers = Readers::start(&deployment, "counter", &[&instance, &new], OFTEN);
    let run = |arguments: &[&str]| new.command_within(arguments, LIMIT).expect(0);
    run(&["rebuild", "counter", "--wait"]);
    assert_eq!(
        deployment.view_columns("counter").await,
        ["weight", "unit", "id", "events"]
    );
    assert_eq!(described().await, before);
    run(&["rollback", "counter", "--wait"]);
    assert_eq!(described().await, before);
    assert_eq!(deployment.view_columns("counter").await.len(), 6);
    drop(traffic);
    let findings = readers.finish();
    deployment
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
    findings.assert_unnoticed();
    findings.assert_seen("sql", &[1, 10, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_only_proposes() {
    let (deployment, published) = counter(1, 500).await;
    let mut old = started(&deployment, published).await;
    assert_eq!(old.stop().0, Some(0));
    deployment.write_projection("counter", TENFOLD);
    let instance = deployment.start();
    caught_up(&instance, 500, LIMIT).await;
    wait_until("the change is shown", LIMIT, async || {
        let status = instance.status().unwrap_or_default();
        status["projections"][0]["definition"] == "changed"
    })
    .await;
    let plan = instance.command(&["plan", "counter"]).expect(0).text();
    assert!(
        plan.contains("changed") && plan.contains("doubled"),
        "{plan}"
    );
    super::assert_nothing_begun(&deployment).await;
    published.assert_seen(&deployment, "counter", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_of_two_definitions_never_fights_and_the_new_one_is_built_once() {
    let automatic = |text: &str| format!("auto_rebuild = true\n{text}");
    let (deployment, published) = counter(2, 1_000).await;
    deployment.write_projection("counter", &automatic(COUNTER));
    let mut old = started(&deployment, published).await;
    let new = with_definition(&deployment, "tenfold", &automatic(TENFOLD));
    answers(&new).await;
    // Both report; as long as they do not agree, nothing is begun.
    let both = format!(
        "select count(*) from \"{}\".instances where at > now() - interval '3 s'",
        deployment.name
    );
    wait_until("both report", LIMIT, async || {
        deployment.count(&both).await == 2
    })
    .await;
    let reported = format!(
        "select max(extract(epoch from at) * 1000)::bigint from \"{}\".instances",
        deployment.name
    );
    let first = deployment.count(&reported).await;
    wait_until("they reported a few times more", LIMIT, async || {
        deployment.count(&reported).await > first + 4_000
    })
    .await;
    super::assert_nothing_begun(&deployment).await;

    assert_eq!(old.stop().0, Some(0));
    new.reaches("counter", 2, "live", LIMIT).await;
    published.assert_seen(&deployment, "counter", 10).await;

    // The old definition comes back: it was a generation, so nothing begins by itself.
    let old = deployment.start();
    answers(&old).await;
    wait_until("both report again", LIMIT, async || {
        deployment.count(&both).await == 2
    })
    .await;
    drop(new);
    wait_until("the old one is alone", LIMIT, async || {
        deployment.count(&both).await == 1
    })
    .await;
    let first = deployment.count(&reported).await;
    wait_until("it reported a few times more", LIMIT, async || {
        deployment.count(&reported).await > first + 4_000
    })
    .await;
    assert_live(&deployment, 2).await;
    let generations = format!("select count(*) from \"{}\".generations", deployment.name);
    assert_eq!(deployment.count(&generations).await, 2);
}
