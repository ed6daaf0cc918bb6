//! The rasteriser: a cloud and a camera become a picture, on the CPU.
//!
//! Owns the classic splatting of 3D Gaussians (Kerbl et al. 2023, after Zwicker et al. 2001, "EWA
//! volume splatting"): each covariance is projected to first order at its centre (`project.rs`),
//! splats are sorted from near to far (`order.rs`) and
//! listed tile by tile (`bins.rs`), and every tile blends its list
//! front to back (`blend.rs`). `plain.rs` is the definition. Knows no file and no video.
//! Always: the picture does not depend on the number of threads. Start at [`Rasteriser::render`].
//!
//! Departures from upstream's renderer: a linear sample becomes a byte by rounding, not by
//! truncation; the support of a splat is where it passes 1/255, without a second bound.

mod bins;
mod blend;
mod order;
#[cfg(test)]
mod plain;
mod project;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use rayon::prelude::*;

use super::Gaussians;
use super::camera::Camera;
use crate::media::Frame;
use crate::pipeline::{Cancel, RunError};
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;
use bins::{Bins, PAIRS_MAX};
use blend::{TilePixels, blend_tile};
use order::Order;
use project::{Lens, Projected};

/// Rows and columns of a tile: a row of a tile is one vector of 64 bytes.
const TILE: usize = 16;
/// Splats whose centre is nearer are not drawn, metres. A hand's breadth would be too far: close-up
/// photos begin there.
const NEAR: f64 = 0.01;
/// The most that one splat covers, so that something behind it still shows.
const ALPHA_MAX: f32 = 0.99;
/// A splat that covers less of a pixel leaves it as it is.
const ALPHA_MIN: f32 = 1.0 / 255.0;
/// A pixel is finished before less than this would pass through it.
const THROUGH_MIN: f32 = 1e-4;
/// Most Gaussians of a cloud: 14 times SHARP's. Bounds a render's memory to 1.5 GB and 20 bytes a
/// pixel.
pub const CLOUD_MAX: usize = 1 << 24;

/// How a cloud is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    /// Variance in pixels² that every projected covariance is widened by, at least 0. 0 is
    /// upstream's; 0.3 is what clouds expect that were trained with a low-pass filter.
    pub low_pass: f32,
}

/// Draws clouds, one after the other, in memory that it keeps from picture to picture.
#[derive(Debug, Default)]
pub struct Rasteriser {
    settings: Settings,
    projected: Projected,
    order: Order,
    bins: Bins,
    tiles: Vec<TilePixels>,
}

/// What a camera saw; valid until the next render.
#[derive(Debug)]
pub struct Rendered<'a> {
    size: (usize, usize),
    tiles: &'a [TilePixels],
}

impl Rasteriser {
    /// One that draws like this.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Draws `cloud` on black, on the rayon pool that the caller is in. Gaussians that are not
    /// finite, of no opacity, of no area or not before the camera are left out.
    ///
    /// # Errors
    /// `Input` for more than [`CLOUD_MAX`] Gaussians or attribute lists of different lengths;
    /// `Canceled` or `Resource` when `cancel` says so, which is noticed from tile to tile.
    pub fn render(
        &mut self,
        cloud: &Gaussians,
        camera: &Camera,
        cancel: &Cancel,
    ) -> Result<Rendered<'_>, RunError> {
        check(cloud)?;
        let lens = Lens::new(camera, self.settings.low_pass);
        lens.project(cloud, &mut self.projected, &mut self.order.keys);
        cancel.check()?;
        let order = self.order.sort();
        let Projected { splats, reaches } = &self.projected;
        let (width, height) = camera.size();
        let (across, down) = (width.div_ceil(TILE), height.div_ceil(TILE));
        self.bins.count(order, reaches, (across, down));
        self.tiles.resize_with(across * down, TilePixels::default);
        let isa = Isa::best();
        let mut first = 0;
        while first < self.tiles.len() {
            let batch = self.bins.fill(order, first, PAIRS_MAX);
            let tiles = &mut self.tiles[first..][..batch.len()];
            tiles.par_iter_mut().enumerate().try_for_each(|(index, tile)| {
                let number = first + index;
                let corner = [(number % across * TILE) as u32, (number / across * TILE) as u32];
                blend_tile(isa, tile, splats, batch.list(index), corner);
                cancel.check()
            })?;
            first += batch.len();
        }
        Ok(Rendered { size: camera.size(), tiles: &self.tiles })
    }
}

fn check(cloud: &Gaussians) -> Result<(), RunError> {
    let count = cloud.len();
    if count > CLOUD_MAX {
        let detail = format!("{count} Gaussians; {CLOUD_MAX} at most are drawn");
        return Err(RunError::input("cloud_too_large", "", detail));
    }
    let lists =
        [cloud.scales.len(), cloud.rotations.len(), cloud.colors.len(), cloud.opacities.len()];
    if lists.iter().any(|&length| length != count) {
        let detail = format!("{count} centres, but {lists:?} of the other attributes");
        return Err(RunError::input("cloud_invalid", "", detail));
    }
    Ok(())
}

impl Rendered<'_> {
    /// `(height, width)` of linear red, green, blue, blended on black; not clamped.
    #[must_use]
    pub fn color(&self) -> Plane<[f32; 3]> {
        self.plane(|tile, y, x| [tile.red[y][x], tile.green[y][x], tile.blue[y][x]])
    }

    /// `(height, width)`: how much of a pixel is covered, 0 to 1.
    #[must_use]
    pub fn alpha(&self) -> Plane<f32> {
        self.plane(|tile, y, x| 1.0 - tile.through[y][x].abs())
    }

    /// `(height, width)`: the depths of the splats, metres, each by its share of the pixel. Divided
    /// by alpha it is the mean depth.
    #[must_use]
    pub fn depth(&self) -> Plane<f32> {
        self.plane(|tile, y, x| tile.depth[y][x])
    }

    /// As sRGB bytes; what lies outside 0 to 1 is clipped.
    #[must_use]
    pub fn picture(&self) -> Frame {
        let curve = &*CURVE;
        // A cast clips what is below 0.
        let byte = |linear: f32| curve[usize::from((linear.min(1.0) * CURVE_LAST + 0.5) as u16)];
        self.plane(|tile, y, x| {
            [byte(tile.red[y][x]), byte(tile.green[y][x]), byte(tile.blue[y][x])]
        })
    }

    fn plane<T: Copy + Default + Send + Sync>(
        &self,
        pixel: impl Fn(&TilePixels, usize, usize) -> T + Sync + Send,
    ) -> Plane<T> {
        let (width, height) = self.size;
        let mut data = vec![T::default(); width * height];
        // Tile by tile, because the rows of one lie together.
        data.par_chunks_mut(width * TILE)
            .zip(self.tiles.par_chunks(width.div_ceil(TILE)))
            .for_each(|(band, tiles)| {
                for (tile, left) in tiles.iter().zip((0..width).step_by(TILE)) {
                    for (y, row) in band.chunks_mut(width).enumerate() {
                        let end = (left + TILE).min(width);
                        for (x, to) in row[left..end].iter_mut().enumerate() {
                            *to = pixel(tile, y, x);
                        }
                    }
                }
            });
        Plane::new(width, height, data).expect("a camera's screen has pixels")
    }
}

/// The last place of [`CURVE`]. Where the curve is steepest, a step is a twentieth of a byte's.
const CURVE_LAST: f32 = 65_535.0;
/// sRGB's byte of a linear sample from 0 to 1.
static CURVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let byte = |place: u16| {
        let linear = f64::from(place) / f64::from(CURVE_LAST);
        let curved = if linear <= 0.003_130_8 {
            12.92 * linear
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * curved).round() as u8
    };
    (0..=u16::MAX).map(byte).collect()
});
