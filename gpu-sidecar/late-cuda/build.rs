//! Leaves the linker something to find where cudarc and candle ask for NVIDIA's libraries.
//!
//! The archives are empty: the functions are defined in `lib.rs` and `absent.rs`, so neither a
//! toolkit nor a driver has to lie on the machine that builds.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by variables")]

use std::path::PathBuf;
use std::{env, fs};

/// What an archive without members consists of.
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";
/// All that is asked for by `-l`. Nothing calls cuBLASLt and the run-time library (`cudart`).
const ASKED_FOR: [&str; 6] = ["cuda", "cublas", "cublasLt", "curand", "nvrtc", "cudart"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for library in ASKED_FOR {
        let archive = out.join(format!("lib{library}.a"));
        fs::write(archive, EMPTY_ARCHIVE).expect("OUT_DIR can be written");
    }
    println!("cargo::rustc-link-search=native={}", out.display());
}
