//! `GET /` of the public listener: what views there are, for people. No script and nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::auth::{Gate, Peer};
use super::backend::{Backend, PointAnswer, ViewInfo};
use super::problem::Problem;
use super::token::Scope;

pub(super) const ROUTES: &[&str] = &["/"];

const STYLE: &str = include_str!("page.css");

/// Nothing but this page's own style is loaded or run, whatever a row holds.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

#[derive(Clone)]
struct Page {
    backend: Arc<dyn Backend>,
    gate: Arc<Gate>,
}

/// Outside of the guard of other routes: who may not read gets a page that says so.
pub(super) fn routes(backend: Arc<dyn Backend>, gate: Arc<Gate>) -> Router {
    Router::new()
        .route(ROUTES[0], get(show))
        .with_state(Page { backend, gate })
}

/// A key that somebody tries.
#[derive(Default, Deserialize)]
struct Tried {
    #[serde(default)]
    view: String,
    #[serde(default)]
    key: String,
}

async fn show(
    State(page): State<Page>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    tried: Result<Query<Tried>, QueryRejection>,
) -> Response {
    let peer = peer.map(|Extension(peer)| peer);
    let _passed = match page.gate.pass(&headers, peer, Scope::Read).await {
        Ok(passed) => passed,
        Err(problem) => return turned_away(problem),
    };
    let Query(tried) = tried.unwrap_or_default();
    let views = match page.backend.views().await {
        Ok(views) => views,
        Err(problem) => return turned_away(problem),
    };
    let mut found = None;
    if views.iter().any(|view| *view.name == *tried.view) {
        found = Some(
            page.backend
                .point_read(&tried.view, tried.key.trim(), None)
                .await,
        );
    }
    let body = html! {
        p {
            "Read views, folded from Kafka events. Machines read "
            a href="/v1/views" { code { "/v1/views" } }
            ", which "
            a href="/openapi.json" { code { "/openapi.json" } }
            " describes."
        }
        @if views.is_empty() { p { "There are no views yet." } }
        @for view in &views {
            (section(view, (*view.name == *tried.view).then_some((&tried, found.as_ref()))))
        }
    };
    answer(StatusCode::OK, HeaderMap::new(), &body)
}

type Found<'f> = Option<&'f Result<PointAnswer, Problem>>;

fn section(view: &ViewInfo, tried: Option<(&Tried, Found<'_>)>) -> Markup {
    let stores: Vec<&str> = view.stores.iter().map(|store| store.as_str()).collect();
    let key = view.key.join(",");
    let field = format!("key-{}", view.name);
    let typed = tried.map_or("", |(tried, _)| &tried.key);
    html! {
        section aria-labelledby=(view.name) {
            h2 id=(view.name) { (view.name) }
            @if !view.description.is_empty() { p { (view.description) } }
            p.soft { "Generation " (view.generation) ", in " (stores.join(", ")) "." }
            table {
                caption { "Columns" }
                thead { tr { th scope="col" { "column" } th scope="col" { "type" } th scope="col" { "key" } } }
                tbody {
                    @for (name, kind) in &view.columns {
                        tr {
                            th scope="row" { (name) }
                            td { (kind.to_string()) }
                            td { @if view.key.contains(name) { "key" } }
                        }
                    }
                }
            }
            form method="get" action={ "/#" (view.name) } {
                input type="hidden" name="view" value=(view.name);
                p {
                    label for=(field) { "Try a key (" code { (key) } "): " }
                    input id=(field) name="key" value=(typed) required autocomplete="off";
                    " "
                    button { "Show the row" }
                }
            }
            @if let Some((_, Some(found))) = tried { (outcome(found)) }
        }
    }
}

fn outcome(found: &Result<PointAnswer, Problem>) -> Markup {
    let row = match found {
        Ok(answer) => answer.row.as_ref(),
        Err(problem) => return html! { p role="status" { (problem.detail) } },
    };
    html! {
        @match row {
            None => p role="status" { "There is no row with this key." },
            Some(row) => table role="status" {
                caption { "The row" }
                tbody {
                    @for (name, value) in &row.0 {
                        tr { th scope="row" { (name) } td { (plain(value)) } }
                    }
                }
            }
        }
    }
}

/// A value as people write it: strings without quotes.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

fn turned_away(problem: Problem) -> Response {
    let body = html! {
        p role="status" { (problem.detail) }
        @if problem.status == StatusCode::UNAUTHORIZED {
            p { "This listener asks for a token, which a browser does not send by itself. With one:" }
            pre { code { "curl -H 'Authorization: Bearer …' …/v1/views" } }
        }
    };
    let headers = problem.headers.into_iter().collect();
    answer(problem.status, headers, &body)
}

fn answer(status: StatusCode, headers: HeaderMap, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "viewfold" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { "viewfold" } (body) } }
        }
    };
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, fixed, page.into_string()).into_response()
}
