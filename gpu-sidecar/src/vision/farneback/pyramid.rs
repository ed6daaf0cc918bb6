//! The scales of a frame (SPEC §2.1).
//!
//! Owns how many there are, their sizes, and the blurred and shrunk image of each. Every scale
//! starts from the original frame, not from the scale before it.

use super::FarnebackParams;
use crate::vision::blur::{Taps, blur};
use crate::vision::error::VisionError;
use crate::vision::plane::Plane;
use crate::vision::resize;

/// A scale is left out, with all coarser ones, when a side would be shorter than this.
const SIDE_MIN: f64 = 32.0;

/// One scale of the pyramid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    /// Its size relative to the original: `pyr_scale` to the power of k.
    pub(crate) scale: f64,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Width and height of the original frame.
    pub(crate) original: (usize, usize),
}

/// The scales from the original (k = 0) to the coarsest.
pub(crate) fn levels(width: usize, height: usize, params: &FarnebackParams) -> Vec<Level> {
    let original = (width, height);
    let mut levels = vec![Level { scale: 1.0, width, height, original }];
    let mut scale = 1.0;
    for _ in 0..params.levels {
        scale *= params.pyr_scale;
        let (width, height) = (width as f64 * scale, height as f64 * scale);
        if width < SIDE_MIN || height < SIDE_MIN {
            break;
        }
        let whole = |side: f64| side.round_ties_even() as usize;
        levels.push(Level { scale, width: whole(width), height: whole(height), original });
    }
    levels
}

/// The weights of the blur that precedes the resizing to `level`.
pub(crate) fn taps(level: &Level) -> Taps {
    let sigma = (1.0 / level.scale - 1.0) / 2.0;
    if sigma == 0.0 {
        // The original is blurred too.
        return Taps::quarters();
    }
    let count = ((5.0 * sigma).round_ties_even() as usize | 1).max(3);
    Taps::gaussian(count / 2, sigma)
}

/// The original frame, blurred for `level` and resized to it by linear interpolation.
pub(crate) fn image(frame: &Plane<f32>, level: &Level) -> Result<Plane<f32>, VisionError> {
    let size = resize::Size { width: level.width, height: level.height };
    resize::linear_f32(&blur(frame, &taps(level)), size)
}
