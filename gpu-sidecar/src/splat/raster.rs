//! The rasteriser: a cloud and a camera become a picture, on the CPU.
//!
//! Owns the classic splatting of 3D Gaussians (Kerbl et al. 2023, after Zwicker et al. 2001, "EWA
//! volume splatting"): each covariance is projected to first order at its centre (`project.rs`),
//! splats are listed tile by tile from near to far (`bins.rs`), and every tile blends its list
//! front to back (`blend.rs`). `plain.rs` is the definition. Knows no file and no video.
//! Always: the picture does not depend on the number of threads. Start at [`Rasteriser::render`].
//!
//! Departures from upstream's renderer: a linear sample becomes a byte by rounding, not by
//! truncation; the support of a splat is where it passes 1/255, without a second bound.

mod bins;
mod blend;
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
use bins::Bins;
use blend::{TilePixels, blend_tile};
use project::{Lens, Splat};

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
/// Most Gaussians of a cloud: 14 times SHARP's. Bounds the memory of a render to 1.3 GB.
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
    splats: Vec<Splat>,
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
        lens.project(cloud, &mut self.splats);
        cancel.check()?;
        let (width, height) = camera.size();
        let across = width.div_ceil(TILE);
        self.bins.count(&self.splats, (across, height.div_ceil(TILE)));
        self.tiles.resize_with(across * height.div_ceil(TILE), TilePixels::default);
        let isa = Isa::best();
        let splats = &self.splats;
        let mut first = 0;
        while first < self.tiles.len() {
            let batch = self.bins.fill(splats, first);
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
        let byte = |linear: f32| curve[(linear.clamp(0.0, 1.0) * CURVE_LAST + 0.5) as usize];
        self.plane(|tile, y, x| {
            [byte(tile.red[y][x]), byte(tile.green[y][x]), byte(tile.blue[y][x])]
        })
    }

    fn plane<T: Copy + Default + Send + Sync>(
        &self,
        pixel: impl Fn(&TilePixels, usize, usize) -> T + Sync + Send,
    ) -> Plane<T> {
        let (width, height) = self.size;
        let across = width.div_ceil(TILE);
        Plane::from_rows(width, height, |y, row| {
            let tiles = &self.tiles[y / TILE * across..];
            for (tile, pixels) in tiles.iter().zip(row.chunks_mut(TILE)) {
                for (x, to) in pixels.iter_mut().enumerate() {
                    *to = pixel(tile, y % TILE, x);
                }
            }
        })
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
