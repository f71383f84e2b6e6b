//! JWTs of an issuer: what is accepted, what is not, and what happens while the issuer is away.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use viewfold::api::{Access, JwtSettings, KeySource};

use super::made::Made;
use super::{Running, get, send, serve_with};

pub(super) const ISSUER: &str = "https://id.example";
pub(super) const AUDIENCE: &str = "viewfold";

/// An RS256 token that ends in 2100, and the modulus of its key. The private key was thrown away.
const RSA_TOKEN: &str = include_str!("rsa.jwt");
const RSA_MODULUS: &str = include_str!("rsa.modulus");

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// Good claims, with these in their place.
pub(super) fn claims(changed: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now() + 600,
        "scope": "openid viewfold:read",
    });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Somebody who makes tokens.
pub(super) struct Issuer {
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
        Self {
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(signing, ec.as_ref(), &random).unwrap(),
        }
    }

    /// The key set, with keys in it that nobody here can use.
    fn set(&self, ed_id: &str) -> String {
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": ed_id, "x": encode(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "ec", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "RSA", "kid": "rsa", "n": RSA_MODULUS.trim(), "e": "AQAB" },
            { "kty": "oct", "kid": "shared", "k": encode("secret") },
            { "kty": "EC", "crv": "secp256k1", "kid": "coin", "x": "AA", "y": "AA" },
            { "kty": "new" },
        ]})
        .to_string()
    }

    pub(super) fn ed(&self, id: &str, claims: &Value) -> String {
        let text = unsigned(&json!({"alg": "EdDSA", "kid": id, "typ": "JWT"}), claims);
        let signed = self.ed.sign(text.as_bytes());
        format!("{text}.{}", encode(signed))
    }

    fn ec(&self, claims: &Value) -> String {
        let text = unsigned(&json!({"alg": "ES256", "kid": "ec"}), claims);
        let signed = self.ec.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", encode(signed))
    }

    /// Access for tokens of this issuer alone, whose keys are in a file.
    pub(super) fn access(&self, folder: &std::path::Path) -> Access {
        let path = folder.join("jwks.json");
        std::fs::write(&path, self.set("ed")).unwrap();
        access(KeySource::File(path))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    )
}

fn access(keys: KeySource) -> Access {
    Access {
        jwt: Some(JwtSettings {
            issuer: ISSUER.into(),
            audience: vec![AUDIENCE.into()],
            keys: Some(keys),
            ..JwtSettings::default()
        }),
        ..Access::default()
    }
}

fn status(running: &Running, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let answer = send(
        running.public,
        "GET",
        "/v1/views",
        &[("authorization", &bearer)],
    );
    if answer.status == 401 {
        assert_eq!(answer.problem().1, "unauthorized");
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer error="invalid_token""#
        );
        assert!(
            !answer.body.contains("expired"),
            "says too much: {}",
            answer.body
        );
    }
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_of_each_kind_of_key_passes() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::new();
    let running = serve_with(Made::default(), issuer.access(folder.path())).await;
    assert_eq!(
        status(&running, &issuer.ed("ed", &claims(json!({})))),
        200,
        "EdDSA"
    );
    assert_eq!(
        status(&running, &issuer.ec(&claims(json!({})))),
        200,
        "ES256"
    );
    assert_eq!(status(&running, RSA_TOKEN.trim()), 200, "RS256");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_token_keeps_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::new();
    let running = serve_with(Made::default(), issuer.access(folder.path())).await;
    for wrong in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": ["other", "another"]}),
        json!({"aud": null}),
        json!({"exp": now() - 120}),
        json!({"exp": null}),
        json!({"exp": "4102444800"}),
        json!({"nbf": now() + 120}),
        json!({"nbf": "soon"}),
    ] {
        let token = issuer.ed("ed", &claims(wrong.clone()));
        assert_eq!(status(&running, &token), 401, "{wrong}");
    }
    // Clocks may differ by a minute.
    for near in [
        json!({"exp": now() - 30}),
        json!({"nbf": now() + 30}),
        json!({"exp": now() as f64 + 60.5}),
    ] {
        let token = issuer.ed("ed", &claims(near.clone()));
        assert_eq!(status(&running, &token), 200, "{near}");
    }
    let stranger = Issuer::new();
    assert_eq!(
        status(&running, &stranger.ed("ed", &claims(json!({})))),
        401,
        "another key"
    );
    let good = issuer.ed("ed", &claims(json!({})));
    let (text, signed) = good.rsplit_once('.').unwrap();
    let more = claims(json!({"scope": "viewfold:admin"}));
    let head = text.split_once('.').unwrap().0;
    let changed = format!("{head}.{}.{signed}", encode(more.to_string()));
    assert_eq!(status(&running, &changed), 401, "changed claims");
    assert_eq!(status(&running, &format!("{text}.")), 401, "no signature");
    assert_eq!(status(&running, "a.b.c"), 401, "no JSON");
    for alg in ["none", "None", "HS256", "RS256", "ES256", "PS512", ""] {
        // Also with the public key's bytes as a shared secret: the algorithm is pinned, and fits the key's family.
        let text = unsigned(&json!({"alg": alg, "kid": "ed"}), &claims(json!({})));
        assert_eq!(status(&running, &format!("{text}.{signed}")), 401, "{alg}");
        assert_eq!(
            status(&running, &format!("{text}.")),
            401,
            "{alg} without signature"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_decides_what_a_token_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::new();
    let mut access = issuer.access(folder.path());
    let ask = |running: &Running, scope: Value| {
        let token = issuer.ed("ed", &claims(scope));
        let bearer = format!("Bearer {token}");
        let method = r#"POST {"record": "orders/0@1", "reason": "tested"}"#;
        let path = "/v1/projections/totals/skip";
        send(running.admin, method, path, &[("authorization", &bearer)]).status
    };
    let running = serve_with(Made::default(), access.clone()).await;
    for (scope, expected) in [
        (json!({"scope": "viewfold:operate"}), 202),
        (json!({"scope": ["viewfold:read", "viewfold:admin"]}), 202),
        (json!({"scope": "viewfold:read"}), 403),
        (json!({"scope": "viewfold:operated xviewfold:operate"}), 403),
        (json!({"scope": {"viewfold:operate": true}}), 403),
        (json!({"scope": null}), 403),
    ] {
        assert_eq!(ask(&running, scope.clone()), expected, "{scope}");
    }
    assert_eq!(running.made.skips.lock().unwrap()[0].actor, "jwt:alice");
    let jwt = access.jwt.as_mut().unwrap();
    jwt.scope_claim = "realm_access.roles".into();
    jwt.scopes[1].1 = "shop-ops".into();
    let running = serve_with(Made::default(), access).await;
    let nested = json!({"realm_access": {"roles": ["shop-ops"]}});
    assert_eq!(ask(&running, nested), 202, "as Keycloak nests them");
}

/// A server of key sets that can be away.
struct KeyServer {
    url: String,
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl KeyServer {
    fn start(sets: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = Self {
            url,
            asked: Arc::default(),
            away: Arc::default(),
        };
        let (asked, away) = (server.asked.clone(), server.away.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let turn = asked.fetch_add(1, Ordering::SeqCst);
                let set = &sets[turn.min(sets.len() - 1)];
                let status = if away.load(Ordering::SeqCst) {
                    "500 Away"
                } else {
                    "200 OK"
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
                    set.len()
                );
            }
        });
        server
    }

    fn access(&self) -> Access {
        access(KeySource::Url(self.url.clone()))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_and_made_up_ones_do_not_reach_the_issuer() {
    let issuer = Issuer::new();
    let server = KeyServer::start(vec![issuer.set("ed")]);
    let running = serve_with(Made::default(), server.access()).await;
    let good = issuer.ed("ed", &claims(json!({})));
    assert_eq!(server.asked(), 0, "nobody has asked yet");
    for _ in 0..5 {
        assert_eq!(status(&running, &good), 200);
    }
    assert_eq!(server.asked(), 1);
    server.away.store(true, Ordering::SeqCst);
    for id in ["a", "b", "c", "d"] {
        assert_eq!(
            status(&running, &issuer.ed(id, &claims(json!({})))),
            401,
            "no such key"
        );
    }
    assert_eq!(server.asked(), 1, "asked again within the minute");
    assert_eq!(
        status(&running, &good),
        200,
        "the issuer is not needed for a key that is known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_the_answer_is_to_come_again() {
    let issuer = Issuer::new();
    let server = KeyServer::start(vec![issuer.set("ed")]);
    server.away.store(true, Ordering::SeqCst);
    let running = serve_with(Made::default(), server.access()).await;
    let bearer = format!("Bearer {}", issuer.ed("ed", &claims(json!({}))));
    let answer = send(
        running.public,
        "GET",
        "/v1/views",
        &[("authorization", &bearer)],
    );
    assert_eq!(answer.problem(), (503, "unavailable".into()));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(
        get(running.admin, "/metrics").status,
        200,
        "probes need no token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_that_is_no_key_set_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("jwks.json");
    std::fs::write(&path, "{}").unwrap();
    let running = serve_with(Made::default(), access(KeySource::File(path))).await;
    assert_eq!(status(&running, RSA_TOKEN.trim()), 503);
    assert_eq!(get(running.public, "/v1/views").status, 401);
}
