//! Sharpness of a gray frame: the variance of its Laplacian (SPEC §6).
//!
//! Owns the figure frame selection compares. Sums are whole numbers, so the result is exact up
//! to its last division.

use rayon::prelude::*;

use super::laplacian::{self, Neighbours};
use super::plane::Plane;
use super::simd::{Isa, per_isa};
use super::threads::Threads;

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 64;

/// Variance over all pixels of `[0 1 0; 1 −4 1; 0 1 0]`, border reflect-101; squared gray levels.
pub fn laplacian_variance(gray: &Plane<u8>) -> f64 {
    variance(gray, Threads::Pool)
}

/// As [`laplacian_variance`], on the threads that are named.
pub fn variance(gray: &Plane<u8>, threads: Threads) -> f64 {
    variance_on(Isa::best(), gray, threads)
}

fn variance_on(isa: Isa, gray: &Plane<u8>, threads: Threads) -> f64 {
    let (width, height) = gray.size();
    let rows = threads.stripe_rows(height, STRIPE_ROWS_MIN);
    let stripe = |i: usize| {
        let mut values = vec![0i16; width];
        (i * rows..height.min((i + 1) * rows)).fold((0i64, 0i64), |total, y| {
            laplacian::row(isa, (gray, y), Neighbours::Direct, &mut values);
            plus(total, sums(isa, &values))
        })
    };
    let (sum, squares) = match height.div_ceil(rows) {
        1 => stripe(0),
        stripes => (0..stripes).into_par_iter().map(stripe).reduce(|| (0, 0), plus),
    };
    let count = gray.data().len() as i128;
    // Var = (n·Σv² − (Σv)²) / n²; the numerator is exact.
    let numerator = count * i128::from(squares) - i128::from(sum) * i128::from(sum);
    numerator as f64 / (count as f64 * count as f64)
}

fn plus(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0 + b.0, a.1 + b.1)
}

per_isa! {
    /// Sum and sum of squares of values within ±1020.
    fn sums = sums_body(values: &[i16]) -> (i64, i64)
}

#[inline(always)]
fn sums_body<const FMA: bool>(values: &[i16]) -> (i64, i64) {
    /// 1020² · 2048 stays below 2³¹.
    const PART: usize = 2048;
    let mut total = (0i64, 0i64);
    for part in values.chunks(PART) {
        let (mut sum, mut squares) = (0i32, 0i32);
        for &value in part {
            let value = i32::from(value);
            sum = sum.wrapping_add(value);
            squares = squares.wrapping_add(value.wrapping_mul(value));
        }
        total = (total.0 + i64::from(sum), total.1 + i64::from(squares));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::border::reflect_101;
    use crate::vision::threads::on_three;

    /// The definition, pixel by pixel, in whole numbers up to the last division.
    fn plain(gray: &Plane<u8>) -> f64 {
        let (width, height) = gray.size();
        let (mut sum, mut squares) = (0i64, 0i64);
        for y in 0..height as isize {
            for x in 0..width as isize {
                let at = |dx, dy| {
                    i64::from(gray.row(reflect_101(y + dy, height))[reflect_101(x + dx, width)])
                };
                let value = at(0, -1) + at(0, 1) + at(-1, 0) + at(1, 0) - 4 * at(0, 0);
                sum += value;
                squares += value * value;
            }
        }
        let count = (width * height) as f64;
        (count as i64 * squares - sum * sum) as f64 / (count * count)
    }

    #[test]
    fn it_is_its_definition_on_any_processor_and_any_number_of_threads() {
        for (width, height) in [(1, 1), (2, 1), (1, 9), (3, 3), (67, 201), (4500, 3)] {
            let sample = |i: usize| if i.is_multiple_of(7) { 255 } else { (i * i * 31 % 5) as u8 };
            let samples = (0..width * height).map(sample).collect();
            let gray = Plane::new(width, height, samples).expect("fits");
            for isa in Isa::available() {
                for threads in [Threads::Pool, Threads::This] {
                    let got = on_three(|| variance_on(isa, &gray, threads));
                    assert_eq!(got, plain(&gray), "{width} x {height} {isa:?}");
                }
            }
        }
    }

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
