//! The right side of any convolution: each pixel's column of values, copied.
//!
//! Owns the copy, for strides other than 1 and for kernels with more steps than a block is deep.

use std::ops::Range;

use super::super::gemm::kernel::DEPTH_MAX;
use super::super::gemm::{COLUMNS, Panel, Right, balanced_step, line_offsets};
use super::{BLOCK_PANELS, Geometry, TASK_ROWS_MAX};
use crate::nn::math;

/// A picture whose pixels' columns are gathered, 48 of them in a panel.
pub(super) struct Gathered<'a> {
    x: &'a [f32],
    of: Geometry,
    /// Blocks of each picture.
    blocks: usize,
    step: usize,
    offsets: Vec<u32>,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(x: &'a [f32], of: Geometry) -> Self {
        let blocks = of.pixels().div_ceil(COLUMNS * BLOCK_PANELS);
        let step = balanced_step(of.channels * of.steps(), 1, DEPTH_MAX);
        Self { x, of, blocks, step, offsets: line_offsets() }
    }

    /// The value that step `k` of the kernel meets for a pixel.
    fn value(&self, batch: usize, k: usize, pixel: usize) -> f32 {
        let Geometry { channels, height, width, stride, padding, .. } = self.of;
        let (channel, step) = (k / self.of.steps(), k % self.of.steps());
        let [_, across] = self.of.kernel;
        let row = (pixel / self.of.out_width * stride + step / across).wrapping_sub(padding);
        let column = (pixel % self.of.out_width * stride + step % across).wrapping_sub(padding);
        if row >= height || column >= width {
            return 0.0;
        }
        self.x[((batch * channels + channel) * height + row) * width + column]
    }
}

impl Right for Gathered<'_> {
    fn task_rows_max(&self) -> usize {
        TASK_ROWS_MAX
    }

    fn blocks(&self) -> usize {
        self.of.batch * self.blocks
    }

    fn panels(&self, block: usize) -> usize {
        let first = block % self.blocks * BLOCK_PANELS;
        (self.of.pixels().div_ceil(COLUMNS) - first).min(BLOCK_PANELS)
    }

    fn panel(&self, block: usize, panel: usize) -> Panel {
        let first = (block % self.blocks * BLOCK_PANELS + panel) * COLUMNS;
        let count = (self.of.pixels() - first).min(COLUMNS);
        Panel { batch: block / self.blocks, first, count }
    }

    fn step(&self) -> usize {
        self.step
    }

    fn room(&self) -> usize {
        BLOCK_PANELS * self.step * COLUMNS
    }

    fn lay<'a>(&'a self, block: usize, depth: Range<usize>, room: &'a mut [f32]) -> &'a [f32] {
        for (index, to) in room.chunks_mut(depth.len() * COLUMNS).enumerate() {
            if index == self.panels(block) {
                break;
            }
            let Panel { batch, first, count } = self.panel(block, index);
            for (k, to) in depth.clone().zip(to.as_chunks_mut::<COLUMNS>().0) {
                for (pixel, to) in to.iter_mut().enumerate() {
                    let value =
                        if pixel < count { self.value(batch, k, first + pixel) } else { 0.0 };
                    *to = if self.of.relu { math::relu(value) } else { value };
                }
            }
        }
        room
    }

    fn start(&self, _: usize, panel: usize, depth: usize) -> usize {
        panel * depth * COLUMNS
    }

    fn offsets(&self) -> &[u32] {
        &self.offsets
    }
}
