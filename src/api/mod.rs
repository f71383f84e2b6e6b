//! HTTP: the public listener, the admin listener, probes, problems, tokens.
//!
//! Routes speak to the service through [`Backend`]; what they exchange are the plain
//! values of [`status`] and of the backend's own answers.
//!
//! **Architecture invariant:** no route knows a store or the log.

mod auth;
mod backend;
mod body;
mod events;
mod generations;
mod kinds;
mod openapi;
mod operations;
mod probes;
mod problem;
mod projections;
mod rebuilds;
mod server;
pub mod status;
mod token;
mod verifications;
mod views;

pub use backend::{Backend, Check, PointAnswer, RowJson, Skip, ViewInfo};
pub use kinds::{KINDS, Kind};
pub use openapi::{Surface, text as openapi};
pub use operations::{
    Asked, BuildStatus, GenerationDetail, Operation, Operations, Rebuild, VerificationStatus,
    VerifyRequest,
};
pub use problem::Problem;
pub use server::Server;
pub use token::{Scope, Token};

use std::sync::Arc;

use axum::{Router, middleware};

// What answers consist of, for clients.
pub use crate::generation::{
    Base, Difference, From, PartitionPlan, Plan, Progress, Promote, RebuildRequest, Relation,
    Verification,
};

/// The routes of the public listener.
pub fn public(backend: Arc<dyn Backend>, tokens: &[Token]) -> Router {
    for routes in [views::ROUTES, openapi::ROUTES] {
        server::announce("GET", routes);
    }
    let reading = views::routes(backend).merge(openapi::routes(Surface::Public));
    server::finish(guarded(reading, tokens, Scope::Read))
}

/// The routes of the admin listener: those of the public one, status, operations and probes.
pub fn admin(
    backend: Arc<dyn Backend>,
    operations: Arc<dyn Operations>,
    tokens: &[Token],
) -> Router {
    for routes in [
        views::ROUTES,
        openapi::ROUTES,
        projections::ROUTES,
        rebuilds::ROUTES,
        generations::ROUTES,
        events::ROUTES,
        verifications::ROUTES,
        probes::ROUTES,
    ] {
        server::announce("GET", routes);
    }
    let reading = views::routes(backend.clone())
        .merge(openapi::routes(Surface::Admin))
        .merge(projections::reading(backend.clone()))
        .merge(rebuilds::reading(operations.clone()))
        .merge(generations::reading(operations.clone()))
        .merge(events::routes(operations.clone()))
        .merge(verifications::reading(operations.clone()));
    let operating = projections::operating(backend.clone())
        .merge(rebuilds::operating(operations.clone()))
        .merge(generations::operating(operations.clone()))
        .merge(verifications::operating(operations.clone()));
    let administering = generations::administering(operations);
    let routes = probes::routes(backend)
        .merge(guarded(reading, tokens, Scope::Read))
        .merge(guarded(operating, tokens, Scope::Operate))
        .merge(guarded(administering, tokens, Scope::Admin));
    server::finish(routes)
}

fn guarded(routes: Router, tokens: &[Token], needed: Scope) -> Router {
    let guard = auth::Guard {
        tokens: tokens.into(),
        needed,
    };
    routes.route_layer(middleware::from_fn_with_state(guard, auth::check))
}
