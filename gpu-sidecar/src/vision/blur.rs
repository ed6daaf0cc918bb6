//! Gaussian blur of f32 planes (SPEC §2.1).
//!
//! Owns the weights and the separable pass: rows, then columns, in f32, border reflect-101.

use super::border::reflect_101;
use super::plane::Plane;

/// Symmetric weights that sum to 1; an odd number of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Taps(Vec<f32>);

impl Taps {
    /// `exp(−x² / 2σ²)` at the 2·radius + 1 whole x around 0, normalised in f64; `sigma` is
    /// more than 0.
    pub fn gaussian(radius: usize, sigma: f64) -> Self {
        let x = |i: usize| i as f64 - radius as f64;
        let raw = (0..=2 * radius).map(|i| (-x(i) * x(i) / (2.0 * sigma * sigma)).exp());
        let sum: f64 = raw.clone().sum();
        Self(raw.map(|w| (w / sum) as f32).collect())
    }

    /// `[¼ ½ ¼]`: what OpenCV takes for three taps when no sigma is given.
    pub fn quarters() -> Self {
        Self(vec![0.25, 0.5, 0.25])
    }

    /// Pixels to each side of the middle.
    pub fn radius(&self) -> usize {
        self.0.len() / 2
    }

    /// The weights from −radius to radius.
    pub fn weights(&self) -> &[f32] {
        &self.0
    }
}

/// `image` `(H, W)` averaged with `taps` along rows, then along columns; same size.
pub fn blur(image: &Plane<f32>, taps: &Taps) -> Plane<f32> {
    let (width, height) = image.size();
    let radius = taps.radius();
    let padded = || vec![0f32; width + 2 * radius];
    let across = Plane::from_rows_with(width, height, padded, |padded, y, out| {
        let row = image.row(y);
        for (i, sample) in padded.iter_mut().enumerate() {
            *sample = row[reflect_101(i as isize - radius as isize, width)];
        }
        let shifted: Vec<&[f32]> = (0..=2 * radius).map(|k| &padded[k..][..width]).collect();
        sum_taps(out, &shifted, taps.weights());
    });
    Plane::from_rows(width, height, |y, out| {
        let from = |k: usize| reflect_101((y + k) as isize - radius as isize, height);
        let rows: Vec<&[f32]> = (0..=2 * radius).map(|k| across.row(from(k))).collect();
        sum_taps(out, &rows, taps.weights());
    })
}

/// `sums[i] = Σ weights[k] · rows[k][i]`, added in the order of k. Rows are as long as `sums`.
pub(crate) fn sum_taps(sums: &mut [f32], rows: &[&[f32]], weights: &[f32]) {
    /// Sums that are kept in registers while the taps pass by.
    const BLOCK: usize = 16;
    let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK;
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut kept = [0f32; BLOCK];
        for (row, &weight) in rows.iter().zip(weights) {
            for (sum, &sample) in kept.iter_mut().zip(&row[i * BLOCK..][..BLOCK]) {
                *sum += weight * sample;
            }
        }
        *block = kept;
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        let taps = rows.iter().zip(weights);
        *sum = taps.fold(0.0, |sum, (row, &weight)| sum + weight * row[done + i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_symmetric_and_sum_to_one() {
        for (radius, sigma) in [(1, 0.5), (4, 1.5), (9, 3.5), (1, 0.01)] {
            let taps = Taps::gaussian(radius, sigma);
            assert_eq!(taps.radius(), radius);
            let sum: f64 = taps.weights().iter().map(|&w| f64::from(w)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            assert_eq!(taps.weights()[0], taps.weights()[2 * radius]);
        }
    }

    #[test]
    fn a_flat_plane_stays_flat_even_under_a_wider_kernel() {
        for (width, height) in [(1, 1), (2, 2), (3, 7), (20, 1)] {
            let flat = Plane::from_rows(width, height, |_, row| row.fill(93.0));
            let blurred = blur(&flat, &Taps::gaussian(9, 3.5));
            assert!(blurred.data().iter().all(|v| (v - 93.0).abs() < 1e-4));
        }
    }

    #[test]
    fn the_edge_pixel_is_not_repeated() {
        let row = Plane::new(3, 1, vec![4.0, 8.0, 0.0]).expect("3 x 1");
        assert_eq!(blur(&row, &Taps::quarters()).data(), [6.0, 5.0, 4.0]);
    }
}
