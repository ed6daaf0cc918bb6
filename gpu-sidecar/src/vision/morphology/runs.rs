//! Any form: runs of neighbouring cells, each the extreme of a window along a row.
//!
//! Windows of every length that occurs are made once a row, each from a shorter one; then each
//! run takes its window into the result row that it belongs to. So the cost grows with the number
//! of runs, not with the number of cells.

use super::rows::{self, Extreme};
use super::stage::{BLOCK, Extent, Reach, Work};
use crate::vision::aligned::Aligned;

/// Neighbouring cells of one row of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) row: usize,
    pub(super) first: usize,
    pub(super) length: usize,
}

/// A kernel as runs, and the windows that they need.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Runs {
    pub(super) reach: Reach,
    /// Row, first column and table of each run.
    runs: Vec<(usize, usize, usize)>,
    /// Table i + 1 holds windows of `length`: those of table `from`, and the same shifted.
    tables: Vec<Table>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Table {
    length: usize,
    from: usize,
    shift: usize,
}

impl Runs {
    pub(super) fn new(reach: Reach, runs: &[Run]) -> Self {
        let mut lengths: Vec<usize> = runs.iter().map(|run| run.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        // Table 0 is the row itself. Two windows of a table make one of up to twice its length.
        let mut made = vec![1];
        let mut tables = Vec::new();
        for &length in &lengths {
            let mut longest = made[made.len() - 1];
            while longest < length {
                let next = length.min(2 * longest);
                tables.push(Table { length: next, from: made.len() - 1, shift: next - longest });
                made.push(next);
                longest = next;
            }
        }
        let table = |length| made.iter().position(|&made| made == length).unwrap_or(0);
        let runs = runs.iter().map(|run| (run.row, run.first, table(run.length))).collect();
        Self { reach, runs, tables }
    }

    fn width(&self) -> usize {
        self.reach.left + 1 + self.reach.right
    }

    fn height(&self) -> usize {
        self.reach.up + 1 + self.reach.down
    }
}

/// Results that are not complete, and the windows of the current row.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Row y of the result is in place y modulo the kernel's height.
    ring: Aligned<u8>,
    stride: usize,
    height: usize,
    output: std::ops::Range<usize>,
    tables: Aligned<u8>,
    table_stride: usize,
}

impl State {
    pub(super) fn start(&mut self, runs: &Runs, extent: &Extent, extreme: Extreme) {
        self.stride = extent.stride();
        self.height = runs.height();
        self.output = extent.output.clone();
        self.ring.refill(self.stride * self.height, extreme.neutral());
        self.table_stride = (self.stride + runs.width()).next_multiple_of(BLOCK) + BLOCK;
        self.tables.refill(self.table_stride * runs.tables.len(), extreme.neutral());
    }

    /// Takes row `index`; `input` begins `left` samples before the first pixel.
    pub(super) fn take(&mut self, runs: &Runs, input: &[u8], index: usize, work: &Work) {
        for (i, table) in runs.tables.iter().enumerate() {
            let length = (self.stride + runs.width() - table.length).next_multiple_of(BLOCK);
            let (made, rest) = self.tables.split_at_mut(i * self.table_stride);
            let from = match table.from.checked_sub(1) {
                None => input,
                Some(from) => &made[from * self.table_stride..],
            };
            let pair: [&[u8]; 2] = [&from[..length], &from[table.shift..][..length]];
            rows::across(work.isa, work.step, &pair, &mut rest[..length]);
        }
        for &(row, first, table) in &runs.runs {
            // Cell `row` of the result's kernel lies on this row.
            let Some(y) = (index + runs.reach.up).checked_sub(row) else { continue };
            if !self.output.contains(&y) {
                continue;
            }
            let from = match table.checked_sub(1) {
                None => input,
                Some(table) => &self.tables[table * self.table_stride..],
            };
            let kept = &mut self.ring[y % self.height * self.stride..][..self.stride];
            rows::fold(work.isa, work.step, kept, &from[first..][..self.stride]);
        }
    }

    pub(super) fn emit(&mut self, y: usize, work: &Work, out: &mut [u8]) {
        let kept = &mut self.ring[y % self.height * self.stride..][..self.stride];
        out[..self.stride].copy_from_slice(kept);
        kept.fill(work.step.neutral());
    }
}
