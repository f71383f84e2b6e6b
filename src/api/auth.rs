//! Who may pass, and how often: `Authorization: Bearer …` against the configured tokens and the JWT issuer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::access::Access;
use super::jwt::{Jwt, NotAccepted};
use super::problem::Problem;
use super::rates::Rates;
use super::token::{Denied, Scope, Token, find};

/// What one listener asks of every request that is not a probe.
pub(super) struct Gate {
    tokens: Vec<Token>,
    jwt: Option<Jwt>,
    rates: Option<Rates>,
    room: Semaphore,
}

/// What a group of routes asks for.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) gate: Arc<Gate>,
    pub(super) needed: Scope,
}

/// Who sent the request: a token's name, `jwt:` and a subject, or `anonymous` where no token is asked for.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) String);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Lets a request pass whose token allows it; all of them where no tokens are configured.
pub(super) async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    let headers = request.headers().clone();
    let passed = guard.gate.pass(&headers, peer, guard.needed).await?;
    request.extensions_mut().insert(passed.actor.clone());
    Ok(next.run(request).await)
}

/// A request that may go on; it has its place among those that are worked on until this is dropped.
pub(super) struct Passed<'g> {
    actor: Actor,
    _place: SemaphorePermit<'g>,
}

impl Gate {
    pub(super) fn new(access: &Access) -> Self {
        Self {
            tokens: access.tokens.clone(),
            jwt: access.jwt.clone().and_then(Jwt::new),
            rates: access.rate_limit.map(Rates::new),
            room: Semaphore::new(access.max_concurrent),
        }
    }

    fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.jwt.is_none()
    }

    /// Lets a request pass that is allowed what is `needed`, and not too often.
    pub(super) async fn pass(
        &self,
        headers: &HeaderMap,
        peer: Option<Peer>,
        needed: Scope,
    ) -> Result<Passed<'_>, Problem> {
        let place = self.enter()?;
        let address = peer.map_or_else(String::new, |Peer(from)| from.ip().to_string());
        let name = match self.is_open() {
            true => {
                self.pace(&address)?;
                "anonymous".to_owned()
            }
            false => match self.admit(headers).await {
                Ok((name, scope)) => {
                    self.pace(&name)?;
                    allows(&name, scope, needed)?;
                    name
                }
                Err(problem) => {
                    // Guessing is paced as well.
                    self.pace(&address)?;
                    return Err(problem);
                }
            },
        };
        Ok(Passed {
            actor: Actor(name),
            _place: place,
        })
    }

    /// A place among the requests that are worked on; given back when it is dropped.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.room.try_acquire().map_err(|_| {
            let detail = "more requests are open than this instance works on at once";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
                .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
        })
    }

    fn pace(&self, client: &str) -> Result<(), Problem> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        rates.take(client).map_err(too_many)
    }

    /// The name and the scope of whoever sent these headers.
    async fn admit(&self, headers: &HeaderMap) -> Result<(String, Option<Scope>), Problem> {
        let sent = bearer(headers).ok_or_else(|| unauthorized(&Denied::Missing))?;
        let now = Timestamp::now();
        match &self.jwt {
            Some(jwt) if Jwt::looks_like(sent) => match jwt.judge(sent, now).await {
                Ok(bearer) => Ok((bearer.name, bearer.scope)),
                Err(NotAccepted::Undecided) => Err(Problem::unavailable(
                    "the keys of the token issuer cannot be had at the moment",
                )),
                Err(NotAccepted::Invalid(reason)) => {
                    tracing::debug!(reason, "a JWT was not accepted");
                    Err(unauthorized(&Denied::Unknown))
                }
            },
            _ => {
                let token = find(&self.tokens, sent, now).map_err(|denied| {
                    tracing::debug!(reason = ?denied, "a token was not accepted");
                    unauthorized(&denied)
                })?;
                Ok((token.name.clone(), Some(token.scope)))
            }
        }
    }
}

fn allows(name: &str, scope: Option<Scope>, needed: Scope) -> Result<(), Problem> {
    if scope.is_some_and(|scope| scope >= needed) {
        return Ok(());
    }
    let scope = scope.map_or("none", Scope::as_str);
    let detail = format!("token {name} has scope {scope}, this needs {needed}");
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(denied: &Denied) -> Problem {
    let (detail, challenge) = match denied {
        Denied::Missing => ("send a token: `Authorization: Bearer …`", "Bearer"),
        Denied::Unknown | Denied::Expired(_) => (
            "this token is not accepted, or not any more",
            r#"Bearer error="invalid_token""#,
        ),
    };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).with(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    )
}

fn too_many(wait: Duration) -> Problem {
    // Whole seconds, and never too early.
    let seconds = wait.as_secs() + 1;
    let detail = format!("too many requests: try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}
