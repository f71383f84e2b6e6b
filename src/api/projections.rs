//! `GET /v1/projections`, `GET /v1/projections/{p}`, `POST /v1/projections/{p}/skip`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::auth::Actor;
use super::backend::{Backend, Skip};
use super::body::{PathOf, json_body, path};
use super::problem::Problem;

pub(super) const ROUTES: &[&str] = &["/v1/projections", "/v1/projections/{projection}"];

/// Routes that only look.
pub(super) fn reading(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/v1/projections", get(list))
        .route("/v1/projections/{projection}", get(one))
        .with_state(backend)
}

/// Routes that change something.
pub(super) fn operating(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/v1/projections/{projection}/skip", post(skip))
        .with_state(backend)
}

async fn list(State(backend): State<Arc<dyn Backend>>) -> Response {
    Json(backend.status().await).into_response()
}

async fn one(
    State(backend): State<Arc<dyn Backend>>,
    name: PathOf<String>,
) -> Result<Response, Problem> {
    let name = path(name)?;
    let status = backend.status().await;
    match status.projection(&name) {
        Some(projection) => Ok(Json(projection).into_response()),
        None => Err(Problem::unknown_projection(&name)),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipRequest {
    /// Which record: `topic/partition@offset`.
    record: String,
    /// Why; kept in the audit.
    reason: String,
}

async fn skip(
    State(backend): State<Arc<dyn Backend>>,
    name: PathOf<String>,
    Extension(Actor(actor)): Extension<Actor>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let projection = path(name)?;
    let request: SkipRequest = json_body(body)?;
    if request.reason.trim().is_empty() {
        return Err(Problem::bad_request("reason must not be empty"));
    }
    let record = request.record.parse();
    let skip = Skip {
        projection: projection.clone(),
        record: record.map_err(|error| Problem::bad_request(format!("record: {error}")))?,
        reason: request.reason,
        actor,
    };
    let new = backend.skip(skip).await?;
    let answer = json!({
        "projection": projection,
        "record": request.record,
        "state": if new { "accepted" } else { "decided before" },
    });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
