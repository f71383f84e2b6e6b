//! Every type of problem that an answer may have: what clients may depend on.

/// A type of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The problem's `type`.
    pub name: &'static str,
    /// Its HTTP status.
    pub status: u16,
    /// What it means, and what the client does about it.
    pub meaning: &'static str,
}

const fn kind(status: u16, name: &'static str, meaning: &'static str) -> Kind {
    Kind {
        name,
        status,
        meaning,
    }
}

/// All of them, by status.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind(400, "bad-request", "The request cannot be understood; the detail names every part of it that is wrong."),
    kind(400, "wrong-key", "The key does not have the view's parts, or one of them cannot be read as its column's type."),
    kind(400, "unknown-store", "The view is not held by the store that was asked for."),
    kind(400, "unknown-partition", "Consistency-Token names a topic or a partition that the view does not read."),
    kind(400, "not-listable", "Lists and changes come from Postgres, and the view, or the store that was asked, is another one."),
    kind(401, "unauthorized", "No token was sent, or one that is not accepted (any more): get a token, then ask again."),
    kind(403, "forbidden", "The token is good, and its scope does not reach this far."),
    kind(404, "not-found", "There is nothing at this path."),
    kind(404, "unknown-view", "There is no such view; GET /v1/views lists them."),
    kind(404, "unknown-row", "The view has no row with this key (as of View-Position)."),
    kind(404, "unknown-projection", "There is no such projection; GET /v1/projections lists them."),
    kind(404, "unknown-generation", "The projection has no such generation."),
    kind(404, "unknown-verification", "The projection has no such verification."),
    kind(405, "method-not-allowed", "The path exists and has other methods, which the Allow header names."),
    kind(409, "refused", "A precondition does not hold; the detail says which, and what to do first."),
    kind(413, "too-large", "The body is above 64 KiB."),
    kind(414, "too-long", "What stands behind the `?` is longer than 8 KiB."),
    kind(429, "too-many-requests", "This token (or address) asks too often: wait for Retry-After seconds."),
    kind(500, "internal", "A fault of viewfold; its log has more under the same trace_id."),
    kind(503, "unavailable", "Something that is needed is away for now: try again after Retry-After seconds."),
    kind(503, "overloaded", "More requests are open than this instance takes: try again after Retry-After seconds."),
    kind(503, "not-caught-up", "The view does not show the asked position yet: try again after Retry-After seconds, or wait with Prefer: wait=N."),
    kind(503, "too-many-waiting", "So many requests wait for positions on this instance that it has no place left: try again after Retry-After seconds."),
    kind(503, "too-many-streams", "So many clients follow changes on this instance that it has no place left: try again, on another one if there is one."),
    kind(503, "list-too-slow", "Finding the rows takes longer than 3 s: order by the key or an indexed column, or narrow the conditions."),
    kind(503, "count-too-slow", "Counting the rows takes longer than 2 s: ask with Prefer: count=estimated, or narrow the conditions."),
];

/// The type of this name.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
