//! The OpenAPI document of both listeners, made from one table of operations and from the types of bodies.
//!
//! `docs/openapi.json` is the admin listener's; `cargo run -- openapi > docs/openapi.json` writes it anew. Tests hold the table, the routers
//! and that file against each other.

mod described;
mod parameters;
mod schemas;

use std::collections::BTreeMap;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Required, Schema,
};

use self::described::{Answer, Described, OPERATIONS};
use super::kinds;

/// Where the document is.
pub(super) const ROUTES: &[&str] = &["/openapi.json"];

/// Whose document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The listener for readers of views.
    Public,
    /// The listener for operators, which has the public routes too.
    Admin,
}

/// What any operation may answer that needs a token.
const GUARDED: &[&str] = &["unauthorized", "forbidden"];
/// What any operation but a probe may answer.
const ANY: &[&str] = &["too-many-requests", "overloaded", "unavailable", "internal"];

pub(super) fn routes(surface: Surface) -> Router {
    let text = text(surface);
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    Router::new().route(ROUTES[0], get(answer))
}

/// The document as indented JSON with a final newline.
pub fn text(surface: Surface) -> String {
    let mut text = serde_json::to_string_pretty(&document(surface)).unwrap_or_default();
    text.push('\n');
    text
}

fn described(surface: Surface) -> impl Iterator<Item = &'static Described> {
    OPERATIONS.iter().filter(move |described| {
        match surface {
            Surface::Public => described.public,
            // The page is for readers.
            Surface::Admin => described.path != "/",
        }
    })
}

fn document(surface: Surface) -> OpenApi {
    let mut paths = Paths::new();
    for one in described(surface) {
        let method = match one.method {
            "POST" => HttpMethod::Post,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        let item = PathItem::new(method.clone(), operation(one));
        match paths.paths.get_mut(one.path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(one.path.to_owned(), item)),
        }
    }
    let mut components = schemas::all();
    for (name, header) in parameters::headers() {
        components = components.header(name, header);
    }
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "A configured token (`viewfold token NAME --scope …`) or a JWT of the configured issuer. \
         Scopes: read < operate < admin. Needed only where tokens are configured."
            .to_owned(),
    );
    let mut components = components
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .build();
    keep_named(&mut components, &paths);
    let (title, about) = match surface {
        Surface::Public => ("viewfold", "Read views that are folded from Kafka events."),
        Surface::Admin => (
            "viewfold, admin listener",
            "Status, rebuilds and probes, and everything that the public listener has.",
        ),
    };
    let license = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title(title)
        .description(Some(about))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components))
        .build()
}

/// Leaves only the schemas that the paths lead to: the readers' document says nothing about operators' bodies.
fn keep_named(components: &mut Components, paths: &Paths) {
    let text = |named: serde_json::Result<String>| named.unwrap_or_default();
    let mut waiting = vec![text(serde_json::to_string(paths))];
    let mut kept = BTreeMap::new();
    while let Some(text_of_one) = waiting.pop() {
        let names: Vec<String> = components.schemas.keys().cloned().collect();
        for name in names {
            let reference = format!("\"#/components/schemas/{name}\"");
            if text_of_one.contains(&reference)
                && let Some(schema) = components.schemas.remove(&name)
            {
                waiting.push(text(serde_json::to_string(&schema)));
                kept.insert(name, schema);
            }
        }
    }
    components.schemas = kept;
}

fn operation(one: &Described) -> OperationBuilder {
    let mut responses = ResponsesBuilder::new();
    for answer in one.answers {
        responses = responses.response(answer.status.to_string(), response(answer));
    }
    for (status, names) in problems(one) {
        responses = responses.response(status.to_string(), problem_response(status, &names));
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(one.id))
        .summary(Some(one.summary))
        .responses(responses.build());
    for parameter in one.parameters {
        operation = operation.parameter(parameter.build());
    }
    if let Some(scope) = one.scope {
        // Without configured tokens none is needed.
        let needed = SecurityRequirement::new("bearer", [scope.as_str()]);
        operation = operation.securities(Some([needed]));
    }
    operation.request_body(one.body.map(body))
}

fn body(schema: &str) -> RequestBody {
    let required = match schema {
        "SkipRequest" | "DropRequest" => Required::True,
        _ => Required::False,
    };
    let content = ContentBuilder::new().schema(Some(schemas::reference(schema)));
    RequestBodyBuilder::new()
        .content("application/json", content.build())
        .required(Some(required))
        .build()
}

fn response(answer: &Answer) -> Response {
    let mut response = ResponseBuilder::new().description(answer.about);
    if let Some(schema) = answer.schema {
        let content = ContentBuilder::new().schema(Some(schemas::reference(schema)));
        response = response.content(answer.media, content.build());
    }
    for name in answer.headers {
        response = response.header_ref(*name, parameters::header_ref(name));
    }
    response.build()
}

/// The problems of an operation, by status.
fn problems(one: &Described) -> BTreeMap<u16, Vec<&'static str>> {
    let guarded = if one.scope.is_some() { GUARDED } else { &[] };
    let any = if one.scope.is_some() { ANY } else { &[] };
    let names = one.problems.iter().chain(guarded).chain(any);
    let mut found: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for kind in names.filter_map(|name| kinds::find(name)) {
        // A page for people answers 401 as a page.
        let taken = one
            .answers
            .iter()
            .any(|answer| answer.status == kind.status);
        if !taken {
            found.entry(kind.status).or_default().push(kind.name);
        }
    }
    found
}

fn problem_response(status: u16, names: &[&str]) -> Response {
    let about: Vec<String> = names
        .iter()
        .filter_map(|name| kinds::find(name))
        .map(|kind| format!("`{}`: {}", kind.name, kind.meaning))
        .collect();
    let content =
        ContentBuilder::new().schema(Some(Schema::from(schemas::problem_of(names).build())));
    let mut response = ResponseBuilder::new()
        .description(about.join("\n"))
        .content("application/problem+json", content.build());
    let header = match status {
        401 => Some("WWW-Authenticate"),
        429 | 503 => Some("Retry-After"),
        _ => None,
    };
    if let Some(name) = header {
        response = response.header_ref(name, parameters::header_ref(name));
    }
    response.build()
}
