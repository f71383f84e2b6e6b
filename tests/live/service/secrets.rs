//! Secrets appear in no log line, answer or measurement, whatever goes wrong.

use std::time::Duration;

use crate::harness::{COUNTER, Deployment, publish, wait_until};

const LIMIT: Duration = Duration::from_secs(60);
/// Part of every secret here.
const CANARY: &str = "c4n4ry";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_shown() {
    let mut deployment = Deployment::new(1, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, 10, 5);
    // Postgres trusts whatever password it is told; Redis and the SASL settings fail with theirs.
    let (scheme, rest) = deployment.postgres_url.split_once("://").unwrap();
    let (user, host) = rest.split_once('@').unwrap();
    let user = user.split(':').next().unwrap();
    deployment.postgres_url = format!("{scheme}://{user}:{CANARY}-postgres@{host}");
    let redis = deployment
        .redis_url
        .replace("redis://", &format!("redis://nobody:{CANARY}-redis@"));
    deployment.redis_url = redis;
    deployment.set(
        "VIEWFOLD_KAFKA__PROPERTIES__SSL_KEY_PASSWORD",
        &format!("{CANARY}-kafka"),
    );
    let token = format!("{CANARY}-token");
    let hash = viewfold::api::Token::hex(&viewfold::api::Token::hash(&token));
    let entry = format!("[{{ name = \"ops\", scope = \"operate\", sha256 = \"{hash}\" }}]");
    deployment.set("VIEWFOLD_ADMIN__TOKENS", &entry);
    deployment.set("VIEWFOLD_API__TOKENS", &entry);
    deployment.set("RUST_LOG", "debug");
    let instance = deployment.start();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let ask = |address: &str, path: &str, token: &str| {
        let request = agent.get(format!("http://{address}{path}"));
        let answer = request
            .header("authorization", &format!("Bearer {token}"))
            .call();
        match answer {
            Ok(mut answer) => {
                let headers = format!("{:?}", answer.headers());
                headers + &answer.body_mut().read_to_string().unwrap()
            }
            Err(error) => error.to_string(),
        }
    };
    wait_until("the row is in Postgres", LIMIT, async || {
        ask(&instance.api, "/v1/views/counter/k1?store=postgres", &token).contains("events")
    })
    .await;
    let mut said = String::new();
    let wrong = format!("{CANARY}-wrong");
    let jwt = format!("{CANARY}.{CANARY}.{CANARY}");
    for path in [
        "/v1/views",
        "/v1/views/counter/k1",
        "/v1/views/counter/k1?store=redis",
        "/v1/projections",
        "/v1/plan",
        "/readyz?verbose",
        "/livez?verbose",
        "/metrics",
        "/openapi.json",
        "/nowhere",
        "/",
    ] {
        for sent in [&token, &wrong, &jwt] {
            said.push_str(&ask(&instance.admin, path, sent));
            said.push_str(&ask(&instance.api, path, sent));
        }
    }
    let log = instance.log();
    assert!(log.contains("redis"), "nothing was said about Redis: {log}");
    for (place, text) in [("answers", &said), ("the log", &log)] {
        let at = text.find(CANARY);
        let around = at.map(|at| {
            text[at.saturating_sub(200)..]
                .chars()
                .take(300)
                .collect::<String>()
        });
        assert_eq!(around, None, "a secret is in {place}");
        assert!(!text.contains(&hash), "a hash is in {place}");
    }
}
