//! Who may pass: `Authorization: Bearer …` against the configured tokens.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;

use super::problem::Problem;
use super::token::{Denied, Scope, Token, find};

/// What a group of routes asks for.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) tokens: Arc<[Token]>,
    pub(super) needed: Scope,
}

/// Who sent the request: a token's name, or `anonymous` where no tokens are configured.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) String);

/// Lets a request pass whose token allows it; all of them where no tokens are configured.
pub(super) async fn check(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let actor = match guard.tokens.is_empty() {
        true => "anonymous".to_owned(),
        false => guard.admit(&request)?,
    };
    request.extensions_mut().insert(Actor(actor));
    Ok(next.run(request).await)
}

impl Guard {
    fn admit(&self, request: &Request) -> Result<String, Problem> {
        let sent = bearer(request).ok_or(Denied::Missing);
        let found = sent.and_then(|text| find(&self.tokens, text, Timestamp::now()));
        let token = found.map_err(unauthorized)?;
        if token.scope < self.needed {
            let detail = format!(
                "token {} has scope {}, this needs {}",
                token.name, token.scope, self.needed
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(token.name.clone())
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(denied: Denied) -> Problem {
    let detail = match denied {
        Denied::Missing => "send a token: `Authorization: Bearer …`".to_owned(),
        Denied::Unknown => "this token is not one of the configured ones".to_owned(),
        Denied::Expired(name) => format!("token {name} has expired"),
    };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
