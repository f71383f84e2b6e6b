//! What the routes are, in one table: the OpenAPI document is made from it.

use super::super::token::Scope;
use super::parameters::Param::{self, *};

/// One operation.
#[derive(Clone, Copy)]
pub(super) struct Described {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// What a token must allow; none when no token is needed.
    pub(super) scope: Option<Scope>,
    /// Whether the public listener has it too.
    pub(super) public: bool,
    pub(super) parameters: &'static [Param],
    /// The schema of the request's body.
    pub(super) body: Option<&'static str>,
    pub(super) answers: &'static [Answer],
    /// Types of problems beside those that every operation may answer.
    pub(super) problems: &'static [&'static str],
}

/// An answer that is no problem.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) media: &'static str,
    /// The schema of the body; none when there is no body.
    pub(super) schema: Option<&'static str>,
    /// Names of headers (components).
    pub(super) headers: &'static [&'static str],
}

const fn json(status: u16, about: &'static str, schema: &'static str) -> Answer {
    answer(status, about, "application/json", schema)
}

const fn answer(
    status: u16,
    about: &'static str,
    media: &'static str,
    schema: &'static str,
) -> Answer {
    Answer {
        status,
        about,
        media,
        schema: Some(schema),
        headers: &[],
    }
}

const fn with(mut answer: Answer, headers: &'static [&'static str]) -> Answer {
    answer.headers = headers;
    answer
}

const fn read(path: &'static str, id: &'static str, summary: &'static str) -> Described {
    Described {
        method: "GET",
        path,
        id,
        summary,
        scope: Some(Scope::Read),
        public: false,
        parameters: &[],
        body: None,
        answers: &[],
        problems: &[],
    }
}

const fn operate(path: &'static str, id: &'static str, summary: &'static str) -> Described {
    Described {
        method: "POST",
        scope: Some(Scope::Operate),
        ..read(path, id, summary)
    }
}

const fn probe(path: &'static str, id: &'static str, summary: &'static str) -> Described {
    Described {
        scope: None,
        parameters: &[Verbose],
        answers: PROBED,
        ..read(path, id, summary)
    }
}

const fn of_generation(path: &'static str, id: &'static str, summary: &'static str) -> Described {
    Described {
        parameters: &[Projection, Generation, IdempotencyKey],
        body: Some("Nothing"),
        answers: ACCEPTED,
        problems: OPERATION,
        ..operate(path, id, summary)
    }
}

const fn of_projection(path: &'static str, id: &'static str, summary: &'static str) -> Described {
    Described {
        parameters: &[Projection, IdempotencyKey],
        ..of_generation(path, id, summary)
    }
}

const ROW_HEADERS: &[&str] = &[
    "ETag",
    "Cache-Control",
    "View-Store",
    "View-Generation",
    "View-Position",
    "View-Token",
    "View-As-Of",
];
const ACCEPTED: &[Answer] = &[with(
    json(
        202,
        "Accepted: it survives this instance. Look at Location for how it goes on.",
        "GenerationDetail",
    ),
    &["Location"],
)];
const PAGE: &[Answer] = &[
    answer(200, "The page.", "text/html", "Text"),
    with(
        answer(
            401,
            "A page that says that a token is needed.",
            "text/html",
            "Text",
        ),
        &["WWW-Authenticate"],
    ),
    answer(
        403,
        "A page that says that the token has another scope.",
        "text/html",
        "Text",
    ),
    with(
        answer(
            429,
            "A page that says that this is too often.",
            "text/html",
            "Text",
        ),
        &["Retry-After"],
    ),
    answer(
        500,
        "A page that says that something is wrong.",
        "text/html",
        "Text",
    ),
    with(
        answer(
            503,
            "A page that says that something is away.",
            "text/html",
            "Text",
        ),
        &["Retry-After"],
    ),
];
const PROBED: &[Answer] = &[
    answer(200, "Well.", "text/plain", "Text"),
    answer(
        503,
        "Not well: the body says what is not.",
        "text/plain",
        "Text",
    ),
];
const OPERATION: &[&str] = &[
    "bad-request",
    "too-large",
    "unknown-projection",
    "unknown-generation",
    "refused",
];

/// Every operation of both listeners.
#[rustfmt::skip]
pub(super) const OPERATIONS: &[Described] = &[
    Described {
        public: true,
        answers: PAGE,
        parameters: &[PageView, PageKey],
        ..read("/", "page", "A page for people: the views, and a form that shows a row")
    },
    Described {
        public: true,
        answers: &[json(200, "This document.", "Anything")],
        ..read("/openapi.json", "openapi", "This document")
    },
    Described {
        public: true,
        answers: &[json(200, "Every view that can be read.", "Views")],
        ..read("/v1/views", "listViews", "The views, with their keys, columns and stores")
    },
    Described {
        public: true,
        parameters: &[View, Conditions, Order, Select, Limit, PageToken, Store, ConsistencyToken, PreferList, IfNoneMatch],
        answers: &[
            with(json(200, "A page of rows.", "Rows"), ROW_HEADERS),
            Answer { status: 304, about: "The page is the one whose ETag was sent.", media: "", schema: None, headers: ROW_HEADERS },
        ],
        problems: &[
            "bad-request", "unknown-view", "unknown-store", "unknown-partition", "not-listable", "not-caught-up", "too-many-waiting",
            "too-long", "list-too-slow", "count-too-slow",
        ],
        ..read("/v1/views/{view}", "listRows", "Rows by conditions on their columns, page by page")
    },
    Described {
        public: true,
        parameters: &[View, Key, Select, Store, ConsistencyToken, Prefer, IfNoneMatch],
        answers: &[
            with(json(200, "The row.", "Row"), ROW_HEADERS),
            Answer { status: 304, about: "The row is the one whose ETag was sent.", media: "", schema: None, headers: ROW_HEADERS },
        ],
        problems: &[
            "bad-request", "wrong-key", "unknown-view", "unknown-row", "unknown-store", "unknown-partition", "not-caught-up",
            "too-many-waiting", "too-long",
        ],
        ..read("/v1/views/{view}/{key}", "getRow", "One row by its key")
    },
    Described {
        public: true,
        parameters: &[View, PageKey, LastEventId],
        answers: &[answer(200, "Server-sent events. `id` is a position; `data` is a Change. `event: reset` says that the position is too old, `event: generation` that readers see another generation: read the view again, then go on from here.", "text/event-stream", "Text")],
        problems: &["bad-request", "wrong-key", "unknown-view", "not-listable", "too-many-streams"],
        ..read("/v1/views/{view}/changes", "watchChanges", "The changes of a view as they happen")
    },
    Described {
        answers: &[json(200, "The whole deployment, whichever instance answers.", "StatusReport")],
        ..read("/v1/projections", "listProjections", "Every projection, generation, store and partition, and how it stands")
    },
    Described {
        parameters: &[Projection],
        answers: &[json(200, "The projection.", "ProjectionStatus")],
        problems: &["bad-request", "unknown-projection"],
        ..read("/v1/projections/{projection}", "getProjection", "How one projection stands")
    },
    Described {
        method: "DELETE",
        scope: Some(Scope::Admin),
        body: Some("DropRequest"),
        answers: &[json(202, "Accepted: all its generations are being removed.", "Dropped")],
        ..of_projection("/v1/projections/{projection}", "dropProjection", "Removes a projection with all its rows")
    },
    Described {
        parameters: &[Projection],
        body: Some("SkipRequest"),
        answers: &[json(202, "Decided.", "Skipped")],
        problems: &["bad-request", "too-large", "unknown-projection", "refused"],
        ..operate("/v1/projections/{projection}/skip", "skipRecord", "Steps over a record that stopped the projection")
    },
    Described {
        parameters: &[PlanOf],
        answers: &[json(200, "What a rebuild would do, per projection.", "Plans")],
        problems: &["bad-request", "unknown-projection", "refused"],
        ..read("/v1/plan", "plan", "What differs between definitions and what runs, and what a rebuild would cost")
    },
    Described {
        parameters: &[Projection, IdempotencyKey],
        body: Some("RebuildRequest"),
        answers: &[
            json(200, "The plan, when `dry_run` was asked for.", "Plan"),
            with(json(202, "A generation is being built.", "GenerationDetail"), &["Location"]),
        ],
        problems: &["bad-request", "too-large", "unknown-projection", "refused"],
        ..operate("/v1/projections/{projection}/rebuilds", "rebuild", "Builds a new generation beside the live one")
    },
    Described {
        parameters: &[Projection, Generation],
        answers: &[json(200, "The generation.", "GenerationDetail")],
        problems: &["bad-request", "unknown-projection", "unknown-generation", "refused"],
        ..read("/v1/projections/{projection}/generations/{generation}", "getGeneration", "One generation in detail, also one that is over")
    },
    Described {
        parameters: &[Projection, Generation],
        answers: &[answer(200, "Server-sent events: `progress` whenever something changed, `end` when nothing will any more. `data` is a GenerationDetail.", "text/event-stream", "Text")],
        problems: &["bad-request", "unknown-projection", "unknown-generation", "refused"],
        ..read("/v1/projections/{projection}/generations/{generation}/events", "watchGeneration", "How a generation goes on")
    },
    of_generation("/v1/projections/{projection}/generations/{generation}/promote", "promote", "Lets readers see a generation that is ready"),
    of_generation("/v1/projections/{projection}/generations/{generation}/cancel", "cancel", "Stops building a generation and removes it"),
    of_generation("/v1/projections/{projection}/generations/{generation}/pause", "pause", "Stops catching up for now"),
    of_generation("/v1/projections/{projection}/generations/{generation}/resume", "resume", "Goes on catching up"),
    of_projection("/v1/projections/{projection}/promote", "promoteBuilding", "Promotes the generation that is being built"),
    of_projection("/v1/projections/{projection}/cancel", "cancelBuilding", "Cancels the generation that is being built"),
    of_projection("/v1/projections/{projection}/pause", "pauseBuilding", "Pauses the generation that is being built"),
    of_projection("/v1/projections/{projection}/resume", "resumeBuilding", "Resumes the generation that is being built"),
    of_projection("/v1/projections/{projection}/rollback", "rollback", "Lets readers see the generation again that they saw before"),
    Described {
        parameters: &[Projection, IdempotencyKey],
        body: Some("VerifyRequest"),
        answers: &[with(json(202, "A verification runs.", "VerificationStatus"), &["Location"])],
        problems: OPERATION,
        ..operate("/v1/projections/{projection}/verifications", "verify", "Compares a generation with another, or with the log")
    },
    Described {
        parameters: &[Projection, Verification],
        answers: &[json(200, "How it stands.", "VerificationStatus")],
        problems: &["bad-request", "unknown-projection", "unknown-verification", "refused"],
        ..read("/v1/projections/{projection}/verifications/{id}", "getVerification", "How a verification stands")
    },
    probe("/livez", "livez", "Whether this instance's own loops turn"),
    probe("/readyz", "readyz", "Whether traffic may come"),
    probe("/startupz", "startupz", "Whether what must happen once after the start has happened"),
    Described {
        parameters: &[],
        answers: &[answer(200, "Prometheus text.", "text/plain", "Text")],
        ..probe("/metrics", "metrics", "Measurements for Prometheus")
    },
];
