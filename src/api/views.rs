//! `GET /v1/views` and `GET /v1/views/{view}/{key}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::backend::{Backend, PointAnswer};
use super::problem::Problem;
use crate::position::RecordName;
use crate::projection::StoreKind;

/// Above this many bytes, positions are given as an opaque token only: proxies limit headers.
const LONGEST_POSITION: usize = 4096;

pub(super) const ROUTES: &[&str] = &["/v1/views", "/v1/views/{view}/{key}"];

pub(super) fn routes(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/v1/views", get(list))
        .route("/v1/views/{view}/{key}", get(point))
        .with_state(backend)
}

async fn list(State(backend): State<Arc<dyn Backend>>) -> Result<Response, Problem> {
    let views = backend.views().await?;
    // A `Value` would bring the columns into another order.
    let body = BTreeMap::from([("views", views)]);
    Ok(axum::Json(body).into_response())
}

/// The key is taken from the path as it was sent: it is split at commas before it is decoded.
async fn point(
    State(backend): State<Arc<dyn Backend>>,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, Problem> {
    if request.contains_key("consistency-token") {
        // Answering without looking at it would pass a stale row off as a fresh one (I12).
        return Err(Problem::bad_request(
            "Consistency-Token is not available yet; compare the View-Position header of the answer instead",
        ));
    }
    let path = uri.path().strip_prefix("/v1/views/").unwrap_or_default();
    let (view, key) = path.split_once('/').unwrap_or((path, ""));
    let store = wanted_store(view, uri.query().unwrap_or_default())?;
    let answer = backend.point_read(view, key, store).await?;
    let mut headers = provenance(&answer);
    let Some(row) = &answer.row else {
        let detail = format!("view {view} has no row with this key");
        let problem = Problem::new(StatusCode::NOT_FOUND, "unknown-row", detail);
        return Ok((headers, problem).into_response());
    };
    let body = serde_json::to_string(row)
        .map_err(|error| crate::fault::Fault::bug(format!("row of view {view}: {error}")))?;
    let etag = etag(&answer, &body);
    let unchanged = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == etag);
    insert(&mut headers, header::ETAG, &etag);
    // Whoever keeps a row asks before it is shown again.
    insert(&mut headers, header::CACHE_CONTROL, "no-cache");
    if unchanged {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    insert(&mut headers, header::CONTENT_TYPE, "application/json");
    Ok((headers, body).into_response())
}

fn wanted_store(view: &str, query: &str) -> Result<Option<StoreKind>, Problem> {
    let named = query
        .split('&')
        .find_map(|part| part.strip_prefix("store="));
    match named {
        None => Ok(None),
        Some("postgres") => Ok(Some(StoreKind::Postgres)),
        Some("redis") => Ok(Some(StoreKind::Redis)),
        Some(other) => Err(Problem::unknown_store(view, other)),
    }
}

/// Headers that say what the answer reflects.
fn provenance(answer: &PointAnswer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| {
        insert(&mut headers, HeaderName::from_static(name), value);
    };
    add("view-store", answer.store.as_str());
    add("view-generation", &answer.generation.to_string());
    let names: Vec<String> = answer.positions.iter().map(RecordName::to_string).collect();
    let positions = names.join(",");
    if positions.len() > LONGEST_POSITION {
        add("view-token", &token(&answer.positions));
    } else if !positions.is_empty() {
        add("view-position", &positions);
    }
    let as_of = answer
        .as_of_micros
        .and_then(|micros| Timestamp::from_microsecond(micros).ok());
    if let Some(time) = as_of {
        add("view-as-of", &time.to_string());
    }
    headers
}

/// The same positions in a shorter, opaque form: each topic once, offsets in hexadecimal.
fn token(positions: &[RecordName]) -> String {
    let mut text = String::from("v1");
    let mut topic = "";
    for record in positions {
        if *record.partition.topic != *topic {
            topic = &record.partition.topic;
            text.push_str(&format!("/{topic}"));
        }
        text.push_str(&format!(
            ":{:x}.{:x}",
            record.partition.partition, record.offset
        ));
    }
    text
}

fn etag(answer: &PointAnswer, body: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(answer.store.as_str());
    hash.update(answer.generation.to_be_bytes());
    hash.update(body);
    let hex = hash
        .finalize()
        .iter()
        .take(12)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("\"{hex}\"")
}

/// Adds a header. Values are names, numbers and times, so none is ever refused.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
