//! Goldens of SHARP: every module on its own, and the whole network at three sizes.
//!
//! Owns which kind of case runs which part of `crate::sharp` and `crate::splat`. The parts are
//! those that the pipeline runs.

mod cameras;
mod files;
mod gaussians;
mod modules;
mod pictures;
mod rounded;
mod scalars;
mod tensors;
mod whole;

use std::path::Path;

use super::golden::Golden;
use super::{Case, CheckError, Setting};
use crate::device::Precision;
use crate::nn::with_kernels;
use crate::weights::Placement;

/// The kinds whose tensors have the type of the parameters.
const NETWORKS: [&str; 6] = [
    "vit",
    "spn_encoder",
    "monodepth_decoder",
    "gaussian_decoder",
    "depth_alignment_unet",
    "predictor_end_to_end",
];

/// Checks the case in `dir`, or all cases in its folders.
pub(super) fn run(dir: &Path, setting: Setting) -> Result<Vec<Case>, CheckError> {
    with_kernels(setting.kernels, || run_here(dir, setting))
}

fn run_here(dir: &Path, setting: Setting) -> Result<Vec<Case>, CheckError> {
    let device = tensors::device(setting.device)?;
    let place = Placement { dtype: setting.precision.dtype(), device: &device };
    let folders = Golden::folders(dir)?;
    let check = |folder: &std::path::PathBuf| {
        let mut golden = Golden::open(folder)?;
        if setting.precision == Precision::Bf16 && NETWORKS.contains(&golden.kind.as_str()) {
            golden = golden.for_half(rounded::rule);
        }
        match golden.kind.as_str() {
            "scalar_functions" => scalars::run(golden),
            "preprocess" => pictures::run(golden, &device),
            "vit" => modules::vit(golden, place),
            "split_merge" => modules::split_merge(golden, &device),
            "spn_encoder" => modules::encoder(golden, place),
            "monodepth_decoder" => modules::monodepth(golden, place),
            "gaussian_decoder" => modules::feature_model(golden, place),
            "depth_alignment_unet" => modules::alignment(golden, place),
            "initializer_composer" => gaussians::compose(golden, &device),
            "unproject" => gaussians::unproject(golden),
            "ply" => files::ply(golden),
            "render_trajectory" => cameras::trajectory(golden),
            "predictor_end_to_end" => whole::run(golden, place),
            other => Err(golden.unsupported(format!("unknown kind `{other}`"))),
        }
    };
    folders.iter().map(check).collect()
}
