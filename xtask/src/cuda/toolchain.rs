//! NVIDIA's compiler in `target/cuda-toolchain`, from the packages that `cuda-toolchain.txt` pins.
//!
//! Owns the folder and what is in it. Idempotent: a second call compares two texts. Always: what
//! cannot be fetched is an error that says what was tried; an older folder is never used instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Versions and hashes, in pip's form.
const PACKAGES: &str = include_str!("../../cuda-toolchain.txt");
/// What the installed packages call their folder.
const NVCC: &str = "nvidia/cu13/bin/nvcc";
/// Holds the text of [`PACKAGES`] once everything is installed.
const STAMP: &str = "packages";

/// Installs the compiler unless it is there already, and returns its path.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    // nvcc hands the host's half of each file to g++.
    if process::find_program("g++").is_none() {
        bail!("nvcc needs g++, which is not on the path; Debian's package is `g++`");
    }
    let folder = workspace.target.join("cuda-toolchain");
    let nvcc = folder.join(NVCC);
    if is_installed(&folder) {
        return Ok(nvcc);
    }
    println!("cuda: fetching nvcc 13.0 from PyPI (105 MB) into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).context("the old tool chain can be removed")?;
    }
    fs::create_dir_all(&folder)?;
    let list = folder.join("cuda-toolchain.txt");
    fs::write(&list, PACKAGES)?;
    process::run(&mut pip(&folder, &list)).context(
        "nvcc cannot be had: this needs python3 with pip, and PyPI or a mirror of it (which \
         PIP_INDEX_URL may name)",
    )?;
    if !process::is_program(&nvcc) {
        bail!("the packages of xtask/cuda-toolchain.txt brought no {NVCC}");
    }
    fs::write(folder.join(STAMP), PACKAGES)?;
    Ok(nvcc)
}

/// Whether everything that is pinned today was installed to its end.
fn is_installed(folder: &Path) -> bool {
    let stamp = fs::read_to_string(folder.join(STAMP));
    stamp.is_ok_and(|stamp| stamp == PACKAGES) && process::is_program(&folder.join(NVCC))
}

/// pip, because it keeps the files' executable bits; nothing of the user's is touched.
fn pip(folder: &Path, list: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--root-user-action=ignore", "--no-deps", "--no-compile", "--only-binary=:all:"]);
    pip.arg("--require-hashes").arg("--target").arg(folder).arg("--requirement").arg(list);
    pip
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::TestFolder;

    #[test]
    fn a_half_installed_or_older_tool_chain_is_not_used() {
        let folder = TestFolder::new();
        assert!(!is_installed(folder.path()));
        fs::write(folder.path().join(STAMP), PACKAGES).expect("a file");
        assert!(!is_installed(folder.path()), "the stamp alone");
        let nvcc = folder.path().join(NVCC);
        fs::create_dir_all(nvcc.parent().expect("has a folder")).expect("folders");
        fs::copy("/bin/true", &nvcc).expect("a program");
        assert!(is_installed(folder.path()));
        fs::write(folder.path().join(STAMP), "nvidia-cuda-nvcc==12.0\n").expect("a file");
        assert!(!is_installed(folder.path()), "other versions");
    }

    #[test]
    fn every_package_is_pinned_with_a_hash_for_each_processor() {
        let packages = PACKAGES.lines().filter(|line| line.contains("=="));
        let hashes = PACKAGES.lines().filter(|line| line.contains("--hash=sha256:"));
        assert_eq!((packages.count(), hashes.count()), (5, 10));
    }
}
