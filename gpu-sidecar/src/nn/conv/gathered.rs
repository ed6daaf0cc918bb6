//! The right side of any convolution: each pixel's column of values, copied.
//!
//! Owns the copy, for strides other than 1 and for kernels with more steps than a block is deep.

use std::ops::Range;

use super::super::gemm::kernel::DEPTH_MAX;
use super::super::gemm::{COLUMNS, Panel, Right, balanced_step, line_offsets, task_panels};
use super::Geometry;
use crate::nn::math;

/// Channels of a task, at most: columns cost more to copy than weights, so that few tasks copy
/// them.
const TASK_ROWS_MAX: usize = 1024;

/// A picture whose pixels' columns are gathered, 48 of them in a panel.
pub(super) struct Gathered<'a> {
    x: &'a [f32],
    of: Geometry,
    /// Panels of a block, and blocks of each picture.
    panels: usize,
    blocks: usize,
    step: usize,
    offsets: Vec<u32>,
}

impl<'a> Gathered<'a> {
    /// For a product of `out` rows.
    pub(super) fn new(x: &'a [f32], of: Geometry, out: usize) -> Self {
        let all = of.pixels().div_ceil(COLUMNS);
        let panels = task_panels(of.batch * all, out, TASK_ROWS_MAX);
        let step = balanced_step(of.channels * of.steps(), 1, DEPTH_MAX);
        Self { x, of, panels, blocks: all.div_ceil(panels), step, offsets: line_offsets() }
    }

    /// One panel: `to[k * 48 + pixel]`.
    fn gather(&self, panel: Panel, depth: Range<usize>, to: &mut [f32]) {
        let Geometry { channels, height, width, stride, padding, out_width, .. } = self.of;
        let picture =
            &self.x[panel.batch * channels * height * width..][..channels * height * width];
        // Where each pixel's window begins; before the picture, it wraps.
        let mut corners = [(0, 0); COLUMNS];
        for (corner, pixel) in corners.iter_mut().zip(panel.first..panel.first + panel.count) {
            let (row, column) = (pixel / out_width * stride, pixel % out_width * stride);
            *corner = (row.wrapping_sub(padding), column.wrapping_sub(padding));
        }
        let corners = &corners[..panel.count];
        for (k, to) in depth.zip(to.as_chunks_mut::<COLUMNS>().0) {
            let (channel, step) = (k / self.of.steps(), k % self.of.steps());
            let (down, right) = (step / self.of.kernel[1], step % self.of.kernel[1]);
            let plane = &picture[channel * height * width..][..height * width];
            for (to, &(row, column)) in to.iter_mut().zip(corners) {
                let (row, column) = (row.wrapping_add(down), column.wrapping_add(right));
                let is_inside = row < height && column < width;
                *to = if is_inside { plane[row * width + column] } else { 0.0 };
            }
            to[panel.count..].fill(0.0);
            if self.of.relu {
                to.iter_mut().for_each(|value| *value = math::relu(*value));
            }
        }
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
        let first = block % self.blocks * self.panels;
        (self.of.pixels().div_ceil(COLUMNS) - first).min(self.panels)
    }

    fn panel(&self, block: usize, panel: usize) -> Panel {
        let first = (block % self.blocks * self.panels + panel) * COLUMNS;
        let count = (self.of.pixels() - first).min(COLUMNS);
        Panel { batch: block / self.blocks, first, count }
    }

    fn step(&self) -> usize {
        self.step
    }

    fn room(&self) -> usize {
        self.panels * self.step * COLUMNS
    }

    fn lay<'a>(&'a self, block: usize, depth: Range<usize>, room: &'a mut [f32]) -> &'a [f32] {
        let panels = room.chunks_exact_mut(depth.len() * COLUMNS).take(self.panels(block));
        for (index, to) in panels.enumerate() {
            self.gather(self.panel(block, index), depth.clone(), to);
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
