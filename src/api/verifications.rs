//! `POST /v1/projections/{p}/verifications` and `GET …/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::Value;

use super::auth::Actor;
use super::body::{BodyOf, Fields, PathOf, asked, is_digits, path};
use super::operations::{Operations, VerificationStatus, VerifyRequest};
use super::problem::Problem;

pub(super) const ROUTES: &[&str] = &["/v1/projections/{projection}/verifications/{id}"];

pub(super) fn reading(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route(ROUTES[0], get(one))
        .with_state(operations)
}

pub(super) fn operating(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/v1/projections/{projection}/verifications", post(start))
        .with_state(operations)
}

async fn start(
    State(operations): State<Arc<dyn Operations>>,
    name: PathOf<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: BodyOf,
) -> Result<Response, Problem> {
    let projection = path(name)?;
    let asked = asked(actor, &headers)?;
    let request = request(body)?;
    let id = operations.verify(&projection, request, asked).await?;
    let place = format!("/v1/projections/{projection}/verifications/{id}");
    let begun = VerificationStatus {
        id,
        projection,
        state: "running".to_owned(),
        stores: Vec::new(),
        trouble: None,
    };
    let place = [(header::LOCATION, place)];
    Ok((StatusCode::ACCEPTED, place, Json(begun)).into_response())
}

async fn one(
    State(operations): State<Arc<dyn Operations>>,
    names: PathOf<(String, String)>,
) -> Result<Response, Problem> {
    let (projection, id) = path(names)?;
    let id = match id.parse() {
        Ok(id) => id,
        Err(_) if is_digits(&id) => return Err(Problem::unknown_verification(&projection, id)),
        Err(_) => {
            let detail = "a verification is named by its number";
            return Err(Problem::bad_request(detail));
        }
    };
    let status = operations.verification(&projection, id).await?;
    Ok(Json(status).into_response())
}

fn request(body: BodyOf) -> Result<VerifyRequest, Problem> {
    let mut fields = Fields::of(body, &["generation", "against", "sample", "strict"])?;
    let request = VerifyRequest {
        generation: fields.take("generation", |value| {
            number(value).ok_or_else(|| "must be the number of a generation".into())
        }),
        against: fields.take("against", |value| match value.as_str() {
            Some("log") => Ok("log".to_owned()),
            _ => number(value)
                .map(|number| number.to_string())
                .ok_or_else(|| "must be \"log\" or the number of a generation".into()),
        }),
        sample: fields.take("sample", |value| {
            let part = value.as_f64().filter(|part| *part > 0.0 && *part <= 1.0);
            part.ok_or_else(|| "must be a part of all keys, above 0 and at most 1".into())
        }),
        strict: fields.flag("strict"),
    };
    fields.finish()?;
    Ok(request)
}

/// A generation's number, also as text.
fn number(value: &Value) -> Option<u32> {
    let number = match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    number.filter(|number| *number > 0)
}
