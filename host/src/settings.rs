//! Settings: the operator's file `postern.toml`, with a default for everything that has a safe one.
//!
//! Owns the file's form and its checks; every fault is reported, not just the first. Hands on plain
//! structs; no other module reads the file or the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path} has settings that cannot be used:\n{faults}")]
    Faults { path: PathBuf, faults: String },
}

/// `postern.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub limits: Limits,
    pub store: StoreSettings,
    pub jobs: Jobs,
    pub sidecar: Sidecar,
    pub sandbox: Sandbox,
    pub tokens: Tokens,
    /// Settings of components, by component: `[components.auth] tenant_claim = "org"`.
    pub components: BTreeMap<String, BTreeMap<String, String>>,
}

/// `[server]`: the socket and what protects it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// A connection that has not sent a whole head by then is closed (slowloris).
    pub head_secs_max: u32,
    /// A body that sends nothing for so long is given up.
    pub body_idle_secs_max: u32,
    /// A body slower than this, averaged over its time after the first ten seconds, is given up.
    pub body_bytes_per_sec_min: u32,
    /// Protects memory and file descriptors; one more connection waits in the kernel.
    pub connections_max: u32,
    /// How long running requests may go on after a stop signal.
    pub shutdown_secs_max: u32,
    /// Who may read `/metrics`.
    pub metrics: Audience,
}

/// Who may read something that needs no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everyone.
    Public,
    /// Connections from this machine, and operators' keys.
    Loopback,
    /// Operators' keys.
    Admin,
}

/// `[limits]`: what one request may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body that is stored; 413 past it. 1 GiB is ten minutes of 1080p at 14 Mbit/s.
    pub body_bytes_max: u64,
    /// Bodies up to this stay in memory; longer ones go to disk as they arrive.
    pub body_memory_bytes: u32,
    /// How long a synchronous request waits for its job at most; 0 never waits.
    pub wait_secs_max: u32,
}

/// `[store]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `process`: an accepted job survives a kill of any process. `power`: also a power cut, with
    /// its blobs, at the price of a disk flush per write.
    pub durability: Durability,
}

/// What accepted work survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    Process,
    Power,
}

/// `[jobs]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// Jobs that wait, over all tenants; one more is refused with 503.
    pub queued_max: u32,
    /// A run is stopped after this long.
    pub run_secs_max: u32,
}

/// `[sidecar]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sidecar {
    /// The program; empty: `postern-sidecar` beside this one.
    pub program: PathBuf,
    /// Runs at once; 0: as many as there are processors, at least two.
    pub runs_max: u32,
    /// `auto`, `cpu` or `cuda`.
    pub device: String,
    /// Without an answer for so long it is killed and started again.
    pub heartbeat_secs_max: u32,
    /// The folder of weights, filled by `postern pull`; empty: `weights` in the data folder.
    pub weights_dir: PathBuf,
    /// A model that no run has used for so long leaves memory; 0: never.
    pub idle_unload_secs: u32,
}

/// `[sandbox]`: what components may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Folder with `auth.wasm`, `rate-limit.wasm`, `validation.wasm` and `shape-*.wasm`;
    /// empty: `components` in the data folder.
    pub components: PathBuf,
    /// CPU time of `auth` and `rate-limit` for one request, milliseconds.
    pub policy_cpu_ms_max: u32,
    /// CPU time of validation and shaping for one request, milliseconds.
    pub shaping_cpu_ms_max: u32,
    /// Memory of one instance.
    pub memory_bytes_max: u32,
    /// Instances of one component at once.
    pub instances_max: u32,
    /// An instance is replaced after between this and twice this many calls.
    pub uses_min: u32,
}

/// `[tokens]`: signed tokens (JWT). Without a key file no token is accepted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// A JWKS file; read again within seconds when it changes.
    pub jwks_file: PathBuf,
    /// Accepted `iss`; empty: any.
    pub issuer: String,
    /// Accepted `aud`; empty: tokens with an audience are refused.
    pub audience: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            head_secs_max: 10,
            body_idle_secs_max: 20,
            body_bytes_per_sec_min: 1024,
            connections_max: 4096,
            shutdown_secs_max: 30,
            metrics: Audience::Loopback,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: 1 << 30, body_memory_bytes: 64 << 10, wait_secs_max: 60 }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { durability: Durability::Process }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self { queued_max: 1000, run_secs_max: 1800 }
    }
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            program: PathBuf::new(),
            runs_max: 0,
            device: "auto".into(),
            heartbeat_secs_max: 10,
            weights_dir: PathBuf::new(),
            idle_unload_secs: 300,
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            components: PathBuf::new(),
            policy_cpu_ms_max: 100,
            shaping_cpu_ms_max: 5000,
            memory_bytes_max: 256 << 20,
            instances_max: 256,
            uses_min: 1000,
        }
    }
}

impl Settings {
    /// Reads and checks `path`; a file that is not there means all defaults.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SettingsError::Read { path: path.to_owned(), source }),
        };
        let settings: Self = toml::from_str(&text).map_err(|source| SettingsError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let faults = settings.faults();
        if faults.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError::Faults { path: path.to_owned(), faults: faults.join("\n") })
        }
    }

    /// Everything that is wrong, as `key: rule`.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut unless = |ok: bool, fault: &str| {
            if !ok {
                faults.push(format!("  {fault}"));
            }
        };
        let (server, limits, sandbox) = (&self.server, &self.limits, &self.sandbox);
        unless((1..=600).contains(&server.head_secs_max), "server.head_secs_max: 1 to 600");
        unless(
            (1..=600).contains(&server.body_idle_secs_max),
            "server.body_idle_secs_max: 1 to 600",
        );
        unless(server.connections_max >= 1, "server.connections_max: at least 1");
        unless(limits.body_bytes_max >= 1024, "limits.body_bytes_max: at least 1024");
        unless(
            limits.body_memory_bytes <= 16 << 20,
            "limits.body_memory_bytes: at most 16 MiB, it is multiplied by every open request",
        );
        unless(limits.wait_secs_max <= 600, "limits.wait_secs_max: at most 600");
        unless(self.jobs.queued_max >= 1, "jobs.queued_max: at least 1");
        unless(self.jobs.run_secs_max >= 1, "jobs.run_secs_max: at least 1");
        unless(
            ["auto", "cpu", "cuda"].contains(&self.sidecar.device.as_str()),
            "sidecar.device: auto, cpu or cuda",
        );
        unless(
            (2..=600).contains(&self.sidecar.heartbeat_secs_max),
            "sidecar.heartbeat_secs_max: 2 to 600",
        );
        unless(sandbox.policy_cpu_ms_max >= 1, "sandbox.policy_cpu_ms_max: at least 1");
        unless(sandbox.shaping_cpu_ms_max >= 1, "sandbox.shaping_cpu_ms_max: at least 1");
        unless(
            usize::try_from(sandbox.memory_bytes_max)
                .is_ok_and(|bytes| (1 << 20..=crate::engine::MEMORY_BYTES_MAX).contains(&bytes)),
            "sandbox.memory_bytes_max: 1 MiB to 1 GiB",
        );
        unless((1..=512).contains(&sandbox.instances_max), "sandbox.instances_max: 1 to 512");
        unless((1..=1_000_000).contains(&sandbox.uses_min), "sandbox.uses_min: 1 to 1,000,000");
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postern.toml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let text = toml::to_string(&Settings::default()).unwrap();
        let again = read(&text).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), text);
    }

    #[test]
    fn every_fault_is_named_not_just_the_first() {
        let error = read("[limits]\nwait_secs_max = 601\n[jobs]\nqueued_max = 0\n").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("limits.wait_secs_max") && text.contains("jobs.queued_max"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(matches!(read("[server]\nport = 1\n"), Err(SettingsError::Parse { .. })));
    }
}
