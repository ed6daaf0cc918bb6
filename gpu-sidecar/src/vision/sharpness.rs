//! Sharpness of a gray frame: the variance of its Laplacian (SPEC §6).
//!
//! Owns the figure frame selection compares. Sums are whole numbers, so the result is exact up
//! to its last division.

use rayon::prelude::*;

use super::border::reflect_101;
use super::plane::Plane;

/// Variance over all pixels of `[0 1 0; 1 −4 1; 0 1 0]`, border reflect-101; squared gray levels.
pub fn laplacian_variance(gray: &Plane<u8>) -> f64 {
    let (sum, squares) = (0..gray.height())
        .into_par_iter()
        .map(|y| row_sums(gray, y))
        .reduce(|| (0i64, 0i64), |a, b| (a.0 + b.0, a.1 + b.1));
    let count = gray.data().len() as i128;
    // Var = (n·Σv² − (Σv)²) / n²; the numerator is exact.
    let numerator = count * i128::from(squares) - i128::from(sum) * i128::from(sum);
    numerator as f64 / (count as f64 * count as f64)
}

/// Sum and sum of squares of the Laplacian over row `y`; each value is within ±1020.
fn row_sums(gray: &Plane<u8>, y: usize) -> (i64, i64) {
    let (width, height) = gray.size();
    let above = gray.row(reflect_101(y as isize - 1, height));
    let below = gray.row(reflect_101(y as isize + 1, height));
    let row = gray.row(y);
    let mut sums = (0i64, 0i64);
    for x in 0..width {
        let left = row[reflect_101(x as isize - 1, width)];
        let right = row[reflect_101(x as isize + 1, width)];
        let around = [above[x], below[x], left, right].map(i64::from);
        let value = around.iter().sum::<i64>() - 4 * i64::from(row[x]);
        sums.0 += value;
        sums.1 += value * value;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_frames_are_not_sharp_and_a_dot_is() {
        for (width, height) in [(1, 1), (2, 2), (5, 3)] {
            let flat = Plane::new(width, height, vec![77u8; width * height]).expect("fits");
            assert_eq!(laplacian_variance(&flat), 0.0);
        }
        let mut data = vec![0u8; 25];
        data[12] = 1;
        let dot = Plane::new(5, 5, data).expect("5 x 5");
        // One −4 and four 1: the mean is 0 and the squares sum to 20.
        assert_eq!(laplacian_variance(&dot), 20.0 / 25.0);
    }

    #[test]
    fn the_border_is_mirrored_without_the_edge_pixel() {
        let row = Plane::new(2, 1, vec![0u8, 3]).expect("2 x 1");
        // 6 and −6: up and down stay on the row, left and right both reach the other pixel.
        assert_eq!(laplacian_variance(&row), 36.0);
    }
}
