//! A run on its way to the host: the work itself, and the events that tell of it.
//!
//! Owns the translation to wire messages. Always: `started` first, progress between, exactly one
//! end; dropping the events before the end cancels the run.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use postern_wire::v1 as wire;
use postern_wire::v1::failed::Kind;
use postern_wire::v1::run_event::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;

use super::slots::Slot;
use crate::clock;
use crate::device::Device;
use crate::pipeline::Slot as ManifestSlot;
use crate::pipeline::{Call, Cancel, Cause, Outcome, Progress, ProgressSink, RunContext, RunError};
use crate::registry::{Entry, Listed};
use crate::weights::{ModelStatus, Source};

/// A run that holds a slot and has not begun.
pub(super) struct Work {
    pub(super) slot: Slot,
    pub(super) entry: Entry,
    pub(super) call: Call,
    pub(super) cancel: Arc<Cancel>,
    pub(super) out_dir: PathBuf,
    pub(super) device: Arc<Device>,
    pub(super) span: tracing::Span,
}

impl Work {
    /// Runs to the end on this thread and gives the slot back. A panic is an end like any other.
    pub(super) fn run(self, sink: ProgressSink) -> wire::RunEvent {
        let Self { slot, entry, call, cancel, out_dir, device, span } = self;
        let _entered = span.enter();
        let begin = clock::now();
        let mut context = RunContext::new(device, cancel, out_dir, sink);
        // Unwind safety: after a panic nothing of the run is used but the outputs' list.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            context.check_cancel()?;
            entry.pipeline.run(&call, &mut context)
        }));
        let result = ended.unwrap_or_else(|panic| {
            let detail = format!("{} broke off: {}", entry.manifest.id(), panic_text(&*panic));
            Err(RunError::internal("pipeline_panicked", detail))
        });
        let elapsed = begin.elapsed();
        log_end(&result, elapsed);
        drop(slot);
        match result {
            Ok(outcome) => finished(outcome, &context, elapsed),
            Err(error) => failed(&error),
        }
    }
}

/// The events of one run, in order.
pub(super) struct RunEvents {
    ready: VecDeque<wire::RunEvent>,
    running: Option<Running>,
}

struct Running {
    progress: mpsc::Receiver<Progress>,
    ending: JoinHandle<wire::RunEvent>,
    _guard: CancelOnDrop,
}

/// Nobody listens any more: the run has no purpose.
struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set(Cause::Caller);
    }
}

impl RunEvents {
    /// A run that has ended already.
    pub(super) fn ready(events: impl IntoIterator<Item = wire::RunEvent>) -> Self {
        Self { ready: events.into_iter().collect(), running: None }
    }

    /// A run whose `ending` is being worked on.
    pub(super) fn running(
        started: wire::RunEvent,
        progress: mpsc::Receiver<Progress>,
        ending: JoinHandle<wire::RunEvent>,
        cancel: Arc<Cancel>,
    ) -> Self {
        let running = Running { progress, ending, _guard: CancelOnDrop(cancel) };
        Self { ready: VecDeque::from([started]), running: Some(running) }
    }
}

impl Stream for RunEvents {
    type Item = Result<wire::RunEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        // The sender is dropped with the run's context, just before the end is known.
        if let Some(report) = ready!(running.progress.poll_recv(context)) {
            return Poll::Ready(Some(Ok(progress(report))));
        }
        let ending = ready!(Pin::new(&mut running.ending).poll(context));
        self.running = None;
        // The work catches its own panics, so this is the runtime going down.
        Poll::Ready(Some(ending.map_err(|error| Status::aborted(error.to_string()))))
    }
}

pub(super) fn started(device_here: &Device) -> wire::RunEvent {
    event(Event::Started(wire::Started { device: Some(device(device_here)) }))
}

pub(super) fn failed(error: &RunError) -> wire::RunEvent {
    let (kind, field) = match error {
        RunError::Input { field, .. } => (Kind::Input, field.clone()),
        RunError::Device(_) => (Kind::Device, String::new()),
        RunError::Resource(_) => (Kind::Resource, String::new()),
        RunError::Unavailable(_) => (Kind::Unavailable, String::new()),
        RunError::Canceled(_) => (Kind::Canceled, String::new()),
        RunError::Internal(_) => (Kind::Internal, String::new()),
    };
    let fault = error.fault();
    event(Event::Failed(wire::Failed {
        kind: kind.into(),
        code: fault.code.to_owned(),
        detail: fault.detail.clone(),
        field,
    }))
}

pub(super) fn device(device: &Device) -> wire::Device {
    wire::Device {
        kind: device.kind.as_str().to_owned(),
        name: device.name.clone(),
        memory_bytes: device.memory_bytes,
        reason: device.reason.clone(),
    }
}

pub(super) fn manifest(listed: Listed) -> wire::PipelineManifest {
    let Listed { manifest, weights } = listed;
    wire::PipelineManifest {
        name: manifest.name.to_owned(),
        version: manifest.version,
        title: manifest.title.to_owned(),
        params_schema: manifest.params_schema.to_string(),
        inputs: manifest.inputs.into_iter().map(slot).collect(),
        outputs: manifest.outputs.into_iter().map(slot).collect(),
        memory_cpu_bytes: manifest.memory.memory_cpu_bytes,
        memory_gpu_bytes: manifest.memory.memory_gpu_bytes,
        ready: manifest.ready,
        missing: manifest.missing,
        license: manifest.license.to_owned(),
        devices: manifest.devices.into_iter().map(|kind| kind.as_str().to_owned()).collect(),
        agreement: manifest.agreement.to_owned(),
        weights: weights.into_iter().map(wire_weights).collect(),
    }
}

fn wire_weights(source: &Source) -> wire::Weights {
    let licence = source.licence.clone();
    wire::Weights {
        model: source.name.clone(),
        title: source.title.clone(),
        homepage: source.homepage.clone(),
        command: source.command(),
        bytes: source.bytes(),
        licence: Some(wire::Licence {
            id: licence.id,
            title: licence.title,
            url: licence.url,
            summary: licence.summary,
            research_only: licence.research_only,
        }),
    }
}

pub(super) fn model_status(status: ModelStatus) -> wire::ModelStatus {
    wire::ModelStatus {
        model: status.model.to_owned(),
        state: status.state.as_str().to_owned(),
        reason: status.reason,
        loaded_fraction: status.loaded_fraction,
        load_ms: status.load_ms,
        memory_bytes: status.memory_bytes,
        loaded_at_ms: status.loaded_at_ms,
        idle_ms: status.idle_ms,
        in_use: status.in_use,
    }
}

fn slot(slot: ManifestSlot) -> wire::Slot {
    wire::Slot {
        name: slot.name.to_owned(),
        media_types: slot.media_types.into_iter().map(str::to_owned).collect(),
        count_min: slot.count_min,
        count_max: slot.count_max,
        description: slot.description.to_owned(),
    }
}

fn progress(report: Progress) -> wire::RunEvent {
    let Progress { fraction, stage, detail, loading } = report;
    event(Event::Progress(wire::Progress { fraction, stage: stage.to_owned(), detail, loading }))
}

fn finished(outcome: Outcome, context: &RunContext, elapsed: Duration) -> wire::RunEvent {
    let outputs = context.outputs().iter().map(|output| wire::OutputBlob {
        name: output.name.clone(),
        file: output.name.clone(),
        media_type: output.media_type.clone(),
        bytes: output.bytes,
    });
    event(Event::Finished(wire::Finished {
        metadata: outcome.metadata,
        outputs: outputs.collect(),
        load_ms: millis(context.load()),
        run_ms: millis(elapsed.saturating_sub(context.load())),
    }))
}

fn event(event: Event) -> wire::RunEvent {
    wire::RunEvent { event: Some(event) }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The host logs each job's change of state; here only what someone has to look into.
fn log_end(result: &Result<Outcome, RunError>, elapsed: Duration) {
    let elapsed_ms = millis(elapsed);
    match result {
        Ok(_) => tracing::debug!(elapsed_ms, "run finished"),
        Err(error @ (RunError::Internal(_) | RunError::Device(_))) => {
            tracing::error!(elapsed_ms, %error, "run failed");
        }
        Err(error @ RunError::Resource(_)) => tracing::warn!(elapsed_ms, %error, "run failed"),
        Err(error) => tracing::debug!(elapsed_ms, %error, "run failed"),
    }
}

/// What was passed to `panic!`.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
