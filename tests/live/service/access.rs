//! Roles of the database that may read the views and nothing else.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::harness::{COUNTER, Deployment, Instance, TENFOLD, caught_up, publish, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// `viewfold access …` for this deployment.
fn access(deployment: &Deployment, instance: &Instance, arguments: &[&str]) -> crate::harness::Ran {
    let url = format!("postgres.url={}", deployment.postgres_url);
    let schema = format!("postgres.schema={}", deployment.name);
    let views = format!("postgres.views_schema={}", deployment.views_schema());
    let settings = ["--set", &url, "--set", &schema, "--set", &views];
    instance.command(&[&["access"], arguments, &settings].concat())
}

/// Whether the role may do this.
async fn may(deployment: &Deployment, role: &str, sql: &str) -> bool {
    let mut connection = deployment.pool.acquire().await.unwrap().detach();
    let become_role = format!("set role \"{role}\"");
    connection
        .execute(AssertSqlSafe(become_role))
        .await
        .unwrap();
    let connection: &mut PgConnection = &mut connection;
    let outcome = connection.execute(AssertSqlSafe(sql.to_owned())).await;
    match outcome {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_the_views_and_nothing_else_also_after_a_cutover_and_in_new_views() {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, 100, 10);
    let instance = deployment.start();
    caught_up(&instance, 100, LIMIT).await;
    let role = format!("{}_bi", deployment.name);
    let schema = deployment.name.clone();
    let views = deployment.views_schema();
    let select = format!("select count(*) from \"{views}\".counter");

    let refused = access(&deployment, &instance, &["grant", &role]).expect(3);
    assert!(refused.err.contains("--create"), "{refused:?}");
    let shown = access(
        &deployment,
        &instance,
        &["grant", &role, "--create", "--print"],
    )
    .expect(0);
    assert!(shown.out.contains("CREATE ROLE"), "{shown:?}");
    assert_eq!(
        deployment
            .count(&format!(
                "select count(*) from pg_roles where rolname = '{role}'"
            ))
            .await,
        0
    );
    access(&deployment, &instance, &["grant", &role, "--create"]).expect(0);
    access(&deployment, &instance, &["grant", &role, "--create"]).expect(0);
    access(&deployment, &instance, &["grant", &role]).expect(0);

    assert!(may(&deployment, &role, &select).await);
    for forbidden in [
        format!("insert into \"{views}\".counter (id) values ('x')"),
        format!("delete from \"{views}\".counter"),
        format!("drop view \"{views}\".counter"),
        format!("create table \"{views}\".mine (a int)"),
        format!("select * from \"{schema}\".counter_g1"),
        format!("select * from \"{schema}\".generations"),
        format!("create table \"{schema}\".mine (a int)"),
    ] {
        assert!(!may(&deployment, &role, &forbidden).await, "{forbidden}");
    }

    // A definition of another shape: the SQL view is replaced.
    let folder =
        deployment.other_projections("other", &[("counter", TENFOLD), ("second", COUNTER)]);
    let new = deployment.launch().projections(&folder).start();
    wait_until("the other instance is ready", LIMIT, async || {
        new.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;
    new.command_within(&["rebuild", "counter", "--wait"], LIMIT)
        .expect(0);
    assert!(
        may(
            &deployment,
            &role,
            &format!("select doubled from \"{views}\".counter")
        )
        .await
    );
    let second = format!("select count(*) from \"{views}\".second");
    wait_until("there is a second view", LIMIT, async || {
        deployment.view_columns("second").await.len() > 1
    })
    .await;
    assert!(may(&deployment, &role, &second).await, "a new view");
    assert!(
        !may(
            &deployment,
            &role,
            &format!("select * from \"{schema}\".counter_g2")
        )
        .await
    );

    access(&deployment, &instance, &["revoke", &role]).expect(0);
    assert!(!may(&deployment, &role, &select).await);
    // The role can go: nothing of it is left anywhere.
    deployment.execute(&format!("drop role \"{role}\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_could_write_anyway_is_refused() {
    let deployment = Deployment::new(1, &[("counter", COUNTER)]).await;
    let instance = deployment.start();
    caught_up(&instance, 0, LIMIT).await;
    let superuser = access(&deployment, &instance, &["grant", "postgres"]).expect(3);
    assert!(superuser.err.contains("superuser"), "{superuser:?}");
    access(&deployment, &instance, &["grant", "public"]).expect(3);
    let owner = format!("{}_owner", deployment.name);
    let member = format!("{}_member", deployment.name);
    let views = deployment.views_schema();
    deployment
        .execute(&format!(
            "create role \"{owner}\"; create role \"{member}\" in role \"{owner}\"; \
             alter schema \"{views}\" owner to \"{owner}\""
        ))
        .await;
    for role in [&owner, &member] {
        let refused = access(&deployment, &instance, &["grant", role]).expect(3);
        assert!(refused.err.contains("owns"), "{refused:?}");
    }
    deployment
        .execute(&format!(
            "alter schema \"{views}\" owner to postgres; drop role \"{member}\"; drop role \"{owner}\""
        ))
        .await;
}
