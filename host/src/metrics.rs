//! Metrics: every figure that the host exports, declared once with its help text.
//!
//! Owns the registry. Names are `postern_<noun>_<unit>`; labels come from closed sets (service,
//! pipeline, component, outcome, code), never a tenant, a job or a path. The list is a contract
//! (`docs/contracts/metrics.txt`).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Component {
    component: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Trap {
    component: String,
    kind: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pipeline {
    pipeline: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JobEnd {
    pipeline: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Http {
    service: String,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Service {
    service: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// All of them. Recording costs a lock-free addition and a look-up in a small map.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<Http, Counter>,
    http_seconds: Histograms<Service>,
    http_in_flight: Gauge,
    http_body_bytes: Counter,
    wasm_seconds: Histograms<Component>,
    wasm_instances: Family<Component, Counter>,
    wasm_traps: Family<Trap, Counter>,
    jobs: Family<JobEnd, Counter>,
    jobs_in_state: Family<State, Gauge>,
    queue_seconds: Histograms<Pipeline>,
    run_seconds: Histograms<Pipeline>,
    total_seconds: Histograms<Pipeline>,
    rejected: Family<Reason, Counter>,
    sidecar_up: Gauge,
    sidecar_restarts: Counter,
    sidecar_heartbeat: Gauge<f64, AtomicU64>,
}

macro_rules! declare {
    ($($name:literal $field:ident $help:literal;)*) => {
        /// Names without prefix and suffix, with their help texts.
        const DECLARED: &[(&str, &str)] = &[$(($name, $help)),*];

        impl Metrics {
            fn register(&mut self) {
                $(self.registry.register($name, $help, self.$field.clone());)*
            }
        }
    };
}

declare! {
    "http_requests" http_requests "Answers by service and status";
    "http_seconds" http_seconds "From the head of a request to the head of its answer";
    "http_in_flight" http_in_flight "Requests being served";
    "http_body_bytes" http_body_bytes "Bytes of bodies received";
    "wasm_call_seconds" wasm_seconds "Calls of components, waiting for jobs included";
    "wasm_instances" wasm_instances "Instances made";
    "wasm_traps" wasm_traps "Component calls without an answer";
    "jobs" jobs "Jobs that reached a final state";
    "jobs_in_state" jobs_in_state "Unfinished jobs";
    "queue_wait_seconds" queue_seconds "From acceptance to start";
    "run_seconds" run_seconds "From start to finish";
    "total_seconds" total_seconds "From acceptance to finish";
    "admission_rejected" rejected "Refusals by reason";
    "sidecar_up" sidecar_up "1 while the sidecar answers";
    "sidecar_restarts" sidecar_restarts "Times it had to be restarted";
    "sidecar_heartbeat_age_seconds" sidecar_heartbeat "Since the sidecar last answered";
}

/// Buckets for whole jobs and queues: 5 ms to 10 min.
fn long() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0, 600.0])
}

/// Buckets for requests: 250 µs to 60 s.
fn request() -> Histogram {
    Histogram::new([0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 60.0])
}

/// Buckets for component calls: 5 µs to 1 s.
fn short() -> Histogram {
    Histogram::new([0.000_005, 0.000_01, 0.000_025, 0.000_1, 0.000_5, 0.002_5, 0.01, 0.1, 1.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own, so that tests do not share figures.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("postern"),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(request),
            http_in_flight: Gauge::default(),
            http_body_bytes: Counter::default(),
            wasm_seconds: Family::new_with_constructor(short),
            wasm_instances: Family::default(),
            wasm_traps: Family::default(),
            jobs: Family::default(),
            jobs_in_state: Family::default(),
            queue_seconds: Family::new_with_constructor(long),
            run_seconds: Family::new_with_constructor(long),
            total_seconds: Family::new_with_constructor(long),
            rejected: Family::default(),
            sidecar_up: Gauge::default(),
            sidecar_restarts: Counter::default(),
            sidecar_heartbeat: Gauge::default(),
        };
        metrics.declared()
    }

    fn declared(mut self) -> Self {
        self.register();
        let build: Family<Build, Gauge<i64, AtomicI64>> = Family::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        self.registry.register("build_info", "Always 1; the label says which build", build);
        self
    }

    /// The text form, OpenMetrics.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a string does not fail");
        text
    }

    /// Names and help texts, for the contract file: a family shows itself only once it has a value.
    #[must_use]
    pub fn contract() -> String {
        let mut text = String::new();
        for (name, help) in DECLARED {
            let _ = writeln!(text, "postern_{name} {help}");
        }
        text + "postern_build_info Always 1; the label says which build\n"
    }

    pub(crate) fn wasm_call(&self, component: &str, took: Duration, error: Option<&'static str>) {
        let label = Component { component: component.to_owned() };
        self.wasm_seconds.get_or_create(&label).observe(took.as_secs_f64());
        if let Some(kind) = error {
            let trap = Trap { component: component.to_owned(), kind };
            self.wasm_traps.get_or_create(&trap).inc();
        }
    }

    pub(crate) fn wasm_instantiated(&self, component: &str) {
        let label = Component { component: component.to_owned() };
        self.wasm_instances.get_or_create(&label).inc();
    }

    pub(crate) fn http_started(&self) {
        self.http_in_flight.inc();
    }

    pub(crate) fn http_finished(&self, service: &str, status: u16, took: Duration) {
        self.http_in_flight.dec();
        let label = Http { service: service.to_owned(), status };
        self.http_requests.get_or_create(&label).inc();
        let label = Service { service: service.to_owned() };
        self.http_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn body_received(&self, bytes: u64) {
        self.http_body_bytes.inc_by(bytes);
    }

    pub(crate) fn job_states(&self, queued: usize, running: usize) {
        let set = |state, count: usize| {
            let gauge = self.jobs_in_state.get_or_create(&State { state }).clone();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set("queued", queued);
        set("running", running);
    }

    pub(crate) fn job_started(&self, pipeline: &str, queued: Duration) {
        let label = Pipeline { pipeline: pipeline.to_owned() };
        self.queue_seconds.get_or_create(&label).observe(queued.as_secs_f64());
    }

    pub(crate) fn job_finished(&self, pipeline: &str, outcome: &'static str, spans: JobSpans) {
        let label = Pipeline { pipeline: pipeline.to_owned() };
        if let Some(run) = spans.run {
            self.run_seconds.get_or_create(&label).observe(run.as_secs_f64());
        }
        self.total_seconds.get_or_create(&label).observe(spans.total.as_secs_f64());
        let end = JobEnd { pipeline: pipeline.to_owned(), outcome };
        self.jobs.get_or_create(&end).inc();
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn sidecar(&self, up: bool) {
        self.sidecar_up.set(i64::from(up));
    }

    pub(crate) fn sidecar_restarted(&self) {
        self.sidecar_restarts.inc();
    }

    pub(crate) fn sidecar_heartbeat_age(&self, age: Duration) {
        self.sidecar_heartbeat.set(age.as_secs_f64());
    }
}

/// How long a job took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobSpans {
    /// `None`: it never ran.
    pub(crate) run: Option<Duration>,
    pub(crate) total: Duration,
}
