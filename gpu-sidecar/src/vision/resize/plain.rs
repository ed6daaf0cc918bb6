//! The definition of resizing 8-bit planes, pixel by pixel.
//!
//! What the fast forms are tested against; the goldens check both.

use super::{Cell, Size, fixed_weights, spot, spot_inside};
use crate::vision::border::replicate;
use crate::vision::plane::Plane;

/// Linear interpolation in fixed point.
pub(super) fn linear(image: &Plane<u8>, size: Size) -> Plane<u8> {
    let (width, height) = image.size();
    if width == 2 * size.width && height == 2 * size.height {
        return halve(image);
    }
    let across = |row: &[u8], x: usize| {
        let column = spot_inside(x, width, size.width);
        let (w0, w1) = fixed_weights(column.fraction);
        let left = i32::from(row[column.first as usize]);
        let right = i32::from(row[replicate(column.first + 1, width)]);
        w0 * left + w1 * right
    };
    Plane::from_rows(size.width, size.height, |y, out| {
        let at = spot(y, height, size.height);
        let (w0, w1) = fixed_weights(at.fraction);
        let upper = image.row(replicate(at.first, height));
        let lower = image.row(replicate(at.first + 1, height));
        for (x, to) in out.iter_mut().enumerate() {
            let above = (w0 * (across(upper, x) >> 4)) >> 16;
            let below = (w1 * (across(lower, x) >> 4)) >> 16;
            *to = ((above + below + 2) >> 2).clamp(0, 255) as u8;
        }
    })
}

/// Area averaging; `size` is not larger.
pub(super) fn area(image: &Plane<u8>, size: Size) -> Plane<u8> {
    let (width, height) = image.size();
    if width == 2 * size.width && height == 2 * size.height {
        return halve(image);
    }
    let rounded = |mean: f32| mean.round_ties_even().clamp(0.0, 255.0) as u8;
    let whole = width.is_multiple_of(size.width) && height.is_multiple_of(size.height);
    let (across, down) = (width / size.width, height / size.height);
    let share = 1.0 / (across * down) as f32;
    Plane::from_rows(size.width, size.height, |y, out| {
        for (x, to) in out.iter_mut().enumerate() {
            let sample = |x: usize, y: usize| f32::from(image.row(y)[x]);
            *to = rounded(if whole {
                let rows = y * down..(y + 1) * down;
                let cells = rows.flat_map(|y| (x * across..(x + 1) * across).map(move |x| (x, y)));
                cells.map(|(x, y)| sample(x, y)).sum::<f32>() * share
            } else {
                let (rows, columns) =
                    (Cell::new(y, height, size.height), Cell::new(x, width, size.width));
                rows.mean(|y| columns.mean(|x| sample(x, y)))
            });
        }
    })
}

fn halve(image: &Plane<u8>) -> Plane<u8> {
    Plane::from_rows(image.width() / 2, image.height() / 2, |y, out| {
        let (upper, lower) = (image.row(2 * y), image.row(2 * y + 1));
        for (x, to) in out.iter_mut().enumerate() {
            let four = [upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]];
            *to = ((four.map(u32::from).iter().sum::<u32>() + 2) >> 2) as u8;
        }
    })
}
