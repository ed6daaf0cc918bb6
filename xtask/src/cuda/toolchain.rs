//! NVIDIA's compiler in `target/cuda-toolchain`, from the packages that `cuda-toolchain.txt` pins.
//!
//! Owns the folder, what is in it, and the variables by which build scripts find it. Idempotent: a
//! second call compares two texts. Always: what cannot be fetched is an error that says what was
//! tried; an older folder is never used instead.

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
/// Stands before nvcc and leaves out what no model of ours needs.
const LEAN: &str = include_str!("../../nvcc-lean.sh");
const LEAN_NVCC: &str = "nvidia/cu13/bin/nvcc-lean";
/// What CUDA_HOME means: holds `bin`, `include` and `lib`.
const HOME: &str = "nvidia/cu13";
/// The oldest generation that candle's kernels run on (Ampere); as PTX, which the driver compiles
/// for newer ones. 90 would be taken for Hopper alone.
const GENERATION: &str = "80";
/// Holds the text of [`PACKAGES`] once everything is installed.
const STAMP: &str = "packages";

/// A compiler that is there.
pub(crate) struct Toolchain {
    folder: PathBuf,
}

impl Toolchain {
    /// The compiler itself.
    pub(crate) fn nvcc(&self) -> PathBuf {
        self.folder.join(NVCC)
    }

    /// Tells the build scripts of `command`, candle's and ours, where the compiler is. Always the
    /// same, or cargo would run them again.
    pub(crate) fn show(&self, command: &mut Command) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        command.env("CUDA_HOME", self.folder.join(HOME)).env("NVCC", self.folder.join(LEAN_NVCC));
        command.env("CUDA_COMPUTE_CAP", GENERATION).env("CUDAFORGE_THREADS", threads.to_string());
    }
}

/// Installs the compiler unless it is there already.
pub(crate) fn install(workspace: &Workspace) -> Result<Toolchain> {
    // nvcc hands the host's half of each file to g++.
    if process::find_program("g++").is_none() {
        bail!("nvcc needs g++, which is not on the path; Debian's package is `g++`");
    }
    let folder = workspace.target.join("cuda-toolchain");
    if !is_installed(&folder) {
        fetch(&folder)?;
    }
    write_lean(&folder.join(LEAN_NVCC))?;
    Ok(Toolchain { folder })
}

fn fetch(folder: &Path) -> Result<()> {
    let nvcc = folder.join(NVCC);
    println!("cuda: fetching nvcc 13.0 from PyPI (105 MB) into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).context("the old tool chain can be removed")?;
    }
    fs::create_dir_all(folder)?;
    let list = folder.join("cuda-toolchain.txt");
    fs::write(&list, PACKAGES)?;
    process::run(&mut pip(folder, &list)).context(
        "nvcc cannot be had: this needs python3 with pip, and PyPI or a mirror of it (which \
         PIP_INDEX_URL may name)",
    )?;
    if !process::is_program(&nvcc) {
        bail!("the packages of xtask/cuda-toolchain.txt brought no {NVCC}");
    }
    fs::write(folder.join(STAMP), PACKAGES)?;
    Ok(())
}

/// Writes the script unless it is there: a newer one would have everything compiled again.
fn write_lean(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::read_to_string(path).is_ok_and(|text| text == LEAN) && process::is_program(path) {
        return Ok(());
    }
    fs::write(path, LEAN).with_context(|| format!("{} can be written", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
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
    fn the_lean_compiler_passes_on_what_it_does_not_leave_out() {
        let folder = TestFolder::new();
        let (lean, out) = (folder.path().join("nvcc-lean"), folder.path().join("out.o"));
        write_lean(&lean).expect("a script");
        // Stands for nvcc: it says what it was asked for.
        fs::copy("/bin/echo", folder.path().join("nvcc")).expect("a program");
        let compile = |source: &str| {
            let mut command = Command::new(&lean);
            process::stdout(command.args(["-c", source, "-O3", "-o"]).arg(&out)).expect("it runs")
        };
        assert!(compile("src/unary.cu").starts_with("-c src/unary.cu -O3 -o"));
        assert!(!out.exists());
        for source in ["src/moe/moe_gguf.cu", "src/mmq_gguf/mmq_quantize.cu", "src/mmvq_gguf.cu"] {
            assert_eq!(compile(source), "");
            fs::remove_file(&out).expect("an empty object was made");
        }
    }

    #[test]
    fn every_package_is_pinned_with_a_hash_for_each_processor() {
        let packages = PACKAGES.lines().filter(|line| line.contains("=="));
        let hashes = PACKAGES.lines().filter(|line| line.contains("--hash=sha256:"));
        assert_eq!((packages.count(), hashes.count()), (5, 10));
    }
}
