//! `GET /v1/plan` and `POST /v1/projections/{p}/rebuilds`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use serde_json::Value;

use super::auth::Actor;
use super::body::{BodyOf, Fields, PathOf, asked, path};
use super::operations::{GenerationDetail, Operations, Rebuild};
use super::problem::Problem;
use crate::generation::{Base, From, Promote, RebuildRequest};
use crate::position::TopicPartition;

pub(super) const ROUTES: &[&str] = &["/v1/plan"];

const FIELDS: &[&str] = &[
    "from",
    "base",
    "max_rate",
    "promote",
    "max_changed",
    "dry_run",
];

pub(super) fn reading(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/v1/plan", get(plan))
        .with_state(operations)
}

pub(super) fn operating(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/v1/projections/{projection}/rebuilds", post(rebuild))
        .with_state(operations)
}

async fn plan(
    State(operations): State<Arc<dyn Operations>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    // Names of projections need no escapes: whatever has one is none.
    let named = query
        .as_deref()
        .unwrap_or_default()
        .split('&')
        .find_map(|part| part.strip_prefix("projection="));
    let plans = operations.plan(named).await?;
    Ok(Json(BTreeMap::from([("plans", plans)])).into_response())
}

async fn rebuild(
    State(operations): State<Arc<dyn Operations>>,
    name: PathOf<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: BodyOf,
) -> Result<Response, Problem> {
    let projection = path(name)?;
    let asked = asked(actor, &headers)?;
    let request = request(body)?;
    match operations.rebuild(&projection, request, asked).await? {
        Rebuild::Planned(plan) => Ok(Json(plan).into_response()),
        Rebuild::Started(detail) => Ok(accepted(&detail)),
    }
}

/// 202, with the place to look.
pub(super) fn accepted(detail: &GenerationDetail) -> Response {
    let place = format!(
        "/v1/projections/{}/generations/{}",
        detail.projection, detail.status.generation
    );
    let place = [(header::LOCATION, place)];
    (StatusCode::ACCEPTED, place, Json(detail)).into_response()
}

fn request(body: BodyOf) -> Result<RebuildRequest, Problem> {
    let mut fields = Fields::of(body, FIELDS)?;
    let request = RebuildRequest {
        from: fields.take("from", from),
        base: fields.word("base", &[("empty", Base::Empty), ("live", Base::Live)]),
        max_rate: fields.take("max_rate", |value| {
            let rate = value.as_u64().filter(|rate| *rate >= 1);
            rate.ok_or_else(|| "must be a whole number of records per second, at least 1".into())
        }),
        promote: fields.word(
            "promote",
            &[("auto", Promote::Auto), ("manual", Promote::Manual)],
        ),
        max_changed: fields.take("max_changed", |value| {
            let part = value.as_f64().filter(|part| (0.0..=1.0).contains(part));
            part.ok_or_else(|| "must be a part of all rows, from 0 to 1".into())
        }),
        dry_run: fields.flag("dry_run"),
    };
    fields.finish()?;
    Ok(request)
}

fn from(value: &Value) -> Result<From, String> {
    let single = value.as_object().filter(|object| object.len() == 1);
    let place = single.and_then(|object| object.iter().next());
    match (value.as_str(), place) {
        (Some("earliest"), _) => Ok(From::Earliest),
        (_, Some((kind, time))) if kind == "timestamp" => timestamp(time),
        (_, Some((kind, records))) if kind == "offsets" => offsets(records),
        _ => Err(
            r#"must be "earliest", {"timestamp": "2026-11-21T06:00:00Z"} or {"offsets": {"orders/0": 123}}"#
                .into(),
        ),
    }
}

fn timestamp(value: &Value) -> Result<From, String> {
    let time: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    let time =
        time.ok_or("timestamp must be a time such as \"2026-11-21T06:00:00Z\" (RFC 3339)")?;
    Ok(From::Timestamp(time.to_string()))
}

fn offsets(value: &Value) -> Result<From, String> {
    let wrong = "offsets must name a record per partition, such as {\"orders/0\": 123}";
    let records = value.as_object().filter(|records| !records.is_empty());
    let mut offsets = BTreeMap::new();
    for (name, offset) in records.ok_or(wrong)? {
        let partition: TopicPartition = name.parse().map_err(|e| format!("offsets: {e}"))?;
        let offset = offset.as_i64().filter(|offset| *offset >= 0);
        let offset = offset.ok_or_else(|| {
            format!("offsets: the offset of {partition} must be a whole number, at least 0")
        })?;
        if offsets.insert(partition.to_string(), offset).is_some() {
            return Err(format!("offsets name {partition} twice"));
        }
    }
    Ok(From::Offsets(offsets))
}
