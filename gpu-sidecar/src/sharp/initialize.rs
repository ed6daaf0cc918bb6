//! From disparity to depth, and from depth to the Gaussians before any change (SPEC 7).
//!
//! Owns the scale of the scene: the nearest point of both layers is brought to a depth of about 1,
//! and [`Base::global_scale`] takes it back. Runs where the tensors are.

use candle_core::{Result, Tensor};

use super::config::LAYERS;
use super::probe::{Probe, ProbeExt as _};

/// Disparity is kept between these, so that depth is finite.
const DISPARITY_MIN: f32 = 1e-4;
const DISPARITY_MAX: f32 = 1e4;
/// Keeps the scale finite for a point on the lens.
const DEPTH_EPS: f64 = 1e-6;
/// The far plane, where the nearest point is at 1.
const DEPTH_MAX: f32 = 100.0;

/// Opacity of every Gaussian of the base.
pub const BASE_OPACITY: f32 = 0.5;
/// Quaternion w, x, y, z of every Gaussian of the base.
pub const BASE_ROTATION: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// Where the Gaussians of a batch are before the network's changes.
#[derive(Debug)]
pub struct Base {
    /// What the feature model reads: colour and inverse depth in -1 to 1, `[batch, 5, side, side]`.
    pub feature_input: Tensor,
    /// The nearest inverse depth of each Gaussian's pixels, `[batch, 2, h, w]`.
    pub inverse_z: Tensor,
    /// Mean sRGB of each Gaussian's pixels, for both layers, `[batch, 3, h, w]`.
    pub colors: Tensor,
    /// What a length is multiplied by to be metres, `[batch]`.
    pub global_scale: Tensor,
}

/// Depth in metres, `factor / disparity`, for `disparity [batch, 2, side, side]`; `factors` are
/// focal length over width, per picture.
///
/// # Errors
/// Not one factor per picture.
pub fn metric_depth(disparity: &Tensor, factors: &[f32]) -> Result<Tensor> {
    let factors = Tensor::from_slice(factors, (factors.len(), 1, 1, 1), disparity.device())?;
    let inverse = disparity.clamp(DISPARITY_MIN, DISPARITY_MAX)?.recip()?;
    inverse.broadcast_mul(&factors)
}

/// `image [batch, 3, side, side]` in 0 to 1 and `depth [batch, 2, side, side]` in metres.
///
/// # Errors
/// Sizes that differ, or an odd side.
pub fn initialize(image: &Tensor, depth: &Tensor, probe: &mut dyn Probe) -> Result<Base> {
    // One axis after another: on a GPU, one block finds what becomes one number.
    let nearest = depth.min(3)?.min(2)?.min(1)?;
    let factor = (nearest + DEPTH_EPS)?.recip()?;
    let global_scale = factor.recip()?;
    let scale = factor.reshape(((), 1, 1, 1))?;
    let inverse = depth.broadcast_mul(&scale)?.minimum(DEPTH_MAX)?.recip()?;
    let feature_input = ((Tensor::cat(&[image, &inverse], 1)? * 2.0)? - 1.0)?;
    let base = Base {
        inverse_z: inverse.max_pool2d(2)?,
        colors: image.avg_pool2d(2)?,
        feature_input,
        global_scale,
    };
    base.show(probe)?;
    Ok(base)
}

/// Horizontal or vertical place of the Gaussian `index` of `count`, from -1 to 1: the corner that
/// its four pixels share.
#[must_use]
pub fn place(index: usize, count: usize) -> f32 {
    let side = (2 * count) as f32;
    2.0 * (1 + 2 * index) as f32 / side - 1.0
}

/// Standard deviation of a Gaussian at depth 1: two pixels of `2 · count`.
#[must_use]
pub fn size_at_unit_depth(count: usize) -> f32 {
    2.0 / count as f32
}

impl Base {
    /// [`Base::global_scale`] as numbers. Waits for the device.
    ///
    /// # Errors
    /// A depth is not a number.
    pub fn scales(&self) -> Result<Vec<f32>> {
        let scales = self.global_scale.to_vec1::<f32>()?;
        if scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            Ok(scales)
        } else {
            candle_core::bail!("the predicted depth is not a number");
        }
    }

    /// What the goldens hold of it.
    fn show(&self, probe: &mut dyn Probe) -> Result<()> {
        let (batch, layers, height, width) = self.inverse_z.dims4()?;
        let device = self.inverse_z.device();
        probe.see("init.feature_input", &self.feature_input)?;
        probe.see("init.global_scale", &self.global_scale)?;
        let shape = (batch, 1, layers, height, width);
        let places = |count| (0..count).map(|index| place(index, count)).collect::<Vec<f32>>();
        probe.compute("init.base_x_ndc", || {
            let row = Tensor::from_vec(places(width), (1, 1, 1, 1, width), device)?;
            row.broadcast_as(shape)
        })?;
        probe.compute("init.base_y_ndc", || {
            let column = Tensor::from_vec(places(height), (1, 1, 1, height, 1), device)?;
            column.broadcast_as(shape)
        })?;
        probe.compute("init.base_inverse_z", || self.inverse_z.reshape(shape))?;
        probe.compute("init.base_scales", || {
            self.inverse_z.recip()?.affine(size_at_unit_depth(width).into(), 0.0)?.reshape(shape)
        })?;
        probe.compute("init.base_colors", || {
            let both = vec![self.colors.unsqueeze(2)?; LAYERS];
            Tensor::cat(&both, 2)
        })
    }
}
