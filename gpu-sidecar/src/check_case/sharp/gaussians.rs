//! What becomes of the network's numbers: composition and projection.

use candle_core::{Device, Tensor};

use super::tensors::{GoldenProbe, floats_of, input};
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError};
use crate::sharp::Config;
use crate::sharp::compose::compose as composed;
use crate::sharp::initialize::{BASE_OPACITY, BASE_ROTATION, initialize, metric_depth};
use crate::sharp::probe::Probe as _;
use crate::splat::Gaussians;
use crate::splat::unproject::{self as unprojection, Projection};

pub(super) fn compose(mut golden: Golden, device: &Device) -> Result<Case, CheckError> {
    let [image, disparity, delta] = ["image", "disparity", "delta"]
        .map(|name| input(&golden, &format!("input.{name}"), device));
    let (image, disparity, delta) = (image?, disparity?, delta?);
    let factors = floats_of(&golden, "input.disparity_factor")?.to_vec();
    let mut run = || {
        let mut probe = GoldenProbe(&mut golden);
        let depth = metric_depth(&disparity, &factors)?;
        probe.tensor("depth.metric", &depth)?;
        let base = initialize(&image, &depth, &mut probe)?;
        let opacity = Tensor::from_slice(&[BASE_OPACITY], 1, &Device::Cpu)?;
        probe.tensor("init.base_opacity", &opacity)?;
        probe.tensor("init.base_quaternion", &Tensor::new(&BASE_ROTATION, &Device::Cpu)?)?;
        let unscaled = composed(&base, &delta, &vec![1.0; factors.len()])?;
        let (_, _, layers, height, width) = delta.dims5()?;
        let as_map = |of: fn(&Gaussians) -> &Vec<[f32; 3]>| {
            let numbers: Vec<f32> =
                unscaled.iter().flat_map(|cloud| of(cloud).as_flattened()).copied().collect();
            let rows = Tensor::from_vec(numbers, (unscaled.len(), (), 3), &Device::Cpu)?;
            rows.transpose(1, 2)?.reshape((unscaled.len(), 3, layers, height, width))
        };
        probe.tensor("composer.unscaled_mean", &as_map(|cloud| &cloud.means)?)?;
        probe.tensor("composer.unscaled_scales", &as_map(|cloud| &cloud.scales)?)?;
        composed(&base, &delta, &base.scales()?)
    };
    let clouds = run().map_err(|e: candle_core::Error| golden.refused(e))?;
    compare_normalised(&mut golden, &clouds)?;
    Ok(golden.finish())
}

pub(super) fn unproject(mut golden: Golden) -> Result<Case, CheckError> {
    let cloud = read_cloud(&golden)?;
    let size = (golden.number("image_width")?, golden.number("image_height")?);
    let size = (size.0 as usize, size.1 as usize, golden.number("f_px")?);
    let mut config = Config::default();
    config.vit.patch = golden.number("internal_size")? as usize / (4 * config.vit.grid);
    compare_metric(&mut golden, &cloud, size, &config)?;
    Ok(golden.finish())
}

/// The cloud of `input.*`.
pub(super) fn read_cloud(golden: &Golden) -> Result<Gaussians, CheckError> {
    let column = |name: &str| floats_of(golden, &format!("input.{name}"));
    Ok(Gaussians {
        means: column("mean_vectors")?.as_chunks().0.to_vec(),
        scales: column("singular_values")?.as_chunks().0.to_vec(),
        rotations: column("quaternions")?.as_chunks().0.to_vec(),
        colors: column("colors")?.as_chunks().0.to_vec(),
        opacities: column("opacities")?.to_vec(),
    })
}

/// Compares the columns of `clouds`, of one length, with `prefix.*`, where the golden has them.
pub(super) fn compare_columns(
    golden: &mut Golden,
    prefix: &str,
    clouds: &[Gaussians],
) -> Result<(), CheckError> {
    type Column = fn(&Gaussians) -> &[f32];
    let columns: [(&str, usize, Column); 5] = [
        ("mean_vectors", 3, |cloud| cloud.means.as_flattened()),
        ("singular_values", 3, |cloud| cloud.scales.as_flattened()),
        ("quaternions", 4, |cloud| cloud.rotations.as_flattened()),
        ("colors", 3, |cloud| cloud.colors.as_flattened()),
        ("opacities", 1, |cloud| &cloud.opacities),
    ];
    for (name, row, column) in columns {
        let name = format!("{prefix}.{name}");
        if golden.wants(&name) {
            let numbers: Vec<f64> = clouds.iter().flat_map(column).map(|&v| v.into()).collect();
            let mut shape = vec![clouds.len(), clouds.first().map_or(0, Gaussians::len)];
            if row > 1 {
                shape.push(row);
            }
            golden.compare(&name, &shape, &numbers)?;
        }
    }
    Ok(())
}

/// Compares what the composer gives.
pub(super) fn compare_normalised(
    golden: &mut Golden,
    clouds: &[Gaussians],
) -> Result<(), CheckError> {
    compare_columns(golden, "ndc", clouds)
}

/// Unprojects `cloud` for a photo of this width, height and focal length, and compares.
pub(super) fn compare_metric(
    golden: &mut Golden,
    cloud: &Gaussians,
    (width, height, focal_px): (usize, usize, f64),
    config: &Config,
) -> Result<(), CheckError> {
    let projection = Projection::centred(focal_px as f32, width as u32, height as u32);
    let count = cloud.len();
    let matrices = |golden: &mut Golden, name: &str, covariances: &[[[f32; 3]; 3]]| {
        let flat = covariances.as_flattened().as_flattened();
        let numbers: Vec<f64> = flat.iter().map(|&v| v.into()).collect();
        // The tracked part of a case has not all of them.
        if golden.wants(name) { golden.compare(name, &[1, count, 3, 3], &numbers) } else { Ok(()) }
    };
    let side = config.internal_size() as f64;
    let (fx, fy) = (focal_px * side / width as f64, focal_px * side / height as f64);
    let half = side / 2.0;
    let intrinsics =
        [fx, 0.0, half, 0.0, 0.0, fy, half, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    golden.compare("unproject.intrinsics_resized", &[4, 4], &intrinsics)?;
    let mut matrix = [0.0; 16];
    for (y, row) in projection.matrix().iter().enumerate() {
        for (x, &value) in row.iter().enumerate() {
            matrix[4 * y + x] = f64::from(value);
        }
    }
    matrix[15] = 1.0;
    golden.compare("unproject.matrix", &[4, 4], &matrix)?;

    let pairs = cloud.rotations.iter().zip(&cloud.scales);
    let before: Vec<_> = pairs.map(|(q, s)| unprojection::covariance(*q, *s)).collect();
    matrices(golden, "unproject.cov_ndc", &before)?;
    let rows = projection.matrix();
    let after: Vec<_> = before.iter().map(|c| unprojection::congruent(&rows, c)).collect();
    matrices(golden, "unproject.cov_metric", &after)?;

    let mut metric = cloud.clone();
    unprojection::unproject(&mut metric, &projection);
    let pairs = metric.rotations.iter().zip(&metric.scales);
    let again: Vec<_> = pairs.map(|(q, s)| unprojection::covariance(*q, *s)).collect();
    matrices(golden, "out.covariances", &again)?;
    compare_columns(golden, "out", &[metric])?;
    Ok(())
}
