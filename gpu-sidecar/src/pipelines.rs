//! Every pipeline of this build, a file each. `registry.rs` lists them.

pub mod align;
pub mod echo;
pub mod sharp;
pub mod vision;
