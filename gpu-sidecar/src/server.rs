//! The server: pipelines behind a Unix socket.
//!
//! Owns the socket, the life of the process's runs and their way onto the wire. Knows no pipeline
//! by name. Always: at most `runs_max` runs at once; a run's slot is free before its end is told.
//! Start at [`Server::bind`].

mod events;
mod service;
mod slots;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use postern_wire::v1::sidecar_server::SidecarServer;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::device::Device;
use crate::pipeline::Cause;
use crate::registry::Registry;
use service::Service;
use slots::Slots;
pub use socket::BindError;

/// After a polite request to stop, runs get this long to end by themselves, then they are
/// cancelled. The host's own patience is longer.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// No file descriptor is free, or the like: a pause, or the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A cancelled run notices within a frame or a block; after this long the process goes anyway.
const CANCEL_GRACE: Duration = Duration::from_secs(3);

/// Where and how much.
#[derive(Debug, Clone)]
pub struct Settings {
    pub socket: PathBuf,
    /// Holds a folder per run, made by the host.
    pub runs_dir: PathBuf,
    /// How many runs may be in flight; protects the machine's memory.
    pub runs_max: usize,
}

/// A bound socket, not yet answering.
pub struct Server {
    listener: UnixListener,
    socket: PathBuf,
    slots: Arc<Slots>,
    service: Arc<Service>,
}

impl Server {
    /// Takes the socket (mode 0600). A stale one is replaced, a living one is not.
    ///
    /// # Errors
    /// When the folder does not exist, or something else is at the path.
    pub fn bind(settings: Settings, registry: Registry, device: Device) -> Result<Self, BindError> {
        let listener = socket::bind(&settings.socket)?;
        let slots = Arc::new(Slots::new(settings.runs_max));
        let service = Service::new(settings.runs_dir, registry, device, Arc::clone(&slots));
        let service = Arc::new(service);
        Ok(Self { listener, socket: settings.socket, slots, service })
    }

    /// Answers until `stop` is cancelled, then ends politely: no new runs, those in flight get
    /// [`STOP_GRACE`].
    pub async fn serve(self, stop: CancellationToken) {
        let service = TowerToHyperService::new(SidecarServer::from_arc(self.service));
        let connections = GracefulShutdown::new();
        // Owns the connections' tasks; each ends with its peer or with the shutdown.
        let mut tasks = JoinSet::new();
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = tasks.join_next() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = Builder::new(TokioExecutor::new())
                .http2_only()
                .serve_connection(TokioIo::new(stream), service.clone())
                .into_owned();
            let connection = connections.watch(connection);
            tasks.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error, "connection broke");
                }
            });
        }
        drain(&self.slots).await;
        // The last events leave; a peer that does not read them is not waited for.
        let _ = tokio::time::timeout(CANCEL_GRACE, connections.shutdown()).await;
        // Whoever comes next finds no stale socket; a missing one is as good.
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Cancels every run at once, for an end that cannot be polite.
    pub fn canceller(&self) -> impl Fn() + Send + use<> {
        let slots = Arc::clone(&self.slots);
        move || {
            slots.close();
            slots.cancel_all(Cause::Stopping);
        }
    }
}

/// Waits for the runs in flight, then cancels them and waits again.
async fn drain(slots: &Slots) {
    slots.close();
    if tokio::time::timeout(STOP_GRACE, slots.idle()).await.is_err() {
        tracing::warn!(running = slots.running(), "runs cancelled by the shutdown");
        slots.cancel_all(Cause::Stopping);
        let _ = tokio::time::timeout(CANCEL_GRACE, slots.idle()).await;
    }
}
