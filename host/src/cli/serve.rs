//! `postern serve`: the host with its socket, until a stop signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Desk;
use crate::app::Host;
use crate::http;
use crate::lanes::Lanes;
use crate::tasks::Tasks;
use crate::telemetry::{self, LogFormat};

/// What is given here wins over `postern.toml`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address and port; port 0 takes a free one.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Folder of components.
    #[arg(long)]
    components: Option<PathBuf>,
    /// The sidecar's program.
    #[arg(long)]
    sidecar: Option<PathBuf>,
    /// Writes the address that is served to this file once requests are taken; for scripts that
    /// chose port 0.
    #[arg(long)]
    address_file: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self, desk: Desk, log: &str, format: LogFormat) -> anyhow::Result<()> {
        let _telemetry = telemetry::start(log, format)?;
        let mut settings = desk.settings;
        if let Some(listen) = self.listen {
            settings.server.listen = listen;
        }
        if let Some(components) = self.components {
            settings.sandbox.components = components;
        }
        if let Some(sidecar) = self.sidecar {
            settings.sidecar.program = sidecar;
        }
        let server = settings.server.clone();
        let listener = TcpListener::bind(server.listen)
            .await
            .with_context(|| format!("{} cannot be listened on", server.listen))?;
        let address = listener.local_addr()?;
        let tasks = Tasks::default();
        let host = Host::start(&desk.data, settings, &tasks, desk.clock).await?;
        if let Some(file) = &self.address_file {
            std::fs::write(file, address.to_string())?;
        }
        tracing::info!(%address, "serving");
        let stop = Tasks::default();
        let watcher = stop.clone();
        stop.spawn(async move { signalled(&watcher).await });
        let lanes = Lanes::start().context("no threads for connections")?;
        // The socket ends first, so that requests in flight still find every part running.
        let on = http::server::On { lanes: &lanes, tasks: &stop };
        http::server::serve(listener, http::router(host.app.clone()), &server, on).await;
        tracing::info!("stopping");
        let grace = Duration::from_secs(server.shutdown_secs_max.into());
        if !tasks.stop(grace).await {
            tracing::warn!("some work did not end in time; it goes on after the next start");
        }
        host.finish().await;
        lanes.stop();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Stops `tasks` at the first SIGTERM or SIGINT.
async fn signalled(tasks: &Tasks) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("stop signals cannot be heard");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tasks.stop_token().cancel();
}
