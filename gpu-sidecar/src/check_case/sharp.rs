//! Goldens of SHARP: every module on its own, and the whole network at three sizes.
//!
//! Owns which kind of case runs which part of `crate::sharp` and `crate::splat`. The parts are
//! those that the pipeline runs.

mod cameras;
mod files;
mod gaussians;
mod modules;
mod pictures;
mod scalars;
mod tensors;
mod whole;

use std::path::Path;

use super::golden::Golden;
use super::{Case, CheckError};
use crate::device::DeviceKind;

/// Checks the case in `dir`, or all cases in its folders.
pub(super) fn run(dir: &Path, device: DeviceKind) -> Result<Vec<Case>, CheckError> {
    let device = tensors::device(device)?;
    let folders = Golden::folders(dir)?;
    let check = |folder: &std::path::PathBuf| {
        let golden = Golden::open(folder)?;
        match golden.kind.as_str() {
            "scalar_functions" => scalars::run(golden),
            "preprocess" => pictures::run(golden, &device),
            "vit" => modules::vit(golden, &device),
            "split_merge" => modules::split_merge(golden, &device),
            "spn_encoder" => modules::encoder(golden, &device),
            "monodepth_decoder" => modules::monodepth(golden, &device),
            "gaussian_decoder" => modules::feature_model(golden, &device),
            "depth_alignment_unet" => modules::alignment(golden, &device),
            "initializer_composer" => gaussians::compose(golden, &device),
            "unproject" => gaussians::unproject(golden),
            "ply" => files::ply(golden),
            "render_trajectory" => cameras::trajectory(golden),
            "predictor_end_to_end" => whole::run(golden, &device),
            other => Err(golden.unsupported(format!("unknown kind `{other}`"))),
        }
    };
    folders.iter().map(check).collect()
}
