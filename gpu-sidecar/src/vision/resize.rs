//! Resizing: linear and area, f32 and u8 (SPEC §5).
//!
//! Owns how a destination pixel maps to source pixels. Knows one channel; colour and flow go
//! through `Plane::per_channel`. u8 results are exact; their loops are in `bytes`.

mod along;
mod bytes;
#[cfg(test)]
mod plain;

use super::border::replicate;
use super::error::{VisionError, require};
use super::plane::Plane;
use super::simd::Isa;
use super::threads::Threads;

/// Weights of the u8 form are whole numbers of 2⁻¹¹.
const FIXED_ONE: f32 = 2048.0;
/// A source pixel that a cell covers by no more than this does not count.
const OVERLAP_MIN: f64 = 1e-3;

/// A new size. Both sides are at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    pub(crate) fn check(self) -> Result<(), VisionError> {
        require(self.width > 0, "width", "at least 1")?;
        require(self.height > 0, "height", "at least 1")
    }

    fn check_shrinks(self, from: (usize, usize)) -> Result<(), VisionError> {
        self.check()?;
        if self.width > from.0 || self.height > from.1 {
            return Err(VisionError::Enlarges { from, to: (self.width, self.height) });
        }
        Ok(())
    }
}

/// Where a destination coordinate falls: between `first` and `first + 1`, `fraction` of the way.
pub(super) struct Spot {
    pub(super) first: isize,
    pub(super) fraction: f32,
}

/// The spot of destination `i` when `from` pixels become `to`: `(i + ½)·from/to − ½`.
fn spot(i: usize, from: usize, to: usize) -> Spot {
    // Rounded to f32 before the floor, as the portable build of OpenCV does.
    let at = ((i as f64 + 0.5) * (from as f64 / to as f64) - 0.5) as f32;
    let first = at.floor();
    Spot { first: first as isize, fraction: at - first }
}

/// As `spot`, but on the edge pixel itself when it falls outside the image.
pub(super) fn spot_inside(i: usize, from: usize, to: usize) -> Spot {
    let spot = spot(i, from, to);
    if spot.first < 0 {
        return Spot { first: 0, fraction: 0.0 };
    }
    if spot.first >= from as isize - 1 {
        return Spot { first: from as isize - 1, fraction: 0.0 };
    }
    spot
}

/// Linear interpolation of a f32 plane; enlarges or shrinks (without averaging).
/// # Errors
/// `Parameter` when a side of `size` is 0.
pub fn linear_f32(image: &Plane<f32>, size: Size) -> Result<Plane<f32>, VisionError> {
    size.check()?;
    let (width, height) = image.size();
    if (width, height) == (size.width, size.height) {
        return Ok(image.clone());
    }
    let columns: Vec<Spot> = (0..size.width).map(|x| spot_inside(x, width, size.width)).collect();
    let lerp = |a: f32, b: f32, fraction: f32| a * (1.0 - fraction) + b * fraction;
    Ok(Plane::from_rows(size.width, size.height, |y, out| {
        let at = spot_inside(y, height, size.height);
        let upper = image.row(at.first as usize);
        let lower = image.row(replicate(at.first + 1, height));
        for (to, column) in out.iter_mut().zip(&columns) {
            let (left, right) = (column.first as usize, replicate(column.first + 1, width));
            let above = lerp(upper[left], upper[right], column.fraction);
            let below = lerp(lower[left], lower[right], column.fraction);
            *to = lerp(above, below, at.fraction);
        }
    }))
}

/// Weights `(1 − fraction, fraction)` as whole numbers of 2⁻¹¹.
fn fixed_weights(fraction: f32) -> (i32, i32) {
    let fixed = |weight: f32| (weight * FIXED_ONE).round_ties_even() as i32;
    (fixed(1.0 - fraction), fixed(fraction))
}

/// Linear interpolation of a u8 plane in fixed point. Exactly half the size in both directions
/// is the mean of 2×2 pixels instead.
/// # Errors
/// `Parameter` when a side of `size` is 0.
pub fn linear_u8(image: &Plane<u8>, size: Size) -> Result<Plane<u8>, VisionError> {
    let mut out = Plane::pixel();
    linear_u8_into(image, size, Threads::Pool, &mut out)?;
    Ok(out)
}

/// As [`linear_u8`], on the threads that are named; `out` takes the size.
/// # Errors
/// As `linear_u8`.
pub fn linear_u8_into(
    image: &Plane<u8>,
    size: Size,
    threads: Threads,
    out: &mut Plane<u8>,
) -> Result<(), VisionError> {
    size.check()?;
    out.reshape(size.width, size.height);
    if image.size() == (2 * size.width, 2 * size.height) {
        bytes::halve(Isa::best(), image, threads, out);
    } else {
        bytes::linear(Isa::best(), image, threads, out);
    }
    Ok(())
}

/// Area averaging of a f32 plane; only shrinks.
/// # Errors
/// `Parameter` when a side of `size` is 0; `Enlarges` when one is longer than the image's.
pub fn area_f32(image: &Plane<f32>, size: Size) -> Result<Plane<f32>, VisionError> {
    area(image, size, |value| value)
}

/// Area averaging of a u8 plane, rounded half to even (2×2 pixels: half up); only shrinks.
/// # Errors
/// As `area_f32`.
pub fn area_u8(image: &Plane<u8>, size: Size) -> Result<Plane<u8>, VisionError> {
    let mut out = Plane::pixel();
    area_u8_into(image, size, Threads::Pool, &mut out)?;
    Ok(out)
}

/// As [`area_u8`], on the threads that are named; `out` takes the size.
/// # Errors
/// As `area_f32`.
pub fn area_u8_into(
    image: &Plane<u8>,
    size: Size,
    threads: Threads,
    out: &mut Plane<u8>,
) -> Result<(), VisionError> {
    size.check_shrinks(image.size())?;
    out.reshape(size.width, size.height);
    let isa = Isa::best();
    let (width, height) = image.size();
    if (width, height) == (2 * size.width, 2 * size.height) {
        bytes::halve(isa, image, threads, out);
    } else if bytes::has_whole_blocks((width, height), size) {
        bytes::blocks(isa, image, threads, out);
    } else if width.is_multiple_of(size.width) && height.is_multiple_of(size.height) {
        // Sums past 2²⁴ depend on their order: the definition's.
        let wide = image.map(f32::from);
        *out = area(&wide, size, |mean| mean.round_ties_even().clamp(0.0, 255.0) as u8)?;
    } else {
        bytes::cells(isa, image, threads, out);
    }
    Ok(())
}

/// The definition of area averaging; `finish` rounds the f32 mean to the pixel type.
fn area<T: Copy + Default + Send + Sync>(
    image: &Plane<f32>,
    size: Size,
    finish: impl Fn(f32) -> T + Sync + Send,
) -> Result<Plane<T>, VisionError> {
    size.check_shrinks(image.size())?;
    let (width, height) = image.size();
    if width.is_multiple_of(size.width) && height.is_multiple_of(size.height) {
        return Ok(blocks(image, size, finish));
    }
    let columns: Vec<Cell> = (0..size.width).map(|x| Cell::new(x, width, size.width)).collect();
    Ok(Plane::from_rows(size.width, size.height, |y, out| {
        let rows = Cell::new(y, height, size.height);
        for (to, cell) in out.iter_mut().zip(&columns) {
            *to = finish(rows.mean(|y| cell.mean(|x| image.row(y)[x])));
        }
    }))
}

/// Whole ratios: the sum of each block, row by row in f32, times the reciprocal of its area.
fn blocks<T: Copy + Default + Send + Sync>(
    image: &Plane<f32>,
    size: Size,
    finish: impl Fn(f32) -> T + Sync + Send,
) -> Plane<T> {
    let (across, down) = (image.width() / size.width, image.height() / size.height);
    let share = 1.0 / (across * down) as f32;
    Plane::from_rows(size.width, size.height, |y, out| {
        for (x, to) in out.iter_mut().enumerate() {
            let rows = (y * down..(y + 1) * down).map(|y| &image.row(y)[x * across..][..across]);
            *to = finish(rows.flatten().sum::<f32>() * share);
        }
    })
}

/// The source pixels under one destination pixel along one axis, and their shares.
struct Cell {
    first: usize,
    weights: Vec<f32>,
}

impl Cell {
    /// Cell `i` covers `[i·q, (i+1)·q)` with `q = from/to`, clipped to the image.
    fn new(i: usize, from: usize, to: usize) -> Self {
        let q = from as f64 / to as f64;
        let start = i as f64 * q;
        let end = (start + q).min(from as f64);
        let length = q.min(from as f64 - start);
        let mut cell = Self { first: start as usize, weights: Vec::new() };
        for pixel in start as usize..(end.ceil() as usize).min(from) {
            let overlap = (pixel as f64 + 1.0).min(end) - (pixel as f64).max(start);
            if overlap > OVERLAP_MIN {
                cell.weights.push((overlap / length) as f32);
            } else if cell.weights.is_empty() {
                cell.first = pixel + 1;
            }
        }
        cell
    }

    /// The weighted sum of `sample` over the cell, in f32 and in order.
    fn mean(&self, sample: impl Fn(usize) -> f32) -> f32 {
        let shares = self.weights.iter().enumerate();
        shares.fold(0.0, |sum, (k, weight)| sum + weight * sample(self.first + k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::threads::on_three;

    fn size(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        for (width, height) in [(1, 1), (2, 2), (7, 5)] {
            let data: Vec<u8> = (0..width * height).map(|i| (i * 37 % 256) as u8).collect();
            let image = Plane::new(width, height, data).expect("fits");
            let same = size(width, height);
            assert_eq!(linear_u8(&image, same).expect("a size"), image);
            assert_eq!(area_u8(&image, same).expect("a size"), image);
            let wide = image.map(f32::from);
            assert_eq!(linear_f32(&wide, same).expect("a size"), wide);
            assert_eq!(area_f32(&wide, same).expect("a size"), wide);
        }
    }

    #[test]
    fn one_pixel_fills_any_size() {
        let pixel = Plane::new(1, 1, vec![201u8]).expect("1 x 1");
        let large = linear_u8(&pixel, size(9, 4)).expect("a size");
        assert!(large.data().iter().all(|&v| v == 201));
        let large = linear_f32(&pixel.map(f32::from), size(3, 8)).expect("a size");
        assert!(large.data().iter().all(|&v| v == 201.0));
    }

    #[test]
    fn linear_enlarging_interpolates_between_pixel_centres() {
        let pair = Plane::new(2, 1, vec![0.0, 8.0]).expect("2 x 1");
        let four = linear_f32(&pair, size(4, 1)).expect("a size");
        assert_eq!(four.data(), [0.0, 2.0, 6.0, 8.0]);
    }

    #[test]
    fn area_weighs_pixels_by_their_overlap() {
        let row = Plane::new(3, 1, vec![3.0, 6.0, 9.0]).expect("3 x 1");
        let two = area_f32(&row, size(2, 1)).expect("a size");
        // Each half covers one pixel and half of the middle one.
        assert!((two.data()[0] - 4.0).abs() < 1e-5 && (two.data()[1] - 8.0).abs() < 1e-5);
        let halves = Plane::new(2, 2, vec![0u8, 1, 1, 0]).expect("2 x 2");
        assert_eq!(area_u8(&halves, size(1, 1)).expect("a size").data(), [1]);
        let wide = Plane::new(4, 1, vec![0u8, 1, 1, 0]).expect("4 x 1");
        assert_eq!(area_u8(&wide, size(1, 1)).expect("a size").data(), [0]);
    }

    #[test]
    fn bytes_are_their_definition_on_any_processor_and_any_number_of_threads() {
        let sizes = [(1, 1), (1, 9), (9, 1), (3, 3), (40, 30), (67, 101), (128, 96)];
        let mut got = Plane::pixel();
        for (width, height) in sizes {
            let samples = (0..width * height).map(|i| (i * i * 31 % 251) as u8).collect();
            let image = Plane::new(width, height, samples).expect("fits");
            for (to_width, to_height) in sizes.into_iter().chain([(64, 48), (20, 10), (5, 77)]) {
                let to = size(to_width, to_height);
                let what = format!("{width} x {height} to {to:?}");
                got.reshape(to_width, to_height);
                let is_half = (width, height) == (2 * to_width, 2 * to_height);
                for (isa, threads) in
                    Isa::available().flat_map(|isa| [(isa, Threads::Pool), (isa, Threads::This)])
                {
                    if !is_half {
                        on_three(|| bytes::linear(isa, &image, threads, &mut got));
                        assert_eq!(got, plain::linear(&image, to), "{what} {isa:?}");
                    }
                    if to_width > width || to_height > height {
                        continue;
                    }
                    on_three(|| match (is_half, bytes::has_whole_blocks(image.size(), to)) {
                        (true, _) => bytes::halve(isa, &image, threads, &mut got),
                        (_, true) => bytes::blocks(isa, &image, threads, &mut got),
                        _ => bytes::cells(isa, &image, threads, &mut got),
                    });
                    assert_eq!(got, plain::area(&image, to), "{what} {isa:?}");
                }
            }
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let image = Plane::new(2, 2, vec![0u8; 4]).expect("2 x 2");
        assert!(matches!(linear_u8(&image, size(0, 1)), Err(VisionError::Parameter { .. })));
        assert!(matches!(area_u8(&image, size(0, 0)), Err(VisionError::Parameter { .. })));
        assert!(matches!(area_u8(&image, size(3, 1)), Err(VisionError::Enlarges { .. })));
    }
}
