//! Averaging over the window and the solution of the 2×2 system (SPEC §2.4).
//!
//! Owns the window's weights. Sums are direct, never running: running sums in f32 lose the flat
//! regions (SPEC §2.5).

use super::{FarnebackParams, Window};
use crate::vision::blur::sum_taps;
use crate::vision::border::replicate;
use crate::vision::plane::Plane;

/// Keeps flat regions solvable. Absolute, which is why frames are 0 to 255 and not 0 to 1.
pub(super) const REGULARISER: f64 = 1e-3;
/// Terms of a matrix.
const TERMS: usize = 5;

/// Weights of the separable window over −m..=m, and what its sum is multiplied with.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) line: Vec<f32>,
    pub(crate) share: f64,
    pub(super) window: Window,
}

impl Weights {
    pub(crate) fn of(params: &FarnebackParams) -> Self {
        let m = (params.winsize / 2) as usize;
        match params.window {
            // An even window sums one more pixel than it divides by; OpenCV does so.
            Window::Box => Self {
                line: vec![1.0; 2 * m + 1],
                share: 1.0 / f64::from(params.winsize * params.winsize),
                window: Window::Box,
            },
            Window::Gaussian => {
                let sigma = 0.3 * m as f64;
                let x = |i: usize| i as f64 - m as f64;
                let raw = |i: usize| (-x(i) * x(i) / (2.0 * sigma * sigma)).exp();
                let sum: f64 = (0..=2 * m).map(raw).sum();
                let line = (0..=2 * m).map(|i| (raw(i) / sum) as f32).collect();
                Self { line, share: 1.0, window: Window::Gaussian }
            }
        }
    }

    /// Pixels to each side of the middle.
    pub(super) fn m(&self) -> usize {
        self.line.len() / 2
    }
}

impl Weights {
    /// The regulariser for sums that are not multiplied with `share`: the solution of sums of
    /// weight 1/`share` is that of the averages when it grows with the square.
    pub(super) fn regulariser_of_sums(&self) -> f32 {
        (REGULARISER / (self.share * self.share)) as f32
    }
}

/// Averages `matrices` `(h, w, 5)` over the window, borders replicated, and solves for the flow.
pub(crate) fn solve(matrices: &Plane<[f32; 5]>, weights: &Weights) -> Plane<[f32; 2]> {
    let (width, height) = matrices.size();
    let m = weights.m();
    let scratch = || (vec![[0f32; TERMS]; width + 2 * m], vec![[0f32; TERMS]; width]);
    Plane::from_rows_with(width, height, scratch, |(columns, sums), y, out| {
        let from = |k: usize| replicate((y + k) as isize - m as isize, height);
        let rows: Vec<&[f32]> = (0..=2 * m).map(|k| matrices.row(from(k)).as_flattened()).collect();
        sum_taps(columns[m..m + width].as_flattened_mut(), &rows, &weights.line);
        let (first, last) = (columns[m], columns[m + width - 1]);
        columns[..m].fill(first);
        columns[m + width..].fill(last);
        let shifted: Vec<&[f32]> =
            (0..=2 * m).map(|k| columns[k..k + width].as_flattened()).collect();
        sum_taps(sums.as_flattened_mut(), &shifted, &weights.line);
        for (vector, sum) in out.iter_mut().zip(sums) {
            *vector = solution(sum.map(|term| f64::from(term) * weights.share));
        }
    })
}

/// The motion (x, y) that the averaged `[g11, g12, g22, h1, h2]` stand for.
fn solution([g11, g12, g22, h1, h2]: [f64; 5]) -> [f32; 2] {
    let scale = 1.0 / (g11 * g22 - g12 * g12 + REGULARISER);
    [((g11 * h2 - g12 * h1) * scale) as f32, ((g22 * h1 - g12 * h2) * scale) as f32]
}
