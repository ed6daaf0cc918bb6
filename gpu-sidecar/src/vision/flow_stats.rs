//! How much a flow moves: mean and largest motion (SPEC §6).
//!
//! Owns the two figures a client reads. Knows flows; not how they were computed.

use rayon::prelude::*;
use serde::Serialize;

use super::plane::Plane;

/// Length of the motion vectors of one flow, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Motion {
    /// Mean over all pixels.
    pub mean_px: f64,
    /// The longest.
    pub max_px: f64,
}

/// Statistics of a flow `(H, W)` of (x, y), pixels; sums in f64.
pub fn motion(flow: &Plane<[f32; 2]>) -> Motion {
    let rows: Vec<(f64, f64)> = flow
        .data()
        .par_chunks(flow.width())
        .map(|row| {
            let lengths = row.iter().map(|&[x, y]| f64::from(x).hypot(f64::from(y)));
            lengths.fold((0.0, 0.0), |(sum, max), length| (sum + length, length.max(max)))
        })
        .collect();
    // In row order, so that the last digits do not depend on the threads.
    let sum: f64 = rows.iter().map(|row| row.0).sum();
    let max_px = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    Motion { mean_px: sum / flow.data().len() as f64, max_px }
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
