//! How much a flow moves: mean and largest motion (SPEC §6).
//!
//! Owns the two figures a client reads. Knows flows; not how they were computed. Always: rows are
//! summed by themselves and added in row order, so that no digit depends on the threads.

use rayon::prelude::*;
use serde::Serialize;

use super::plane::Plane;
use super::simd::{Isa, per_isa};

/// Vectors that are summed side by side.
const LANES: usize = 16;

/// Length of the motion vectors of one flow, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Motion {
    /// Mean over all pixels.
    pub mean_px: f64,
    /// The longest.
    pub max_px: f64,
}

/// The lengths of a part of a row: their sum and the longest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MotionSums {
    sum: f64,
    max: f32,
}

impl MotionSums {
    /// Adds the vectors (dx, dy).
    pub(crate) fn add(&mut self, isa: Isa, dx: &[f32], dy: &[f32]) {
        let (sum, max) = lengths(isa, dx, dy);
        (self.sum, self.max) = (self.sum + sum, self.max.max(max));
    }
}

impl Motion {
    /// The figures of a flow of `pixels` vectors from the sums of its rows, in order.
    pub(crate) fn of(rows: &[MotionSums], pixels: usize) -> Self {
        let sum: f64 = rows.iter().map(|row| row.sum).sum();
        let max = rows.iter().fold(0f32, |max, row| max.max(row.max));
        Self { mean_px: sum / pixels as f64, max_px: f64::from(max) }
    }
}

/// Statistics of a flow `(H, W)` of (x, y), pixels; lengths in f32, sums in f64.
pub fn motion(flow: &Plane<[f32; 2]>) -> Motion {
    let isa = Isa::best();
    let rows: Vec<MotionSums> = flow
        .data()
        .par_chunks(flow.width())
        .map_init(
            || (vec![0f32; flow.width()], vec![0f32; flow.width()]),
            |(dx, dy), row| {
                for ((dx, dy), &vector) in dx.iter_mut().zip(dy.iter_mut()).zip(row) {
                    [*dx, *dy] = vector;
                }
                let mut sums = MotionSums::default();
                sums.add(isa, dx, dy);
                sums
            },
        )
        .collect();
    Motion::of(&rows, flow.data().len())
}

per_isa! {
    /// Sum and maximum of the lengths of (dx, dy).
    fn lengths = lengths_body(dx: &[f32], dy: &[f32]) -> (f64, f32)
}

#[inline(always)]
fn lengths_body<const FMA: bool>(dx: &[f32], dy: &[f32]) -> (f64, f32) {
    let (mut sums, mut longest) = ([0f64; LANES], [0f32; LANES]);
    // Without fused operations, so that all instruction sets agree to the last digit.
    let length = |x: f32, y: f32| (x * x + y * y).sqrt();
    let (x_blocks, x_rest) = dx.as_chunks::<LANES>();
    let (y_blocks, y_rest) = dy.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for i in 0..LANES {
            let length = length(x[i], y[i]);
            sums[i] += f64::from(length);
            longest[i] = if length > longest[i] { length } else { longest[i] };
        }
    }
    for (i, (&x, &y)) in x_rest.iter().zip(y_rest).enumerate() {
        let length = length(x, y);
        sums[i] += f64::from(length);
        longest[i] = longest[i].max(length);
    }
    (sums.iter().sum(), longest.iter().fold(0.0, |max, &length| max.max(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_longest_motion_are_lengths() {
        let flow = Plane::new(2, 1, vec![[3.0, -4.0], [0.0, 1.0]]).expect("2 x 1");
        assert_eq!(motion(&flow), Motion { mean_px: 3.0, max_px: 5.0 });
        let still = Plane::new(1, 1, vec![[0.0, 0.0]]).expect("1 x 1");
        assert_eq!(motion(&still), Motion { mean_px: 0.0, max_px: 0.0 });
    }
}
