//! The trace id of a request: that of its `traceparent`, else a new one. It is in the log and in every problem.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::probes;

tokio::task_local! {
    static TRACE: String;
}

/// The trace id of the request that this task works on; a new one outside of requests.
pub(super) fn id() -> String {
    TRACE.try_with(Clone::clone).unwrap_or_else(|_| made_up())
}

fn made_up() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Gives the request its trace id, and says how it went.
pub(super) async fn follow(request: Request, next: Next) -> Response {
    let id = sent(request.headers()).unwrap_or_else(made_up);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = Instant::now();
    let mut response = TRACE.scope(id.clone(), next.run(request)).await;
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status().as_u16();
    let millis = begun.elapsed().as_secs_f64() * 1000.0;
    // An instance that is not ready yet says so to every probe.
    if status >= 500 && !probes::ROUTES.contains(&route) {
        tracing::warn!(trace_id = id, %method, route, status, millis, "a request failed");
    } else {
        tracing::debug!(trace_id = id, %method, route, status, millis, "a request");
    }
    response
}

/// The trace id of a valid `traceparent` (W3C Trace Context, any version).
fn sent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let hex = |text: &&str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |text: &str| text.bytes().any(|byte| byte != b'0');
    let mut parts = text.trim().split('-');
    let version = parts.next().filter(|part| hex(part, 2) && *part != "ff")?;
    let id = parts.next().filter(|part| hex(part, 32) && nonzero(part))?;
    parts.next().filter(|part| hex(part, 16) && nonzero(part))?;
    parts.next().filter(|part| hex(part, 2))?;
    (version != "00" || parts.next().is_none()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        let value = HeaderValue::from_str(text).unwrap();
        sent(&HeaderMap::from_iter([(
            header::HeaderName::from_static("traceparent"),
            value,
        )]))
    }

    #[test]
    fn only_a_valid_traceparent_gives_its_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(of(&good).as_deref(), Some(id));
        assert_eq!(
            of(&format!("cc-{id}-00f067aa0ba902b7-01-more")).as_deref(),
            Some(id)
        );
        for wrong in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replace(id, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", "0000000000000000"),
            &format!("{good}-more"),
            &format!("ff{}", &good[2..]),
            &good.replace(id, "4bf9\" or 1=1"),
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
