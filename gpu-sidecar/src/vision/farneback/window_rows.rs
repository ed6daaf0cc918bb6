//! The sums over the window, row by row, and the flow they give (plain definition: `window`).
//!
//! Owns the ring of horizontally summed rows and the vertical sums over it. No sum is a running
//! one: in f32 those lose the flat regions (SPEC §2.5). A box sums across in two steps, runs and
//! then runs of runs. Downwards the rows are cut into groups as high as the window; any window
//! is the tail of one group and the head of the next, so it costs three additions a row whatever
//! its height (van Herk's way, for sums).

use super::Window;
use super::lines::{BLOCK, Block, Lines, block, block_mut};
use super::matrix_rows::TERMS;
use super::window::Weights;
use crate::vision::simd::{Isa, mul_add, per_isa};

/// The horizontal part: lines of matrices to lines of sums.
#[derive(Debug)]
pub(super) struct Across {
    split: Split,
    /// Sums of runs (box).
    runs: Lines,
}

/// Columns before the first and after the last that [`Across::sum`] reads.
pub(super) fn pad(weights: &Weights) -> usize {
    weights.m().next_multiple_of(BLOCK)
}

/// How a box of `run`·`runs` + `rest` columns is summed.
#[derive(Debug, Clone, Copy)]
struct Split {
    run: usize,
    runs: usize,
    rest: usize,
}

impl Split {
    /// The one with the fewest additions.
    fn of(columns: usize) -> Self {
        let split = |run: usize| Self { run, runs: columns / run, rest: columns % run };
        let additions = |split: &Self| split.run + split.runs + split.rest;
        (1..=columns).map(split).min_by_key(additions).expect("a window has a column")
    }
}

impl Across {
    pub(super) fn new(weights: &Weights) -> Self {
        Self { split: Split::of(weights.line.len()), runs: Lines::default() }
    }

    /// `out[x]` is the sum of `line` under the window around column `pad` + x; `out` is whole
    /// blocks, and `line` has `pad` columns and a block more than it at its end.
    pub(super) fn sum(&mut self, isa: Isa, weights: &Weights, line: &[f32], out: &mut [f32]) {
        let line = &line[pad(weights) - weights.m()..];
        let columns = weights.line.len();
        if weights.window == Window::Gaussian {
            return sum_symmetric(isa, line, &weights.line, out);
        }
        let split = self.split;
        self.runs.reshape(1, 1, out.len() + columns);
        let length = (out.len() + columns - split.run).next_multiple_of(BLOCK);
        let runs = &mut self.runs.row_mut(0)[..length];
        sum_runs(isa, line, split.run, runs);
        sum_split(isa, (runs, line), split, out);
    }
}

/// The rows under the window and what is known of their sums.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Row v, counted from m rows above the frame, lies at v mod (2m + 1). For a box, rows of a
    /// finished group hold the sum from them to the group's end.
    rows: Lines,
    /// The sum of the rows of the group at hand (box).
    head: Lines,
    /// Where the group at hand begins: at 0, or later in the first group of a stripe.
    first: usize,
    /// Nothing, for a window that is one sum.
    zeros: Lines,
    /// The sum of the rows (Gaussian).
    sums: Lines,
}

impl Ring {
    /// Makes room for windows over rows of `width` columns; row `v` comes first.
    pub(super) fn restart(&mut self, weights: &Weights, width: usize, v: usize) {
        self.rows.reshape(weights.line.len(), TERMS, width);
        self.head.reshape(1, TERMS, width);
        self.first = v % self.rows.row_count();
        self.zeros.reshape(1, TERMS, width);
        self.zeros.row_mut(0).fill(0.0);
        if weights.window == Window::Gaussian {
            self.sums.reshape(1, TERMS, width);
        }
    }

    /// Where row `v` is written; `accept` follows.
    pub(super) fn slot(&mut self, v: usize) -> &mut [f32] {
        self.rows.row_mut(v % self.rows.row_count())
    }

    /// Writes row `v` as a copy of the row before it.
    pub(super) fn repeat(&mut self, v: usize) {
        // Even when the row before ended its group: its sum to the end is itself.
        let slots = self.rows.row_count();
        self.rows.copy_row((v - 1) % slots, v % slots);
    }

    /// Takes row `v`, which has been written.
    pub(super) fn accept(&mut self, isa: Isa, weights: &Weights, v: usize) {
        if weights.window == Window::Gaussian {
            return;
        }
        let slot = v % self.rows.row_count();
        if slot == self.first {
            self.head.row_mut(0).copy_from_slice(self.rows.row(slot));
        } else {
            add(isa, self.rows.row(slot), self.head.row_mut(0));
        }
        if slot + 1 == self.rows.row_count() {
            let length = self.rows.row_length();
            sum_tails(isa, length, &mut self.rows.rows_mut()[self.first * length..]);
            self.first = 0;
        }
    }

    /// Two rows whose sum is that of the window that starts at row `v`; its last row was the
    /// last accepted.
    pub(super) fn window(&mut self, isa: Isa, weights: &Weights, v: usize) -> (&[f32], &[f32]) {
        let slot = v % self.rows.row_count();
        if weights.window == Window::Gaussian {
            let sums = self.sums.row_mut(0);
            sum_ring(isa, (self.rows.rows(), slot), &weights.line, sums);
            (self.sums.row(0), self.zeros.row(0))
        } else if slot == 0 {
            (self.rows.row(0), self.zeros.row(0))
        } else {
            (self.rows.row(slot), self.head.row(0))
        }
    }
}

per_isa! {
    /// `runs[x] = Σ line[x + k]` over `run` k; `runs` is whole blocks.
    fn sum_runs = sum_runs_body(line: &[f32], run: usize, runs: &mut [f32])
}
per_isa! {
    /// `out[x]` is the sum of as many runs as `split` says and of the rest of the line.
    fn sum_split = sum_split_body(
        runs_and_line: (&[f32], &[f32]), split: Split, out: &mut [f32])
}
per_isa! {
    /// `out[x] = Σ weights[k] · line[x + k]`; an odd number of weights, symmetric.
    fn sum_symmetric = sum_symmetric_body(line: &[f32], weights: &[f32], out: &mut [f32])
}
per_isa! {
    /// `sums += row`.
    fn add = add_body(row: &[f32], sums: &mut [f32])
}
per_isa! {
    /// Each row of `length` numbers becomes the sum from it to the last.
    fn sum_tails = sum_tails_body(length: usize, rows: &mut [f32])
}
per_isa! {
    /// `out = Σ weights[k] · row k` over rows as long as `out`, row 0 being at the given index.
    fn sum_ring = sum_ring_body(ring: (&[f32], usize), weights: &[f32], out: &mut [f32])
}
per_isa! {
    /// The flow of a row from the five lines of its sums, given as two rows to be added.
    pub(super) fn solve = solve_body(
        sums: (&[f32], &[f32]), regulariser: f32, dx: &mut [f32], dy: &mut [f32])
}

#[inline(always)]
fn sum_runs_body<const FMA: bool>(line: &[f32], run: usize, runs: &mut [f32]) {
    for x in (0..runs.len()).step_by(BLOCK) {
        let mut sums = *block(line, x);
        for k in 1..run {
            add_block(&mut sums, block(line, x + k));
        }
        *block_mut(runs, x) = sums;
    }
}

#[inline(always)]
fn sum_split_body<const FMA: bool>((runs, line): (&[f32], &[f32]), split: Split, out: &mut [f32]) {
    let whole = split.run * split.runs;
    for x in (0..out.len()).step_by(BLOCK) {
        let mut sums = *block(runs, x);
        for k in 1..split.runs {
            add_block(&mut sums, block(runs, x + k * split.run));
        }
        for k in 0..split.rest {
            add_block(&mut sums, block(line, x + whole + k));
        }
        *block_mut(out, x) = sums;
    }
}

#[inline(always)]
fn sum_symmetric_body<const FMA: bool>(line: &[f32], weights: &[f32], out: &mut [f32]) {
    let m = weights.len() / 2;
    for x in (0..out.len()).step_by(BLOCK) {
        let middle = block(line, x + m);
        let mut sums: Block = std::array::from_fn(|i| weights[m] * middle[i]);
        for (k, &weight) in weights[..m].iter().enumerate() {
            let (left, right) = (block(line, x + k), block(line, x + 2 * m - k));
            for i in 0..BLOCK {
                sums[i] = mul_add::<FMA>(weight, left[i] + right[i], sums[i]);
            }
        }
        *block_mut(out, x) = sums;
    }
}

#[inline(always)]
fn add_block(sums: &mut Block, terms: &Block) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

#[inline(always)]
fn add_body<const FMA: bool>(row: &[f32], sums: &mut [f32]) {
    for (sum, term) in sums.iter_mut().zip(row) {
        *sum += term;
    }
}

#[inline(always)]
fn sum_tails_body<const FMA: bool>(length: usize, rows: &mut [f32]) {
    let count = rows.len() / length;
    for x in (0..length).step_by(BLOCK) {
        let mut sums = *block(rows, (count - 1) * length + x);
        for row in (0..count - 1).rev() {
            let row = block_mut(rows, row * length + x);
            add_block(&mut sums, row);
            *row = sums;
        }
    }
}

#[inline(always)]
fn sum_ring_body<const FMA: bool>(
    (rows, first): (&[f32], usize),
    weights: &[f32],
    out: &mut [f32],
) {
    let (length, count) = (out.len(), weights.len());
    for x in (0..length).step_by(BLOCK) {
        let mut sums = [0f32; BLOCK];
        for (k, &weight) in weights.iter().enumerate() {
            let row = if first + k < count { first + k } else { first + k - count };
            let row = block(rows, row * length + x);
            for i in 0..BLOCK {
                sums[i] = mul_add::<FMA>(weight, row[i], sums[i]);
            }
        }
        *block_mut(out, x) = sums;
    }
}

/// `a`·`b` − `c`·`d` to the last digit, though the products may nearly cancel.
#[inline(always)]
fn difference<const FMA: bool>((a, b): (f32, f32), (c, d): (f32, f32)) -> f32 {
    if FMA {
        let product = c * d;
        let lost = (-c).mul_add(d, product);
        a.mul_add(b, -product) + lost
    } else {
        (f64::from(a) * f64::from(b) - f64::from(c) * f64::from(d)) as f32
    }
}

#[inline(always)]
fn solve_body<const FMA: bool>(
    (tail, head): (&[f32], &[f32]),
    regulariser: f32,
    dx: &mut [f32],
    dy: &mut [f32],
) {
    let stride = tail.len() / TERMS;
    for x in (0..dx.len()).step_by(BLOCK) {
        let tail: [&Block; TERMS] = std::array::from_fn(|c| block(tail, c * stride + x));
        let head: [&Block; TERMS] = std::array::from_fn(|c| block(head, c * stride + x));
        let mut flow = [[0f32; BLOCK]; 2];
        for i in 0..BLOCK {
            let (g11, g12) = (tail[0][i] + head[0][i], tail[1][i] + head[1][i]);
            let (g22, h1) = (tail[2][i] + head[2][i], tail[3][i] + head[3][i]);
            let h2 = tail[4][i] + head[4][i];
            let scale = 1.0 / (difference::<FMA>((g11, g22), (g12, g12)) + regulariser);
            flow[0][i] = difference::<FMA>((g11, h2), (g12, h1)) * scale;
            flow[1][i] = difference::<FMA>((g22, h1), (g12, h2)) * scale;
        }
        *block_mut(dx, x) = flow[0];
        *block_mut(dy, x) = flow[1];
    }
}
