//! `GET /v1/views/{view}/changes`: what happens to the rows of a view, as server-sent events.
//!
//! An event without a name is a change: `{"key","op":"upsert"|"delete","row"}`, with the row as it is when it is
//! told. `event: generation` and `event: reset` ask the client to read again what it holds. Where nothing happens,
//! comments keep the connection, and an `id` without data tells where the client stands.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::problem::Problem;
use super::server::Stop;
use crate::query::{FeedEvent, FeedId, FeedKind};

/// How long a connection may be silent: proxies cut idle ones after a minute or so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a client that lost its connection should come back.
const RETRY: Duration = Duration::from_secs(1);

pub(super) const ROUTES: &[&str] = &["/v1/views/{view}/changes"];

/// The key `changes` of a view with one text column is reached by a list with a filter: this route wins.
pub(super) fn routes(backend: Arc<dyn Backend>) -> Router {
    Router::new()
        .route(ROUTES[0], get(changes))
        .with_state(backend)
}

async fn changes(
    State(backend): State<Arc<dyn Backend>>,
    uri: Uri,
    headers: HeaderMap,
    stop: Option<Extension<Stop>>,
) -> Result<Response, Problem> {
    let path = uri.path().strip_prefix("/v1/views/").unwrap_or_default();
    let view = path.strip_suffix("/changes").unwrap_or(path);
    let mut key = None;
    for parameter in uri.query().unwrap_or_default().split('&') {
        match parameter.split_once('=') {
            Some(("key", text)) => key = Some(text),
            Some(("store", "postgres")) => {}
            Some(("store", store)) => return Err(not_followed(view, store)),
            _ if parameter.is_empty() => {}
            _ => {
                return Err(Problem::bad_request(format!(
                    "unknown parameter `{parameter}`: the change feed knows key=… and store=postgres"
                )));
            }
        }
    }
    let from = match headers.get("last-event-id").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => {
            let id = String::from_utf8_lossy(id.as_bytes());
            let id = FeedId::parse(&id);
            let id = id.map_err(|error| Problem::bad_request(format!("Last-Event-ID: {error}")))?;
            Some(id)
        }
    };
    let events = backend.changes(view, from, key).await?;
    let stop = stop.map_or_else(CancellationToken::new, |Extension(Stop(stop))| stop);
    let begin = Event::default().retry(RETRY);
    let events = stream::unfold((events, stop, Some(begin)), next);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// What is still to come of an answer: events, and what goes first.
type Rest = (mpsc::Receiver<FeedEvent>, CancellationToken, Option<Event>);

/// The next event. At shutdown the stream ends: the client comes back to another instance.
async fn next((mut events, stop, begin): Rest) -> Option<(Result<Event, Infallible>, Rest)> {
    if let Some(begin) = begin {
        return Some((Ok(begin), (events, stop, None)));
    }
    let event = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        event = events.recv() => event,
    }?;
    let shown = Event::default().id(&event.id);
    let shown = match event.kind {
        FeedKind::Change => shown.data(&event.data),
        FeedKind::Generation => shown.event("generation").data(&event.data),
        FeedKind::Reset => shown.event("reset").data(&event.data),
        FeedKind::Position => shown,
    };
    Some((Ok(shown), (events, stop, None)))
}

fn not_followed(view: &str, store: &str) -> Problem {
    Problem::not_told(format!(
        "view {view}: changes are told from postgres only, not from {store}"
    ))
}
