//! The right side of a convolution with stride 1: the part of a picture that a block touches.
//!
//! Owns its layout, `[channel][row][column]`, with zeros for what lies outside of the picture. The
//! kernel's steps are offsets into it, so that a value is copied once per block and not once per
//! step.

use std::ops::Range;

use super::super::gemm::kernel::{DEPTH_MAX, LANES};
use super::super::gemm::{COLUMNS, Panel, Right, balanced_step, task_panels};
use super::{Geometry, TASK_ROWS_MAX};
use crate::nn::math;
use crate::vision::simd::{Isa, per_isa};

/// Rows of a block where a kernel is higher than one: each row of the picture is then read by
/// fewer blocks.
const BLOCK_ROWS: usize = 4;

/// A picture, cut into blocks of some rows and some panels in a row.
pub(in crate::nn) struct Window<'a> {
    isa: Isa,
    x: &'a [f32],
    of: Geometry,
    /// Rows of pixels of a block, and panels in each.
    rows: usize,
    across: usize,
    /// Blocks below each other and beside each other.
    down: usize,
    beside: usize,
    /// Columns of the layout: an odd number of cache lines, so that its rows do not share sets.
    columns: usize,
    step: usize,
    offsets: Vec<u32>,
}

impl<'a> Window<'a> {
    /// For a product of `out` rows. `of.stride` is 1 and the kernel has no more steps than
    /// [`DEPTH_MAX`].
    pub(in crate::nn) fn new(isa: Isa, x: &'a [f32], of: Geometry, out: usize) -> Self {
        let panels = of.out_width.div_ceil(COLUMNS).max(1);
        let task = task_panels(of.batch * of.out_height * panels, out, TASK_ROWS_MAX);
        let rows = if of.kernel[0] > 1 && panels > 1 { BLOCK_ROWS } else { task };
        let rows = rows.min(of.out_height).max(1);
        let across = panels.min((task / rows).max(1));
        let columns = (across * COLUMNS + of.kernel[1] - 1).next_multiple_of(LANES);
        let columns = columns + if (columns / LANES).is_multiple_of(2) { LANES } else { 0 };
        let step = balanced_step(of.channels * of.steps(), of.steps(), DEPTH_MAX);
        let mut offsets = Vec::with_capacity(step);
        for channel in 0..step / of.steps() {
            for row in 0..of.kernel[0] {
                let line = channel * (rows + of.kernel[0] - 1) + row;
                offsets.extend((0..of.kernel[1]).map(|column| (line * columns + column) as u32));
            }
        }
        let (down, beside) = (of.out_height.div_ceil(rows), panels.div_ceil(across));
        Self { isa, x, of, rows, across, down, beside, columns, step, offsets }
    }

    /// A block's picture, first row and first panel in a row.
    fn place(&self, block: usize) -> (usize, usize, usize) {
        let (above, right) = (block / self.beside, block % self.beside);
        (above / self.down, above % self.down * self.rows, right * self.across)
    }

    fn lines(&self) -> usize {
        self.rows + self.of.kernel[0] - 1
    }

    /// Panels in each row of a block, which may be the last in its row.
    fn across(&self, first_panel: usize) -> usize {
        self.across.min(self.of.out_width.div_ceil(COLUMNS) - first_panel)
    }
}

impl Right for Window<'_> {
    fn task_rows_max(&self) -> usize {
        TASK_ROWS_MAX
    }

    fn blocks(&self) -> usize {
        if self.of.pixels() == 0 { 0 } else { self.of.batch * self.down * self.beside }
    }

    fn panels(&self, block: usize) -> usize {
        let (_, row, first) = self.place(block);
        self.rows.min(self.of.out_height - row) * self.across(first)
    }

    fn panel(&self, block: usize, panel: usize) -> Panel {
        let (batch, row, first) = self.place(block);
        let across = self.across(first);
        let column = (first + panel % across) * COLUMNS;
        Panel {
            batch,
            first: (row + panel / across) * self.of.out_width + column,
            count: (self.of.out_width - column).min(COLUMNS),
        }
    }

    fn step(&self) -> usize {
        self.step
    }

    fn room(&self) -> usize {
        // A panel's last vector may end past the last line.
        self.step / self.of.steps() * self.lines() * self.columns + COLUMNS
    }

    fn lay<'a>(&'a self, block: usize, depth: Range<usize>, room: &'a mut [f32]) -> &'a [f32] {
        let Geometry { channels, height, width, padding, .. } = self.of;
        let (batch, first_row, first_panel) = self.place(block);
        let first = depth.start / self.of.steps();
        let count = depth.end / self.of.steps() - first;
        let lines = self.lines();
        for (index, to) in room.chunks_exact_mut(self.columns).take(count * lines).enumerate() {
            let plane = batch * channels + first + index / lines;
            let row = (first_row + index % lines).wrapping_sub(padding);
            if row >= height {
                to.fill(0.0);
                continue;
            }
            let from = &self.x[(plane * height + row) * width..][..width];
            fill(from, to, first_panel * COLUMNS, padding);
            if self.of.relu {
                relu(self.isa, to);
            }
        }
        room
    }

    fn start(&self, block: usize, panel: usize, _: usize) -> usize {
        let (_, _, first) = self.place(block);
        let across = self.across(first);
        panel / across * self.columns + panel % across * COLUMNS
    }

    fn offsets(&self) -> &[u32] {
        &self.offsets
    }
}

/// `to[i] = from[first + i - padding]`, zero where there is nothing.
fn fill(from: &[f32], to: &mut [f32], first: usize, padding: usize) {
    let zeros = padding.saturating_sub(first).min(to.len());
    let from = from.get(first + zeros - padding.min(first + zeros)..).unwrap_or(&[]);
    let count = from.len().min(to.len() - zeros);
    to[..zeros].fill(0.0);
    to[zeros..][..count].copy_from_slice(&from[..count]);
    to[zeros + count..].fill(0.0);
}

per_isa! { fn relu = relu_body(values: &mut [f32]) }

#[inline(always)]
fn relu_body<const FMA: bool>(values: &mut [f32]) {
    for value in values {
        *value = math::relu(*value);
    }
}
