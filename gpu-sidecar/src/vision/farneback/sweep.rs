//! Several iterations of one scale in one walk over its rows.
//!
//! Owns the order of the work. An iteration needs no more than the window's rows of the one
//! before, so all of them advance together, each m rows behind, and what they hand on stays in
//! the cache. A tile is a stripe of rows, computed with the rows its windows reach; and a range
//! of columns with a margin as wide as all windows together, at whose outer edge sums are wrong
//! but never reach the tile. Always: a pixel's flow does not depend on the tile it is in.

use std::ops::Range;

use super::lines::{BLOCK, Lines};
use super::matrix_rows::{self, Row, TERMS};
use super::start_rows::Start;
use super::window::Weights;
use super::window_rows::{Across, Ring, pad, solve};
use crate::vision::simd::Isa;

/// Columns of a tile, without its margin: so many that the rows under all windows fit into half
/// a megabyte of cache or two.
const TILE_COLUMNS: usize = 640;
/// Widest margin of a tile. With wider windows rows are not cut, and one iteration is one sweep.
const MARGIN_MAX: usize = 32;

/// What a sweep reads.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub(super) isa: Isa,
    /// Width and height of the scale.
    pub(super) size: (usize, usize),
    /// Coefficients of both frames.
    pub(super) prev: &'a Lines,
    pub(super) next: &'a Lines,
    /// What the border leaves of each column and of each row.
    pub(super) across: &'a [f32],
    pub(super) down: &'a [f32],
    pub(super) weights: &'a Weights,
    pub(super) start: Start<'a>,
    /// Iterations.
    pub(super) depth: usize,
}

/// Most iterations of a window that one sweep does well.
pub(super) fn depth_max(weights: &Weights) -> usize {
    (MARGIN_MAX / weights.m()).max(1)
}

/// Room for the rows of one sweep.
#[derive(Debug)]
pub(super) struct Scratch {
    rings: Vec<Ring>,
    across: Across,
    /// One row of matrices, with what the window needs at both ends.
    matrices: Lines,
    /// One row of flow, x and y; the coarser rows it is made from.
    flow: Lines,
    coarser: Lines,
}

impl Scratch {
    pub(super) fn new(weights: &Weights) -> Self {
        Self {
            rings: Vec::new(),
            across: Across::new(weights),
            matrices: Lines::default(),
            flow: Lines::default(),
            coarser: Lines::default(),
        }
    }
}

/// Takes a row of flow: row, first column, x and y.
pub(super) type Sink<'a> = dyn FnMut(usize, usize, &[f32], &[f32]) + 'a;

impl Sweep<'_> {
    /// Computes the given rows and hands each to `sink`, in one or more parts.
    pub(super) fn rows(&self, rows: Range<usize>, scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let (width, stride) = (self.size.0, self.prev.stride());
        let margin = (self.depth * self.weights.m()).next_multiple_of(BLOCK);
        let tiles = if margin > MARGIN_MAX { 1 } else { stride.div_ceil(TILE_COLUMNS) };
        let columns = stride.div_ceil(tiles).next_multiple_of(BLOCK);
        for from in (0..width).step_by(columns) {
            let to = (from + columns).min(width);
            let read = from.saturating_sub(margin)..(from + columns + margin).min(stride);
            let tile = Tile { sweep: self, rows: rows.clone(), columns: from..to, read };
            tile.run(scratch, sink);
        }
    }
}

/// A part of a scale.
struct Tile<'a> {
    sweep: &'a Sweep<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    /// The columns with the margin, whole blocks.
    read: Range<usize>,
}

impl Tile<'_> {
    fn run(&self, scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let (weights, width) = (self.sweep.weights, self.read.len());
        scratch.matrices.reshape(1, TERMS, width + 2 * pad(weights) + BLOCK);
        scratch.flow.reshape(1, 2, width);
        scratch.rings.resize_with(scratch.rings.len().max(self.sweep.depth), Ring::default);
        for stage in 0..self.sweep.depth {
            let first = self.reached(self.sweep.depth - stage).start;
            let v = if first == 0 { 0 } else { first + weights.m() };
            scratch.rings[stage].restart(weights, width, v);
        }
        for y in self.reached(self.sweep.depth) {
            let Scratch { flow, coarser, .. } = scratch;
            self.sweep.start.row(self.sweep.isa, (y, self.read.clone()), coarser, flow.row_mut(0));
            self.feed(0, y, scratch, sink);
        }
    }

    /// The rows of the flow that `windows` iterations later makes this tile's.
    fn reached(&self, windows: usize) -> Range<usize> {
        let reach = windows * self.sweep.weights.m();
        let (from, to) = (self.rows.start.saturating_sub(reach), self.rows.end + reach);
        from..to.min(self.sweep.size.1)
    }

    /// Gives row `y` of the flow in `scratch` to iteration `stage`, and hands on what it makes.
    fn feed(&self, stage: usize, y: usize, scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let Sweep { isa, weights, size: (_, height), .. } = *self.sweep;
        let m = weights.m();
        // Row y is row y + m counted from above the frame, where row 0 is repeated.
        let first = if y == 0 { 0 } else { y + m };
        let last = if y + 1 == height { y + 2 * m } else { y + m };
        self.sum_across(y, (stage, first), scratch);
        let made = self.reached(self.sweep.depth - stage - 1);
        for v in first..=last {
            let ring = &mut scratch.rings[stage];
            if v > first {
                ring.repeat(v);
            }
            ring.accept(isa, weights, v);
            let Some(middle) = v.checked_sub(2 * m).filter(|row| made.contains(row)) else {
                continue;
            };
            let sums = ring.window(isa, weights, middle);
            let (dx, dy) = halves(scratch.flow.row_mut(0));
            solve(isa, sums, weights.regulariser_of_sums(), dx, dy);
            if stage + 1 < self.sweep.depth {
                self.feed(stage + 1, middle, scratch, sink);
            } else {
                let own = self.columns.start - self.read.start..self.columns.end - self.read.start;
                sink(middle, self.columns.start, &dx[own.clone()], &dy[own]);
            }
        }
    }

    /// The matrices of row `y` at the flow in `scratch`, summed across, into row `v` of a ring.
    fn sum_across(&self, y: usize, (stage, v): (usize, usize), scratch: &mut Scratch) {
        let Sweep { isa, size, prev, next, across, down, weights, .. } = *self.sweep;
        let Scratch { rings, across: summing, matrices, flow, .. } = scratch;
        let row = Row { y, from: self.read.start, size, prev, next, across, down: down[y] };
        let (stride, pad) = (matrices.stride(), pad(weights));
        let (dx, dy) = flow.row(0).split_at(self.read.len());
        let matrices = matrices.row_mut(0);
        matrix_rows::matrices(isa, &row, (dx, dy), stride, &mut matrices[pad..]);
        let inside = self.read.end.min(size.0) - self.read.start;
        let out = rings[stage].slot(v).chunks_exact_mut(self.read.len());
        for (line, out) in matrices.chunks_exact_mut(stride).zip(out) {
            let (first, last) = (line[pad], line[pad + inside - 1]);
            line[..pad].fill(first);
            line[pad + inside..].fill(last);
            summing.sum(isa, weights, line, out);
        }
    }
}

/// The two lines of a row.
fn halves(row: &mut [f32]) -> (&mut [f32], &mut [f32]) {
    row.split_at_mut(row.len() / 2)
}
