//! Dense optical flow after Farnebäck (SPEC §2), as OpenCV's CPU version computes it.
//!
//! Owns the parameters and [`Expansion`], the part of the work that belongs to one frame and
//! serves both of its pairs. Knows gray planes at their own scale, 0 to 255; the regulariser 1e-3
//! is absolute. Always: y comes before x in the coefficients, x before y in a flow. Each step is
//! there twice: plainly over whole planes (`pyramid`, `expansion`, `matrices`, `window`, joined
//! by `plain`), and row by row in vectors (`scale_rows`, `expand_rows`, `matrix_rows`,
//! `window_rows`, joined by `sweep`), which the goldens and `agreement` hold to the former.
//! Start at [`Farneback`].

pub(crate) mod expansion;
pub(crate) mod matrices;
pub(crate) mod plain;
pub(crate) mod pyramid;
pub(crate) mod window;

mod expand_rows;
mod lines;
mod matrix_rows;
mod scale_rows;
mod spots;
pub(crate) mod stages;
mod start_rows;
mod sweep;
mod window_rows;
mod workspace;

use serde::{Deserialize, Serialize};

use super::error::{VisionError, require};
use super::plane::Plane;
use lines::Lines;
use pyramid::Level;

pub(crate) use scale_rows::Frame;
pub use workspace::Farneback;

/// Smallest side of a frame: below it OpenCV's border weights misbehave (SPEC §2.3).
pub const SIDE_MIN: usize = 10;
/// Most scales besides the original; each halves the frame by default, so 16 is any frame.
pub const LEVELS_MAX: u32 = 16;
/// Range of the window's side: below 3 the system has no unique solution.
pub const WINSIZE_MIN: u32 = 3;
/// Largest window: the work per pixel grows with it.
pub const WINSIZE_MAX: u32 = 255;
/// Most iterations per scale: the work grows with them.
pub const ITERATIONS_MAX: u32 = 50;
/// Widest polynomial weight: past it the window of `poly_n` is flat.
pub const POLY_SIGMA_MAX: f64 = 10.0;

/// How the matrices around a pixel are averaged.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// Every pixel alike.
    #[default]
    Box,
    /// A Gaussian: smoother, slower.
    Gaussian,
}

/// How optical flow is computed; the names are OpenCV's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FarnebackParams {
    /// Size of a scale relative to the next finer one; more than 0, less than 1.
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub pyr_scale: f64,
    /// Scales besides the original. Those with a side under 32 pixels are left out.
    #[schemars(range(min = 0, max = LEVELS_MAX))]
    pub levels: u32,
    /// Side of the averaging window, pixels. Larger follows faster motion and blurs more.
    #[schemars(range(min = WINSIZE_MIN, max = WINSIZE_MAX))]
    pub winsize: u32,
    /// Refinements per scale.
    #[schemars(range(min = 1, max = ITERATIONS_MAX))]
    pub iterations: u32,
    /// Pixels to each side that a polynomial is fitted to: 5 or 7.
    #[schemars(extend("enum" = [5, 7]))]
    pub poly_n: u32,
    /// Gaussian weight of that fit, pixels: 1.2 suits 5, 1.5 suits 7; 0 means 0.3·`poly_n`.
    #[schemars(range(min = 0.0, max = POLY_SIGMA_MAX))]
    pub poly_sigma: f64,
    /// How matrices are averaged over the window.
    pub window: Window,
}

impl Default for FarnebackParams {
    fn default() -> Self {
        Self {
            pyr_scale: 0.5,
            levels: 3,
            winsize: 15,
            iterations: 3,
            poly_n: 5,
            poly_sigma: 1.2,
            window: Window::Box,
        }
    }
}

impl FarnebackParams {
    /// # Errors
    /// `Parameter` names the first field outside its range.
    pub fn check(&self) -> Result<(), VisionError> {
        let scale = self.pyr_scale > 0.0 && self.pyr_scale < 1.0;
        require(scale, "pyr_scale", "more than 0 and less than 1")?;
        require(self.levels <= LEVELS_MAX, "levels", "from 0 to 16")?;
        let sides = WINSIZE_MIN..=WINSIZE_MAX;
        require(sides.contains(&self.winsize), "winsize", "from 3 to 255")?;
        let iterations = 1..=ITERATIONS_MAX;
        require(iterations.contains(&self.iterations), "iterations", "from 1 to 50")?;
        require(matches!(self.poly_n, 5 | 7), "poly_n", "5 or 7")?;
        let sigmas = 0.0..=POLY_SIGMA_MAX;
        require(sigmas.contains(&self.poly_sigma), "poly_sigma", "from 0 to 10")
    }

    /// Whether an expansion made for `self` is the one `other` would make.
    fn expands_like(&self, other: &Self) -> bool {
        self.pyr_scale == other.pyr_scale
            && self.levels == other.levels
            && self.poly_n == other.poly_n
            && self.poly_sigma == other.poly_sigma
    }
}

/// The polynomials of one frame at every scale: make it once, use it with the frame before and
/// with the frame after. About 27 bytes per pixel at the default parameters.
#[derive(Debug, Clone)]
pub struct Expansion {
    params: FarnebackParams,
    /// Scale k and the coefficients of the frame at that scale, five lines a row; k = 0 first.
    levels: Vec<(Level, Lines)>,
}

impl Expansion {
    /// Expands a gray frame of 0 to 255 on the current thread pool.
    /// # Errors
    /// `Parameter` when a field is outside its range; `TooSmall` below 10 pixels.
    pub fn of(frame: &Plane<u8>, params: &FarnebackParams) -> Result<Self, VisionError> {
        let mut workspace = workspace_for(frame.size(), params)?;
        let mut expansion = workspace.expansion();
        workspace.expand(frame, &mut expansion)?;
        Ok(expansion)
    }

    /// As `of`, for a frame of f32 samples on the same scale.
    /// # Errors
    /// As `of`.
    pub fn of_f32(frame: &Plane<f32>, params: &FarnebackParams) -> Result<Self, VisionError> {
        let mut workspace = workspace_for(frame.size(), params)?;
        let mut expansion = workspace.expansion();
        workspace.expand_f32(frame, &mut expansion)?;
        Ok(expansion)
    }

    /// Width and height of the frame.
    pub fn size(&self) -> (usize, usize) {
        (self.levels[0].0.width, self.levels[0].0.height)
    }
}

/// The motion from `prev` to `next`: `(H, W)` of (x, y) in pixels; `initial`, of the same size,
/// is where the search starts (zero when absent). Many pairs are faster with one [`Farneback`].
/// # Errors
/// `Parameter`; `SizesDiffer`; `OtherExpansion` when a frame was expanded with other parameters.
pub fn flow_between(
    prev: &Expansion,
    next: &Expansion,
    params: &FarnebackParams,
    initial: Option<&Plane<[f32; 2]>>,
) -> Result<Plane<[f32; 2]>, VisionError> {
    let mut workspace = workspace_for(prev.size(), params)?;
    let (width, height) = prev.size();
    let mut flow = Plane::new(width, height, vec![[0f32; 2]; width * height])?;
    workspace.flow((prev, next), initial, &mut flow)?;
    Ok(flow)
}

/// The motion between two gray frames that belong to no other pair.
/// # Errors
/// As [`Expansion::of`] and [`flow_between`].
pub fn flow(
    prev: &Plane<u8>,
    next: &Plane<u8>,
    params: &FarnebackParams,
    initial: Option<&Plane<[f32; 2]>>,
) -> Result<Plane<[f32; 2]>, VisionError> {
    prev.same_size(next)?;
    let (prev, next) = (Expansion::of(prev, params)?, Expansion::of(next, params)?);
    flow_between(&prev, &next, params, initial)
}

/// A workspace for frames of a size that uses every thread of the current pool.
fn workspace_for(
    (width, height): (usize, usize),
    params: &FarnebackParams,
) -> Result<Farneback, VisionError> {
    Ok(Farneback::new(params, width, height)?.on_threads(rayon::current_num_threads()))
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
