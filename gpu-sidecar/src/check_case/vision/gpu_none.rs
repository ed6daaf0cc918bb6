//! The twin of `gpu.rs` for builds without the feature `cuda`.

use super::Refusal;
use super::engine::Engine;

/// Always the reason why there is none.
pub(super) fn open() -> Result<Box<dyn Engine>, Refusal> {
    Err("this build has no CUDA support; `cargo xtask cuda` builds one that has".into())
}
