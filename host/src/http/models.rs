//! `/v1/models`: what can run here, how its models fare, and what is missing for the rest.
//!
//! Owns the JSON form. What is told of a model's state is as old as the last heartbeat, a second at
//! most.

use std::sync::{Arc, Weak};
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::App;
use super::job::Caller;
use super::respond::{Answer, json as json_answer};
use crate::problem::{self, Problem};
use crate::sidecar::{Readiness, Up, wire};

/// `GET /v1/models`.
pub(super) async fn list(State(app): State<Arc<App>>, _caller: Caller) -> Answer {
    let up = up(&app)?;
    let text = app.models.get(&up);
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// `GET /v1/models/{name@version}`.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Answer {
    let up = up(&app)?;
    match up.pipeline(&id) {
        Some(pipeline) => Ok(json_answer(StatusCode::OK, &model(&up, pipeline))),
        None => Err(Problem::new(problem::NOT_FOUND, "no model of that name and version")),
    }
}

/// The list as text, made once for each sidecar that came up and each change of its models:
/// manifests do not change while it runs.
#[derive(Debug, Default)]
pub struct Models(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    of: Weak<Up>,
    states: Arc<Vec<wire::ModelStatus>>,
    text: Bytes,
}

impl Models {
    fn get(&self, up: &Arc<Up>) -> Bytes {
        let states = up.models();
        let mut cached = self.0.lock();
        if let Some(cached) = &*cached
            && std::ptr::eq(cached.of.as_ptr(), Arc::as_ptr(up))
            && Arc::ptr_eq(&cached.states, &states)
        {
            return cached.text.clone();
        }
        let data: Vec<Value> = up.hello.pipelines.iter().map(|one| model(up, one)).collect();
        let text = Bytes::from(json!({ "data": data }).to_string());
        *cached = Some(Cached { of: Arc::downgrade(up), states, text: text.clone() });
        text
    }
}

fn up(app: &App) -> Result<Arc<Up>, Problem> {
    app.jobs.sidecar().up().ok_or_else(|| {
        Problem::new(problem::SIDECAR_DOWN, "the sidecar is starting; try again soon")
            .retry_after(Duration::from_secs(2))
    })
}

fn model(up: &Up, pipeline: &wire::PipelineManifest) -> Value {
    let slots = |slots: &[wire::Slot]| -> Vec<Value> { slots.iter().map(slot).collect() };
    let schema: Value = serde_json::from_str(&pipeline.params_schema).unwrap_or(Value::Null);
    let memory = json!({
        "cpu_bytes": pipeline.memory_cpu_bytes,
        "gpu_bytes": pipeline.memory_gpu_bytes,
    });
    let statuses = up.models();
    let Readiness { state, missing } = Readiness::of(pipeline, &statuses);
    let weights = pipeline.weights.iter().map(|weights| {
        weights_json(weights, statuses.iter().find(|status| status.model == weights.model))
    });
    json!({
        "id": format!("{}@{}", pipeline.name, pipeline.version),
        "name": pipeline.name,
        "version": pipeline.version,
        "title": pipeline.title,
        "state": state,
        "missing": missing,
        "license": pipeline.license,
        "weights": weights.collect::<Vec<_>>(),
        "device": up.hello.device.as_ref().map(|device| &device.kind),
        "devices": pipeline.devices,
        "agreement": pipeline.agreement,
        "memory": memory,
        "inputs": slots(&pipeline.inputs),
        "outputs": slots(&pipeline.outputs),
        "params_schema": schema,
    })
}

fn weights_json(weights: &wire::Weights, status: Option<&wire::ModelStatus>) -> Value {
    let licence = weights.licence.as_ref().map(|licence| {
        json!({
            "id": licence.id,
            "title": licence.title,
            "url": licence.url,
            "summary": licence.summary,
            "research_only": licence.research_only,
        })
    });
    let loaded_at = status.map_or(0, |status| status.loaded_at_ms);
    let loaded_at = (loaded_at > 0).then(|| {
        let at = UNIX_EPOCH + Duration::from_millis(loaded_at);
        humantime::format_rfc3339_millis(at).to_string()
    });
    json!({
        "model": weights.model,
        "title": weights.title,
        "homepage": weights.homepage,
        "licence": licence,
        "bytes": weights.bytes,
        "command": weights.command,
        "state": status.map_or("missing", |status| &status.state),
        "reason": status.map_or("", |status| &status.reason),
        "loaded_fraction": status.map_or(0.0, |status| status.loaded_fraction),
        "load_ms": status.map_or(0, |status| status.load_ms),
        "memory_bytes": status.map_or(0, |status| status.memory_bytes),
        "loaded_at": loaded_at,
        "idle_ms": status.map_or(0, |status| status.idle_ms),
        "in_use": status.map_or(0, |status| status.in_use),
    })
}

fn slot(slot: &wire::Slot) -> Value {
    json!({
        "name": slot.name,
        "media_types": slot.media_types,
        "count_min": slot.count_min,
        "count_max": slot.count_max,
        "description": slot.description,
    })
}
