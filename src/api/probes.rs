//! `/livez`, `/readyz`, `/startupz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::backend::{Backend, Check};
use crate::telemetry;

pub(super) const ROUTES: &[&str] = &["/livez", "/readyz", "/startupz", "/metrics"];

pub(super) fn routes(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .with_state(backend)
}

/// Our own loops' heartbeats; never dependencies or lag: restarting would not cure those.
async fn livez(query: RawQuery) -> Response {
    let checks = telemetry::loops().into_iter().map(|health| Check {
        ok: health.alive(),
        detail: format!(
            "came around {:.1} s ago, allowed {:.1} s",
            health.age.as_secs_f64(),
            health.bound.as_secs_f64()
        ),
        name: health.name,
    });
    answer(checks.collect(), &query)
}

async fn readyz(State(backend): State<Arc<dyn Backend>>, query: RawQuery) -> Response {
    answer(backend.readiness(), &query)
}

async fn startupz(State(backend): State<Arc<dyn Backend>>, query: RawQuery) -> Response {
    answer(backend.startup(), &query)
}

async fn metrics() -> Response {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], telemetry::render()).into_response()
}

/// 200 when every check is well, else 503 with those that are not; all of them with `?verbose`.
fn answer(checks: Vec<Check>, RawQuery(query): &RawQuery) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let verbose = query
        .split('&')
        .any(|part| part.split('=').next() == Some("verbose"));
    let ok = checks.iter().all(|check| check.ok);
    let (status, mut text) = match ok {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ok\n".to_owned()),
    };
    for check in checks.iter().filter(|check| verbose || !check.ok) {
        let sign = if check.ok { '+' } else { '-' };
        let detail = match check.detail.is_empty() {
            true => "",
            false => &format!(": {}", check.detail),
        };
        text.push_str(&format!("[{sign}] {}{detail}\n", check.name));
    }
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
