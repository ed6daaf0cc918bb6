//! `cargo xtask guests`: guest-components/ becomes `target/guests/<name>.wasm`.
//!
//! Owns the choice of tool chain, the build of core modules and their wrapping as components.
//! Always: a component imports nothing outside `postern:` packages (no WASI); that is checked here,
//! on what was built. Start at `run`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::process;
use crate::workspace::{Scope, Workspace, list, metadata, text};

/// What components are compiled for: no system interface at all.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Part of every stamp; another encoder or another check makes all components anew.
const ENCODER: &str = concat!("wit-component 0.263, xtask ", env!("CARGO_PKG_VERSION"));

/// A Rust tool chain that can compile for [`TARGET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Chain {
    /// The tool chain in use, with the target added by rustup.
    Rustup,
    /// Debian's `rustc-web` and friends, which build the standard library from source.
    Debian,
}

/// Debian's programs; by full path, because rustup's stand before them on the path.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// What rustup and `cargo run` leave in the environment and what would lead Debian's cargo astray:
/// to rustup's compiler, to its libraries, or to the build folder of the outer workspace.
const STRAY_VARIABLES: [&str; 13] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_TOOLCHAIN_SOURCE",
    "RUST_RECURSION_COUNT",
];

impl Chain {
    /// The first that is there.
    pub(crate) fn installed() -> Option<Self> {
        [Self::Rustup, Self::Debian].into_iter().find(|chain| chain.is_installed())
    }

    /// Looks for the files that the build will need, not for a tool's word.
    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Rustup => process::stdout(Command::new("rustc").args(["--print", "sysroot"]))
                .is_ok_and(|sysroot| has_std(Path::new(sysroot.trim()))),
            Self::Debian => {
                [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LINKER]
                    .iter()
                    .all(|program| process::is_program(Path::new(program)))
                    && Path::new(DEBIAN_STD).is_file()
            }
        }
    }

    fn build(self) -> Command {
        match self {
            Self::Rustup => {
                let mut command = Command::new("cargo");
                command.env_remove("CARGO_TARGET_DIR");
                command.args(["build", "--release", "--target", TARGET]);
                command
            }
            Self::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                for variable in STRAY_VARIABLES {
                    command.env_remove(variable);
                }
                command.env("RUSTC", DEBIAN_RUSTC);
                // Build-std is an unstable flag of a stable compiler.
                command.env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
                command.args(["build", "--release", "--target", TARGET]);
                command.arg("-Zbuild-std=std,panic_abort");
                command
            }
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rustup => "rustup: the standard library for the target is installed",
            Self::Debian => "Debian: rustc-web builds the standard library, wasm-ld-19 links",
        })
    }
}

/// A member of guest-components/ that becomes a component.
#[derive(Debug, PartialEq, Eq)]
struct Guest {
    /// The package's name.
    name: String,
    /// The core module's file name.
    module: String,
    /// The folder under `target/guests/`; empty for what the gate itself needs.
    folder: String,
}

/// Builds all components that are out of date and removes those whose source is gone.
pub(crate) fn run(workspace: &Workspace, wanted: Option<Chain>) -> Result<()> {
    let chain = match wanted {
        Some(chain) if chain.is_installed() => chain,
        Some(chain) => bail!("that tool chain is not complete on this machine ({chain})"),
        None => Chain::installed()
            .context("no tool chain for WebAssembly; `cargo xtask setup` installs one")?,
    };
    println!("guests: tool chain {chain}");
    let manifest = workspace.guest_manifest();
    let metadata = metadata(&manifest, Scope::Members)?;
    let home = manifest.parent().context("a manifest lies in a folder")?;
    let guests = guests(&metadata, home);
    if guests.is_empty() {
        bail!("no member of {} is a `cdylib`", manifest.display());
    }
    process::run(chain.build().current_dir(home))?;
    let modules = home.join("target").join(TARGET).join("release");
    for guest in &guests {
        wrap(workspace, &modules.join(&guest.module), guest)?;
    }
    remove_strays(&workspace.guests(), &guests)
}

fn guests(metadata: &Value, home: &Path) -> Vec<Guest> {
    let mut guests = Vec::new();
    for package in list(metadata, "packages") {
        let is_cdylib = |target: &&Value| list(target, "crate_types").contains(&"cdylib".into());
        let Some(library) = list(package, "targets").iter().find(is_cdylib) else { continue };
        let path = Path::new(text(package, "manifest_path"));
        let top = path.strip_prefix(home).ok().and_then(|path| path.iter().next());
        let folder = top.filter(|top| *top == "examples" || *top == "fixtures");
        guests.push(Guest {
            name: text(package, "name").to_owned(),
            module: format!("{}.wasm", text(library, "name").replace('-', "_")),
            folder: folder.unwrap_or_default().to_string_lossy().into_owned(),
        });
    }
    guests.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    guests
}

/// Makes one component of one core module, unless it was made of these very bytes before.
fn wrap(workspace: &Workspace, module: &Path, guest: &Guest) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("{} was built", module.display()))?;
    let output = guest.output(&workspace.guests());
    let stamp = guest.output(&workspace.target.join("guest-stamps"));
    let digest = digest(&bytes);
    if output.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == digest) {
        return Ok(());
    }
    let component = encode(&bytes).with_context(|| format!("component `{}`", guest.name))?;
    for file in [&output, &stamp] {
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
    }
    // Through a second name, because a running host may read the first at any moment.
    let fresh = output.with_extension("wasm.new");
    fs::write(&fresh, &component)?;
    fs::rename(&fresh, &output)?;
    fs::write(&stamp, digest)?;
    println!("guests: {} ({} KiB)", workspace.short(&output).display(), component.len() / 1024);
    Ok(())
}

impl Guest {
    fn output(&self, root: &Path) -> PathBuf {
        root.join(&self.folder).join(format!("{}.wasm", self.name))
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default().module(module)?.validate(true).encode()?;
    let foreign = foreign_imports(&component)?;
    if !foreign.is_empty() {
        bail!("imports {foreign:?}; only `postern:` packages exist in the sandbox");
    }
    Ok(component)
}

/// The imports that no `postern:` package stands behind.
fn foreign_imports(component: &[u8]) -> Result<BTreeSet<String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("not a component");
    };
    let imports = &resolve.worlds[world].imports;
    let names = imports.keys().map(|key| resolve.name_world_key(key));
    Ok(names.filter(|name| !name.starts_with("postern:")).collect())
}

/// Not a secure hash, and need not be: both sides are our own build.
fn digest(module: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(ENCODER.as_bytes());
    hasher.write(module);
    format!("{:016x}", hasher.finish())
}

fn remove_strays(root: &Path, guests: &[Guest]) -> Result<()> {
    let known: BTreeSet<PathBuf> = guests.iter().map(|guest| guest.output(root)).collect();
    for folder in ["", "examples", "fixtures"] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_file() && !known.contains(&path) {
                println!("guests: removed {}", path.display());
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

fn has_std(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

#[cfg(test)]
mod tests;
