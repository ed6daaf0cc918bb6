//! Where the pixels of one resized line fall in the line they come from.
//!
//! Owns the table for linear interpolation (SPEC §5). Always: both neighbours of a spot are
//! inside.

use crate::vision::resize::spot_inside;

/// For each pixel, its left (upper) neighbour and the share of the one after it.
#[derive(Debug, Clone)]
pub(super) struct Spots {
    pub(super) first: Vec<u32>,
    pub(super) share: Vec<f32>,
}

impl Spots {
    /// `from` pixels, at least 2, resized to `to`.
    pub(super) fn of(from: usize, to: usize) -> Self {
        let last = from - 1;
        let inside = |i: usize| {
            let spot = spot_inside(i, from, to);
            // The last pixel by itself is all of the pair that ends with it.
            let first = spot.first as usize;
            if first >= last { (last as u32 - 1, 1.0) } else { (first as u32, spot.fraction) }
        };
        let (first, share) = (0..to).map(inside).unzip();
        Self { first, share }
    }
}
