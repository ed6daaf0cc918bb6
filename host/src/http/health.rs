//! Health and figures: is the process alive, can it work, how busy is it.
//!
//! Owns `/livez`, `/readyz`, `/health` and `/metrics`. None of them enters the queue or a
//! component, so a busy host is not an unhealthy one.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use super::admin;
use super::respond::{Answer, json as json_answer};
use super::{App, Peer};
use crate::settings::Audience;
use crate::sidecar::wire;

/// The media type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /livez`: the event loop turns.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 once work can be accepted.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let sidecar = app.jobs.sidecar().up().is_some();
    let store = app.jobs.store().plans().await.is_ok();
    let status = if sidecar && store { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": sidecar && store, "sidecar": sidecar, "store": store });
    json_answer(status, &body)
}

/// `GET /health`: the fields that today's clients read, and what an operator asks first.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let load = app.jobs.load();
    let up = app.jobs.sidecar().up();
    let device = up.as_ref().and_then(|up| up.hello.device.as_ref());
    let cuda = device.is_some_and(|device| device.kind == "cuda");
    let gpu = device.filter(|_| cuda).map(|device| {
        let gib = device.memory_bytes as f64 / f64::from(1 << 30);
        json!({ "name": device.name, "vram_gb": (gib * 10.0).round() / 10.0 })
    });
    let status = if up.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if up.is_some() { "healthy" } else { "unhealthy" },
        "version": env!("CARGO_PKG_VERSION"),
        "model_loaded": up.is_some(),
        "cuda": cuda,
        "gpu": gpu,
        "device": device.map(|device| json!({
            "kind": device.kind,
            "name": device.name,
            "reason": device.reason,
        })),
        "models": up.as_ref().map(|up| {
            let state = |model: &wire::ModelStatus| (model.model.clone(), model.state.clone().into());
            up.models().iter().map(state).collect::<Map<String, Value>>()
        }),
        "queue": {
            "queued": load.queued,
            "processing": load.running,
            "max_queue_size": load.queued_max,
            "max_concurrent": load.running_max,
        },
    });
    json_answer(status, &body)
}

/// `GET /metrics`, for whom the settings allow.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Answer {
    let open = match app.server.metrics {
        Audience::Public => true,
        Audience::Loopback => peer.ip().to_canonical().is_loopback(),
        Audience::Admin => false,
    };
    if !open {
        admin::operator(&app, &headers)?;
    }
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], app.metrics.render()).into_response())
}
