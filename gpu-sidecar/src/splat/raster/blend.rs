//! Blending: a tile's list of splats becomes its pixels, front to back.
//!
//! Owns the inner loop: a row of a tile is a vector of 16. Knows no cloud and no other tile.

use std::f32::consts::LN_2;
use std::sync::atomic::{AtomicU32, Ordering};

use super::project::Splat;
use super::{ALPHA_MAX, THROUGH_MIN, TILE};
use crate::vision::simd::{mul_add, per_isa};

/// log2 of `ALPHA_MIN`.
pub(super) const PEAK_MIN: f32 = -7.994_353_4;
/// Splats between two looks at which rows are finished.
const LOOK_INTERVAL: usize = 16;

/// One value for each pixel of a tile.
type Lanes = [f32; TILE];

/// A tile in the making, then made.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
pub(super) struct TilePixels {
    /// Linear.
    pub(super) red: [Lanes; TILE],
    pub(super) green: [Lanes; TILE],
    pub(super) blue: [Lanes; TILE],
    /// Metres.
    pub(super) depth: [Lanes; TILE],
    /// How much light still passes; negative where the pixel is finished.
    pub(super) through: [Lanes; TILE],
}

per_isa! {
    /// Draws a tile anew: the splats of `list`, near to far. `corner` is its first pixel (x, y).
    pub(super) fn blend_tile = blend_tile_body(
        tile: &mut TilePixels,
        splats: &[Splat],
        list: &[AtomicU32],
        corner: [u32; 2],
    )
}

#[inline(always)]
fn blend_tile_body<const FMA: bool>(
    tile: &mut TilePixels,
    splats: &[Splat],
    list: &[AtomicU32],
    corner: [u32; 2],
) {
    *tile = TilePixels { through: [[1.0; TILE]; TILE], ..TilePixels::default() };
    let [left, top] = corner;
    let mut live = [true; TILE];
    for part in list.chunks(LOOK_INTERVAL) {
        for number in part {
            let splat = &splats[number.load(Ordering::Relaxed) as usize];
            let [_, first] = splat.reach.first.map(u32::from);
            let [_, end] = splat.reach.end.map(u32::from);
            let rows = first.saturating_sub(top) as usize..(end - top).min(TILE as u32) as usize;
            for row in rows {
                if live[row] {
                    blend_row::<FMA>(tile, splat, row, [left as f32, (top + row as u32) as f32]);
                }
            }
        }
        for (live, through) in live.iter_mut().zip(&tile.through) {
            *live = through.iter().any(|&through| through > 0.0);
        }
        if live == [false; TILE] {
            return;
        }
    }
}

/// Blends one splat into one row, whose first pixel is `corner`.
#[inline(always)]
fn blend_row<const FMA: bool>(tile: &mut TilePixels, splat: &Splat, row: usize, corner: [f32; 2]) {
    let dy = corner[1] + 0.5 - splat.center[1];
    let u = dy * splat.rate_y;
    let peak = splat.peak - u * u;
    // The middle of the row's first pixel, from the middle of the ellipse's row.
    let dx = corner[0] + 0.5 - splat.center[0] - dy * splat.slope;
    let gap = dx.max(-dx - (TILE - 1) as f32).max(0.0) * splat.rate_x;
    if peak - gap * gap < PEAK_MIN {
        return;
    }
    let mut weights = [0.0; TILE];
    let through = &mut tile.through[row];
    for x in 0..TILE {
        let v = mul_add::<FMA>(x as f32, splat.rate_x, dx * splat.rate_x);
        let exponent = mul_add::<FMA>(-v, v, peak);
        let alpha = exp2::<FMA>(exponent.max(PEAK_MIN)).min(ALPHA_MAX);
        let before = through[x];
        let after = mul_add::<FMA>(-alpha, before, before);
        let covers = exponent >= PEAK_MIN;
        let blends = covers & (after > THROUGH_MIN);
        let unblended = if covers { -before.abs() } else { before };
        weights[x] = if blends { alpha * before } else { 0.0 };
        through[x] = if blends { after } else { unblended };
    }
    let [red, green, blue] = splat.color;
    add::<FMA>(&mut tile.red[row], &weights, red);
    add::<FMA>(&mut tile.green[row], &weights, green);
    add::<FMA>(&mut tile.blue[row], &weights, blue);
    add::<FMA>(&mut tile.depth[row], &weights, splat.depth);
}

#[inline(always)]
fn add<const FMA: bool>(sums: &mut Lanes, weights: &Lanes, value: f32) {
    for (sum, &weight) in sums.iter_mut().zip(weights) {
        *sum = mul_add::<FMA>(weight, value, *sum);
    }
}

/// 2^`x` for x from -126 to 0, off by at most 3e-7 of it: the whole part goes to the exponent, the
/// rest through the polynomial that meets 2^f in the six Chebyshev nodes of |f| <= 1/2.
#[inline(always)]
fn exp2<const FMA: bool>(x: f32) -> f32 {
    // Adding it rounds to whole numbers and leaves them in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x + ROUND;
    let f = x - (rounded - ROUND);
    let mut power = 0.001_339_086_3;
    for coefficient in [0.009_676_032, 0.055_503_573, 0.240_221_07, LN_2, 1.000_000_1] {
        power = mul_add::<FMA>(power, f, coefficient);
    }
    f32::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_off_by_less_than_three_in_ten_million() {
        for step in 0..=126_000u32 {
            let x = -(step as f32) / 1000.0;
            let exact = f64::from(x).exp2();
            for got in [exp2::<false>(x), exp2::<true>(x)] {
                let off = (f64::from(got) - exact).abs() / exact;
                assert!(off < 3e-7, "2^{x}: {got}, off by {off:e}");
            }
        }
    }

    #[test]
    fn the_least_peak_is_the_least_alpha() {
        assert!((PEAK_MIN - super::super::ALPHA_MIN.log2()).abs() < 1e-6);
    }
}
