//! HTTP: the socket, the host's own routes, and the way of a service's request through the gate.
//!
//! Owns everything that speaks HTTP. Knows the gate, the jobs and tenancy; nothing knows it.
//! Always: every answer carries a request id; every failure is a problem with a stable code; a body
//! is read only after `auth` and `rate-limit` have said yes. `server.rs` has the socket, `front.rs`
//! what surrounds every request, `service.rs` the way of a service's request. Start at [`router`].

mod admin;
mod body;
mod docs;
mod front;
mod health;
mod job;
mod linger;
mod models;
mod openapi;
mod output;
mod page;
mod respond;
pub mod server;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::gate::Gate;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::settings;
use crate::tenancy::{Directory, Tenancy};
pub use models::Models;
pub use openapi::document as openapi_document;

/// What the routes work with.
#[derive(Debug)]
pub struct App {
    pub gate: Gate,
    pub jobs: Arc<Jobs>,
    pub blobs: Arc<BlobStore>,
    pub directory: Arc<Directory>,
    pub tenancy: Tenancy,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub server: settings::Server,
    pub limits: settings::Limits,
    pub models: Models,
}

/// The peer's address, as a request extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Every route, inside what surrounds every request.
pub fn router(app: Arc<App>) -> Router {
    let own = Router::new()
        .route("/", get(docs::index))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::health))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .route("/docs", get(docs::page))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::one))
        .route("/v1/jobs", get(job::list))
        .route("/v1/jobs/{id}", get(job::one).delete(job::delete))
        .route("/v1/jobs/{id}/cancel", post(job::cancel))
        .route("/v1/jobs/{id}/outputs/{name}", get(output::serve))
        .nest("/admin/v1", admin::routes(app.clone()))
        .fallback(service::serve)
        .method_not_allowed_fallback(respond::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), front::surround));
    own.with_state(app)
}
