//! Projection: each Gaussian becomes an ellipse on the screen, or nothing.
//!
//! Owns the first-order projection of a covariance and the form in which a tile reads a splat.
//! Knows no tile. Always: a splat that covers pixels has finite numbers only.

use std::f64::consts::{LN_2, LOG2_E};

use rayon::prelude::*;

use super::blend::PEAK_MIN;
use super::order::Key;
use super::{ALPHA_MIN, NEAR};
use crate::splat::Gaussians;
use crate::splat::camera::{Camera, Pose};
use crate::vision::simd::{Isa, per_isa};

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

/// What a camera makes of a cloud: Gaussian i is splat i, whose reach is empty where it is not
/// seen. The reaches stand here once more, because the lists of tiles are made of them alone.
#[derive(Debug, Default)]
pub(super) struct Projected {
    pub(super) splats: Vec<Splat>,
    pub(super) reaches: Vec<Reach>,
}

/// A stretch of a [`Projected`] and its keys, from Gaussian `first` on.
struct Chunk<'a> {
    first: usize,
    splats: &'a mut [Splat],
    reaches: &'a mut [Reach],
    keys: &'a mut [Key],
}

per_isa! {
    fn project_chunk = project_chunk_body(lens: &Lens, cloud: &Gaussians, to: &mut Chunk<'_>)
}

/// Without products that are rounded once: all instruction sets see the same splats.
#[inline(always)]
fn project_chunk_body<const FMA: bool>(lens: &Lens, cloud: &Gaussians, to: &mut Chunk<'_>) {
    let places = to.splats.iter_mut().zip(to.reaches.iter_mut()).zip(to.keys.iter_mut());
    for (index, ((splat, reach), key)) in (to.first..).zip(places) {
        *splat = lens.splat(cloud, index).unwrap_or_default();
        *reach = splat.reach;
        *key = if reach.is_empty() { Key::unseen() } else { Key::seen(splat.depth, index) };
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

    /// Projects the whole cloud. The attribute lists are of one length.
    pub(super) fn project(&self, cloud: &Gaussians, to: &mut Projected, keys: &mut Vec<Key>) {
        let count = cloud.len();
        to.splats.resize(count, Splat::default());
        to.reaches.resize(count, Reach::default());
        keys.resize_with(count, Key::default);
        let isa = Isa::best();
        let splats = to.splats.par_chunks_mut(CHUNK).zip(to.reaches.par_chunks_mut(CHUNK));
        let chunks = splats.zip(keys.par_chunks_mut(CHUNK)).enumerate();
        chunks.for_each(|(chunk, ((splats, reaches), keys))| {
            let first = chunk * CHUNK;
            project_chunk(isa, self, cloud, &mut Chunk { first, splats, reaches, keys });
        });
    }

    #[inline(always)]
    fn splat(&self, cloud: &Gaussians, index: usize) -> Option<Splat> {
        let [x, y, z] = self.pose.apply(cloud.means[index].map(f64::from));
        let (opacity, color) = (cloud.opacities[index], cloud.colors[index]);
        let is_seen = z >= NEAR && z.is_finite() && opacity >= ALPHA_MIN && opacity.is_finite();
        if !is_seen || !color.iter().all(|sample| sample.is_finite()) {
            return None;
        }
        let opacity = opacity.min(1.0);
        let nearness = 1.0 / z;
        let slopes = [x * nearness, y * nearness];
        let factor = self.factor(cloud, index, [slopes[0], slopes[1], nearness])?;
        let [xx, xy, yy, det] = self.covariance(&factor);
        let center = [
            self.focal[0] * slopes[0] + self.center[0],
            self.focal[1] * slopes[1] + self.center[1],
        ];
        let peak = opacity.log2();
        // Where peak - u² - v² falls below the least alpha, squared and in deviations.
        let extent = 2.0 * LN_2 * f64::from(peak - PEAK_MIN);
        let reach = self.reach(center, [(xx * extent).sqrt(), (yy * extent).sqrt()])?;
        let splat = Splat {
            center: center.map(|c| c as f32),
            slope: (xy / yy) as f32,
            rate_x: (0.5 * LOG2_E * yy / det).sqrt() as f32,
            rate_y: (0.5 * LOG2_E / yy).sqrt() as f32,
            peak,
            depth: z as f32,
            color,
            reach,
        };
        let numbers = [splat.slope, splat.rate_x, splat.rate_y, splat.depth];
        numbers.iter().all(|number| number.is_finite()).then_some(splat)
    }

    /// The 2 x 3 factor F of the projected covariance F·Fᵀ: Jacobian · pose · own axes · scales.
    /// `seen` is x/z, y/z and 1/z. `None` where an attribute is not finite or the quaternion 0.
    #[inline(always)]
    fn factor(&self, cloud: &Gaussians, index: usize, seen: [f64; 3]) -> Option<[[f64; 3]; 2]> {
        let [slope_x, slope_y, nearness] = seen;
        let axes = rotation(cloud.rotations[index].map(f64::from))?;
        let scales = cloud.scales[index].map(f64::from);
        let are_lengths = scales.iter().all(|&scale| scale >= 0.0 && scale.is_finite());
        if !are_lengths {
            return None;
        }
        let rows = [self.row(0, slope_x, nearness), self.row(1, slope_y, nearness)];
        let mut factor = [[0.0; 3]; 2];
        for (to, [x, y, z]) in factor.iter_mut().zip(rows) {
            for (k, to) in to.iter_mut().enumerate() {
                *to = (x * axes[0][k] + y * axes[1][k] + z * axes[2][k]) * scales[k];
            }
        }
        Some(factor)
    }

    /// A row of the Jacobian times the pose: how fast a point of the world moves on the screen.
    #[inline(always)]
    fn row(&self, axis: usize, slope: f64, nearness: f64) -> [f64; 3] {
        let [low, high] = self.slope_limits[axis];
        let rate = self.focal[axis] * nearness;
        let slant = slope.clamp(low, high);
        let ([x, y, z], front) = (self.pose.rotation[axis], self.pose.rotation[2]);
        [x - slant * front[0], y - slant * front[1], z - slant * front[2]].map(|v| rate * v)
    }

    /// xx, xy, yy of the projected covariance, low-pass included, and its determinant. That is the
    /// square of the rows' cross product, which does not cancel out in thin ellipses.
    #[inline(always)]
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
    #[inline(always)]
    fn reach(&self, center: [f64; 2], extent: [f64; 2]) -> Option<Reach> {
        let mut reach = Reach::default();
        for axis in 0..2 {
            let (low, high) = (center[axis] - extent[axis], center[axis] + extent[axis]);
            // A cast of a number that is none gives 0, and of one too large the largest.
            reach.first[axis] = (low - 0.5).ceil().max(0.0) as u16;
            reach.end[axis] = (high + 0.5).floor().min(self.size[axis]).max(0.0) as u16;
        }
        (!reach.is_empty()).then_some(reach)
    }
}

/// Own axes as columns of the matrix of a quaternion w, x, y, z; `None` when it has no direction.
#[inline(always)]
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
