//! `/v1/models`: what can run here, and what is missing for the rest.

use std::sync::{Arc, Weak};

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
use crate::sidecar::{Up, wire};

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

/// The list as text, made once for each sidecar that came up: manifests do not change while it
/// runs.
#[derive(Debug, Default)]
pub struct Models(Mutex<Option<(Weak<Up>, Bytes)>>);

impl Models {
    fn get(&self, up: &Arc<Up>) -> Bytes {
        let mut cached = self.0.lock();
        if let Some((of, text)) = &*cached
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(up))
        {
            return text.clone();
        }
        let data: Vec<Value> = up.hello.pipelines.iter().map(|one| model(up, one)).collect();
        let text = Bytes::from(json!({ "data": data }).to_string());
        *cached = Some((Arc::downgrade(up), text.clone()));
        text
    }
}

fn up(app: &App) -> Result<Arc<Up>, Problem> {
    app.jobs.sidecar().up().ok_or_else(|| {
        Problem::new(problem::SIDECAR_DOWN, "the sidecar is starting; try again soon")
            .retry_after(std::time::Duration::from_secs(2))
    })
}

fn model(up: &Up, pipeline: &wire::PipelineManifest) -> Value {
    let slots = |slots: &[wire::Slot]| -> Vec<Value> { slots.iter().map(slot).collect() };
    let schema: Value = serde_json::from_str(&pipeline.params_schema).unwrap_or(Value::Null);
    let memory = json!({
        "cpu_bytes": pipeline.memory_cpu_bytes,
        "gpu_bytes": pipeline.memory_gpu_bytes,
    });
    json!({
        "id": format!("{}@{}", pipeline.name, pipeline.version),
        "name": pipeline.name,
        "version": pipeline.version,
        "title": pipeline.title,
        "state": if pipeline.ready { "ready" } else { "missing" },
        "missing": pipeline.missing,
        "license": pipeline.license,
        "device": up.hello.device.as_ref().map(|device| &device.kind),
        "devices": pipeline.devices,
        "agreement": pipeline.agreement,
        "memory": memory,
        "inputs": slots(&pipeline.inputs),
        "outputs": slots(&pipeline.outputs),
        "params_schema": schema,
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
