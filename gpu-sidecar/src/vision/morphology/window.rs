//! Rectangles: along rows by growing windows, down columns by prefixes and suffixes of blocks.
//!
//! Along a row, the extremes of windows of length n give those of up to 4n in one walk. Down the
//! columns, rows are cut into blocks as high as the window: a window is the end of one block and
//! the beginning of the next (van Herk, 1992; Gil and Werman, 1993), so each row is compared
//! three times however high the window is. Low windows are compared directly.

use super::rows::{self, Extreme, ROWS_MAX};
use super::stage::{BLOCK, Extent, Reach, Work};
use crate::vision::aligned::Aligned;

/// A rectangle around each pixel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) reach: Reach,
    /// For each walk along a row: the offsets that are compared, and the length covered after it.
    walks: Vec<(Vec<usize>, usize)>,
}

impl Window {
    pub(super) fn new(reach: Reach) -> Self {
        let width = reach.left + 1 + reach.right;
        let mut walks = Vec::new();
        let mut covered = 1;
        while covered < width || walks.is_empty() {
            let next = width.min(4 * covered);
            let mut offsets: Vec<usize> = (0..next - covered).step_by(covered).collect();
            // The last one may overlap the one before: it changes nothing.
            offsets.push(next - covered);
            walks.push((offsets, next));
            covered = next;
        }
        Self { reach, walks }
    }

    fn width(&self) -> usize {
        self.reach.left + 1 + self.reach.right
    }

    fn height(&self) -> usize {
        self.reach.up + 1 + self.reach.down
    }

    fn is_low(&self) -> bool {
        self.height() <= ROWS_MAX
    }
}

/// The rows that windows still need.
#[derive(Debug, Default)]
pub(super) struct State {
    /// As many rows as the window is high, after the walks along them: row i of the stream is in
    /// place i modulo that height. Of the block before, suffixes.
    ring: Aligned<u8>,
    stride: usize,
    /// The extreme of the block's rows so far.
    prefix: Aligned<u8>,
    /// Rows of the stream so far; rows above the image count.
    taken: usize,
    /// Whether a row was taken since the last one came out; below the image none is.
    waiting: bool,
    /// Between two walks.
    between: [Aligned<u8>; 2],
}

impl State {
    pub(super) fn start(&mut self, window: &Window, extent: &Extent, extreme: Extreme) {
        self.stride = extent.stride();
        self.ring.refill(self.stride * window.height(), extreme.neutral());
        self.prefix.refill(self.stride, extreme.neutral());
        // The stream begins at the first row that the first window covers.
        let first = extent.output.start as isize - window.reach.up as isize;
        self.taken = (extent.input.start as isize - first) as usize;
        let length = self.stride + window.width() + 2 * BLOCK;
        for row in &mut self.between {
            row.refill(length, extreme.neutral());
        }
    }

    /// Takes the next row; `input` begins `left` samples before the first pixel.
    pub(super) fn take(&mut self, window: &Window, input: &[u8], index: usize, work: &Work) {
        let height = window.height();
        let slot = if window.is_low() { index % height } else { self.taken % height };
        let kept = &mut self.ring[slot * self.stride..][..self.stride];
        let (last, walks) = window.walks.split_last().expect("there is at least one walk");
        let [first, second] = &mut self.between;
        let (mut from, mut to) = (&mut *first, &mut *second);
        let mut source = input;
        for (offsets, covered) in walks {
            let length = (self.stride + window.width() - covered).next_multiple_of(BLOCK);
            walk(source, offsets, &mut to[..length], work);
            (from, to) = (to, from);
            source = &from[..];
        }
        walk(source, &last.0, kept, work);
        // The first windows are not complete yet; `emit` does the same for all later rows.
        self.waiting = self.taken + 1 >= height;
        if !window.is_low() && !self.waiting {
            rows::fold(work.isa, work.step, &mut self.prefix, kept);
            self.taken += 1;
        }
    }

    /// The row whose window ends here: of a low window the rows that exist, else two partial ones.
    pub(super) fn emit(
        &mut self,
        window: &Window,
        extent: &Extent,
        y: usize,
        (work, out): (&Work, &mut [u8]),
    ) {
        let out = &mut out[..self.stride];
        if window.is_low() {
            let first = y.saturating_sub(window.reach.up);
            let end = (y + window.reach.down + 1).min(extent.input.end);
            let mut covered: [&[u8]; ROWS_MAX] = [&[]; ROWS_MAX];
            let count = end - first;
            let mut slot = first % window.height();
            for covered in &mut covered[..count] {
                *covered = &self.ring[slot * self.stride..][..self.stride];
                slot = if slot + 1 == window.height() { 0 } else { slot + 1 };
            }
            rows::across(work.isa, work.step, &covered[..count], out);
        } else {
            self.emit_high(window, (work, out));
        }
    }
}

impl State {
    fn emit_high(&mut self, window: &Window, (work, out): (&Work, &mut [u8])) {
        let (height, stride) = (window.height(), self.stride);
        // Where the image ends within the first block, the rest of it was never taken.
        self.taken = self.taken.max(height - 1);
        let slot = self.taken % height;
        self.taken += 1;
        let neutral = work.step.neutral();
        if slot == 0 {
            self.prefix.fill(neutral);
        }
        if !std::mem::take(&mut self.waiting) {
            self.ring[slot * stride..][..stride].fill(neutral);
        }
        let (row, after) = self.ring[slot * stride..].split_at_mut(stride);
        if slot + 1 < height {
            let suffix = &after[..stride];
            return rows::fold_with(work.isa, work.step, &mut self.prefix, (row, suffix), out);
        }
        rows::fold(work.isa, work.step, &mut self.prefix, row);
        out.copy_from_slice(&self.prefix);
        // The block is complete: from here on each place holds the extreme of itself and after.
        for slot in (0..height - 1).rev() {
            let (row, after) = self.ring[slot * stride..].split_at_mut(stride);
            rows::fold(work.isa, work.step, row, &after[..stride]);
        }
    }
}

fn walk(source: &[u8], offsets: &[usize], out: &mut [u8], work: &Work) {
    let mut shifted: [&[u8]; ROWS_MAX] = [&[]; ROWS_MAX];
    for (shifted, &offset) in shifted.iter_mut().zip(offsets) {
        *shifted = &source[offset..][..out.len()];
    }
    rows::across(work.isa, work.step, &shifted[..offsets.len()], out);
}
