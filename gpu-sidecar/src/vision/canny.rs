//! Canny edges of gray and colour pictures (SPEC §3).
//!
//! Owns gradient, thinning and hysteresis. Knows 8-bit samples. The result is exact and does not
//! depend on the order in which edges are followed. No blur comes first: blur before, or not.
//! Start at [`Canny`], which keeps its memory from frame to frame; `plain` is the definition. In
//! order: `gradient` and `thin` work on three rows at a time, `follow` on the whole picture.

mod bits;
mod detector;
mod follow;
mod gradient;
#[cfg(test)]
mod plain;
mod thin;
#[cfg(target_arch = "x86_64")]
mod thin_avx512;

use serde::{Deserialize, Serialize};

use super::error::{VisionError, require};
use super::plane::Plane;
use super::threads::Threads;
pub use detector::Canny;

/// What counts as an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CannyParams {
    /// Gradient above which a pixel continues an edge. The larger of the two is taken for `high`.
    #[schemars(range(min = 0.0))]
    pub low: f64,
    /// Gradient above which a pixel starts an edge.
    #[schemars(range(min = 0.0))]
    pub high: f64,
    /// Side of the Sobel kernel: 3, 5 or 7. Gradients, and so thresholds, grow with it.
    #[schemars(extend("enum" = [3, 5, 7]))]
    pub aperture: u32,
    /// Measures the gradient as √(dx² + dy²) instead of |dx| + |dy|.
    pub l2: bool,
}

impl Default for CannyParams {
    fn default() -> Self {
        Self { low: 15.0, high: 60.0, aperture: 3, l2: false }
    }
}

impl CannyParams {
    /// # Errors
    /// `Parameter` names the first field outside its range.
    pub fn check(&self) -> Result<(), VisionError> {
        let allowed = "a number of at least 0";
        require(self.low.is_finite() && self.low >= 0.0, "low", allowed)?;
        require(self.high.is_finite() && self.high >= 0.0, "high", allowed)?;
        require(matches!(self.aperture, 3 | 5 | 7), "aperture", "3, 5 or 7")
    }

    /// Whole thresholds `(low, high)` on magnitudes: L1, or the square of L2.
    pub(crate) fn thresholds(&self) -> (i32, i32) {
        let whole = |threshold: f64| {
            // Aperture 7 has gradients of a sixteenth; L2 magnitudes are squares.
            let scaled = if self.aperture == 7 { threshold / 16.0 } else { threshold };
            let measured = if self.l2 { scaled.min(32767.0).powi(2) } else { scaled };
            measured.floor() as i32
        };
        (whole(self.low.min(self.high)), whole(self.low.max(self.high)))
    }
}

/// Edges of a gray picture: 255 on an edge, else 0; same size.
/// # Errors
/// `Parameter` when a field is outside its range.
pub fn canny(gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, VisionError> {
    let mut out = Plane::pixel();
    Canny::new(params)?.run(gray, Threads::Pool, &mut out);
    Ok(out)
}

/// Edges of a picture of blue, green, red pixels: at each pixel the channel with the largest
/// gradient counts, the first of them when several are equal. Not the edges of its gray version.
/// # Errors
/// `Parameter` when a field is outside its range.
pub fn canny_color(image: &Plane<[u8; 3]>, params: &CannyParams) -> Result<Plane<u8>, VisionError> {
    let mut out = Plane::pixel();
    Canny::new(params)?.run_color(image, Threads::Pool, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests;
