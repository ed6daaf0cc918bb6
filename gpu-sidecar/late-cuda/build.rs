//! Leaves the linker something to find where cudarc asks for `-lcuda`.
//!
//! The archive is empty: the functions are defined in `lib.rs`, so neither a toolkit nor a driver
//! has to lie on the machine that builds.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script by variables")]

use std::path::PathBuf;
use std::{env, fs};

/// What an archive without members consists of.
const EMPTY_ARCHIVE: &[u8] = b"!<arch>\n";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("libcuda.a"), EMPTY_ARCHIVE).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search=native={}", out.display());
}
