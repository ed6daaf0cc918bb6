//! The definition of erosion and dilation: the least or largest value under the kernel.
//!
//! What every faster form is tested against.

use super::{Kernel, Operation};
use crate::vision::plane::Plane;

/// `operation` with `kernel`, each half repeated `iterations` times.
pub(crate) fn apply(
    image: &Plane<u8>,
    operation: Operation,
    kernel: &Kernel,
    iterations: u32,
) -> Plane<u8> {
    let erode = |image: &Plane<u8>| repeat(image, iterations, |image| erode(image, kernel));
    let dilate = |image: &Plane<u8>| repeat(image, iterations, |image| dilate(image, kernel));
    match operation {
        Operation::Erode => erode(image),
        Operation::Dilate => dilate(image),
        Operation::Open => dilate(&erode(image)),
        Operation::Close => erode(&dilate(image)),
        Operation::Gradient => dilate(image).zip_map(&erode(image), u8::saturating_sub),
        Operation::TopHat => image.zip_map(&dilate(&erode(image)), u8::saturating_sub),
        Operation::BlackHat => erode(&dilate(image)).zip_map(image, u8::saturating_sub),
    }
}

fn repeat(image: &Plane<u8>, iterations: u32, step: impl Fn(&Plane<u8>) -> Plane<u8>) -> Plane<u8> {
    let first = step(image);
    (1..iterations).fold(first, |image, _| step(&image))
}

/// The least value under the kernel; 255 where all of it lies outside.
pub(crate) fn erode(image: &Plane<u8>, kernel: &Kernel) -> Plane<u8> {
    extremes(image, kernel, u8::MAX, u8::min)
}

/// The largest value under the kernel, which is not mirrored; 0 where all of it lies outside.
pub(crate) fn dilate(image: &Plane<u8>, kernel: &Kernel) -> Plane<u8> {
    extremes(image, kernel, u8::MIN, u8::max)
}

/// `pick` over the pixels under the kernel, from `neutral`.
fn extremes(
    image: &Plane<u8>,
    kernel: &Kernel,
    neutral: u8,
    pick: impl Fn(u8, u8) -> u8 + Sync + Send,
) -> Plane<u8> {
    let (width, height) = image.size();
    let (anchor_x, anchor_y) = (kernel.anchor.0 as isize, kernel.anchor.1 as isize);
    Plane::from_rows(width, height, |y, out| {
        out.fill(neutral);
        for (i, _) in kernel.cells.iter().enumerate().filter(|&(_, &counts)| counts) {
            let dx = (i % kernel.width) as isize - anchor_x;
            let dy = (i / kernel.width) as isize - anchor_y;
            let Some(from) = y.checked_add_signed(dy).filter(|&from| from < height) else {
                continue;
            };
            // The whole row at once: `out[x]` meets `row[x + dx]` where both are inside.
            let skip = dx.unsigned_abs().min(width);
            let (to_skip, from_skip) = if dx < 0 { (skip, 0) } else { (0, skip) };
            let row = &image.row(from)[from_skip..];
            for (to, &sample) in out[to_skip..].iter_mut().zip(row) {
                *to = pick(*to, sample);
            }
        }
    })
}
