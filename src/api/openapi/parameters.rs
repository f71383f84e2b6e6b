//! Parameters of requests and headers of answers.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Header, Ref, RefOr, Required, Schema};

/// What a request may carry beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    View,
    Key,
    Store,
    Conditions,
    Order,
    Select,
    Limit,
    PageToken,
    PageView,
    PageKey,
    ConsistencyToken,
    Prefer,
    PreferList,
    IfNoneMatch,
    LastEventId,
    Projection,
    PlanOf,
    Generation,
    Verification,
    IdempotencyKey,
    Verbose,
}

impl Param {
    pub(super) fn build(self) -> Parameter {
        use ParameterIn::{Header, Path, Query};
        let (place, name, schema, about) = match self {
            Self::View => (Path, "view", text(), "The view's name."),
            Self::Key => (
                Path,
                "key",
                text().examples(["c-1", "ACME%20Ltd,2026-11-21"]),
                "The key columns' texts in declared order, every byte outside `A-Za-z0-9-._~` as `%XX`, joined by `,`. It is split before it is decoded.",
            ),
            Self::Store => (
                Query,
                "store",
                text().enum_values(Some(["postgres", "redis"])),
                "The store that shall answer; the view's first one unless given.",
            ),
            Self::Conditions => return conditions(),
            Self::Order => (
                Query,
                "order",
                text().examples(["placed_at.desc,id"]),
                "Columns to sort by, each with `.asc` or `.desc`; ties by key, nulls last. The key unless given.",
            ),
            Self::Select => (
                Query,
                "select",
                text().examples(["id,status"]),
                "The columns to answer, by comma; all unless given.",
            ),
            Self::Limit => (
                Query,
                "limit",
                whole(1).maximum(Some(1000)).default(Some(50.into())),
                "The most rows of a page.",
            ),
            Self::PageToken => (
                Query,
                "page_token",
                text(),
                "`next_page_token` of the page before.",
            ),
            Self::PageView => (
                Query,
                "view",
                text(),
                "The view whose row the page shall show.",
            ),
            Self::PageKey => (Query, "key", text(), "The key of the row."),
            Self::ConsistencyToken => (
                Header,
                "Consistency-Token",
                text().examples(["orders/1@97"]),
                "Records that the answer must reflect: `topic/partition@offset` by comma, or a View-Position or View-Token of an earlier answer.",
            ),
            Self::Prefer => (
                Header,
                "Prefer",
                text().examples(["wait=2", "stale-ok"]),
                "`wait=N`: how many seconds the answer may wait for Consistency-Token. `stale-ok`: another store than the first may answer.",
            ),
            Self::PreferList => (
                Header,
                "Prefer",
                text().examples(["wait=2", "count=exact"]),
                "`wait=N` and `stale-ok` as for single rows; `count=exact` or `count=estimated` adds the number of rows that meet the conditions.",
            ),
            Self::IfNoneMatch => (
                Header,
                "If-None-Match",
                text(),
                "ETags of rows that the client has.",
            ),
            Self::LastEventId => (
                Header,
                "Last-Event-ID",
                text(),
                "The `id` of the last event that was seen: go on after it. Starts now unless given.",
            ),
            Self::Projection => (Path, "projection", text(), "The projection's name."),
            Self::PlanOf => (Query, "projection", text(), "Only this projection."),
            Self::Generation => (
                Path,
                "generation",
                whole(1).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32))),
                "The generation's number.",
            ),
            Self::Verification => (
                Path,
                "id",
                whole(1).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))),
                "The verification's number.",
            ),
            Self::IdempotencyKey => (
                Header,
                "Idempotency-Key",
                text()
                    .min_length(Some(1))
                    .max_length(Some(255))
                    .pattern(Some(r"^[!-~]([ -~]*[!-~])?$")),
                "A name for the request: sent again under the same name, it is carried out once.",
            ),
            Self::Verbose => (Query, "verbose", text(), "List also what is well."),
        };
        let required = match place {
            Path => Required::True,
            _ => Required::False,
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(about))
            .schema(Some(schema))
            .build()
    }
}

/// Conditions have the names of columns, which differ from view to view.
fn conditions() -> Parameter {
    let any = ObjectBuilder::new()
        .additional_properties(Some(Schema::from(text().build())))
        .examples([serde_json::json!({"status": "eq.paid", "total": "gte.100"})]);
    ParameterBuilder::new()
        .name("conditions")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Conditions on columns, all of which must hold: `column=eq.value`; `eq neq gt gte lt lte`, `in.(a,\"b,c\")`, `like.` with `%`, `is.null|not_null|true|false`. A column may be named several times; one called like another parameter is `col.<name>`."))
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .schema(Some(any))
        .build()
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn whole(least: i32) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
}

/// Headers of answers, by name.
pub(super) fn headers() -> Vec<(&'static str, Header)> {
    let time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    let rows: Vec<(&'static str, ObjectBuilder, &'static str)> = vec![
        ("ETag", text(), "Changes when the row does."),
        (
            "Cache-Control",
            text(),
            "`no-cache`: keep the row if you like, and ask with If-None-Match whether it is still the same.",
        ),
        ("Location", text(), "Where to look for what was begun."),
        (
            "Retry-After",
            whole(1),
            "How many seconds to wait before asking again.",
        ),
        (
            "WWW-Authenticate",
            text(),
            "`Bearer`, with `error=\"invalid_token\"` when a token was sent.",
        ),
        (
            "View-Store",
            text().enum_values(Some(["postgres", "redis"])),
            "The store that answered.",
        ),
        ("View-Generation", whole(1), "The live generation there."),
        (
            "View-Position",
            text().examples(["orders/0@118,orders/1@97"]),
            "The records up to and including these offsets have been considered. Partitions without records are left out.",
        ),
        (
            "View-Token",
            text(),
            "The same in an opaque form, where View-Position would be above 4 KB.",
        ),
        (
            "View-As-Of",
            text().format(Some(time)),
            "The time of the newest applied event.",
        ),
    ];
    let header = |(name, schema, about): (&'static str, ObjectBuilder, &str)| {
        let schema: Object = schema.build();
        let mut header = Header::new(RefOr::T(Schema::from(schema)));
        header.description = Some(about.to_owned());
        (name, header)
    };
    rows.into_iter().map(header).collect()
}

/// The component of a header.
pub(super) fn header_ref(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}
