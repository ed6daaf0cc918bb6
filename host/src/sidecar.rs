//! The sidecar as the host sees it: a process to keep alive and a client to call.
//!
//! Owns the child process and the connection. Knows manifests, runs and folders; not tenants' keys,
//! jobs or HTTP. `supervise.rs` starts and restarts it, `client.rs` speaks to it. Start at
//! [`Sidecar::start`].

mod client;
mod readiness;
mod supervise;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::tasks::Tasks;
pub use client::{Client, RunError, RunEvents};
pub use postern_wire::v1 as wire;
pub use readiness::Readiness;

/// What starting a sidecar needs.
#[derive(Debug, Clone)]
pub struct Options {
    pub program: PathBuf,
    /// Folder for the socket.
    pub data: PathBuf,
    /// Folder that holds the runs' folders.
    pub runs: PathBuf,
    /// 0: the sidecar decides.
    pub runs_max: u32,
    pub device: String,
    /// Without a heartbeat for so long it is killed.
    pub heartbeat_max: Duration,
    /// The folder of weights.
    pub weights: PathBuf,
    /// A model that no run has used for so long is unloaded; 0: never.
    pub idle_unload_secs: u32,
}

/// A sidecar that answers.
#[derive(Debug)]
pub struct Up {
    pub client: Client,
    pub hello: wire::HelloReply,
    /// The process, for operators and tests.
    pub pid: Option<u32>,
    lost: AtomicBool,
    models: ArcSwap<Vec<wire::ModelStatus>>,
}

/// The supervised sidecar. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sidecar {
    state: watch::Receiver<Option<Arc<Up>>>,
}

impl Sidecar {
    /// Starts the supervisor, which keeps a sidecar running until `tasks` stop.
    #[must_use]
    pub fn start(options: Options, tasks: &Tasks, clock: &Clock, metrics: &Arc<Metrics>) -> Self {
        let (sender, state) = watch::channel(None);
        let supervisor =
            supervise::Supervisor::new(options, clock.clone(), metrics.clone(), sender);
        tasks.spawn(supervisor.run(tasks.stop_token()));
        Self { state }
    }

    /// The sidecar, if it answers now.
    #[must_use]
    pub fn up(&self) -> Option<Arc<Up>> {
        self.state.borrow().clone().filter(|up| !up.is_lost())
    }

    /// Ready when the sidecar comes up, goes down or is replaced.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The supervisor is gone, so is the host: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Up {
    /// A run found the connection broken: nobody is given this sidecar any more, and the supervisor
    /// replaces it.
    pub fn mark_lost(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// How its models fared at the last heartbeat, by name.
    #[must_use]
    pub fn models(&self) -> Arc<Vec<wire::ModelStatus>> {
        self.models.load_full()
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The manifest of `name@version`.
    #[must_use]
    pub fn pipeline(&self, id: &str) -> Option<&wire::PipelineManifest> {
        let (name, version) = id.split_once('@')?;
        let version: u32 = version.parse().ok()?;
        self.hello.pipelines.iter().find(|p| p.name == name && p.version == version)
    }
}
