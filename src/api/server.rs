//! Listeners, and what every request passes: time limit, size limit, measurement.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::access::Access;
use super::auth::Peer;
use super::problem::Problem;
use super::trace;
use crate::fault::{Fault, Result};
use crate::telemetry;

/// No request takes longer; a store answers or fails within about 3 s.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// Bodies are small JSON objects.
const BODY_BYTES: usize = 64 * 1024;
/// How long open requests may take after shutdown began.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a client may take to send the head of a request, and how long a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// The most headers of a request; more are answered with 431.
const HEADERS: usize = 100;
/// Heads of requests of this many bytes are taken, and none of twice as many: those are answered with 431. The
/// protocol looks at the size between two reads, which are as large at most.
const HEADER_BYTES: usize = 32 * 1024;
/// The most connections at the same time; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// How long to wait when no connection could be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a browser may keep the answer to whether it may ask.
const CORS_TIME: Duration = Duration::from_secs(3600);

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
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(HEADERS)
            .max_buf_size(HEADER_BYTES);
        let open = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            let Some((stream, peer, place)) = accepted else {
                // Out of sockets, most likely: some will be closed.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let router = router.clone();
            let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                TowerToHyperService::new(router.clone()).call(request)
            });
            let connection = protocol.serve_connection(TokioIo::new(stream), service);
            let connection = open.watch(connection);
            tokio::spawn(async move {
                // Clients may go away whenever they like.
                let _ = connection.await;
                drop(place);
            });
        }
        let _ = tokio::time::timeout(DRAIN, open.shutdown()).await;
        Ok(())
    }
}

/// The next connection, with its place among the open ones; none when accepting failed.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small: they go out at once.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::debug!(%error, "failed to accept a connection");
            None
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
pub(super) fn finish(router: Router, access: &Access) -> Router {
    let router = router
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
        .layer(middleware::from_fn(limit));
    let router = match access.cors_origins.is_empty() {
        true => router,
        false => router.layer(cors(&access.cors_origins)),
    };
    router
        .layer(middleware::from_fn(trace::follow))
        .layer(middleware::from_fn(measure))
}

/// Lets web pages of these origins read answers, freshness headers included. Tokens are sent by the page itself,
/// never by the browser on its own.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    let named = |name: &'static str| HeaderName::from_static(name);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([
            header::AUTHORIZATION,
            header::IF_NONE_MATCH,
            named("consistency-token"),
            named("last-event-id"),
            named("prefer"),
            named("traceparent"),
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            named("view-as-of"),
            named("view-generation"),
            named("view-position"),
            named("view-store"),
            named("view-token"),
        ])
        .max_age(CORS_TIME)
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
