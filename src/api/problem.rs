//! Errors over HTTP: `application/problem+json` (RFC 9457) with a stable `type`.

use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::trace;
use crate::fault::{Fault, FaultKind};

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What clients may depend on: a word such as `unknown-view`.
    pub kind: &'static str,
    /// What happened, and what to do, for people.
    pub detail: String,
    /// Further headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Further members of the body.
    pub members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem of the type `kind`.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            headers: Vec::new(),
            members: Vec::new(),
        }
    }

    /// 400 `bad-request`: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// 400 `wrong-key`: the key does not have the view's parts, or one cannot be read.
    pub fn wrong_key(view: &str, reason: impl fmt::Display) -> Self {
        let detail = format!("key of view {view}: {reason}");
        Self::new(StatusCode::BAD_REQUEST, "wrong-key", detail)
    }

    /// 400 `unknown-store`: the view is not held by the store that was asked for.
    pub fn unknown_store(view: &str, store: &str) -> Self {
        let detail = format!("view {view} is not held by a store called `{store}`");
        Self::new(StatusCode::BAD_REQUEST, "unknown-store", detail)
    }

    /// 400 `not-listable`: no store that holds the view can list it.
    pub fn not_listable(view: &str) -> Self {
        let detail = format!(
            "view {view}: rows are listed from postgres only; \
             one row is read with GET /v1/views/{view}/{{key}}"
        );
        Self::new(StatusCode::BAD_REQUEST, "not-listable", detail)
    }

    /// 400 `unknown-partition`: a token names what the view does not read.
    pub fn unknown_partition(view: &str, what: impl fmt::Display) -> Self {
        let detail = format!("Consistency-Token: {what}, which view {view} would have to read");
        Self::new(StatusCode::BAD_REQUEST, "unknown-partition", detail)
    }

    /// 400 `not-listable`: changes can be had from Postgres only.
    pub fn not_told(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-listable", detail)
    }

    /// 404 `unknown-view`.
    pub fn unknown_view(view: &str) -> Self {
        let detail = format!("there is no view called `{view}`; GET /v1/views lists them");
        Self::new(StatusCode::NOT_FOUND, "unknown-view", detail)
    }

    /// 404 `unknown-projection`.
    pub fn unknown_projection(projection: &str) -> Self {
        let detail =
            format!("there is no projection called `{projection}`; GET /v1/projections lists them");
        Self::new(StatusCode::NOT_FOUND, "unknown-projection", detail)
    }

    /// 404 `unknown-generation`.
    pub fn unknown_generation(projection: &str, number: impl fmt::Display) -> Self {
        let detail = format!("projection {projection} has no generation {number}");
        Self::new(StatusCode::NOT_FOUND, "unknown-generation", detail)
    }

    /// 404 `unknown-verification`.
    pub fn unknown_verification(projection: &str, id: impl fmt::Display) -> Self {
        let detail = format!("projection {projection} has no verification {id}");
        Self::new(StatusCode::NOT_FOUND, "unknown-verification", detail)
    }

    /// 409 `refused`: a precondition does not hold.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "refused", detail)
    }

    /// 503 `unavailable`: something that is needed is away; try again.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 503 `list-too-slow` or `count-too-slow`: asking again without a change will hardly help.
    pub fn too_slow(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
    }

    /// 503 of the type `kind`: so many use this at once that it has no place left; try again.
    pub fn too_many(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The same problem with a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same problem with a further member of the body.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Transient => Self::unavailable(fault.message),
            FaultKind::Misconfigured | FaultKind::Fenced => Self::refused(fault.message),
            FaultKind::Poison | FaultKind::Bug => {
                tracing::error!(fault = %fault, "a request failed");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "internal", fault.message)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut body = json!({
            "type": self.kind,
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "trace_id": trace::id(),
        });
        for (name, value) in self.members {
            body[name] = value;
        }
        let mut response = (self.status, body.to_string()).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.extend(self.headers);
        response
    }
}
