//! What a read promises: which store may answer, and that the answer reflects what the caller asked for (I12).
//!
//! `Consistency-Token` names records; `Prefer: wait=2` says how long to wait for them. The read itself decides:
//! its rows and its positions are of one instant, and it is answered only if these positions reach the token.

use std::future::Future;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::backend::{Backend, Reflects};
use super::problem::Problem;
use crate::position::RecordName;
use crate::projection::StoreKind;
use crate::query::{LONGEST_WAIT, Preferences, Token, Waited};
use crate::telemetry;

const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long after the end of the wait a store may still answer.
const GRACE: Duration = Duration::from_millis(400);
/// Between two reads of one request, where the store seemed far enough and was not.
const PAUSE: Duration = Duration::from_millis(20);

/// What a request says about the answer it wants.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    token: Option<Token>,
    preferences: Preferences,
}

impl Freshness {
    /// Reads the headers `Consistency-Token` and `Prefer`, each as often as it comes.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut token: Option<Token> = None;
        for value in headers.get_all(CONSISTENCY_TOKEN) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let more = Token::parse(&text).map_err(|error| {
                Problem::bad_request(format!(
                    "Consistency-Token: {error}; write topic/partition@offset, joined by commas, or pass on \
                     the View-Position or View-Token header of an answer"
                ))
            })?;
            token.get_or_insert_default().merge(more);
        }
        let values = headers.get_all(PREFER).iter();
        let preferences = Preferences::parse(values.filter_map(|value| value.to_str().ok()))
            .map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(Self { token, preferences })
    }

    /// Whether it asks for records.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The header `Preference-Applied`, where a preference made a difference.
    pub(super) fn applied(&self) -> Option<(HeaderName, HeaderValue)> {
        let applied = match (&self.token, self.preferences.wait) {
            (Some(_), Some(wait)) => format!("wait={}", wait.as_secs_f64()),
            (None, _) if self.preferences.stale_ok => "stale-ok".to_owned(),
            _ => return None,
        };
        let value = HeaderValue::from_str(&applied).ok()?;
        Some((PREFERENCE_APPLIED, value))
    }

    /// Carries out `read` as soon as, and as often as, it takes to answer what was asked for. `store` is the one
    /// that the request names, if it does; `read` asks that one, or the view's first.
    pub(super) async fn answer<A, F>(
        &self,
        backend: &dyn Backend,
        (view, store): (&str, Option<StoreKind>),
        read: impl Fn() -> F,
    ) -> Result<A, Problem>
    where
        A: Reflects,
        F: Future<Output = Result<A, Problem>>,
    {
        let Some(token) = &self.token else {
            self.permits(backend, view, store).await?;
            return read().await;
        };
        let wait = self.preferences.wait.unwrap_or_default();
        let attempt = Attempt {
            backend,
            view,
            token,
            begun: Instant::now(),
            wait: wait.min(LONGEST_WAIT),
        };
        let store = backend.answering(view, store, Some(token)).await?.store;
        let (result, answer) = attempt.run(store, read).await;
        telemetry::metrics()
            .consistency_wait
            .with_label_values(&[result])
            .observe(attempt.begun.elapsed().as_secs_f64());
        answer.map_err(|problem| match self.applied() {
            Some((name, value)) => problem.with(name, value),
            None => problem,
        })
    }

    /// Refuses a store that is not the view's first where nothing says that this was thought of.
    async fn permits(
        &self,
        backend: &dyn Backend,
        view: &str,
        store: Option<StoreKind>,
    ) -> Result<(), Problem> {
        if store.is_none() || self.preferences.stale_ok {
            return Ok(());
        }
        let answering = backend.answering(view, store, None).await?;
        if answering.is_first {
            return Ok(());
        }
        let store = answering.store;
        Err(Problem::bad_request(format!(
            "view {view} is answered from another store by default, and {store} may be behind it: send the \
             header Prefer: stale-ok, or a Consistency-Token that says what the answer must reflect"
        )))
    }
}

/// One request with a token.
struct Attempt<'r> {
    backend: &'r dyn Backend,
    view: &'r str,
    token: &'r Token,
    begun: Instant,
    wait: Duration,
}

/// What becomes of a request, and how the metric calls it.
type Ended<A> = (&'static str, Result<A, Problem>);

impl Attempt<'_> {
    async fn run<A, F>(&self, store: StoreKind, read: impl Fn() -> F) -> Ended<A>
    where
        A: Reflects,
        F: Future<Output = Result<A, Problem>>,
    {
        let deadline = self.begun + self.wait;
        let mut result = "at_once";
        loop {
            let problem = match self.bounded(read()).await {
                Ok(answer) if self.token.is_reached(answer.reflects().positions) => {
                    return (result, Ok(answer));
                }
                Ok(answer) => self.not_caught_up(store, answer.reflects().positions),
                // A store that is away may be back in time.
                Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => problem,
                Err(problem) => return ("not_caught_up", Err(problem)),
            };
            if Instant::now() >= deadline {
                return ("not_caught_up", Err(problem));
            }
            if result == "waited" {
                sleep(PAUSE).await;
            }
            result = "waited";
            let waited = self
                .backend
                .caught_up((self.view, store), self.token, deadline);
            let problem = match waited.await {
                Waited::Reached => continue,
                Waited::Late => problem,
                Waited::Away(why) => {
                    Problem::unavailable(format!("view {} in {store}: {why}", self.view))
                }
                Waited::TooMany => {
                    let detail = "too many requests wait for positions already; try again";
                    Problem::too_many("too-many-waiting", detail)
                }
            };
            return ("not_caught_up", Err(problem));
        }
    }

    /// Who says how long they wait is answered by then; who does not gets what the store allows.
    async fn bounded<A>(
        &self,
        read: impl Future<Output = Result<A, Problem>>,
    ) -> Result<A, Problem> {
        if self.wait.is_zero() {
            return read.await;
        }
        match timeout_at(self.begun + self.wait + GRACE, read).await {
            Ok(answer) => answer,
            Err(_) => Err(Problem::unavailable(format!(
                "view {}: the store does not answer in time",
                self.view
            ))),
        }
    }

    /// Names what is missing, with where each partition stands.
    fn not_caught_up(&self, store: StoreKind, reached: &[RecordName]) -> Problem {
        let known: Token = reached.iter().cloned().collect();
        let at = |wanted: &RecordName| known.offset(&wanted.partition);
        let missing = |wanted: &RecordName| at(wanted).is_none_or(|at| at < wanted.offset);
        let missing: Vec<RecordName> = self.token.records().filter(missing).collect();
        let first = missing
            .first()
            .map_or_else(String::new, ToString::to_string);
        let more = match missing.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let detail = format!(
            "view {} in {store} has not come to {first}{more} yet; try again, or wait for it with the header \
             Prefer: wait=2 (at most {} s)",
            self.view,
            LONGEST_WAIT.as_secs()
        );
        // Only what was asked for: a view may read a thousand partitions.
        let reached = missing.iter().map(|wanted| {
            let at = at(wanted).map_or(Value::Null, |at| json!(at));
            (wanted.partition.to_string(), at)
        });
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-caught-up", detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .and("reached", Value::Object(reached.collect()))
    }
}
