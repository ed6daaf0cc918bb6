//! Projection: each Gaussian becomes an ellipse on the screen, or nothing.
//!
//! Owns the first-order projection of a covariance and the form in which a tile reads a splat.
//! Knows no tile. Always: a splat that covers pixels has finite numbers only.

use rayon::prelude::*;

use super::{ALPHA_MIN, NEAR};
use crate::splat::Gaussians;
use crate::splat::camera::{Camera, Pose};

/// Gaussians that a thread projects at a time.
const CHUNK: usize = 1 << 13;

/// A projected Gaussian.
///
/// Its alpha at a point is 2^(`peak` - u² - v²), where, with (dx, dy) from the centre,
/// u = dy·`rate_y` and v = (dx - dy·`slope`)·`rate_x`: the Gaussian along y, times the one along x
/// that is left at that y. Two linear forms stay exact where the three coefficients of the
/// quadratic one cancel out, as in ellipses ten thousand times longer than wide.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Splat {
    /// Pixels.
    pub(super) center: [f32; 2],
    /// dx/dy of the line through the middles of the ellipse's rows.
    pub(super) slope: f32,
    /// 1/pixel, with the factor sqrt(log2(e) / 2) that makes e a 2.
    pub(super) rate_x: f32,
    pub(super) rate_y: f32,
    /// log2 of the opacity.
    pub(super) peak: f32,
    /// Metres.
    pub(super) depth: f32,
    /// Linear.
    pub(super) color: [f32; 3],
    pub(super) reach: Reach,
}

/// The pixels whose middles a splat may cover: from `first` (x, y) up to, not including, `end`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) first: [u16; 2],
    pub(super) end: [u16; 2],
}

impl Reach {
    pub(super) fn is_empty(&self) -> bool {
        self.end[0] <= self.first[0] || self.end[1] <= self.first[1]
    }
}

/// A camera made ready for projecting.
pub(super) struct Lens {
    pose: Pose,
    focal: [f64; 2],
    center: [f64; 2],
    size: [f64; 2],
    slope_limits: [[f64; 2]; 2],
    low_pass: f64,
}

impl Lens {
    pub(super) fn new(camera: &Camera, low_pass: f32) -> Self {
        let (width, height) = camera.size();
        Self {
            pose: *camera.pose(),
            focal: camera.focal(),
            center: camera.center(),
            size: [width as f64, height as f64],
            slope_limits: camera.slope_limits(),
            low_pass: f64::from(low_pass),
        }
    }

    /// Projects the whole cloud; Gaussian i becomes `splats[i]`, whose reach is empty where it is
    /// not seen. The attribute lists are of one length.
    pub(super) fn project(&self, cloud: &Gaussians, splats: &mut Vec<Splat>) {
        splats.resize(cloud.len(), Splat::default());
        splats.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, splats)| {
            for (index, splat) in (chunk * CHUNK..).zip(splats) {
                *splat = self.splat(cloud, index).unwrap_or_default();
            }
        });
    }

    fn splat(&self, cloud: &Gaussians, index: usize) -> Option<Splat> {
        let [x, y, z] = self.pose.apply(cloud.means[index].map(f64::from));
        let (opacity, color) = (cloud.opacities[index], cloud.colors[index]);
        let is_seen = z >= NEAR && z.is_finite() && opacity >= ALPHA_MIN && opacity.is_finite();
        if !is_seen || !color.iter().all(|sample| sample.is_finite()) {
            return None;
        }
        let opacity = opacity.min(1.0);
        let factor = self.factor(cloud, index, [x / z, y / z, z])?;
        let [xx, xy, yy, det] = self.covariance(&factor);
        let center = [0, 1].map(|a| self.focal[a] * [x, y][a] / z + self.center[a]);
        // Outside d² = 2 ln(opacity / ALPHA_MIN) it is left out.
        let extent = (2.0 * f64::from(opacity / ALPHA_MIN).ln()).sqrt();
        let reach = self.reach(center, [xx.sqrt() * extent, yy.sqrt() * extent])?;
        let base = (0.5 * std::f64::consts::LOG2_E).sqrt();
        let splat = Splat {
            center: center.map(|c| c as f32),
            slope: (xy / yy) as f32,
            rate_x: (base * (yy / det).sqrt()) as f32,
            rate_y: (base / yy.sqrt()) as f32,
            peak: opacity.log2(),
            depth: z as f32,
            color,
            reach,
        };
        let numbers = [splat.slope, splat.rate_x, splat.rate_y];
        numbers.iter().all(|number| number.is_finite()).then_some(splat)
    }

    /// The 2 x 3 factor F of the projected covariance F·Fᵀ: Jacobian · pose · own axes · scales.
    /// `seen` is x/z, y/z and z. `None` where an attribute is not finite or the quaternion 0.
    fn factor(&self, cloud: &Gaussians, index: usize, seen: [f64; 3]) -> Option<[[f64; 3]; 2]> {
        let [slope_x, slope_y, z] = seen;
        let axes = rotation(cloud.rotations[index].map(f64::from))?;
        let scales = cloud.scales[index].map(f64::from);
        let are_lengths = scales.iter().all(|&scale| scale >= 0.0 && scale.is_finite());
        if !are_lengths {
            return None;
        }
        let slopes = [slope_x, slope_y];
        Some(std::array::from_fn(|axis| {
            let [low, high] = self.slope_limits[axis];
            let rate = self.focal[axis] / z;
            let slant = slopes[axis].clamp(low, high);
            let [along, front] = [self.pose.rotation[axis], self.pose.rotation[2]];
            let row: [f64; 3] = std::array::from_fn(|k| rate * (along[k] - slant * front[k]));
            std::array::from_fn(|k| {
                let turned = row[0] * axes[0][k] + row[1] * axes[1][k] + row[2] * axes[2][k];
                turned * scales[k]
            })
        }))
    }

    /// xx, xy, yy of the projected covariance, low-pass included, and its determinant. That is the
    /// square of the rows' cross product, which does not cancel out in thin ellipses.
    fn covariance(&self, factor: &[[f64; 3]; 2]) -> [f64; 4] {
        let [a, b] = factor;
        let dot = |a: &[f64; 3], b: &[f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let (xx, xy, yy) = (dot(a, a), dot(a, b), dot(b, b));
        let normal =
            [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        let low_pass = self.low_pass;
        let det = dot(&normal, &normal) + low_pass * (xx + yy + low_pass);
        [xx + low_pass, xy, yy + low_pass, det]
    }

    /// The pixels whose middles lie within `extent` of `center`; `None` for none.
    fn reach(&self, center: [f64; 2], extent: [f64; 2]) -> Option<Reach> {
        // A cast of a number that is none gives 0, and of one too large the largest.
        let first = [0, 1].map(|a| (center[a] - extent[a] - 0.5).ceil().max(0.0) as u16);
        let end =
            [0, 1].map(|a| (center[a] + extent[a] + 0.5).floor().clamp(0.0, self.size[a]) as u16);
        let reach = Reach { first, end };
        (!reach.is_empty()).then_some(reach)
    }
}

/// Own axes as columns of the matrix of a quaternion w, x, y, z; `None` when it has no direction.
fn rotation(quaternion: [f64; 4]) -> Option<[[f64; 3]; 3]> {
    let norm = quaternion.iter().map(|q| q * q).sum::<f64>();
    if !(norm > 0.0 && norm.is_finite()) {
        return None;
    }
    let [w, x, y, z] = quaternion;
    let s = 2.0 / norm;
    Some([
        [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
    ])
}
