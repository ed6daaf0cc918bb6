//! Feature `cuda`: compiles `kernels/*.cu`, each to one image with code for every GPU we name.
//!
//! Owns the choice of compiler and of GPU generations. Without the feature nothing is looked for.
//! Always: a compiler that is missing is one error, which names the command that brings it.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by variables")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Machine code for the data-centre generations that we know in use, Ampere (A100) and Hopper
/// (H100, H200): nothing is compiled when the first kernel runs there. One generation costs a
/// second of building and some 20 KB.
const MACHINE_CODE: [u32; 2] = [80, 90];
/// The oldest as PTX too, which the driver compiles for anything else from Ampere on (Ada,
/// Blackwell), once, into its own cache.
const PTX: u32 = 80;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    if let Err(message) = compile_all() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn compile_all() -> Result<(), String> {
    println!("cargo::rerun-if-changed=kernels");
    for name in ["NVCC", "CUDA_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let nvcc = find_nvcc(&root).ok_or(
        "the feature `cuda` needs nvcc 13.0 to compile the kernels, and there is none in NVCC, \
         CUDA_HOME, target/cuda-toolchain or PATH; `cargo xtask cuda` fetches it and builds",
    )?;
    let mut sources: Vec<PathBuf> = fs::read_dir(root.join("kernels"))
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| format!("cannot list gpu-sidecar/kernels: {error}"))?;
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    for source in sources {
        compile(&nvcc, &source, &out)?;
    }
    Ok(())
}

/// The compiler: what the environment names, else what `cargo xtask cuda` fetched, else the path.
fn find_nvcc(root: &Path) -> Option<PathBuf> {
    let named = env::var_os("NVCC").map(PathBuf::from);
    let home = env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
    let target = env::var_os("CARGO_TARGET_DIR").map(|dir| root.join("..").join(dir));
    let target = target.unwrap_or_else(|| root.join("../target"));
    let fetched = target.join("cuda-toolchain/nvidia/cu13/bin/nvcc");
    if fetched.is_file() {
        println!("cargo::rerun-if-changed={}", fetched.display());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|dir| dir.join("nvcc"));
    // What is named is taken at its word: a wrong name is an error, not a reason to look on.
    let found = [fetched].into_iter().chain(on_path).find(|nvcc| nvcc.is_file());
    named.or(home).or(found)
}

/// One source to `OUT_DIR/NAME.fatbin`. Products and sums stay apart (`--fmad=false`): most
/// kernels must agree with the CPU to the bit, and where a fused one is wanted it says `fmaf`.
fn compile(nvcc: &Path, source: &Path, out: &Path) -> Result<(), String> {
    let name = source.file_stem().expect("it ends in .cu");
    let image = out.join(name).with_extension("fatbin");
    let mut command = Command::new(nvcc);
    command.args(["-fatbin", "-O3", "-std=c++17", "--fmad=false", "-Werror=all-warnings"]);
    for generation in MACHINE_CODE {
        command.arg(format!("-gencode=arch=compute_{generation},code=sm_{generation}"));
    }
    command.arg(format!("-gencode=arch=compute_{PTX},code=compute_{PTX}"));
    let output = command
        .arg("-o")
        .arg(&image)
        .arg(source)
        .output()
        .map_err(|error| format!("{} does not start: {error}", nvcc.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = [output.stdout, output.stderr].concat();
    Err(format!("nvcc refuses {}:\n{}", source.display(), String::from_utf8_lossy(&complaint)))
}
