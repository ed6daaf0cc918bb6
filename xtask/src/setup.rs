//! `cargo xtask setup`: what is missing on a fresh Debian or Ubuntu with rustup's Rust.
//!
//! Owns the list of what we need and how it is had. Idempotent; when nothing is missing it looks at
//! the path and asks rustc one question. It installs only, it never upgrades or removes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guests::Chain;
use crate::process;

/// For the download of one target's standard library (about 30 MiB).
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);
/// For Python to start and say what it has.
const PYTHON_LIMIT: Duration = Duration::from_secs(30);

/// A program that something of ours starts, and Debian's packages that bring it.
struct Tool {
    program: &'static str,
    why: &'static str,
    packages: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool { program: "cc", why: "compiles SQLite", packages: &["gcc", "libc6-dev"] },
    Tool { program: "c++", why: "compiles the host's side of CUDA kernels", packages: &["g++"] },
    Tool { program: "ffmpeg", why: "decodes video in the sidecar", packages: &["ffmpeg"] },
    Tool {
        program: "heif-info",
        why: "decodes HEIC and AVIF in the sidecar",
        packages: &["libheif-examples"],
    },
    Tool {
        program: "python3",
        why: "tests the Python package",
        packages: &["python3", "python3-venv"],
    },
    Tool { program: "make", why: "builds the allocator of the sidecar", packages: &["make"] },
    Tool { program: "curl", why: "for the examples that `up` prints", packages: &["curl"] },
];

/// Debian's own Rust for WebAssembly, where rustup cannot fetch the target.
const CHAIN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Installs what is missing and says so, a line each.
pub(crate) fn run() -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    for tool in TOOLS {
        match process::find_program(tool.program) {
            Some(path) => println!("setup: {} is there ({})", tool.program, path.display()),
            None => {
                println!("setup: {} is missing ({})", tool.program, tool.why);
                packages.extend(tool.packages);
            }
        }
    }
    if process::find_program("python3").is_some() && !has_venv() {
        println!("setup: python3 cannot make virtual environments (Debian keeps that apart)");
        packages.push("python3-venv");
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    let chain = match Chain::installed() {
        Some(chain) => chain,
        None => install_chain()?,
    };
    println!("setup: WebAssembly tool chain is there ({chain})");
    Ok(())
}

fn has_venv() -> bool {
    let mut python = Command::new("python3");
    process::succeeds_within(python.args(["-c", "import ensurepip, venv"]), PYTHON_LIMIT)
}

fn install_chain() -> Result<Chain> {
    if process::find_program("rustup").is_some() {
        println!("setup: rustup target add {}", crate::guests::TARGET);
        let mut add = Command::new("rustup");
        add.args(["target", "add", crate::guests::TARGET]);
        // Its word is not enough: the standard library must really lie there.
        if process::succeeds_within(&mut add, RUSTUP_LIMIT) && Chain::Rustup.is_installed() {
            return Ok(Chain::Rustup);
        }
        println!("setup: rustup cannot have it (offline?); trying Debian's packages");
    }
    install(&CHAIN_PACKAGES)?;
    Chain::installed().context(
        "no tool chain for WebAssembly; `rustup target add wasm32-unknown-unknown` would do",
    )
}

/// Installs Debian packages: as root directly, else through sudo.
fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if process::find_program("apt-get").is_none() {
        bail!("this machine has no apt-get; install what these packages bring: {packages:?}");
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if process::find_program("sudo").is_some() {
        &["sudo"]
    } else {
        bail!("neither root nor sudo; as root, run: {by_hand}");
    };
    println!("setup: {}{by_hand}", if prefix.is_empty() { "" } else { "sudo: " });
    apt(prefix, &["update", "-q"])?;
    let mut arguments = vec!["install", "-yq", "--no-install-recommends"];
    arguments.extend(packages);
    apt(prefix, &arguments).with_context(|| format!("by hand, as root: {by_hand}"))
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    // `env` after sudo, because sudo drops the environment.
    let words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let mut words = words.chain(arguments);
    let mut command = Command::new(words.next().context("a command has a first word")?);
    process::run(command.args(words))
}

/// The owner of `/proc/self` is the user that this process acts as.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}
