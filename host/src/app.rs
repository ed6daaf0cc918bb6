//! The host put together: stores, sandbox, sidecar, gate and routes, from a data folder.
//!
//! Owns the order in which the parts start and stop. Always: one host per data folder (a lock file
//! sees to it); the sidecar is running before the gate answers that it is ready.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::engine::{Imports, LoadError, Sandbox};
use crate::gate::{Gate, GateError};
use crate::http::{App, Models};
use crate::jobs::{self, Jobs};
use crate::metrics::Metrics;
use crate::secret::{SecretError, ServerSecret};
use crate::settings::{self, Settings};
use crate::sidecar::{self, Sidecar};
use crate::store::sqlite::{Durability, SqliteStore};
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;
use crate::tenancy::{Directory, Tenancy};
use crate::tokens::Tokens;

/// Between two writes of quota windows; a kill loses at most this much of a count.
const FLUSH_PERIOD: Duration = Duration::from_secs(2);
/// Between two looks at the token keys' file.
const TOKENS_PERIOD: Duration = Duration::from_secs(5);
/// Between two halvings of the idle instances.
const SHRINK_PERIOD: Duration = Duration::from_secs(30);

/// Why the host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} is not a data folder; `postern init --data {0}` makes one")]
    NoData(PathBuf),
    #[error("another host works in {0}")]
    Locked(PathBuf),
    #[error("the data folder cannot be used")]
    Disk(#[from] std::io::Error),
    #[error("the server's secret cannot be used")]
    Secret(#[from] SecretError),
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sandbox(#[from] LoadError),
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// The parts that CLI commands share with the server.
#[derive(Debug)]
pub struct Office {
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub tenancy: Tenancy,
    pub secret: ServerSecret,
}

/// File names in a data folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// An absolute path, because other processes with other working folders are handed parts of it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join("postern.toml")
    }

    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.0.join("server.secret")
    }

    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("postern.db")
    }

    /// Does a host work in it now?
    ///
    /// # Errors
    /// Of the disk.
    pub fn is_served(&self) -> std::io::Result<bool> {
        match File::open(self.lock()).map(|file| file.try_lock_shared()) {
            Ok(Err(TryLockError::WouldBlock)) => Ok(true),
            Ok(Err(TryLockError::Error(error))) => Err(error),
            Ok(Ok(())) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where weights lie, unless the settings name another folder.
    #[must_use]
    pub fn weights(&self, settings: &settings::Sidecar) -> PathBuf {
        match settings.weights_dir.as_os_str().is_empty() {
            true => self.0.join("weights"),
            false => std::path::absolute(&settings.weights_dir)
                .unwrap_or_else(|_| settings.weights_dir.clone()),
        }
    }

    fn lock(&self) -> PathBuf {
        self.0.join("host.lock")
    }

    /// Makes the folder, readable by its owner alone.
    ///
    /// # Errors
    /// Of the disk.
    pub fn create(&self) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }
}

/// Opens store and tenancy of an initialised data folder.
///
/// # Errors
/// `NoData`, or of the parts.
pub async fn office(
    data: &DataDir,
    settings: &Settings,
    clock: &Clock,
) -> Result<Office, StartError> {
    if !data.secret().exists() {
        return Err(StartError::NoData(data.0.clone()));
    }
    let secret = ServerSecret::load_or_create(&data.secret())?;
    let durability = match settings.store.durability {
        settings::Durability::Process => Durability::Process,
        settings::Durability::Power => Durability::Power,
    };
    let store: Arc<dyn Store> = SqliteStore::open_with(&data.store(), durability)?;
    let directory = Directory::open(store.clone(), &secret).await?;
    let tenancy = Tenancy::new(store.clone(), directory.clone(), clock.clone());
    Ok(Office { store, directory, tenancy, secret })
}

/// A running host without its socket.
#[derive(Debug)]
pub struct Host {
    pub app: Arc<App>,
    /// For what runs beside the gate's own components.
    pub sandbox: Arc<Sandbox>,
    counters: Arc<Counters>,
    store: Arc<dyn Store>,
    // Held for its `Drop`, which gives the data folder free.
    _lock: File,
}

impl Host {
    /// Starts every part.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        data: &DataDir,
        settings: Settings,
        tasks: &Tasks,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let office = office(data, &settings, &clock).await?;
        let lock = lock(data)?;
        let metrics = Arc::new(Metrics::new());
        let blobs = Arc::new(BlobStore::open(&data.0, settings.store.durability)?);
        let counters = Arc::new(Counters::new());
        counters.import(&office.store.quotas().await?);
        let options = sidecar_options(data, &settings, &blobs);
        let sidecar = Sidecar::start(options, tasks, &clock, &metrics);
        let parts = jobs::Parts {
            store: office.store.clone(),
            blobs: blobs.clone(),
            sidecar,
            clock: clock.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        };
        let jobs = Jobs::start(
            parts,
            jobs::Options {
                queued_max: settings.jobs.queued_max,
                run_max: Duration::from_secs(settings.jobs.run_secs_max.into()),
            },
        )
        .await?;
        let tokens = Arc::new(Tokens::new(&settings.tokens));
        let imports = Arc::new(Imports {
            clock: clock.clone(),
            directory: office.directory.clone(),
            tokens: tokens.clone(),
            counters: counters.clone(),
            jobs: jobs.clone(),
            blobs: blobs.clone(),
            settings: settings.components.clone(),
            made_bytes_max: settings.limits.body_bytes_max,
            rules: OnceLock::new(),
        });
        let sandbox = Arc::new(Sandbox::new(imports, &data.0.join("cache"), &office.secret)?);
        let components = match settings.sandbox.components.as_os_str().is_empty() {
            true => data.0.join("components"),
            false => settings.sandbox.components.clone(),
        };
        let gate = Gate::load(&sandbox, &components, &settings.sandbox, &metrics).await?;
        let app = Arc::new(App {
            gate,
            jobs,
            blobs,
            directory: office.directory.clone(),
            tenancy: office.tenancy,
            clock,
            metrics,
            server: settings.server,
            limits: settings.limits,
            models: Models::default(),
        });
        keep(&app, tasks, &counters, &office.store, &tokens);
        Ok(Self { app, sandbox, counters, store: office.store, _lock: lock })
    }

    /// Writes what is only in memory; after the last request.
    pub async fn finish(&self) {
        if let Err(error) = self.counters.flush(&*self.store).await {
            tracing::error!(%error, "quotas not written");
        }
    }
}

/// Starts what runs beside the requests.
fn keep(
    app: &Arc<App>,
    tasks: &Tasks,
    counters: &Arc<Counters>,
    store: &Arc<dyn Store>,
    tokens: &Arc<Tokens>,
) {
    let (directory, stop) = (app.directory.clone(), tasks.stop_token());
    tasks.spawn(async move { directory.run(stop.cancelled_owned()).await });
    let (counters, store) = (counters.clone(), store.clone());
    tasks.every(FLUSH_PERIOD, move || {
        let (counters, store) = (counters.clone(), store.clone());
        async move {
            if let Err(error) = counters.flush(&*store).await {
                tracing::error!(%error, "quotas not written");
            }
        }
    });
    let tokens = tokens.clone();
    tasks.every(TOKENS_PERIOD, move || {
        tokens.reload();
        std::future::ready(())
    });
    let app = app.clone();
    tasks.every(SHRINK_PERIOD, move || {
        app.gate.shrink();
        std::future::ready(())
    });
}

fn sidecar_options(
    data: &DataDir,
    settings: &Settings,
    blobs: &Arc<BlobStore>,
) -> sidecar::Options {
    sidecar::Options {
        program: sidecar_program(&settings.sidecar),
        data: data.0.clone(),
        runs: blobs.runs_dir().to_owned(),
        runs_max: settings.sidecar.runs_max,
        device: settings.sidecar.device.clone(),
        heartbeat_max: Duration::from_secs(settings.sidecar.heartbeat_secs_max.into()),
        weights: data.weights(&settings.sidecar),
        idle_unload_secs: settings.sidecar.idle_unload_secs,
    }
}

/// The settings' program, or `postern-sidecar` beside this one.
#[must_use]
pub fn sidecar_program(settings: &settings::Sidecar) -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        Some(own.parent()?.join("postern-sidecar"))
    };
    match settings.program.as_os_str().is_empty() {
        true => beside().unwrap_or_else(|| "postern-sidecar".into()),
        false => settings.program.clone(),
    }
}

fn lock(data: &DataDir) -> Result<File, StartError> {
    let file = File::options().create(true).truncate(false).write(true).open(data.lock())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(data.0.clone())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
