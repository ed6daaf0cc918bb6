//! Health and figures: is the process alive, can it work, how busy is it.
//!
//! Owns `/livez`, `/readyz`, `/health`, `/metrics` and what services show of their health. None of
//! them enters the queue or a component, so a busy host is not an unhealthy one.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

use super::respond::{Answer, json as json_answer};
use super::{App, Peer, admin};
use crate::gate::Service;
use crate::settings::Audience;
use crate::sidecar::{Readiness, Up, wire};

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
    let up = app.jobs.sidecar().up();
    json_answer(status(up.is_some()), &figures(&app, up.as_deref()))
}

/// The same for one service: its pipelines have to be ready too. `members` are added and win.
pub(super) fn of_service(app: &App, service: &Service, members: &Map<String, Value>) -> Response {
    let up = app.jobs.sidecar().up();
    let pipelines: Vec<Value> =
        service.pipelines.iter().map(|id| pipeline(up.as_deref(), id)).collect();
    let is_well = up.is_some() && pipelines.iter().all(|pipeline| pipeline["ready"] == true);
    let mut body = figures(app, up.as_deref());
    body["status"] = word(is_well).into();
    body["model_loaded"] = is_well.into();
    body["pipelines"] = pipelines.into();
    for (name, value) in members {
        body[name] = value.clone();
    }
    json_answer(status(is_well), &body)
}

/// Whether a run of it would find what it needs, and else what to do.
fn pipeline(up: Option<&Up>, id: &str) -> Value {
    let Some(up) = up else {
        return json!({ "id": id, "ready": false, "missing": "the sidecar is starting" });
    };
    let Some(manifest) = up.pipeline(id) else {
        let missing = format!("no pipeline `{id}` is installed");
        return json!({ "id": id, "ready": false, "missing": missing });
    };
    let models = up.models();
    let readiness = Readiness::of(manifest, &models);
    json!({ "id": id, "ready": readiness.can_run(), "missing": readiness.missing })
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn word(is_well: bool) -> &'static str {
    if is_well { "healthy" } else { "unhealthy" }
}

/// Version, device and queue.
fn figures(app: &App, up: Option<&Up>) -> Value {
    let load = app.jobs.load();
    let device = up.and_then(|up| up.hello.device.as_ref());
    let cuda = device.is_some_and(|device| device.kind == "cuda");
    let gpu = device.filter(|_| cuda).map(|device| {
        let gib = device.memory_bytes as f64 / f64::from(1 << 30);
        json!({ "name": device.name, "vram_gb": (gib * 10.0).round() / 10.0 })
    });
    json!({
        "status": word(up.is_some()),
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
            let state =
                |model: &wire::ModelStatus| (model.model.clone(), Value::from(&*model.state));
            up.models().iter().map(state).collect::<Map<String, Value>>()
        }),
        "queue": {
            "queued": load.queued,
            "processing": load.running,
            "max_queue_size": load.queued_max,
            "max_concurrent": load.running_max,
        },
    })
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
