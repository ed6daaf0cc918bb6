//! The twin of `cuda.rs` for builds without the feature `cuda`.

use super::Gpu;

/// Whether this build looks for a GPU.
pub(crate) const BUILT: bool = false;

/// Always the reason why there is none.
pub(crate) fn first_gpu() -> Result<Gpu, String> {
    Err("this build has no CUDA support; build with `--features cuda`".to_owned())
}

/// Never asked: there is no GPU for it.
pub(crate) fn math() -> Result<(), String> {
    first_gpu().map(drop)
}

/// The GPU as candle sees it: always the reason why there is none.
pub(crate) fn tensors() -> Result<candle_core::Device, String> {
    first_gpu().and(Err(String::new()))
}
