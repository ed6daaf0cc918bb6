//! PyTorch, to measure against: fetched from PyPI into the target folder the first time.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The releases that are measured against.
pub(super) const TORCH: &str = "torch==2.15.0";
pub(super) const NUMPY: &str = "numpy==2.4.6";

/// A Python that has them. Some gigabytes: the release for Linux brings its CUDA libraries.
pub(super) fn python(workspace: &Workspace) -> Result<PathBuf> {
    let venv = workspace.target.join("bench/torch");
    let installed = venv.join(TORCH);
    if !installed.exists() {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        process::run(pip.args(["install", "--quiet", TORCH, NUMPY]))?;
        std::fs::write(&installed, "")?;
    }
    Ok(venv.join("bin/python"))
}
