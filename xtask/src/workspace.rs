//! Where things are: the repository's root, the build folder, and what cargo says of the members.
//!
//! Reads `cargo metadata`; builds nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The repository on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's build folder: `target/`, or where `CARGO_TARGET_DIR` points.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The repository that this xtask was built from.
    pub(crate) fn find() -> Result<Self> {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = xtask.parent().context("xtask/ lies in the repository")?.to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target })
    }

    /// The manifest of the components' own workspace.
    pub(crate) fn guest_manifest(&self) -> PathBuf {
        self.root.join("guest-components/Cargo.toml")
    }

    /// Where the host finds components.
    pub(crate) fn guests(&self) -> PathBuf {
        self.target.join("guests")
    }

    /// A binary of ours, as the profile builds it.
    pub(crate) fn binary(&self, name: &str, release: bool) -> PathBuf {
        self.target.join(if release { "release" } else { "debug" }).join(name)
    }

    /// A path as people write it: relative to the root.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// Whether metadata lists the members alone or with their whole dependency tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Members,
    Tree,
}

/// `cargo metadata` of one manifest, for the system we build for.
pub(crate) fn metadata(manifest: &Path, scope: Scope) -> Result<Value> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(manifest);
    match scope {
        Scope::Members => command.arg("--no-deps"),
        Scope::Tree => command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]),
    };
    let text = process::stdout(&mut command)?;
    serde_json::from_str(&text).context("`cargo metadata` prints JSON")
}

/// A field of a JSON object as text; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A field of a JSON object as a list; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An empty folder that is removed when dropped. By hand, because a crate that only tests need
/// would give our dependencies other features, and `cargo test` would build all of them again.
#[cfg(test)]
pub(crate) struct TestFolder(PathBuf);

#[cfg(test)]
impl TestFolder {
    pub(crate) fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("xtask-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the name is new");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for TestFolder {
    fn drop(&mut self) {
        // A folder left behind in /tmp is no fault of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
