//! Listeners, and what every request passes: time limit, size limit, measurement.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use crate::fault::{Fault, Result};
use crate::telemetry;

/// No request takes longer; a store answers or fails within about 3 s.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// Bodies are small JSON objects.
const BODY_BYTES: usize = 64 * 1024;
/// How long open requests may take after shutdown began.
const DRAIN: Duration = Duration::from_secs(2);

/// Ends answers that would go on for as long as the client listens. Part of every request's extensions.
#[derive(Clone)]
pub(super) struct Stop(pub(super) CancellationToken);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `address`; `setting` is what the operator would change (`admin.listen`).
    pub async fn bind(setting: &str, address: SocketAddr) -> Result<Self> {
        let wrong = |error: std::io::Error| {
            Fault::misconfigured(format!(
                "listen on {address}: {error}; free the port or change {setting}"
            ))
        };
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then ends after the requests in hand, at most 2 s later.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> Result<()> {
        let router = router.layer(Extension(Stop(shutdown.clone())));
        let stop = shutdown.clone();
        let serving = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .into_future();
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            served = serving => {
                served.map_err(|error| Fault::bug(format!("serve {}: {error}", self.address)))
            }
            () = overdue => Ok(()),
        }
    }
}

/// Starts the measurement of these routes at 0.
pub(super) fn announce(method: &str, routes: &[&str]) {
    for route in routes {
        telemetry::metrics()
            .http_request_duration
            .with_label_values(&[method, route, "200"]);
    }
}

/// Adds to `router` what every request passes, and problems for paths and methods that do not exist.
pub(super) fn finish(router: Router) -> Router {
    router
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is nothing at this path",
            )
        })
        .method_not_allowed_fallback(|| async {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "method-not-allowed", "this path has other methods")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(limit))
        .layer(middleware::from_fn(measure))
}

async fn limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the request took too long").into_response(),
    }
}

async fn measure(request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begin = Instant::now();
    let response = next.run(request).await;
    // A path that somebody made up must not become a label.
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    telemetry::metrics()
        .http_request_duration
        .with_label_values(&[method, route, response.status().as_str()])
        .observe(begin.elapsed().as_secs_f64());
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
