//! Who may do what: every operation of the document, with every kind of token.

use serde_json::json;
use viewfold::api::{Access, Scope, Surface, Token};
use viewfold::query::{FeedEvent, FeedKind};

use super::jwt::{Issuer, claims, now};
use super::made::Made;
use super::openapi::{concrete, operations};
use super::{send, serve_with, token};

const SCOPES: [&str; 3] = ["read", "operate", "admin"];

/// Whose name, what a client sends, and the scope that it then has; no answer when it is not known at all.
type Credential = (&'static str, Option<String>, Option<Option<usize>>);

fn credentials(issuer: &Issuer) -> Vec<Credential> {
    let bearer = |text: &str| Some(format!("Bearer {text}"));
    let jwt = |changed| bearer(&issuer.ed("ed", &claims(changed)));
    vec![
        ("none", None, None),
        ("read", bearer("read"), Some(Some(0))),
        ("operate", bearer("operate"), Some(Some(1))),
        ("admin", bearer("admin"), Some(Some(2))),
        ("expired", bearer("expired"), None),
        ("unknown", bearer("unknown"), None),
        ("basic", Some("Basic YWRtaW46YWRtaW4=".into()), None),
        (
            "JWT for read",
            jwt(json!({"scope": "viewfold:read"})),
            Some(Some(0)),
        ),
        (
            "JWT for operate",
            jwt(json!({"scope": "viewfold:operate"})),
            Some(Some(1)),
        ),
        (
            "JWT for admin",
            jwt(json!({"scope": "viewfold:admin"})),
            Some(Some(2)),
        ),
        ("JWT without scope", jwt(json!({"scope": ""})), Some(None)),
        ("JWT expired", jwt(json!({"exp": now() - 600})), None),
        (
            "JWT for another audience",
            jwt(json!({"aud": "billing"})),
            None,
        ),
    ]
}

fn access(issuer: &Issuer, folder: &std::path::Path) -> Access {
    Access {
        tokens: vec![
            token("read", Scope::Read, None),
            token("operate", Scope::Operate, Some("2999-01-01T00:00:00Z")),
            token("admin", Scope::Admin, None),
            token("expired", Scope::Admin, Some("2020-01-01T00:00:00Z")),
        ],
        ..issuer.access(folder)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_its_scope_and_for_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::new();
    let event = FeedEvent {
        kind: FeedKind::Position,
        id: "v1".into(),
        data: "".into(),
    };
    // A stream that nothing is told on would not end.
    let made = Made {
        told: vec![event].into(),
        ..Made::default()
    };
    let running = serve_with(made, access(&issuer, folder.path())).await;
    let mut seen = 0;
    for (surface, address) in [
        (Surface::Public, running.public),
        (Surface::Admin, running.admin),
    ] {
        for (method, path, needed) in operations(surface) {
            let open = ["/livez", "/readyz", "/startupz", "/metrics"].contains(&path.as_str());
            assert_eq!(needed.is_none(), open, "{method} {path}");
            let needed = needed.map(|name| SCOPES.iter().position(|scope| *scope == name).unwrap());
            for (who, sent, has) in credentials(&issuer) {
                let headers: Vec<(&str, &str)> = sent
                    .iter()
                    .map(|value| ("authorization", value.as_str()))
                    .collect();
                let body = if method == "GET" { "" } else { " {}" };
                let answer = send(
                    address,
                    &format!("{method}{body}"),
                    &concrete(&path),
                    &headers,
                );
                let status = answer.status;
                match (needed, has) {
                    (None, _) => assert!(
                        ![401, 403].contains(&status),
                        "{who}: {method} {path} {status}"
                    ),
                    (Some(_), None) => assert_eq!(status, 401, "{who}: {method} {path}"),
                    (Some(needed), Some(has)) if has.is_none_or(|has| has < needed) => {
                        assert_eq!(status, 403, "{who}: {method} {path}");
                        // The page says it as a page.
                        assert!(path == "/" || answer.problem().1 == "forbidden");
                    }
                    _ => assert!(
                        ![401, 403].contains(&status),
                        "{who}: {method} {path} {status}"
                    ),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_of_one_client_are_accepted_while_they_are_exchanged() {
    let access = Access::from(&[
        token("old", Scope::Read, None),
        token("new", Scope::Read, None),
    ] as &[Token]);
    let running = serve_with(Made::default(), access).await;
    for name in ["old", "new"] {
        let bearer = format!("Bearer {name}");
        let answer = send(
            running.public,
            "GET",
            "/v1/views",
            &[("authorization", &bearer)],
        );
        assert_eq!(answer.status, 200, "{name}");
    }
}
