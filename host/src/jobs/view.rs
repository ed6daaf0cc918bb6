//! A job as clients see it, and the handle that waits for one.
//!
//! Owns the JSON form of the job resource: the one home of its field names.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Jobs, Run};
use crate::blobs::Blob;
use crate::clock::Timestamp;
use crate::ids::JobId;
use crate::metrics::JobSpans;
use crate::problem::Problem;
use crate::store::{Job, JobState, StoreError};

/// How far a running job is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// From 0 to 1; never falls within an attempt.
    pub fraction: f64,
    /// The pipeline's word for what it does; empty before it starts.
    pub stage: String,
    pub detail: String,
    /// How many are before it; `None` once it runs.
    pub queue_position: Option<u32>,
    /// It waits for a model to be loaded.
    pub loading: bool,
}

impl Run {
    /// The job's id; the job is durable then.
    ///
    /// # Errors
    /// Of the store.
    pub async fn id(&self) -> Result<JobId, StoreError> {
        self.jobs.keep(&self.live).await?;
        Ok(self.live.job.lock().id.clone())
    }

    /// Waits for the final state; `None` when `max` passes first. Either way the job is durable.
    ///
    /// # Errors
    /// Of the store.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait(&self, max: Duration) -> Result<Option<Arc<Job>>, StoreError> {
        let mut done = self.live.done.subscribe();
        let wait = done.wait_for(Option::is_some);
        if let Ok(Ok(job)) = tokio::time::timeout(max, wait).await {
            return Ok(job.clone());
        }
        self.jobs.keep(&self.live).await?;
        Ok(None)
    }

    /// The job as it is now. `loading` is a state for those who look; the store calls it running.
    #[must_use]
    pub fn snapshot(&self) -> Job {
        if let Some(job) = &*self.live.done.borrow() {
            return Job::clone(job);
        }
        let mut job = self.live.job.lock().clone();
        if job.state == JobState::Running && self.live.progress.lock().loading {
            job.state = JobState::Loading;
        }
        job
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let id = self.live.job.lock().id.clone();
        let position = self.jobs.queue.lock().position(&id);
        let queue_position = position.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Progress { queue_position, ..self.live.progress.lock().clone() }
    }

    /// The job resource without `result`; the job is durable then.
    ///
    /// # Errors
    /// Of the store.
    pub async fn resource(&self) -> Result<Value, StoreError> {
        self.jobs.keep(&self.live).await?;
        Ok(self.shown())
    }

    fn shown(&self) -> Value {
        resource(&self.snapshot(), Some(&self.progress()))
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// Of the store.
    pub async fn cancel(&self) -> Result<(), StoreError> {
        let id = self.id().await?;
        let tenant = self.live.job.lock().tenant.clone();
        self.jobs.cancel(&tenant, &id).await.map(|_| ())
    }

    /// The bytes of an output, once the job has succeeded.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn output(&self, name: &str) -> std::io::Result<Option<Blob>> {
        let job = self.snapshot();
        match job.outputs.iter().find(|output| output.name == name) {
            Some(used) => self.jobs.open(&job.tenant, used).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Jobs {
    /// The resource of a stored job, with progress if it is not final.
    #[must_use]
    pub fn resource(self: &Arc<Self>, job: &Job) -> Value {
        match self.unfinished(&job.tenant, &job.id) {
            Some(run) if !job.state.is_final() => run.shown(),
            _ => resource(job, None),
        }
    }
}

/// Where a client finds an output.
#[must_use]
pub fn output_href(id: &JobId, name: &str) -> String {
    format!("/v1/jobs/{id}/outputs/{name}")
}

/// How long the parts of a job took.
pub(super) fn spans(job: &Job) -> JobSpans {
    let end = job.finished_at.unwrap_or(job.created_at);
    JobSpans {
        run: job.started_at.map(|started| end.since(started)),
        total: end.since(job.created_at),
    }
}

fn resource(job: &Job, progress: Option<&Progress>) -> Value {
    let outputs: Vec<Value> = job
        .outputs
        .iter()
        .map(|output| {
            json!({
                "name": output.name,
                "media_type": output.media_type,
                "bytes": output.bytes,
                "url": output_href(&job.id, &output.name),
            })
        })
        .collect();
    let mut value = json!({
        "id": job.id,
        "service": job.service,
        "pipeline": job.pipeline,
        "state": job.state.as_str(),
        "attempt": job.attempt,
        "device": job.device,
        "created_at": time(Some(job.created_at)),
        "started_at": time(job.started_at),
        "finished_at": time(job.finished_at),
        "expires_at": time(job.expires_at),
        "request_id": job.request_id,
        "progress": progress_json(job, progress),
        "timings": timings(job),
        "outputs": outputs,
        "links": {
            "self": format!("/v1/jobs/{}", job.id),
            "cancel": format!("/v1/jobs/{}/cancel", job.id),
        },
    });
    if let (Some(error), Some(object)) = (&job.error, value.as_object_mut()) {
        let problem = Problem::from(error);
        let text = problem.to_json(job.request_id.as_str());
        object.insert("error".into(), serde_json::from_slice(&text).unwrap_or(Value::Null));
    }
    value
}

fn progress_json(job: &Job, progress: Option<&Progress>) -> Value {
    // A final job has none, whoever still remembers how far it was.
    let none = Progress::default();
    let progress = progress.filter(|_| !job.state.is_final()).unwrap_or(&none);
    let fraction = match job.state {
        JobState::Succeeded => 1.0,
        _ => (progress.fraction * 1000.0).round() / 1000.0,
    };
    json!({
        "fraction": fraction,
        "stage": progress.stage,
        "detail": progress.detail,
        "queue_position": progress.queue_position,
    })
}

fn timings(job: &Job) -> Value {
    let millis = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let span = to?.since(from?);
        u64::try_from(span.as_millis()).ok()
    };
    json!({
        "queue_ms": millis(Some(job.created_at), job.started_at),
        "run_ms": millis(job.started_at, job.finished_at),
        "total_ms": millis(Some(job.created_at), job.finished_at),
    })
}

/// RFC 3339 in UTC with milliseconds.
fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| humantime::format_rfc3339_millis(at.to_system_time()).to_string())
}
