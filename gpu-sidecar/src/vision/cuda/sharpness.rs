//! Sharpness of gray frames.
//!
//! Owns the launch of `laplacian_sums` and the last division.

use super::error::CudaError;
use super::kernels::{self, Shape};
use super::memory::Memory;
use super::queue::{Call, Queue};
use super::{GpuVision, size_of_plane};
use crate::vision::plane::Plane;

/// Blocks that share a frame; each leaves a sum and a sum of squares.
pub(crate) const BLOCKS: usize = 64;
/// Numbers that a frame leaves.
pub(crate) const SUMS: usize = 2 * BLOCKS;

/// Enqueues the sums of `frames` frames.
pub(crate) fn enqueue(
    queue: &Queue,
    gray: &Memory<u8>,
    sums: &Memory<i64>,
    [width, height]: [usize; 2],
    frames: usize,
) -> Result<(), CudaError> {
    let call = Call::new(kernels::LAPLACIAN_SUMS, Shape::shared(BLOCKS, frames));
    let call = call.memory(gray, width * height * frames).memory(sums, SUMS * frames);
    queue.launch(call.int(width).int(height))
}

/// The variance of `count` values from one frame's sums; the numerator is exact.
pub(crate) fn variance(sums: &[i64], count: usize) -> f64 {
    let (mut sum, mut squares) = (0_i128, 0_i128);
    for &[part, squares_part] in sums.as_chunks::<2>().0 {
        sum += i128::from(part);
        squares += i128::from(squares_part);
    }
    let count = count as i128;
    (count * squares - sum * sum) as f64 / (count as f64 * count as f64)
}

impl GpuVision {
    /// As [`crate::vision::sharpness::laplacian_variance`].
    /// # Errors
    /// Of the device.
    pub fn laplacian_variance(&self, gray: &Plane<u8>) -> Result<f64, CudaError> {
        let size = size_of_plane(gray)?;
        let steps = |queue: &Queue, from: &_, to: &_| enqueue(queue, from, to, size, 1);
        let sums = self.there_and_back(gray.data(), SUMS, steps)?;
        Ok(variance(&sums, gray.data().len()))
    }
}
