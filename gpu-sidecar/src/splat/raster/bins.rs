//! Bins: which splats each tile blends, from near to far.
//!
//! Owns the tiles' lists. Always: under [`PAIRS_MAX`] a batch's lists hold no more entries than
//! that, however much of the screen the splats cover; the lists do not depend on the number of
//! threads.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::order::{Key, part, places};
use super::project::Reach;
use super::{CLOUD_MAX, TILE};

/// Most entries of a batch of tiles: 128 MiB. A cloud whose splats cover more is drawn in batches.
pub(super) const PAIRS_MAX: usize = 1 << 25;
const _: () = assert!(CLOUD_MAX <= PAIRS_MAX, "one tile's list fits a batch");

/// The lists of one picture, and memory for the next.
#[derive(Debug, Default)]
pub(super) struct Bins {
    /// Tiles across and down.
    grid: (usize, usize),
    /// From near to far.
    spans: Vec<Span>,
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

/// The tiles of a reach: from `first` (across, down) up to, not including, `end`.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: [u16; 2],
    end: [u16; 2],
}

impl Span {
    fn of(reach: &Reach) -> Self {
        let tile = TILE as u16;
        Self { first: reach.first.map(|p| p / tile), end: reach.end.map(|p| p.div_ceil(tile)) }
    }

    /// Left, right, top, bottom.
    fn sides(&self) -> [usize; 4] {
        [self.first[0], self.end[0], self.first[1], self.end[1]].map(usize::from)
    }
}

impl Bins {
    /// Counts the splats of `order` for a grid of tiles (across, down); `reaches` are those of the
    /// whole cloud.
    pub(super) fn count(&mut self, order: &[Key], reaches: &[Reach], grid: (usize, usize)) {
        self.grid = grid;
        self.spans.clear();
        self.spans.par_extend(order.par_iter().map(|key| Span::of(&reaches[key.number()])));
        let (across, down) = grid;
        let tiles = across * down;
        let part = part(order.len());
        self.counts.clear();
        self.counts.resize(order.len().div_ceil(part) * tiles, 0);
        let parts = self.spans.par_chunks(part).zip(self.counts.par_chunks_mut(tiles));
        parts.for_each(|(spans, counts)| {
            // Corners first, then sums along both axes: a large splat costs as much as a small one.
            let mut corners = vec![0i32; (across + 1) * (down + 1)];
            for [left, right, top, bottom] in spans.iter().map(Span::sides) {
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

    /// Fills the lists of the tiles from `first` on: as many as have `pairs_max` entries together,
    /// at least one. Each tile is filled once a picture; `order` is that of the count.
    pub(super) fn fill(&mut self, order: &[Key], first: usize, pairs_max: usize) -> Batch<'_> {
        let (across, down) = self.grid;
        let tiles = across * down;
        self.starts.clear();
        self.starts.push(0);
        let mut filled = 0;
        for tile in first..tiles {
            let counts = self.counts.iter().skip(tile).step_by(tiles);
            let here: usize = counts.map(|&count| count as usize).sum();
            if tile > first && filled + here > pairs_max {
                break;
            }
            places(&mut self.counts, (tile, tiles), filled as u32);
            filled += here;
            self.starts.push(filled);
        }
        let end = first + self.starts.len() - 1;
        if self.entries.len() < filled {
            self.entries.resize_with(filled, AtomicU32::default);
        }
        let part = part(order.len());
        let entries = &self.entries[..filled];
        let ordered = order.par_chunks(part).zip(self.spans.par_chunks(part));
        ordered.zip(self.counts.par_chunks_mut(tiles)).for_each(|((order, spans), places)| {
            for (key, span) in order.iter().zip(spans) {
                let [left, right, top, bottom] = span.sides();
                let number = key.number() as u32;
                for row in top..bottom {
                    let from = (row * across + left).max(first);
                    let to = (row * across + right).min(end);
                    for place in places.get_mut(from..to).unwrap_or_default() {
                        // Places are disjoint; atomics say so without `unsafe` and cost nothing.
                        entries[*place as usize].store(number, Ordering::Relaxed);
                        *place += 1;
                    }
                }
            }
        });
        Batch { entries, starts: &self.starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lists, batch by batch.
    fn lists(reaches: &[Reach], grid: (usize, usize), pairs_max: usize) -> Vec<Vec<u32>> {
        let order: Vec<Key> = (0..reaches.len()).map(|number| Key::seen(1.0, number)).collect();
        let mut bins = Bins::default();
        bins.count(&order, reaches, grid);
        let mut lists = Vec::new();
        while lists.len() < grid.0 * grid.1 {
            let batch = bins.fill(&order, lists.len(), pairs_max);
            assert!(batch.len() == 1 || batch.entries.len() <= pairs_max, "{}", batch.len());
            for index in 0..batch.len() {
                let list = batch.list(index).iter().map(|entry| entry.load(Ordering::Relaxed));
                lists.push(list.collect());
            }
        }
        lists
    }

    #[test]
    fn a_tile_lists_what_reaches_it_in_order_however_small_the_batches() {
        let (across, down) = (7, 5);
        // More than one part; edges on and beside those of tiles.
        let count = 40_000u32;
        let reaches: Vec<Reach> = (0..count)
            .map(|n| {
                let [x, y] = [n.wrapping_mul(2_654_435_761) >> 20, n.wrapping_mul(40_503) >> 9];
                let first = [(x % 112) as u16, (y % 80) as u16];
                let size = [(1 + n % 19) as u16, (1 + n % 33) as u16];
                Reach { first, end: [(first[0] + size[0]).min(112), (first[1] + size[1]).min(80)] }
            })
            .collect();
        let reaches_tile = |reach: &Reach, tile: usize| {
            let corner = [tile % across * TILE, tile / across * TILE];
            (0..2).all(|axis| {
                let [first, end] = [reach.first[axis], reach.end[axis]].map(usize::from);
                first < corner[axis] + TILE && end > corner[axis]
            })
        };
        let want: Vec<Vec<u32>> = (0..across * down)
            .map(|tile| (0..count).filter(|&n| reaches_tile(&reaches[n as usize], tile)).collect())
            .collect();
        for pairs_max in [1, 5000, 12_345, PAIRS_MAX] {
            assert!(lists(&reaches, (across, down), pairs_max) == want, "{pairs_max}");
        }
    }
}
