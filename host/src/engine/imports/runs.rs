//! `postern:pipelines/runs`: calls become jobs, outcomes come back.

use std::time::Duration;

use wasmtime::component::Resource;

use crate::blobs::Blob;
use crate::engine::Context;
use crate::engine::bindings::imports::postern::pipelines::runs::{Host, HostRun, Progress};
use crate::engine::bindings::imports::postern::pipelines::runs::{Refusal, State};
use crate::engine::bindings::imports::postern::pipelines::types;
use crate::engine::bindings::imports::postern::types::problems::Problem as WitProblem;
use crate::jobs::{NewJob, Run, SubmitError, output_href};
use crate::problem::{self, Problem};
use crate::store::{Job, JobState};

/// Most inputs of one call.
const INPUTS_MAX: usize = 4096;
/// Longest parameters of one call.
const PARAMS_BYTES_MAX: usize = 1 << 20;

impl Host for Context {
    async fn submit(
        &mut self,
        call: types::Call,
    ) -> wasmtime::Result<Result<Resource<Run>, Refusal>> {
        if call.inputs.len() > INPUTS_MAX || call.params.len() > PARAMS_BYTES_MAX {
            return Ok(Err(Refusal::Invalid("too many inputs or too long parameters".into())));
        }
        let mut inputs = Vec::with_capacity(call.inputs.len());
        for input in call.inputs {
            inputs.push((input.slot, self.table.delete(input.blob)?));
        }
        let request = self.call()?.clone();
        let tenant = request.tenant.clone();
        let tenant = tenant.ok_or_else(|| wasmtime::Error::msg("nobody is authenticated"))?;
        let directory = &self.imports.directory;
        let plan = directory.tenant(&tenant).and_then(|tenant| directory.plan(&tenant.plan));
        let Some(plan) = plan else {
            return Ok(Err(Refusal::Unavailable("the tenant's plan is gone".into())));
        };
        let job = NewJob {
            tenant,
            key: request.key.clone(),
            plan,
            service: request.service.to_string(),
            pipeline: call.pipeline,
            params: call.params,
            inputs,
            request_id: request.request_id.clone(),
            traceparent: request.traceparent.clone(),
        };
        match self.imports.jobs.submit(job).await {
            Ok(run) => Ok(Ok(self.table.push(run)?)),
            Err(error) => refusal(error).map(Err),
        }
    }
}

/// What the component can do about it; a fault of the host is a trap.
fn refusal(error: SubmitError) -> wasmtime::Result<Refusal> {
    let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    Ok(match error {
        SubmitError::Unavailable(text) => Refusal::Unavailable(text),
        SubmitError::SidecarDown { retry_after } => Refusal::Down(millis(retry_after)),
        SubmitError::QueueFull { retry_after } => Refusal::QueueFull(millis(retry_after)),
        SubmitError::TooManyJobs { retry_after, .. } => Refusal::Busy(millis(retry_after)),
        error @ (SubmitError::Store(_) | SubmitError::Disk(_) | SubmitError::Stopped) => {
            return Err(error.into());
        }
    })
}

impl HostRun for Context {
    async fn id(&mut self, run: Resource<Run>) -> wasmtime::Result<String> {
        Ok(self.table.get(&run)?.id().await?.to_string())
    }

    async fn wait(
        &mut self,
        run: Resource<Run>,
        max_wait_ms: u32,
    ) -> wasmtime::Result<Result<Option<types::Outcome>, WitProblem>> {
        let max_wait_ms = max_wait_ms.min(self.call()?.wait_ms_max);
        let run = self.table.get(&run)?;
        let done = run.wait(Duration::from_millis(max_wait_ms.into())).await?;
        Ok(match done {
            None => Ok(None),
            Some(job) => outcome(&job).map(Some).map_err(WitProblem::from),
        })
    }

    fn progress(&mut self, run: Resource<Run>) -> wasmtime::Result<Progress> {
        let run = self.table.get(&run)?;
        let progress = run.progress();
        Ok(Progress {
            state: state(run.snapshot().state),
            fraction: progress.fraction,
            stage: progress.stage,
            queue_position: progress.queue_position,
        })
    }

    async fn cancel(&mut self, run: Resource<Run>) -> wasmtime::Result<()> {
        let run = self.table.get(&run)?;
        Ok(run.cancel().await?)
    }

    async fn resource_json(&mut self, run: Resource<Run>) -> wasmtime::Result<String> {
        Ok(self.table.get(&run)?.resource().await?.to_string())
    }

    async fn output(
        &mut self,
        run: Resource<Run>,
        name: String,
    ) -> wasmtime::Result<Option<Resource<Blob>>> {
        match self.table.get(&run)?.output(&name).await? {
            Some(blob) => Ok(Some(self.table.push(blob)?)),
            None => Ok(None),
        }
    }

    fn drop(&mut self, run: Resource<Run>) -> wasmtime::Result<()> {
        self.table.delete(run)?;
        Ok(())
    }
}

/// The outcome of a job that succeeded, or why it did not.
pub(crate) fn outcome(job: &Job) -> Result<types::Outcome, Problem> {
    if job.state == JobState::Succeeded {
        let output = |used: &crate::store::BlobUse| types::Output {
            name: used.name.clone(),
            media_type: used.media_type.clone(),
            size: used.bytes,
            href: output_href(&job.id, &used.name),
        };
        return Ok(types::Outcome {
            metadata: job.metadata.clone().unwrap_or_else(|| "{}".into()),
            outputs: job.outputs.iter().map(output).collect(),
            device: job.device.clone().unwrap_or_default(),
        });
    }
    Err(job
        .error
        .as_ref()
        .map_or_else(|| Problem::new(problem::CANCELED, "the job was canceled"), Problem::from))
}

fn state(state: JobState) -> State {
    match state {
        JobState::Queued => State::Queued,
        JobState::Loading => State::Loading,
        JobState::Running => State::Running,
        JobState::Succeeded => State::Succeeded,
        JobState::Failed => State::Failed,
        JobState::Canceled => State::Canceled,
        JobState::Expired => State::Expired,
    }
}
