//! Resizing: linear and area, f32 and u8 (SPEC §5).
//!
//! Owns how a destination pixel maps to source pixels. Knows one channel; colour and flow go
//! through `Plane::per_channel`. u8 results are exact.

use super::border::replicate;
use super::error::{VisionError, require};
use super::plane::Plane;

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
    fn check(self) -> Result<(), VisionError> {
        require(self.width > 0, "width", "at least 1")?;
        require(self.height > 0, "height", "at least 1")
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
    size.check()?;
    let (width, height) = image.size();
    if width == 2 * size.width && height == 2 * size.height {
        return area_u8(image, size);
    }
    let columns: Vec<Spot> = (0..size.width).map(|x| spot_inside(x, width, size.width)).collect();
    let across = |row: &[u8], column: &Spot| {
        let (w0, w1) = fixed_weights(column.fraction);
        let left = i32::from(row[column.first as usize]);
        let right = i32::from(row[replicate(column.first + 1, width)]);
        w0 * left + w1 * right
    };
    Ok(Plane::from_rows(size.width, size.height, |y, out| {
        // Downwards the fraction stays at the edges and the rows are clamped instead.
        let at = spot(y, height, size.height);
        let (w0, w1) = fixed_weights(at.fraction);
        let upper = image.row(replicate(at.first, height));
        let lower = image.row(replicate(at.first + 1, height));
        for (to, column) in out.iter_mut().zip(&columns) {
            let above = (w0 * (across(upper, column) >> 4)) >> 16;
            let below = (w1 * (across(lower, column) >> 4)) >> 16;
            *to = ((above + below + 2) >> 2).clamp(0, 255) as u8;
        }
    }))
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
    let (width, height) = image.size();
    if width == 2 * size.width && height == 2 * size.height {
        return Ok(halve_u8(image));
    }
    let wide = image.map(f32::from);
    area(&wide, size, |value| value.round_ties_even().clamp(0.0, 255.0) as u8)
}

/// The mean of each 2×2 pixels, rounded half up. Both sides of `image` are even.
fn halve_u8(image: &Plane<u8>) -> Plane<u8> {
    Plane::from_rows(image.width() / 2, image.height() / 2, |y, out| {
        let (upper, lower) = (image.row(2 * y), image.row(2 * y + 1));
        for (x, to) in out.iter_mut().enumerate() {
            let four = [upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]];
            *to = ((four.map(u32::from).iter().sum::<u32>() + 2) >> 2) as u8;
        }
    })
}

/// The definition of area averaging; `finish` rounds the f32 mean to the pixel type.
fn area<T: Copy + Default + Send + Sync>(
    image: &Plane<f32>,
    size: Size,
    finish: impl Fn(f32) -> T + Sync + Send,
) -> Result<Plane<T>, VisionError> {
    size.check()?;
    let (width, height) = image.size();
    if size.width > width || size.height > height {
        return Err(VisionError::Enlarges { from: image.size(), to: (size.width, size.height) });
    }
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
    fn impossible_sizes_are_refused() {
        let image = Plane::new(2, 2, vec![0u8; 4]).expect("2 x 2");
        assert!(matches!(linear_u8(&image, size(0, 1)), Err(VisionError::Parameter { .. })));
        assert!(matches!(area_u8(&image, size(0, 0)), Err(VisionError::Parameter { .. })));
        assert!(matches!(area_u8(&image, size(3, 1)), Err(VisionError::Enlarges { .. })));
    }
}
