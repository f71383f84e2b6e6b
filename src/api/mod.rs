//! HTTP: the public listener, the admin listener, probes, problems, tokens.
//!
//! Routes speak to the service through [`Backend`]; what they exchange are the plain
//! values of [`status`] and of the backend's own answers.
//!
//! **Architecture invariant:** no route knows a store or the log.

mod access;
mod auth;
mod backend;
mod body;
mod changes;
mod events;
mod freshness;
mod generations;
mod jwt;
mod kinds;
mod lists;
mod openapi;
mod operations;
mod page;
mod probes;
mod problem;
mod projections;
mod rates;
mod rebuilds;
mod server;
pub mod status;
mod token;
mod trace;
mod verifications;
mod views;

pub use access::{Access, RateLimit};
pub use backend::{Answering, Backend, Check, ListAnswer, PointAnswer, RowJson, Skip, ViewInfo};
pub use jwt::{JwtAlgorithm, JwtSettings, KeySource};
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
pub fn public(backend: Arc<dyn Backend>, access: impl Into<Access>) -> Router {
    let access = access.into();
    let gate = Arc::new(auth::Gate::new(&access));
    for routes in [
        views::ROUTES,
        lists::ROUTES,
        changes::ROUTES,
        openapi::ROUTES,
        page::ROUTES,
    ] {
        server::announce("GET", routes);
    }
    let reading = views::routes(backend.clone())
        .merge(lists::routes(backend.clone()))
        .merge(changes::routes(backend.clone()))
        .merge(openapi::routes(Surface::Public));
    let page = page::routes(backend, Arc::clone(&gate));
    server::finish(page.merge(guarded(reading, &gate, Scope::Read)), &access)
}

/// The routes of the admin listener: those of the public one, status, operations and probes.
pub fn admin(
    backend: Arc<dyn Backend>,
    operations: Arc<dyn Operations>,
    access: impl Into<Access>,
) -> Router {
    let access = access.into();
    let gate = Arc::new(auth::Gate::new(&access));
    for routes in [
        views::ROUTES,
        lists::ROUTES,
        changes::ROUTES,
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
        .merge(lists::routes(backend.clone()))
        .merge(changes::routes(backend.clone()))
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
        .merge(guarded(reading, &gate, Scope::Read))
        .merge(guarded(operating, &gate, Scope::Operate))
        .merge(guarded(administering, &gate, Scope::Admin));
    server::finish(routes, &access)
}

fn guarded(routes: Router, gate: &Arc<auth::Gate>, needed: Scope) -> Router {
    let gate = Arc::clone(gate);
    let guard = auth::Guard { gate, needed };
    routes.route_layer(middleware::from_fn_with_state(guard, auth::check))
}
