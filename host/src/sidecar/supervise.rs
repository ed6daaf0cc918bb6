//! Keeps one sidecar process running: start, handshake, heartbeat, restart with back-off.
//!
//! Owns the child. Always: at most one child at a time; it holds the reading end of a pipe that
//! this process writes to, so that it ends when the host ends, however the host ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::{Client, ConnectError};
use super::{Options, Up};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Between two heartbeats.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// From start to the first answer; loading the CUDA driver can take seconds.
const START_MAX: Duration = Duration::from_secs(30);
/// First and longest pause before a restart.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A sidecar that ran for so long starts again with the first pause.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// Longest path that a Unix socket can have.
const SOCKET_PATH_BYTES_MAX: usize = 100;
/// A stopped sidecar may end by itself for so long.
const STOP_MAX: Duration = Duration::from_secs(5);

pub(super) struct Supervisor {
    options: Options,
    clock: Clock,
    metrics: Arc<Metrics>,
    state: watch::Sender<Option<Arc<Up>>>,
}

impl Supervisor {
    pub(super) fn new(
        options: Options,
        clock: Clock,
        metrics: Arc<Metrics>,
        state: watch::Sender<Option<Arc<Up>>>,
    ) -> Self {
        Self { options, clock, metrics, state }
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let mut pause = BACKOFF.0;
        for number in 0_u64.. {
            let began = self.clock.monotonic();
            let outcome = self.one_life(number, &stop).await;
            self.state.send_replace(None);
            self.metrics.sidecar(false);
            if stop.is_cancelled() {
                return;
            }
            if self.clock.monotonic().saturating_sub(began) > HEALTHY_AFTER {
                pause = BACKOFF.0;
            }
            self.metrics.sidecar_restarted();
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(error = %outcome, pause_ms, "sidecar lost, restarting");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// From start to end of one process; says why it ended.
    async fn one_life(&self, number: u64, stop: &CancellationToken) -> String {
        let socket = self.socket(number);
        let mut child = match self.spawn(&socket) {
            Ok(child) => child,
            Err(error) => {
                return format!("{} cannot be started: {error}", self.options.program.display());
            }
        };
        // Held here: `Child::wait` would close it, and a closed pipe tells the sidecar to end.
        let (pipe, pid) = (child.stdin.take(), child.id());
        let reason = tokio::select! {
            status = child.wait() => format!("it ended: {}", describe(status)),
            reason = self.serve(&socket, pid) => reason,
            () = stop.cancelled() => "the host stops".into(),
        };
        self.state.send_replace(None);
        drop(pipe);
        end(child).await;
        // Best effort: a later start uses another name.
        let _ = std::fs::remove_file(&socket);
        reason
    }

    fn spawn(&self, socket: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(&self.options.program);
        command.arg("serve").arg("--socket").arg(socket);
        command.arg("--runs").arg(&self.options.runs).arg("--device").arg(&self.options.device);
        command.arg("--weights").arg(&self.options.weights);
        command.arg("--idle-unload").arg(self.options.idle_unload_secs.to_string());
        command.arg("--exit-with-stdin");
        if self.options.runs_max > 0 {
            command.arg("--runs-max").arg(self.options.runs_max.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()
    }

    /// Handshake and heartbeats until one is missing.
    async fn serve(&self, socket: &Path, pid: Option<u32>) -> String {
        let (client, hello) = match tokio::time::timeout(START_MAX, connect(socket)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return error,
            Err(_) => return "it did not answer after its start".into(),
        };
        // Before anyone is told of it, so that no list of models is ever without their states.
        let models = match tokio::time::timeout(START_MAX, client.health()).await {
            Ok(Ok(health)) => ArcSwap::from_pointee(health.models),
            Ok(Err(_)) | Err(_) => return "it did not answer its first heartbeat".into(),
        };
        let device = hello.device.as_ref().map_or("", |device| device.kind.as_str()).to_owned();
        tracing::info!(device, runs_max = hello.runs_max, pid, "sidecar up");
        self.metrics.sidecar(true);
        let lost = AtomicBool::new(false);
        let up = Arc::new(Up { client: client.clone(), hello, pid, lost, models });
        self.state.send_replace(Some(up.clone()));
        let mut seen = self.clock.monotonic();
        loop {
            tokio::time::sleep(HEARTBEAT_PERIOD).await;
            if up.is_lost() {
                return "a run found its connection broken".into();
            }
            if let Ok(Ok(health)) =
                tokio::time::timeout(self.options.heartbeat_max, client.health()).await
            {
                seen = self.clock.monotonic();
                // An unchanged list keeps its address, by which others see that it is unchanged.
                if **up.models.load() != health.models {
                    up.models.store(Arc::new(health.models));
                }
            }
            let age = self.clock.monotonic().saturating_sub(seen);
            self.metrics.sidecar_heartbeat_age(age);
            if age > self.options.heartbeat_max {
                return "no heartbeat".into();
            }
        }
    }

    fn socket(&self, number: u64) -> PathBuf {
        let name = format!("sidecar-{}-{number}.sock", std::process::id());
        let path = self.options.data.join(&name);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            path
        } else {
            std::env::temp_dir().join(format!("postern-{name}"))
        }
    }
}

/// Tries until the socket answers; a refused handshake is final.
async fn connect(socket: &Path) -> Result<(Client, super::wire::HelloReply), String> {
    loop {
        match Client::connect(socket).await {
            Ok(connected) => return Ok(connected),
            Err(ConnectError::Hello(status)) => {
                return Err(format!("the handshake failed: {}", status.message()));
            }
            Err(ConnectError::Transport(_)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Waits for a process that has been asked to end, and kills it when it does not.
async fn end(mut child: Child) {
    if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::error!(%error, "sidecar not killed");
    }
}

fn describe(status: std::io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
