//! `cargo xtask cuda`: the sidecar for machines with a GPU and for machines without.
//!
//! Owns the build of the feature `cuda`, and the checks that what was built starts where there is
//! no driver. Its binaries go to `target/cuda/`, beside the plain ones, and share their compiled
//! dependencies. Needs no GPU. `toolchain` fetches the compiler. Start at [`run`].

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process;
use crate::suite::Tally;
use crate::workspace::Workspace;
use toolchain::Toolchain;

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask cuda              target/cuda/debug/postern-sidecar, for trying
  cargo xtask cuda --release    target/cuda/release/postern-sidecar, to carry to a GPU machine

Either binary runs where there is no GPU too, on the CPU. To have a host start it:
  [sidecar]
  program = \"/path/to/target/cuda/release/postern-sidecar\"";

/// What `cargo xtask cuda` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Optimise our own code too; the whole build again, some minutes.
    #[arg(long)]
    release: bool,
}

/// Fetches the compiler, builds, checks the binary and says where it lies.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let toolchain = toolchain::install(workspace)?;
    println!("cuda: {} is there", workspace.short(&toolchain.nvcc()).display());
    let mut build = cargo(workspace, &toolchain, &BUILD);
    if options.release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let binary = binary(workspace, options.release);
    let device = check_start(&binary)?;
    check_libraries(&binary)?;
    let megabytes = fs::metadata(&binary)?.len() as f64 / 1e6;
    println!("cuda: {} ({megabytes:.1} MB)", workspace.short(&binary).display());
    println!("cuda: on this machine it would use {device}");
    Ok(())
}

/// The step of `cargo xtask test`: lints and tests with the feature, and the fallback of what was
/// built. The dependencies are those that the steps before have compiled.
pub(crate) fn check(
    workspace: &Workspace,
    count: impl FnOnce(&mut Command) -> Result<Tally>,
) -> Result<Tally> {
    let toolchain = toolchain::install(workspace)?;
    // All packages at once, as in the step `clippy`, so that what that one checked is not again.
    let mut clippy = cargo(workspace, &toolchain, &["clippy", "--workspace", "--all-targets"]);
    clippy.args(["--", "-D", "warnings"]);
    let mut tally = Tally::of(process::run(&mut clippy).is_ok());
    process::run(&mut cargo(workspace, &toolchain, &BUILD))?;
    let binary = binary(workspace, false);
    for checked in [check_start(&binary).map(drop), check_libraries(&binary)] {
        if let Err(error) = &checked {
            println!("cuda: {error:#}");
        }
        tally.add(Tally::of(checked.is_ok()));
    }
    let words = ["test", "--workspace", "--exclude", "xtask", "--lib"];
    let mut test = cargo(workspace, &toolchain, &words);
    tally.add(count(test.args(["--", "cuda"]))?);
    Ok(tally)
}

/// Over the packages that the step `build` takes, so that the features of shared dependencies, and
/// with them the compiled dependencies, are the same.
const BUILD: [&str; 6] = ["build", "--workspace", "--exclude", "xtask", "--bin", "postern-sidecar"];

/// A cargo command with the feature, into a folder of its own.
fn cargo(workspace: &Workspace, toolchain: &Toolchain, words: &[&str]) -> Command {
    let mut command = process::cargo();
    toolchain.show(&mut command);
    command.current_dir(&workspace.root).args(words);
    command.args(["--features", "postern-sidecar/cuda"]);
    command.arg("--target-dir").arg(workspace.target.join("cuda"));
    if std::env::var_os("CARGO_BUILD_BUILD_DIR").is_none() {
        command.env("CARGO_BUILD_BUILD_DIR", &workspace.target);
    }
    command
}

fn binary(workspace: &Workspace, release: bool) -> PathBuf {
    let profile = if release { "release" } else { "debug" };
    workspace.target.join("cuda").join(profile).join("postern-sidecar")
}

/// Starts the binary with `--device auto` and with `--device cuda`: the first must start and say
/// what it found, the second must start exactly where the first found a GPU.
fn check_start(binary: &Path) -> Result<String> {
    let ready = ready_line(&serve(binary, "auto")?)?;
    let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    let (device, name, reason) = (field("device"), field("name"), field("reason"));
    let forced = serve(binary, "cuda")?;
    match device.as_str() {
        "cuda" => {
            // With a reason, models have to go to the CPU, which `cuda` does not put up with.
            let fits = forced.status.success() == reason.is_empty();
            ensure!(fits, "`--device cuda` and auto, which finds {name} ({reason}), differ");
            Ok(if reason.is_empty() { name } else { format!("{name} ({reason})") })
        }
        "cpu" => {
            ensure!(!reason.is_empty(), "auto fell back to the CPU and does not say why");
            let complaint = String::from_utf8_lossy(&forced.stderr).into_owned();
            let refused = !forced.status.success() && complaint.contains("no CUDA device: ");
            ensure!(refused, "`--device cuda` without a GPU does not say so: {complaint}");
            Ok(format!("the CPU ({reason})"))
        }
        other => bail!("the sidecar runs on `{other}`"),
    }
}

/// Starts a server that ends by itself, because its standard input has ended already.
fn serve(binary: &Path, device: &str) -> Result<Output> {
    let folder = std::env::temp_dir().join(format!("xtask-cuda-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut command = Command::new(binary);
    command.args(["serve", "--exit-with-stdin", "--device", device]);
    command.arg("--socket").arg(folder.join("socket")).arg("--runs").arg(&folder);
    let output = command.stdin(Stdio::null()).output();
    fs::remove_dir_all(&folder)?;
    output.with_context(|| format!("`{}` does not start", process::line(&command)))
}

/// The log line with which a server says that it is there.
fn ready_line(output: &Output) -> Result<Value> {
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the sidecar failed: {log}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = lines.into_iter().find(|line| line["message"] == "sidecar ready");
    ready.with_context(|| format!("the sidecar never said that it is ready: {log}"))
}

/// No library of NVIDIA's may be asked for at start: the loader would stop the process.
fn check_libraries(binary: &Path) -> Result<()> {
    let dynamic = process::stdout(Command::new("readelf").arg("--dynamic").arg(binary))?;
    let nvidia = needed(&dynamic).find(|name| name.starts_with("libcu") || is_nvidia(name));
    match nvidia {
        Some(library) => bail!("{} asks for {library} at start", binary.display()),
        None => Ok(()),
    }
}

fn is_nvidia(library: &str) -> bool {
    library.starts_with("libnv")
}

/// The libraries that the loader opens, as `readelf --dynamic` lists them.
fn needed(dynamic: &str) -> impl Iterator<Item = &str> {
    let lines = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| line.split_once('[')?.1.split_once(']')).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_read_from_what_readelf_prints() {
        let text = " 0x01 (NEEDED)  Shared library: [libcuda.so.1]\n 0x0c (INIT)  0x1000\n \
                    0x01 (NEEDED)  Shared library: [libc.so.6]\n";
        assert_eq!(needed(text).collect::<Vec<_>>(), ["libcuda.so.1", "libc.so.6"]);
    }
}
