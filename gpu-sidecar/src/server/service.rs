//! The service: checks what the host asks for and starts runs.
//!
//! Owns the order of a run's life: names checked, slot claimed, started, run, ended. The host's own
//! mistakes are gRPC statuses; whatever its caller could have caused is a `Failed` event.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postern_wire::v1::{self as wire, sidecar_server::Sidecar};
use postern_wire::{PROTOCOL_MAX, PROTOCOL_MIN};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::events::{self, RunEvents, Work};
use super::slots::{Refusal, Slots};
use crate::clock;
use crate::device::Device;
use crate::pipeline::{Call, Cancel, Input, RunError, name_is_safe};
use crate::registry::{Entry, Registry};

/// Reports that wait for a slow reader; when it is full, progress is left out, never the end.
const PROGRESS_QUEUED_MAX: usize = 16;
/// More parameters than the WIT contract lets through are a mistake of the host.
const PARAMS_BYTES_MAX: usize = 1 << 20;

/// Answers the host.
pub(super) struct Service {
    runs_dir: PathBuf,
    registry: Registry,
    device: Arc<Device>,
    slots: Arc<Slots>,
    instance_id: String,
}

impl Service {
    pub(super) fn new(
        runs_dir: PathBuf,
        registry: Registry,
        device: Device,
        slots: Arc<Slots>,
    ) -> Self {
        let instance_id = instance_id();
        Self { runs_dir, registry, device: Arc::new(device), slots, instance_id }
    }

    /// Everything up to the work itself. `Ok(Err(…))` is the caller's fault, told as an event.
    fn prepare(&self, request: wire::RunRequest) -> Result<Result<Work, RunError>, Status> {
        if !name_is_safe(&request.run_id) {
            return Err(Status::invalid_argument("run_id: not a safe name"));
        }
        if request.params.len() > PARAMS_BYTES_MAX {
            return Err(Status::invalid_argument("params: more than 1 MiB"));
        }
        let timeout = (request.timeout_ms > 0).then(|| Duration::from_millis(request.timeout_ms));
        let cancel = Arc::new(Cancel::after(timeout));
        let slot = self.slots.claim(&request.run_id, &cancel).map_err(|refusal| match refusal {
            Refusal::Full => Status::resource_exhausted("every slot is taken"),
            Refusal::Duplicate => Status::already_exists("a run of this id is running"),
            Refusal::Closed => Status::unavailable("the sidecar is shutting down"),
        })?;
        let folder = self.runs_dir.join(&request.run_id);
        let inputs = inputs(&folder, &request.inputs)?;
        let Some(entry) = self.registry.get(&request.pipeline).cloned() else {
            let detail = format!("no pipeline `{}` is installed", request.pipeline);
            return Ok(Err(RunError::unavailable("pipeline_unknown", detail)));
        };
        let call = Call { params: request.params, inputs };
        if let Err(error) = call.check_slots(&entry.manifest) {
            return Ok(Err(error));
        }
        let span = tracing::info_span!(
            "run",
            run_id = request.run_id,
            label = request.label,
            pipeline = request.pipeline,
            priority = request.priority,
            traceparent = request.traceparent,
        );
        let out_dir = folder.join("out");
        let device = Arc::clone(&self.device);
        Ok(Ok(Work { slot, entry, call, cancel, out_dir, device, span }))
    }

    fn models(&self) -> Vec<wire::ModelStatus> {
        self.registry.models().statuses().into_iter().map(events::model_status).collect()
    }

    fn start(&self, work: Work) -> RunEvents {
        let started = events::started(&self.device);
        let Entry { pipeline, .. } = &work.entry;
        if pipeline.inline(&work.call) {
            let end = work.run(Box::new(drop));
            return RunEvents::ready([started, end]);
        }
        let (sender, progress) = mpsc::channel(PROGRESS_QUEUED_MAX);
        let cancel = Arc::clone(&work.cancel);
        let ending = tokio::task::spawn_blocking(move || {
            work.run(Box::new(move |report| {
                // A full queue only means that people see one report less.
                let _ = sender.try_send(report);
            }))
        });
        RunEvents::running(started, progress, ending, cancel)
    }
}

#[tonic::async_trait]
impl Sidecar for Service {
    type RunStream = RunEvents;

    async fn hello(
        &self,
        request: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloReply>, Status> {
        let hello = request.into_inner();
        let protocol = hello.protocol_max.min(PROTOCOL_MAX);
        if protocol < hello.protocol_min.max(PROTOCOL_MIN) {
            return Err(Status::failed_precondition(format!(
                "no protocol in common: the host ({}) speaks {} to {}, this sidecar ({}) {} to {}; \
                 install the same release of both",
                hello.host_version,
                hello.protocol_min,
                hello.protocol_max,
                env!("CARGO_PKG_VERSION"),
                PROTOCOL_MIN,
                PROTOCOL_MAX,
            )));
        }
        Ok(Response::new(wire::HelloReply {
            protocol,
            sidecar_version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: self.instance_id.clone(),
            runs_max: u32::try_from(self.slots.runs_max()).unwrap_or(u32::MAX),
            device: Some(events::device(&self.device)),
            pipelines: self.registry.manifests().into_iter().map(events::manifest).collect(),
        }))
    }

    async fn health(
        &self,
        _request: Request<wire::HealthRequest>,
    ) -> Result<Response<wire::HealthReply>, Status> {
        Ok(Response::new(wire::HealthReply {
            running: u32::try_from(self.slots.running()).unwrap_or(u32::MAX),
            runs_max: u32::try_from(self.slots.runs_max()).unwrap_or(u32::MAX),
            memory_resident_bytes: memory_resident_bytes(),
            models: self.models(),
        }))
    }

    async fn run(&self, request: Request<wire::RunRequest>) -> Result<Response<RunEvents>, Status> {
        let events = match self.prepare(request.into_inner())? {
            Ok(work) => self.start(work),
            Err(error) => RunEvents::ready([events::failed(&error)]),
        };
        Ok(Response::new(events))
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelReply>, Status> {
        let found = self.slots.cancel(&request.into_inner().run_id);
        Ok(Response::new(wire::CancelReply { found }))
    }
}

/// The input files. A name that could leave the run's folder is refused whoever sent it.
fn inputs(folder: &Path, blobs: &[wire::InputBlob]) -> Result<Vec<Input>, Status> {
    let folder = folder.join("in");
    let input = |blob: &wire::InputBlob| {
        if !name_is_safe(&blob.file) {
            return Err(Status::invalid_argument("inputs.file: not a safe name"));
        }
        Ok(Input {
            slot: blob.slot.clone(),
            path: folder.join(&blob.file),
            media_type: blob.media_type.clone(),
            bytes: blob.bytes,
        })
    };
    blobs.iter().map(input).collect()
}

/// Differs between any two starts: the process id alone would come again.
fn instance_id() -> String {
    let seed = format!("{}:{}", std::process::id(), clock::wall_nanos());
    blake3::hash(seed.as_bytes()).to_hex()[..16].to_owned()
}

/// From `/proc/self/status`, in kB there; 0 where there is none.
fn memory_resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
