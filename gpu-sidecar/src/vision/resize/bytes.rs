//! Resizing of 8-bit planes: source rows first, each once, then rows with one another.
//!
//! Owns the fixed-point and the averaging walks of `linear_u8` and `area_u8`; where a destination
//! pixel falls is said in `resize`. A stripe of destination rows keeps the last source rows it has
//! worked on, because two neighbours need the same. `plain` is the definition.

use rayon::prelude::*;

use super::along::Columns;
use super::{Cell, Size, fixed_weights, spot};
use crate::vision::border::replicate;
use crate::vision::plane::Plane;
use crate::vision::simd::{Isa, per_isa};
use crate::vision::threads::Threads;

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 32;

/// Calls `stripe` with the first row and the rows of each part of `out`.
fn in_stripes(
    threads: Threads,
    out: &mut Plane<u8>,
    stripe: impl Fn(usize, std::slice::ChunksMut<'_, u8>) + Sync,
) {
    let (width, height) = out.size();
    let rows = threads.stripe_rows(height, STRIPE_ROWS_MIN);
    if rows == height {
        return stripe(0, out.data_mut().chunks_mut(width));
    }
    let parts = out.data_mut().par_chunks_mut(rows * width).enumerate();
    parts.for_each(|(i, part)| stripe(i * rows, part.chunks_mut(width)));
}

/// Linear interpolation in fixed point; `out` has its size already.
pub(super) fn linear(isa: Isa, image: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
    let (width, height) = image.size();
    let (to_width, to_height) = out.size();
    let columns = Columns::new(width, to_width);
    in_stripes(threads, out, |first, rows| {
        let mut room = columns.room();
        // The two source rows, after the walk along them; which ones is written beside them.
        let mut kept = [(usize::MAX, vec![0i16; to_width]), (usize::MAX, vec![0i16; to_width])];
        for (y, out) in (first..).zip(rows) {
            // Downwards the fraction stays at the edges and the rows are clamped instead.
            let at = spot(y, height, to_height);
            let (upper, lower) = (replicate(at.first, height), replicate(at.first + 1, height));
            if kept[1].0 == upper {
                kept.swap(0, 1);
            }
            for (kept, source) in kept.iter_mut().zip([upper, lower]) {
                if kept.0 != source {
                    columns.walk(isa, image.row(source), &mut room, &mut kept.1);
                    kept.0 = source;
                }
            }
            let (w0, w1) = fixed_weights(at.fraction);
            blend(isa, [&kept[0].1, &kept[1].1], [w0 as i16, w1 as i16], out);
        }
    });
}

per_isa! {
    /// Two rows by weights of 2⁻¹¹, each cut to units of ¼ before they are added.
    fn blend = blend_body(rows: [&[i16]; 2], weights: [i16; 2], out: &mut [u8])
}

#[inline(always)]
fn blend_body<const FMA: bool>(rows: [&[i16]; 2], weights: [i16; 2], out: &mut [u8]) {
    let length = out.len();
    let (upper, lower) = (&rows[0][..length], &rows[1][..length]);
    let share =
        |value: i16, weight: i16| (i32::from(value).wrapping_mul(i32::from(weight)) >> 16) as i16;
    for x in 0..length {
        let sum = share(upper[x], weights[0]).wrapping_add(share(lower[x], weights[1]));
        out[x] = (sum.wrapping_add(2) >> 2).clamp(0, 255) as u8;
    }
}

/// The mean of each 2×2 pixels, rounded half up; `out` has half the size.
pub(super) fn halve(isa: Isa, image: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
    in_stripes(threads, out, |first, rows| {
        for (y, out) in (first..).zip(rows) {
            halve_row(isa, [image.row(2 * y), image.row(2 * y + 1)], out);
        }
    });
}

per_isa! {
    fn halve_row = halve_row_body(rows: [&[u8]; 2], out: &mut [u8])
}

#[inline(always)]
fn halve_row_body<const FMA: bool>(rows: [&[u8]; 2], out: &mut [u8]) {
    let [upper, lower] = rows.map(|row| row.as_chunks::<2>().0);
    for ((out, upper), lower) in out.iter_mut().zip(upper).zip(lower) {
        let four = [upper[0], upper[1], lower[0], lower[1]].map(u16::from);
        let sum = four[0].wrapping_add(four[1]).wrapping_add(four[2].wrapping_add(four[3]));
        *out = (sum.wrapping_add(2) >> 2) as u8;
    }
}

/// A ratio is whole in both directions, and no block's sum leaves the whole numbers of f32.
pub(super) fn has_whole_blocks((width, height): (usize, usize), size: Size) -> bool {
    /// 2²⁴ / 255.
    const BLOCK_MAX: usize = 65_793;
    width.is_multiple_of(size.width)
        && height.is_multiple_of(size.height)
        && (width / size.width) * (height / size.height) <= BLOCK_MAX
}

/// The mean of each block, rounded half to even; `out` has its size already. The sums are whole
/// and exact in f32, so their order does not matter.
pub(super) fn blocks(isa: Isa, image: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
    let (width, height) = image.size();
    let (across, down) = (width / out.width(), height / out.height());
    let share = 1.0 / (across * down) as f32;
    in_stripes(threads, out, |first, rows| {
        let mut sums = vec![0u32; width];
        for (y, out) in (first..).zip(rows) {
            sums.fill(0);
            for source in y * down..(y + 1) * down {
                add(isa, image.row(source), &mut sums);
            }
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(across)) {
                *out = rounded(sums.iter().sum::<u32>() as f32 * share);
            }
        }
    });
}

per_isa! {
    fn add = add_body(row: &[u8], sums: &mut [u32])
}

#[inline(always)]
fn add_body<const FMA: bool>(row: &[u8], sums: &mut [u32]) {
    for (sum, &sample) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(u32::from(sample));
    }
}

fn rounded(mean: f32) -> u8 {
    mean.round_ties_even().clamp(0.0, 255.0) as u8
}

/// Averages by overlap, rounded half to even; `out` has its size already. Sums are f32 and taken
/// in the definition's order: along a row first, then row by row.
pub(super) fn cells(isa: Isa, image: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
    let (width, height) = image.size();
    let (to_width, to_height) = out.size();
    let columns: Vec<Cell> = (0..to_width).map(|x| Cell::new(x, width, to_width)).collect();
    in_stripes(threads, out, |first, rows| {
        // The last row of one cell is often the first of the next.
        let mut kept = usize::MAX;
        let (mut means, mut sums) = (vec![0f32; to_width], vec![0f32; to_width]);
        for (y, out) in (first..).zip(rows) {
            let cell = Cell::new(y, height, to_height);
            sums.fill(0.0);
            for (source, &weight) in (cell.first..).zip(&cell.weights) {
                if kept != source {
                    let row = image.row(source);
                    for (mean, column) in means.iter_mut().zip(&columns) {
                        *mean = column.mean(|x| f32::from(row[x]));
                    }
                    kept = source;
                }
                add_weighted(isa, weight, &means, &mut sums);
            }
            round(isa, &sums, out);
        }
    });
}

per_isa! {
    fn add_weighted = add_weighted_body(weight: f32, row: &[f32], sums: &mut [f32])
}

per_isa! {
    fn round = round_body(means: &[f32], out: &mut [u8])
}

#[inline(always)]
fn add_weighted_body<const FMA: bool>(weight: f32, row: &[f32], sums: &mut [f32]) {
    // Two roundings, as the definition has.
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum += weight * value;
    }
}

#[inline(always)]
fn round_body<const FMA: bool>(means: &[f32], out: &mut [u8]) {
    for (out, &mean) in out.iter_mut().zip(means) {
        *out = rounded(mean);
    }
}
