//! Jobs: every run of a pipeline, from acceptance to its final state.
//!
//! Owns the life of a job. Knows the store, the blob plane and the sidecar; not HTTP and not what a
//! pipeline does. Always: a job is in the store before anyone is told of it; only this module
//! starts, requeues and finishes jobs; after a restart it goes on with what was accepted. One that
//! starts at once and ends within milliseconds is written once, with its end: until then nobody
//! knows its id, and who waits for it sees a kill of the host as a broken connection.
//! `queue.rs` decides the order, `attempt.rs` runs one attempt, `view.rs` shows a job. Start at
//! [`Jobs::submit`].

mod attempt;
mod queue;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::blobs::{Blob, BlobStore, Pin};
use crate::clock::{Clock, Timestamp};
use crate::ids::{JobId, KeyId, RequestId, TenantId};
use crate::metrics::Metrics;
use crate::sidecar::{Readiness, Sidecar};
use crate::store::{BlobUse, Ending, Job, JobState, Plan, Store, StoreError};
use crate::tasks::Tasks;
use queue::{Entry, Queue, Refusal};
pub use view::{Progress, output_href};

/// Between two looks for expired jobs.
const EXPIRY_PERIOD: Duration = Duration::from_secs(10);
/// Jobs deleted in one transaction; keeps the writer free for others.
const EXPIRY_BATCH: u32 = 100;
/// What a client is told to wait when the queue is full or the sidecar is down.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Bounds of all jobs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub queued_max: u32,
    pub run_max: Duration,
}

/// A call that passed the chain.
#[derive(Debug)]
pub struct NewJob {
    pub tenant: TenantId,
    pub key: Option<KeyId>,
    pub plan: Arc<Plan>,
    pub service: String,
    pub pipeline: String,
    /// A JSON object.
    pub params: String,
    pub inputs: Vec<(String, Blob)>,
    pub request_id: RequestId,
    pub traceparent: Option<String>,
}

/// Why a call was not accepted. A variant is something that the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("{0}")]
    Unavailable(String),
    #[error("the sidecar is not running")]
    SidecarDown { retry_after: Duration },
    #[error("the queue is full")]
    QueueFull { retry_after: Duration },
    #[error("the tenant has {active_max} unfinished jobs, as many as its plan allows")]
    TooManyJobs { active_max: u32, retry_after: Duration },
    #[error("the call could not be stored")]
    Store(#[source] StoreError),
    #[error("the inputs could not be stored")]
    Disk(#[source] std::io::Error),
    #[error("the host is stopping")]
    Stopped,
}

/// All jobs of this host.
#[derive(Debug)]
pub struct Jobs {
    store: Arc<dyn Store>,
    blobs: Arc<BlobStore>,
    sidecar: Sidecar,
    clock: Clock,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    options: Options,
    queue: Mutex<Queue>,
    live: Mutex<HashMap<JobId, Arc<Live>>>,
}

/// A job that is not final, or became so while somebody watches.
#[derive(Debug)]
struct Live {
    job: Mutex<Job>,
    progress: Mutex<Progress>,
    cancel: CancellationToken,
    done: watch::Sender<Option<Arc<Job>>>,
    running_max: u32,
    /// Set once the store has the job.
    kept: OnceCell<()>,
    /// Hold the inputs until the store does.
    pins: Mutex<Vec<Pin>>,
}

/// What a [`Jobs`] is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub blobs: Arc<BlobStore>,
    pub sidecar: Sidecar,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub tasks: Tasks,
}

/// A handle on an accepted job. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Run {
    jobs: Arc<Jobs>,
    live: Arc<Live>,
}

impl Jobs {
    /// Takes up what an earlier host left unfinished and starts the dispatcher.
    ///
    /// # Errors
    /// Of the store or the blob folder.
    pub async fn start(parts: Parts, options: Options) -> Result<Arc<Self>, StoreError> {
        let jobs = Arc::new(Self {
            store: parts.store,
            blobs: parts.blobs,
            sidecar: parts.sidecar,
            clock: parts.clock,
            metrics: parts.metrics,
            tasks: parts.tasks.clone(),
            options,
            queue: Mutex::new(Queue::new(options.queued_max)),
            live: Mutex::default(),
        });
        jobs.recover().await?;
        let dispatcher = jobs.clone();
        parts.tasks.spawn(async move { dispatcher.dispatch().await });
        let expiry = jobs.clone();
        parts.tasks.every(EXPIRY_PERIOD, move || {
            let jobs = expiry.clone();
            async move { jobs.expire().await }
        });
        Ok(jobs)
    }

    /// Accepts a call. The job is durable once [`Run::id`] has told its id, or a wait for it has
    /// ended.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was kept then.
    pub async fn submit(self: &Arc<Self>, call: NewJob) -> Result<Run, SubmitError> {
        let slots = self.check_pipeline(&call.pipeline)?;
        self.admit(&call)?;
        let (answer, answered) = oneshot::channel();
        let jobs = self.clone();
        // A task of its own: a client that leaves now must not leave a job half accepted.
        self.tasks.spawn(async move {
            let tenant = call.tenant.clone();
            let result = jobs.accept(call, slots).await;
            if result.is_err() {
                jobs.queue.lock().left(&tenant);
            }
            // Nobody may be waiting any more; the job runs all the same.
            drop(answer.send(result));
        });
        answered.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// The number of slots, if the pipeline can run here now.
    fn check_pipeline(&self, pipeline: &str) -> Result<u32, SubmitError> {
        let Some(up) = self.sidecar.up() else {
            self.metrics.rejected("sidecar_down");
            return Err(SubmitError::SidecarDown { retry_after: RETRY_AFTER });
        };
        let Some(manifest) = up.pipeline(pipeline) else {
            let detail = format!("no pipeline `{pipeline}` is installed");
            return Err(SubmitError::Unavailable(detail));
        };
        match Readiness::of(manifest, &up.models()) {
            Readiness { state: "missing", missing } => {
                Err(SubmitError::Unavailable(missing.to_owned()))
            }
            // One whose last load failed tries again.
            Readiness { .. } => Ok(up.hello.runs_max),
        }
    }

    fn admit(&self, call: &NewJob) -> Result<(), SubmitError> {
        let active_max = call.plan.jobs_active_max;
        self.queue.lock().admit(&call.tenant, active_max).map_err(|refusal| match refusal {
            Refusal::Full => {
                self.metrics.rejected("queue_full");
                SubmitError::QueueFull { retry_after: RETRY_AFTER }
            }
            Refusal::Tenant => {
                self.metrics.rejected("too_many_jobs");
                SubmitError::TooManyJobs { active_max, retry_after: RETRY_AFTER }
            }
        })
    }

    async fn accept(self: &Arc<Self>, call: NewJob, slots: u32) -> Result<Run, SubmitError> {
        let (mut inputs, mut pins) = (Vec::new(), Vec::new());
        for (slot, blob) in &call.inputs {
            match self.blobs.persist(&call.tenant, slot, blob).await {
                Ok((used, pin)) => {
                    inputs.push(used);
                    pins.push(pin);
                }
                Err(error) => return Err(SubmitError::Disk(error)),
            }
        }
        let running_max = call.plan.jobs_running_max;
        let mut job = new_job(call, inputs, &self.clock);
        let entry = self.entry(&job, running_max);
        let now = self.queue.lock().start_now(&entry, slots);
        if now {
            job.state = JobState::Running;
            job.attempt = 1;
            job.started_at = Some(job.created_at);
        }
        let live = self.track(job, running_max, OnceCell::new());
        *live.pins.lock() = pins;
        let run = Run { jobs: self.clone(), live: live.clone() };
        if now {
            self.spawn_attempt(live);
        } else if let Err(error) = self.keep(&live).await {
            self.live.lock().remove(&entry.id);
            return Err(SubmitError::Store(error));
        } else {
            self.queue.lock().push(entry);
            self.start_waiting();
        }
        self.count();
        Ok(run)
    }

    /// Sees to it that the store has the job; it is durable when this returns.
    async fn keep(&self, live: &Live) -> Result<(), StoreError> {
        let create = || {
            let job = live.job.lock().clone();
            self.store.create_job(job)
        };
        live.kept.get_or_try_init(create).await?;
        live.pins.lock().clear();
        Ok(())
    }

    /// One job of `tenant` as it is now; `None`: no such job of that tenant.
    ///
    /// # Errors
    /// Of the store.
    pub async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.store.job(tenant, id).await
    }

    /// The store, for listings.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The sidecar, for its manifests.
    #[must_use]
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// A handle on a job that is not final; `None` once it is, or when it is another tenant's.
    #[must_use]
    pub fn unfinished(self: &Arc<Self>, tenant: &TenantId, id: &JobId) -> Option<Run> {
        let live = self.live.lock().get(id)?.clone();
        let theirs = live.job.lock().tenant == *tenant;
        theirs.then(|| Run { jobs: self.clone(), live })
    }

    /// Waiting and running jobs, and the most that may wait and run.
    #[must_use]
    pub fn load(&self) -> Load {
        let (queued, running) = self.queue.lock().counts();
        let running_max = self.sidecar.up().map_or(0, |up| up.hello.runs_max);
        Load { queued, running, queued_max: self.options.queued_max, running_max }
    }

    /// Asks a job to stop. `None`: no such job of that tenant.
    ///
    /// # Errors
    /// Of the store.
    pub async fn cancel(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>, StoreError> {
        let Some(job) = self.store.cancel_job(tenant, id, self.clock.now()).await? else {
            return Ok(None);
        };
        let live = self.live.lock().get(id).cloned();
        if let Some(live) = live {
            live.job.lock().cancel_requested = true;
            live.cancel.cancel();
            if job.state.is_final() && self.queue.lock().remove(id) {
                self.finished(&live, job.clone());
            }
        }
        Ok(Some(job))
    }

    /// Deletes a final job and what only it used. `InUse` while it is not final.
    ///
    /// # Errors
    /// `Missing`, `InUse`, or of the engine.
    pub async fn delete(&self, tenant: &TenantId, id: &JobId) -> Result<(), StoreError> {
        let orphans = self.store.delete_job(tenant, id).await?;
        self.blobs.remove(&orphans, &*self.store).await;
        Ok(())
    }

    /// The bytes of one output.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn open(&self, tenant: &TenantId, used: &BlobUse) -> std::io::Result<Blob> {
        self.blobs.get(tenant, used).await
    }

    fn entry(&self, job: &Job, running_max: u32) -> Entry {
        Entry {
            id: job.id.clone(),
            tenant: job.tenant.clone(),
            priority: job.priority,
            running_max,
            alone: job.crashes > 0,
            since: self.clock.monotonic(),
        }
    }

    fn track(&self, job: Job, running_max: u32, kept: OnceCell<()>) -> Arc<Live> {
        let id = job.id.clone();
        let live = Arc::new(Live {
            job: Mutex::new(job),
            progress: Mutex::default(),
            cancel: CancellationToken::new(),
            done: watch::Sender::new(None),
            running_max,
            kept,
            pins: Mutex::default(),
        });
        self.live.lock().insert(id, live.clone());
        live
    }

    /// Puts every unfinished job back in line; a host that was killed had not crashed the sidecar.
    async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let jobs = self.store.unfinished_jobs().await?;
        let plans: HashMap<_, _> =
            self.store.plans().await?.into_iter().map(|plan| (plan.name.clone(), plan)).collect();
        let tenants: HashMap<_, _> =
            self.store.tenants().await?.into_iter().map(|t| (t.id, t.plan)).collect();
        for mut job in jobs {
            if job.state != JobState::Queued {
                self.store.requeue_job(&job.id, job.attempt, false).await?;
                job.state = JobState::Queued;
            }
            let plan = tenants.get(&job.tenant).and_then(|name| plans.get(name));
            let running_max = plan.map_or(1, |plan| plan.jobs_running_max);
            tracing::info!(job = %job.id, attempt = job.attempt, "job taken up after a restart");
            let entry = self.entry(&job, running_max);
            let canceled = job.cancel_requested;
            let live = self.track(job, running_max, OnceCell::new_with(Some(())));
            if canceled {
                live.cancel.cancel();
            }
            let mut queue = self.queue.lock();
            queue.readmit(&entry.tenant);
            queue.push(entry);
        }
        let candidates = self.blobs.on_disk().map_err(|e| StoreError::Engine(Box::new(e)))?;
        self.blobs.remove(&candidates, &*self.store).await;
        Ok(())
    }

    /// Starts waiting jobs when a sidecar comes up, until the host stops. In between, who takes a
    /// job up or ends one starts the next.
    async fn dispatch(self: Arc<Self>) {
        let mut sidecar = self.sidecar.clone();
        loop {
            self.start_waiting();
            tokio::select! {
                () = sidecar.changed() => {}
                () = self.tasks.stopping() => return,
            }
        }
    }

    /// Starts waiting jobs while there is room.
    fn start_waiting(self: &Arc<Self>) {
        let slots = self.sidecar.up().map_or(0, |up| up.hello.runs_max);
        let now = self.clock.monotonic();
        loop {
            let entry = self.queue.lock().pop(slots, now);
            let Some(entry) = entry else { break };
            let live = self.live.lock().get(&entry.id).cloned();
            match live {
                Some(live) => self.spawn_attempt(live),
                None => self.queue.lock().stopped(&entry.tenant),
            }
        }
        self.count();
    }

    /// Shows how many wait and run.
    fn count(&self) {
        let (queued, running) = self.queue.lock().counts();
        self.metrics.job_states(queued, running);
    }

    fn spawn_attempt(self: &Arc<Self>, live: Arc<Live>) {
        let jobs = self.clone();
        self.tasks.spawn(async move { jobs.attempt(live).await });
    }

    /// The job is final and the store knows: tells who waits and forgets it.
    fn finished(&self, live: &Live, job: Job) {
        self.live.lock().remove(&job.id);
        self.queue.lock().left(&job.tenant);
        self.metrics.job_finished(&job.pipeline, job.state.as_str(), view::spans(&job));
        tracing::info!(
            job = %job.id,
            tenant = %job.tenant,
            service = job.service,
            pipeline = job.pipeline,
            attempt = job.attempt,
            state = job.state.as_str(),
            error = job.error.as_ref().map(|error| error.code.as_str()),
            "job finished"
        );
        live.done.send_replace(Some(Arc::new(job)));
    }

    async fn expire(&self) {
        match self.store.expire_jobs(self.clock.now(), EXPIRY_BATCH).await {
            Ok(orphans) => self.blobs.remove(&orphans, &*self.store).await,
            Err(error) => tracing::error!(%error, "expired jobs not deleted"),
        }
    }
}

/// How busy the jobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub queued: usize,
    pub running: usize,
    pub queued_max: u32,
    pub running_max: u32,
}

fn new_job(call: NewJob, inputs: Vec<BlobUse>, clock: &Clock) -> Job {
    Job {
        id: JobId::new(),
        tenant: call.tenant,
        key: call.key,
        service: call.service,
        pipeline: call.pipeline,
        params: call.params,
        inputs,
        priority: call.plan.priority,
        request_id: call.request_id,
        traceparent: call.traceparent,
        state: JobState::Queued,
        attempt: 0,
        crashes: 0,
        cancel_requested: false,
        device: None,
        metadata: None,
        outputs: Vec::new(),
        error: None,
        created_at: clock.now(),
        started_at: None,
        finished_at: None,
        expires_at: None,
        retention_secs: call.plan.retention_secs,
    }
}

/// The job after `ending` at `at`, as the store holds it.
fn ended(mut job: Job, ending: Ending, at: Timestamp) -> Job {
    job.state = ending.state;
    job.device = ending.device;
    job.metadata = ending.metadata;
    job.outputs = ending.outputs;
    job.error = ending.error;
    job.finished_at = Some(at);
    job.expires_at = Some(at.plus(Duration::from_secs(job.retention_secs)));
    job
}
