//! The HTTP routes, over a real socket, in front of a service that is made up.
#![cfg(test)]

mod access;
mod feed;
mod freshness;
mod jwt;
mod limits;
mod listing;
mod made;
mod openapi;
mod page;
mod reading;
mod rebuilding;
mod shelf;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use viewfold::api::{self, Access, Scope, Server, Token};

use self::made::Made;

/// A running pair of listeners; dropping it stops them.
struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    made: Arc<Made>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(tokens: &[Token], partitions: i32) -> Running {
    serve(
        Made {
            partitions,
            ..Made::default()
        },
        tokens,
    )
    .await
}

async fn serve(made: Made, tokens: &[Token]) -> Running {
    serve_with(made, tokens.into()).await
}

async fn serve_with(made: Made, access: Access) -> Running {
    let made = Arc::new(made);
    let stop = CancellationToken::new();
    let mut addresses = Vec::new();
    for router in [
        api::public(made.clone(), access.clone()),
        api::admin(made.clone(), made.clone(), access),
    ] {
        let local = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind("api.listen", local).await.unwrap();
        addresses.push(server.address());
        tokio::spawn(server.serve(router, stop.clone()));
    }
    Running {
        public: addresses[0],
        admin: addresses[1],
        made,
        stop,
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and type of a problem, which must be complete.
    fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.body
        );
        let body = self.json();
        assert_eq!(body["status"], self.status);
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
        let kind = body["type"].as_str().unwrap();
        let known = api::KINDS.iter().find(|known| known.name == kind);
        assert_eq!(known.map(|kind| kind.status), Some(self.status), "{kind}");
        (self.status, body["type"].as_str().unwrap().to_owned())
    }
}

/// Sends a request with these headers; `method` may carry a body: `POST {…}`.
fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let (method, body) = method.split_once(' ').unwrap_or((method, ""));
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let request = request.body(body.to_owned()).unwrap();
    let mut response = tokio::task::block_in_place(|| agent.run(request)).unwrap();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    Answer {
        status: response.status().as_u16(),
        headers,
        body: response.body_mut().read_to_string().unwrap(),
    }
}

fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, &[])
}
fn token(name: &str, scope: Scope, expires: Option<&str>) -> Token {
    Token {
        name: name.into(),
        scope,
        sha256: Token::hash(name),
        expires: expires.map(|time| time.parse().unwrap()),
    }
}
