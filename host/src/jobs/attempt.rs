//! One attempt at a job: from the start on the sidecar to an ending, or back into the line.
//!
//! Owns nothing that outlives the attempt. Always: whatever the sidecar or the disk does, the job
//! is finished or requeued in the store before its slot is given back.

use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Jobs, Live, ended};
use crate::blobs::Pin;
use crate::problem::{self, Code, Problem};
use crate::sidecar::wire::failed::Kind;
use crate::sidecar::wire::run_event::Event;
use crate::sidecar::{RunError, RunEvents, Up, wire};
use crate::store::{BlobUse, Ending, Job, JobState, StoreError};

/// A job that was running when the sidecar died so many times is given up.
const CRASHES_MAX: u32 = 2;
/// Pause before a run that found every slot taken is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Pause before a write that failed is tried again; the job must not be lost to a full disk.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// A job that started at once and runs for longer is stored before it ends.
const UNKEPT_MAX: Duration = Duration::from_millis(5);
/// Longest name of an output, as the wire allows.
const OUTPUT_NAME_BYTES_MAX: usize = 80;

/// What came of an attempt.
enum Outcome {
    Ended(Box<Ending>, Vec<Pin>),
    /// The sidecar died. `crashed`: the run had reached it.
    Lost {
        crashed: bool,
    },
    /// The host is stopping, or the job became final elsewhere.
    Left,
}

impl Jobs {
    /// Runs one attempt; the job counts as running in the queue already.
    pub(super) async fn attempt(self: Arc<Self>, live: Arc<Live>) {
        let tenant = live.job.lock().tenant.clone();
        let outcome = match self.begin(&live).await {
            true => self.run(&live).await,
            false => Outcome::Left,
        };
        let job = live.job.lock().clone();
        let run_id = run_id(&job);
        // A run without inputs that ended without outputs never had one.
        let has_folder = !job.inputs.is_empty()
            || !matches!(&outcome, Outcome::Ended(ending, _) if ending.outputs.is_empty()
                && ending.state == JobState::Succeeded);
        match outcome {
            Outcome::Ended(ending, pins) => {
                self.finish(&live, job, *ending).await;
                drop(pins);
                self.queue.lock().stopped(&tenant);
            }
            Outcome::Lost { crashed } => self.lost(&live, job, crashed).await,
            Outcome::Left => {
                self.queue.lock().stopped(&tenant);
                self.settle(&live, job).await;
            }
        }
        self.start_waiting();
        if has_folder {
            self.blobs.remove_run(&run_id).await;
        }
    }

    /// Marks the job as running, unless it was accepted as running. False: it is not to run.
    async fn begin(&self, live: &Live) -> bool {
        let (id, attempt, fresh) = {
            let job = live.job.lock();
            (job.id.clone(), job.attempt, job.state == JobState::Running)
        };
        if !fresh {
            let now = self.clock.now();
            let started = self.insist(|| self.store.start_job(&id, attempt + 1, now)).await;
            if started != Some(true) {
                return false;
            }
            let mut job = live.job.lock();
            job.state = JobState::Running;
            job.attempt = attempt + 1;
            job.started_at = Some(now);
        }
        let job = live.job.lock();
        let waited = job.started_at.unwrap_or(job.created_at).since(job.created_at);
        self.metrics.job_started(&job.pipeline, waited);
        true
    }

    async fn run(&self, live: &Live) -> Outcome {
        let job = live.job.lock().clone();
        let Some(up) = self.sidecar.up() else { return Outcome::Lost { crashed: false } };
        let run_id = run_id(&job);
        if let Err(error) = self.blobs.prepare_run(&job.tenant, &run_id, &job.inputs).await {
            tracing::error!(job = %job.id, %error, "inputs not handed to the sidecar");
            return failed(problem::INTERNAL, "an input could not be read");
        }
        let events = loop {
            match up.client.run(self.request(&job, &run_id)).await {
                Ok(events) => break events,
                Err(RunError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(RunError::Refused(status)) => {
                    return failed(problem::PIPELINE_UNAVAILABLE, status.message());
                }
                Err(RunError::Gone(_)) => {
                    up.mark_lost();
                    return Outcome::Lost { crashed: false };
                }
            }
        };
        self.follow(live, &job, &up, events).await
    }

    /// Follows a run to its end.
    async fn follow(&self, live: &Live, job: &Job, up: &Up, mut events: RunEvents) -> Outcome {
        let mut canceled = false;
        let unkept = tokio::time::sleep(UNKEPT_MAX);
        tokio::pin!(unkept);
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                () = &mut unkept, if !unkept.is_elapsed() => {
                    if let Err(error) = self.keep(live).await {
                        tracing::error!(job = %job.id, %error, "job not stored while it runs");
                    }
                    continue;
                }
                () = live.cancel.cancelled(), if !canceled => {
                    canceled = true;
                    up.client.cancel(run_id(job)).await;
                    continue;
                }
            };
            match event {
                Ok(Event::Started(started)) => {
                    let device = started.device.map(|device| device.kind);
                    live.job.lock().device = device;
                }
                Ok(Event::Progress(progress)) => {
                    let mut shown = live.progress.lock();
                    shown.fraction = progress.fraction.clamp(shown.fraction, 1.0);
                    shown.stage = problem::cut(progress.stage, 64);
                    shown.detail = problem::cut(progress.detail, 256);
                    shown.loading = progress.loading;
                }
                Ok(Event::Finished(finished)) => return self.adopt(live, job, finished).await,
                // A sidecar that stops cancels its runs, and nobody asked for that.
                Ok(Event::Failed(failure))
                    if failure.kind() == Kind::Canceled && !live.cancel.is_cancelled() =>
                {
                    up.mark_lost();
                    return Outcome::Lost { crashed: false };
                }
                Ok(Event::Failed(failure)) => return ending_of(failure),
                Err(error) => {
                    tracing::warn!(job = %job.id, %error, "run lost");
                    up.mark_lost();
                    return Outcome::Lost { crashed: true };
                }
            }
        }
    }

    /// Takes over the outputs of a finished run.
    async fn adopt(&self, live: &Live, job: &Job, finished: wire::Finished) -> Outcome {
        let out = self.blobs.runs_dir().join(run_id(job)).join("out");
        let (mut outputs, mut pins) = (Vec::new(), Vec::new());
        for output in finished.outputs {
            if !is_plain_name(&output.file) || !is_plain_name(&output.name) {
                return failed(problem::PIPELINE_FAILED, "the pipeline named an output wrongly");
            }
            match self.blobs.adopt(&job.tenant, out.join(&output.file)).await {
                Ok((digest, bytes, pin)) => {
                    let (name, media_type) = (output.name, output.media_type);
                    outputs.push(BlobUse { name, digest, media_type, bytes });
                    pins.push(pin);
                }
                Err(error) => {
                    tracing::error!(job = %job.id, %error, "output not stored");
                    return failed(problem::INTERNAL, "an output could not be stored");
                }
            }
        }
        let ending = Ending {
            state: JobState::Succeeded,
            device: live.job.lock().device.clone(),
            metadata: Some(finished.metadata),
            outputs,
            error: None,
        };
        Outcome::Ended(Box::new(ending), pins)
    }

    async fn finish(&self, live: &Live, job: Job, ending: Ending) {
        let (id, attempt, at) = (job.id.clone(), job.attempt, self.clock.now());
        let done = ended(job.clone(), ending.clone(), at);
        let stored = match self.keep_ended(live, &done).await {
            Some(false) => {
                self.insist(|| self.store.finish_job(&id, attempt, at, ending.clone())).await
            }
            whole => whole,
        };
        match stored {
            Some(true) => self.finished(live, done),
            _ => self.settle(live, job).await,
        }
    }

    /// Stores a job with its end when the store does not have it; false when it has.
    async fn keep_ended(&self, live: &Live, done: &Job) -> Option<bool> {
        if live.kept.initialized() {
            return Some(false);
        }
        let whole = AtomicBool::new(false);
        let create = || async {
            self.store.create_job(done.clone()).await?;
            whole.store(true, Ordering::Relaxed);
            Ok::<_, StoreError>(())
        };
        let keep = || async {
            live.kept.get_or_try_init(create).await?;
            Ok(whole.load(Ordering::Relaxed))
        };
        self.insist(keep).await
    }

    /// The sidecar is gone: the job goes back into the line, or is given up.
    async fn lost(&self, live: &Live, job: Job, crashed: bool) {
        let tenant = job.tenant.clone();
        // A host that stops ends its sidecar: that is no crash.
        let crashed = crashed && !self.tasks.stop_token().is_cancelled();
        if crashed && job.crashes + 1 >= CRASHES_MAX {
            let detail = format!("the worker died {CRASHES_MAX} times while it ran this job");
            let ending = failure(problem::CRASHED_WORKER, &detail);
            self.finish(live, job, ending).await;
            self.queue.lock().stopped(&tenant);
            return;
        }
        let (id, attempt) = (job.id.clone(), job.attempt);
        let requeued = self
            .insist(|| async {
                self.keep(live).await?;
                self.store.requeue_job(&id, attempt, crashed).await
            })
            .await;
        self.queue.lock().stopped(&tenant);
        if requeued != Some(true) {
            self.settle(live, job).await;
            return;
        }
        let entry = {
            let mut job = live.job.lock();
            job.state = JobState::Queued;
            job.crashes += u32::from(crashed);
            self.entry(&job, live.running_max)
        };
        *live.progress.lock() = super::Progress::default();
        tracing::warn!(job = %id, attempt, crashed, "job requeued");
        self.queue.lock().push(entry);
    }

    /// The store did not take our word: what it says is so.
    async fn settle(&self, live: &Live, job: Job) {
        match self.store.job(&job.tenant, &job.id).await {
            Ok(Some(stored)) if stored.state.is_final() => self.finished(live, stored),
            Ok(Some(stored)) if stored.cancel_requested => {
                let ending = failure_in(JobState::Canceled, problem::CANCELED, CANCELED);
                let at = self.clock.now();
                let attempt = stored.attempt;
                let done = self.store.finish_job(&stored.id, attempt, at, ending.clone()).await;
                if let Ok(true) = done {
                    self.finished(live, ended(stored, ending, at));
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(job = %job.id, %error, "job left for the next start"),
        }
    }

    /// Repeats a store write until it is answered; `None` when the host stops first. What was
    /// accepted is still in the store then, and the next host takes it up.
    async fn insist<F>(&self, mut write: impl FnMut() -> F) -> Option<bool>
    where
        F: Future<Output = Result<bool, StoreError>>,
    {
        loop {
            match write().await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::error!(%error, "store write failed, trying again"),
            }
            let stop = self.tasks.stop_token();
            stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await?;
        }
    }

    fn request(&self, job: &Job, run_id: &str) -> wire::RunRequest {
        let input = |(index, used): (usize, &BlobUse)| wire::InputBlob {
            slot: used.name.clone(),
            file: index.to_string(),
            media_type: used.media_type.clone(),
            bytes: used.bytes,
            digest: used.digest.to_string(),
        };
        wire::RunRequest {
            run_id: run_id.to_owned(),
            pipeline: job.pipeline.clone(),
            params: job.params.clone(),
            inputs: job.inputs.iter().enumerate().map(input).collect(),
            label: job.id.to_string(),
            priority: job.priority,
            timeout_ms: u64::try_from(self.options.run_max.as_millis()).unwrap_or(u64::MAX),
            traceparent: job.traceparent.clone().unwrap_or_default(),
        }
    }
}

const CANCELED: &str = "canceled at the client's request";

/// Names the folder of an attempt.
fn run_id(job: &Job) -> String {
    format!("{}.{}", job.id, job.attempt)
}

fn failure(code: Code, detail: &str) -> Ending {
    failure_in(JobState::Failed, code, detail)
}

fn failure_in(state: JobState, code: Code, detail: &str) -> Ending {
    Ending {
        state,
        device: None,
        metadata: None,
        outputs: Vec::new(),
        error: Some(Problem::new(code, detail).into()),
    }
}

fn failed(code: Code, detail: &str) -> Outcome {
    Outcome::Ended(Box::new(failure(code, detail)), Vec::new())
}

/// What a failure of the pipeline means for the client.
fn ending_of(failed: wire::Failed) -> Outcome {
    let (state, code) = match failed.kind() {
        Kind::Input if failed.code == problem::MEDIA_TYPE_UNSUPPORTED.name => {
            (JobState::Failed, problem::MEDIA_TYPE_UNSUPPORTED)
        }
        // 422: the pipeline's own code and field say what is wrong with the input.
        Kind::Input => (JobState::Failed, problem::FIELD_INVALID),
        Kind::Device => (JobState::Failed, problem::DEVICE_FAILED),
        Kind::Resource => (JobState::Failed, problem::RESOURCE),
        Kind::Unavailable => (JobState::Failed, problem::PIPELINE_UNAVAILABLE),
        Kind::Canceled => (JobState::Canceled, problem::CANCELED),
        Kind::Internal | Kind::Unspecified => (JobState::Failed, problem::PIPELINE_FAILED),
    };
    let mut ending = failure_in(state, code, &problem::cut(failed.detail, 2048));
    if let Some(error) = &mut ending.error {
        if state == JobState::Canceled {
            error.detail = CANCELED.into();
        } else if !failed.code.is_empty() {
            error.code = problem::cut(failed.code, 64);
        }
        error.field = (!failed.field.is_empty()).then(|| problem::cut(failed.field, 256));
    }
    Outcome::Ended(Box::new(ending), Vec::new())
}

/// One path component that is neither special nor long: what a sidecar may call a file.
fn is_plain_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let one = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
    one && name.len() <= OUTPUT_NAME_BYTES_MAX && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_cannot_leave_its_folder() {
        for good in ["a.png", "key_frame_0.png", "x"] {
            assert!(is_plain_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/etc/passwd", "../x", "a b", "ä", &"x".repeat(81)] {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_input_failure_keeps_the_pipelines_code_and_field() {
        let failed = wire::Failed {
            kind: Kind::Input.into(),
            code: "video_undecodable".into(),
            detail: "no frames".into(),
            field: "video".into(),
        };
        let Outcome::Ended(ending, _) = ending_of(failed) else { panic!("not ended") };
        let error = ending.error.unwrap();
        assert_eq!((error.status, error.code.as_str()), (422, "video_undecodable"));
        assert_eq!(error.field.as_deref(), Some("video"));
    }

    #[test]
    fn an_input_of_a_kind_that_is_not_read_has_the_status_of_its_code() {
        let failed = wire::Failed {
            kind: Kind::Input.into(),
            code: "media_type_unsupported".into(),
            detail: "install this".into(),
            field: "image".into(),
        };
        let Outcome::Ended(ending, _) = ending_of(failed) else { panic!("not ended") };
        let error = ending.error.unwrap();
        assert_eq!((error.status, error.field.as_deref()), (415, Some("image")));
    }
}
