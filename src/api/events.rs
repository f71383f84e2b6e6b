//! `GET /v1/projections/{p}/generations/{n}/events`: how a generation goes on, as server-sent events.
//!
//! `event: progress` whenever something changed, at most once a second; `event: end` when nothing will change
//! by itself any more. The data of both is what `GET …/generations/{n}` answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::{StreamExt, stream};
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::body::{PathOf, generation, path};
use super::operations::{GenerationDetail, Operations};
use super::problem::Problem;
use super::server::Stop;
use crate::fault::Fault;

/// How often the generation is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a connection may be silent: proxies cut idle ones after a minute or so.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) const ROUTES: &[&str] =
    &["/v1/projections/{projection}/generations/{generation}/events"];

pub(super) fn routes(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route(ROUTES[0], get(events))
        .with_state(operations)
}

async fn events(
    State(operations): State<Arc<dyn Operations>>,
    names: PathOf<(String, String)>,
    stop: Option<Extension<Stop>>,
) -> Result<Response, Problem> {
    let (projection, number) = path(names)?;
    let number = generation(&projection, &number)?;
    let first = operations.generation(&projection, number).await?;
    let mut ticks = interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        operations,
        projection,
        number,
        ticks,
        stop: stop.map_or_else(CancellationToken::new, |Extension(Stop(stop))| stop),
        shown: text(&first)?,
        over: first.is_settled(),
    };
    let begin = Event::default().event("progress").data(&watch.shown);
    let events = stream::once(async { begin }).chain(stream::unfold(Some(watch), Watch::next));
    let events = events.map(Ok::<_, Infallible>);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// One client that looks at one generation.
struct Watch {
    operations: Arc<dyn Operations>,
    projection: String,
    number: u32,
    ticks: Interval,
    stop: CancellationToken,
    /// What the client was told last.
    shown: String,
    over: bool,
}

impl Watch {
    /// The next event, and what comes after it. At shutdown the stream ends without an `end`: the client comes
    /// back to another instance.
    async fn next(watch: Option<Self>) -> Option<(Event, Option<Self>)> {
        let mut watch = watch?;
        loop {
            if watch.over {
                let end = Event::default().event("end").data(&watch.shown);
                return Some((end, None));
            }
            tokio::select! {
                biased;
                () = watch.stop.cancelled() => return None,
                _ = watch.ticks.tick() => {}
            }
            let looked = tokio::select! {
                biased;
                () = watch.stop.cancelled() => return None,
                looked = watch.operations.generation(&watch.projection, watch.number) => looked,
            };
            if watch.take(looked) {
                let progress = Event::default().event("progress").data(&watch.shown);
                return Some((progress, Some(watch)));
            }
        }
    }

    /// Whether there is something new to tell.
    fn take(&mut self, looked: Result<GenerationDetail, Problem>) -> bool {
        let looked = looked.and_then(|detail| Ok((text(&detail)?, detail.is_settled())));
        match looked {
            Ok((shown, over)) => {
                self.over = over;
                let new = shown != self.shown;
                self.shown = shown;
                new
            }
            Err(problem) => {
                // It was removed meanwhile. Anything else, such as a database that is away, passes.
                self.over = problem.status == StatusCode::NOT_FOUND;
                false
            }
        }
    }
}

fn text(detail: &GenerationDetail) -> Result<String, Problem> {
    let text = serde_json::to_string(detail);
    text.map_err(|error| Fault::bug(format!("generation as JSON: {error}")).into())
}
