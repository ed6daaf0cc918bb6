//! Bins: which splats each tile blends, from near to far.
//!
//! Owns the order by depth (ties by number in the cloud) and the lists. Always: a batch's lists
//! hold at most [`PAIRS_MAX`] entries, however much of the screen the splats cover; the lists do
//! not depend on the number of threads.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::project::{Reach, Splat};
use super::{CLOUD_MAX, TILE};

/// Most entries of a batch of tiles: 128 MiB. A cloud whose splats cover more is drawn in batches.
const PAIRS_MAX: usize = 1 << 25;
const _: () = assert!(CLOUD_MAX <= PAIRS_MAX, "one tile's list fits a batch");
/// Parts in which the order is counted and listed.
const PARTS_MAX: usize = 64;
/// Splats of a part at least.
const PART_MIN: usize = 1 << 14;

/// The lists of one picture, and memory for the next.
#[derive(Debug, Default)]
pub(super) struct Bins {
    /// Tiles across and down.
    grid: (usize, usize),
    /// Visible splats from near to far: depth's bits above, number below.
    order: Vec<u64>,
    /// `(parts, tiles)`: how many splats of a part reach a tile.
    counts: Vec<u32>,
    /// All lists of a batch, one behind the other.
    entries: Vec<AtomicU32>,
    /// Where each list of a batch begins, and the end of the last.
    starts: Vec<usize>,
}

/// The lists of consecutive tiles.
pub(super) struct Batch<'a> {
    entries: &'a [AtomicU32],
    starts: &'a [usize],
}

impl Batch<'_> {
    /// How many tiles.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Numbers of the splats that tile `index` of this batch blends.
    pub(super) fn list(&self, index: usize) -> &[AtomicU32] {
        &self.entries[self.starts[index]..self.starts[index + 1]]
    }
}

/// Tiles of a reach: first and end, across and down.
struct Span {
    across: [usize; 2],
    down: [usize; 2],
}

impl Span {
    fn of(reach: &Reach) -> Self {
        let first = reach.first.map(|pixel| usize::from(pixel) / TILE);
        let end = reach.end.map(|pixel| usize::from(pixel).div_ceil(TILE));
        Self { across: [first[0], end[0]], down: [first[1], end[1]] }
    }
}

impl Bins {
    /// Sorts the visible splats and counts, for a grid of tiles (across, down).
    pub(super) fn count(&mut self, splats: &[Splat], grid: (usize, usize)) {
        self.grid = grid;
        self.sort(splats);
        let (across, down) = grid;
        let tiles = across * down;
        let part = self.part();
        self.counts.clear();
        self.counts.resize(self.order.len().div_ceil(part) * tiles, 0);
        let parts = self.order.par_chunks(part).zip(self.counts.par_chunks_mut(tiles));
        parts.for_each(|(order, counts)| {
            // Corners first, then sums along both axes: a large splat costs as much as a small one.
            let mut corners = vec![0i32; (across + 1) * (down + 1)];
            for splat in order.iter().map(|key| &splats[number(*key)]) {
                let Span { across: [left, right], down: [top, bottom] } = Span::of(&splat.reach);
                let at = |x: usize, y: usize| y * (across + 1) + x;
                corners[at(left, top)] += 1;
                corners[at(right, top)] -= 1;
                corners[at(left, bottom)] -= 1;
                corners[at(right, bottom)] += 1;
            }
            let mut above = vec![0i32; across];
            let rows = corners.chunks(across + 1).zip(counts.chunks_mut(across));
            for (corners, counts) in rows {
                let mut sum = 0;
                for ((corner, above), count) in corners.iter().zip(&mut above).zip(counts) {
                    sum += corner;
                    *above += sum;
                    // A sum of whole splats: never below 0.
                    *count = *above as u32;
                }
            }
        });
    }

    fn sort(&mut self, splats: &[Splat]) {
        self.order.clear();
        self.order.par_extend(splats.par_iter().enumerate().filter_map(|(index, splat)| {
            // Depths are positive, and the bits of positive numbers are in their order.
            let key = u64::from(splat.depth.to_bits()) << 32 | index as u64;
            (!splat.reach.is_empty()).then_some(key)
        }));
        self.order.par_sort_unstable();
    }

    /// Splats of a part; the last has fewer.
    fn part(&self) -> usize {
        self.order.len().div_ceil(PARTS_MAX).max(PART_MIN)
    }

    /// Fills the lists of the tiles from `first` on: as many as fit, at least one. Each tile is
    /// filled once a picture.
    pub(super) fn fill(&mut self, splats: &[Splat], first: usize) -> Batch<'_> {
        let (across, down) = self.grid;
        let tiles = across * down;
        self.starts.clear();
        self.starts.push(0);
        let mut filled = 0;
        for tile in first..tiles {
            let counts = self.counts.iter().skip(tile).step_by(tiles);
            let here: usize = counts.map(|&count| count as usize).sum();
            if filled + here > PAIRS_MAX {
                break;
            }
            // A count becomes the place where that part's first entry goes.
            let mut place = filled as u32;
            for count in self.counts.iter_mut().skip(tile).step_by(tiles) {
                place += std::mem::replace(count, place);
            }
            filled += here;
            self.starts.push(filled);
        }
        let end = first + self.starts.len() - 1;
        if self.entries.len() < filled {
            self.entries.resize_with(filled, AtomicU32::default);
        }
        let part = self.part();
        let entries = &self.entries[..filled];
        let parts = self.order.par_chunks(part).zip(self.counts.par_chunks_mut(tiles));
        parts.for_each(|(order, places)| {
            for key in order {
                let number = number(*key);
                let Span { across: [left, right], down: [top, bottom] } =
                    Span::of(&splats[number].reach);
                for row in top..bottom {
                    let from = (row * across + left).max(first);
                    let to = (row * across + right).min(end);
                    for place in places.get_mut(from..to).unwrap_or_default() {
                        // Places are disjoint; atomics say so without `unsafe` and cost nothing.
                        entries[*place as usize].store(number as u32, Ordering::Relaxed);
                        *place += 1;
                    }
                }
            }
        });
        Batch { entries, starts: &self.starts }
    }
}

fn number(key: u64) -> usize {
    (key & u64::from(u32::MAX)) as usize
}
