//! `GET /v1/views/{view}`: rows by conditions, page by page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::backend::{Backend, RowJson};
use super::freshness::Freshness;
use super::problem::Problem;
use super::views::{answered, insert, provenance, query_of, wanted_store};
use crate::fault::Fault;
use crate::projection::StoreKind;
use crate::query::{Counting, ListQuery};

pub(super) const ROUTES: &[&str] = &["/v1/views/{view}"];

pub(super) fn routes(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route("/v1/views/{view}", get(list))
        .with_state(backend)
}

#[derive(Serialize)]
struct Page<'a> {
    rows: &'a [RowJson],
    next_page_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

async fn list(
    State(backend): State<Arc<dyn Backend>>,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let freshness = Freshness::of(&request)?;
    let view = uri.path().strip_prefix("/v1/views/").unwrap_or_default();
    let mut query = ListQuery::parse(query_of(&uri)?).map_err(Problem::bad_request)?;
    let named = wanted_store(view, query.store.as_deref())?;
    if named == Some(StoreKind::Redis) {
        return Err(Problem::not_listable(view));
    }
    // Whatever the view's first store is, rows are listed from Postgres: it is what a token is compared with.
    let store = named.or(freshness.has_token().then_some(StoreKind::Postgres));
    query.count = counting(&request);
    let read = || backend.list(view, &query);
    let answer = freshness.answer(&*backend, (view, store), read).await?;
    let page = Page {
        rows: &answer.rows,
        next_page_token: &answer.next_page_token,
        count: answer.count,
    };
    let body = serde_json::to_string(&page)
        .map_err(|error| Fault::bug(format!("rows of view {view}: {error}")))?;
    let mut headers = provenance(&answer);
    headers.extend(freshness.applied());
    let applied = match query.count.filter(|_| answer.count.is_some()) {
        Some(Counting::Exact) => Some("count=exact"),
        Some(Counting::Estimated) => Some("count=estimated"),
        None => None,
    };
    if let Some(applied) = applied {
        let name = HeaderName::from_static("preference-applied");
        headers.append(name, HeaderValue::from_static(applied));
        insert(&mut headers, header::VARY, "prefer");
    }
    Ok(answered(&request, headers, body))
}

/// What `Prefer` says of counting. Preferences that are not understood are ignored (RFC 7240);
/// the header `Preference-Applied` names those that were not.
fn counting(request: &HeaderMap) -> Option<Counting> {
    let preferences = request.get_all("prefer").iter();
    let preferences = preferences.filter_map(|value| value.to_str().ok());
    let mut preferences = preferences.flat_map(|value| value.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("count") {
            return None;
        }
        match value.trim().trim_matches('"') {
            "exact" => Some(Counting::Exact),
            "estimated" => Some(Counting::Estimated),
            _ => None,
        }
    })
}
