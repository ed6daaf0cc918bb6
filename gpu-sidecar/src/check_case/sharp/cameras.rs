//! The cameras of upstream's renderer.

use super::tensors::floats_of;
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError};
use crate::splat::Gaussians;
use crate::splat::camera::{Camera, Pose};
use crate::splat::trajectory::{Depths, Path, eyes, offset_max, poses};

const PATHS: [(&str, Path); 4] = [
    ("swipe", Path::Swipe),
    ("shake", Path::Shake),
    ("rotate", Path::Rotate),
    ("rotate_forward", Path::RotateForward),
];

pub(super) fn trajectory(mut golden: Golden) -> Result<Case, CheckError> {
    let means = floats_of(&golden, "input.mean_vectors")?.as_chunks().0.to_vec();
    let cloud = Gaussians { means, ..Gaussians::default() };
    let size = (golden.number("image_width")? as usize, golden.number("image_height")? as usize);
    let focal_px = golden.number("f_px")?;
    let photo = Camera::of_photo(focal_px, size).map_err(|e| golden.refused(e))?;
    let screen = Camera::of_screen(focal_px, size).map_err(|e| golden.refused(e))?;
    let depths = Depths::of(&cloud, &Pose::IDENTITY);
    let depths = depths.ok_or_else(|| golden.unsupported("no Gaussian lies ahead"))?;
    golden.compare("depth_quantiles", &[3], &[depths.near, depths.focus, depths.far])?;

    let ([fx, fy], [cx, cy]) = (screen.focal(), screen.center());
    let matrix = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    golden.compare("screen_intrinsics", &[4, 4], &matrix)?;
    let (width, height) = screen.size();
    golden.compare("screen_resolution", &[2], &[width as f64, height as f64])?;
    let offset = offset_max(&photo, &depths);
    golden.compare("max_offset_xyz", &[3], &offset)?;
    for (name, path) in PATHS {
        let eyes = eyes(path, offset);
        golden.compare(&format!("eyes.{name}"), &[eyes.len(), 3], eyes.as_flattened())?;
        let name = format!("extrinsics.{name}");
        if golden.wants(&name) {
            let poses = poses(path, &photo, Some(&depths));
            let numbers: Vec<f64> = poses.iter().flat_map(extrinsics).collect();
            golden.compare(&name, &[poses.len(), 4, 4], &numbers)?;
        }
    }
    Ok(golden.finish())
}

/// World to camera, by rows.
fn extrinsics(pose: &Pose) -> [f64; 16] {
    let mut matrix = [0.0; 16];
    for (row, (axis, offset)) in pose.rotation.iter().zip(pose.translation).enumerate() {
        matrix[4 * row..][..3].copy_from_slice(axis);
        matrix[4 * row + 3] = offset;
    }
    matrix[15] = 1.0;
    matrix
}
