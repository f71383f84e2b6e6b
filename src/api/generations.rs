//! `GET /v1/projections/{p}/generations/{n}`, what operators ask of a generation, and
//! `DELETE /v1/projections/{p}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::auth::Actor;
use super::body::{BodyOf, Fields, PathOf, asked, generation, path};
use super::operations::{Operation, Operations};
use super::problem::Problem;
use super::rebuilds::accepted;

type Service = Arc<dyn Operations>;

pub(super) const ROUTES: &[&str] = &["/v1/projections/{projection}/generations/{generation}"];

/// What may be asked of a generation by name, and of the building one without a name.
const OPERATIONS: [(&str, Operation); 4] = [
    ("promote", Operation::Promote),
    ("cancel", Operation::Cancel),
    ("pause", Operation::Pause),
    ("resume", Operation::Resume),
];

pub(super) fn reading(operations: Service) -> Router {
    Router::new()
        .route(ROUTES[0], get(detail))
        .with_state(operations)
}

pub(super) fn operating(operations: Service) -> Router {
    let mut router = Router::new().route(
        "/v1/projections/{projection}/rollback",
        of_projection(Operation::Rollback),
    );
    for (name, operation) in OPERATIONS {
        let one = format!("/v1/projections/{{projection}}/generations/{{generation}}/{name}");
        let building = format!("/v1/projections/{{projection}}/{name}");
        router = router
            .route(&one, of_generation(operation))
            .route(&building, of_projection(operation));
    }
    router.with_state(operations)
}

pub(super) fn administering(operations: Service) -> Router {
    Router::new()
        .route("/v1/projections/{projection}", delete(drop_projection))
        .with_state(operations)
}

async fn detail(
    State(operations): State<Service>,
    names: PathOf<(String, String)>,
) -> Result<Response, Problem> {
    let (projection, number) = path(names)?;
    let number = generation(&projection, &number)?;
    let detail = operations.generation(&projection, number).await?;
    Ok(Json(detail).into_response())
}

fn of_generation(operation: Operation) -> MethodRouter<Service> {
    post(
        move |State(operations): State<Service>,
              names: PathOf<(String, String)>,
              Extension(actor): Extension<Actor>,
              headers: HeaderMap,
              body: BodyOf| async move {
            let (projection, number) = path(names)?;
            let number = generation(&projection, &number)?;
            Fields::of(body, &[])?.finish()?;
            let asked = asked(actor, &headers)?;
            let detail = operations
                .operate(&projection, Some(number), operation, asked)
                .await?;
            Ok::<_, Problem>(accepted(&detail))
        },
    )
}

fn of_projection(operation: Operation) -> MethodRouter<Service> {
    post(
        move |State(operations): State<Service>,
              name: PathOf<String>,
              Extension(actor): Extension<Actor>,
              headers: HeaderMap,
              body: BodyOf| async move {
            let projection = path(name)?;
            Fields::of(body, &[])?.finish()?;
            let asked = asked(actor, &headers)?;
            let detail = operations
                .operate(&projection, None, operation, asked)
                .await?;
            Ok::<_, Problem>(accepted(&detail))
        },
    )
}

async fn drop_projection(
    State(operations): State<Service>,
    name: PathOf<String>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: BodyOf,
) -> Result<Response, Problem> {
    let projection = path(name)?;
    let asked = asked(actor, &headers)?;
    let mut fields = Fields::of(body, &["confirm"])?;
    let confirmed = fields.take("confirm", |value: &Value| {
        let same = value.as_str() == Some(&*projection);
        same.then_some(())
            .ok_or_else(|| format!("must be \"{projection}\", the projection's own name"))
    });
    fields.finish()?;
    if confirmed.is_none() {
        let detail = format!(
            "this removes projection {projection} with all its rows: confirm it with {{\"confirm\": \"{projection}\"}}"
        );
        return Err(Problem::bad_request(detail));
    }
    operations.drop_projection(&projection, asked).await?;
    let answer = json!({ "projection": projection, "state": "dropped" });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
