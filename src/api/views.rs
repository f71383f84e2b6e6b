//! `GET /v1/views` and `GET /v1/views/{view}/{key}`, and what all reads of rows answer alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::backend::{Backend, Reflects, RowJson};
use super::freshness::Freshness;
use super::problem::Problem;
use crate::position::RecordName;
use crate::projection::StoreKind;
use crate::query::{LONGEST_QUERY, Token, parameters, select};

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
    let freshness = Freshness::of(&request)?;
    let path = uri.path().strip_prefix("/v1/views/").unwrap_or_default();
    let (view, key) = path.split_once('/').unwrap_or((path, ""));
    let asked = Asked::read(view, query_of(&uri)?)?;
    let read = || backend.point_read(view, key, asked.store);
    let answer = freshness
        .answer(&*backend, (view, asked.store), read)
        .await?;
    let mut headers = provenance(&answer);
    headers.extend(freshness.applied());
    let Some(row) = answer.row else {
        let detail = format!("view {view} has no row with this key");
        let problem = Problem::new(StatusCode::NOT_FOUND, "unknown-row", detail);
        return Ok((headers, problem).into_response());
    };
    let row = match &asked.select {
        Some(select) => chosen(row, select)?,
        None => row,
    };
    let body = serde_json::to_string(&row)
        .map_err(|error| crate::fault::Fault::bug(format!("row of view {view}: {error}")))?;
    Ok(answered(&request, headers, body))
}

/// What a point read may say behind its `?`.
#[derive(Default)]
struct Asked {
    store: Option<StoreKind>,
    select: Option<String>,
}

impl Asked {
    fn read(view: &str, query: &str) -> Result<Self, Problem> {
        let (mut store, mut select) = (None, None);
        for (name, value) in parameters(query).map_err(Problem::bad_request)? {
            let slot = match &*name {
                "store" => &mut store,
                "select" => &mut select,
                _ => {
                    return Err(Problem::bad_request(format!(
                        "`{name}` is no parameter of a row; possible: store, select"
                    )));
                }
            };
            if slot.replace(value).is_some() {
                return Err(Problem::bad_request(format!("{name} is given twice")));
            }
        }
        Ok(Self {
            store: wanted_store(view, store.as_deref())?,
            select,
        })
    }
}

/// The row with the columns that are selected.
fn chosen(row: RowJson, text: &str) -> Result<RowJson, Problem> {
    let names: Vec<&str> = row.0.iter().map(|(name, _)| &**name).collect();
    let columns = select(&names, text).map_err(Problem::bad_request)?;
    let chosen = columns
        .into_iter()
        .filter_map(|index| row.0.get(index).cloned());
    Ok(RowJson(chosen.collect()))
}

/// What stands behind the `?`.
pub(super) fn query_of(uri: &Uri) -> Result<&str, Problem> {
    let query = uri.query().unwrap_or_default();
    match query.len() <= LONGEST_QUERY {
        true => Ok(query),
        false => Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "too-long",
            format!("what stands behind the ? is longer than {LONGEST_QUERY} bytes"),
        )),
    }
}

/// The answer with an `ETag`, or 304 where the client has it already.
pub(super) fn answered(request: &HeaderMap, mut headers: HeaderMap, body: String) -> Response {
    let etag = etag(&headers, &body);
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
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    insert(&mut headers, header::CONTENT_TYPE, "application/json");
    (headers, body).into_response()
}

/// The store that is named, if one is.
pub(super) fn wanted_store(view: &str, named: Option<&str>) -> Result<Option<StoreKind>, Problem> {
    match named {
        None => Ok(None),
        Some("postgres") => Ok(Some(StoreKind::Postgres)),
        Some("redis") => Ok(Some(StoreKind::Redis)),
        Some(other) => Err(Problem::unknown_store(view, other)),
    }
}

/// Headers that say what the answer reflects.
pub(super) fn provenance(answer: &impl Reflects) -> HeaderMap {
    let answer = answer.reflects();
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| {
        insert(&mut headers, HeaderName::from_static(name), value);
    };
    add("view-store", answer.store.as_str());
    add("view-generation", &answer.generation.to_string());
    let names: Vec<String> = answer.positions.iter().map(RecordName::to_string).collect();
    let positions = names.join(",");
    if positions.len() > LONGEST_POSITION {
        add("view-token", &Token::opaque(answer.positions));
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

/// Tells answers apart by their store, generation and content.
fn etag(headers: &HeaderMap, body: &str) -> String {
    let mut hash = Sha256::new();
    for name in ["view-store", "view-generation"] {
        hash.update(headers.get(name).map_or(&b""[..], HeaderValue::as_bytes));
        hash.update(b" ");
    }
    hash.update(body);
    let hex = hash
        .finalize()
        .iter()
        .take(12)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("\"{hex}\"")
}

/// Adds a header. Values are names, numbers and times, so none is ever refused.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
