//! The one matrix product behind linear layers and convolutions, blocked for the caches.
//!
//! Owns how a product is cut: tasks of some rows and some columns, spread over the rayon pool; in a
//! task, blocks of the depth; in a block, tiles. Knows no layer: a [`Right`] side lays its columns
//! out, block by block, and a [`Sink`] takes finished tiles. Always: a value is the sum of its
//! blocks, each summed in order from zero, however many threads there are.

pub(super) mod kernel;
pub(super) mod pack;
pub(super) mod room;

use std::ops::Range;

use rayon::prelude::*;

use super::after::Tile;
use crate::vision::simd::Isa;
use kernel::{DEPTH_MAX, LANES, LEFT_STRIDE, Product};
use pack::Rows;
use room::{Use, lend};

pub(super) use kernel::{COLUMNS, ROWS};

/// Which columns a panel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panel {
    /// The picture of a batch that they belong to; 0 where there is no batch.
    pub(super) batch: usize,
    pub(super) first: usize,
    /// 1 to 48.
    pub(super) count: usize,
}

/// The right side of a product: blocks of columns, each in panels of up to 48.
pub(super) trait Right: Sync {
    /// Rows of a task: with a block of columns they share the cache of one processor.
    fn task_rows_max(&self) -> usize;

    fn blocks(&self) -> usize;

    /// The panels of a block. Each column of the product is in one panel of one block.
    fn panels(&self, block: usize) -> usize;

    fn panel(&self, block: usize, panel: usize) -> Panel;

    /// How deep a block is, at most: 1 to [`DEPTH_MAX`].
    fn step(&self) -> usize;

    /// How much memory `lay` needs.
    fn room(&self) -> usize;

    /// Makes `depth` of a block's columns readable, in `room` or where it lies already.
    fn lay<'a>(&'a self, block: usize, depth: Range<usize>, room: &'a mut [f32]) -> &'a [f32];

    /// Where a panel begins in what was laid out, if that is `depth` deep.
    fn start(&self, block: usize, panel: usize, depth: usize) -> usize;

    /// Where a panel lies, if it is not in the cache yet; the next one is asked for in time.
    fn ahead(&self, panel: usize, depth: usize) -> Range<usize> {
        let _ = (panel, depth);
        0..0
    }

    /// From a panel's start to its values of each k of the block; rising, [`Right::step`] of them.
    fn offsets(&self) -> &[u32];
}

/// Takes the finished tiles.
pub(super) trait Sink: Sync {
    /// Rows `rows` (8 at most) of a panel's columns; each comes once. The tile may be changed.
    fn store(&self, rows: Range<usize>, panel: Panel, tile: &mut Tile);
}

/// `left · right`, of which `sink` gets every value.
pub(super) fn multiply<R: Right, S: Sink>(isa: Isa, left: Rows<'_>, right: &R, sink: &S) {
    let row_blocks = left.count.div_ceil(right.task_rows_max()).max(1);
    let rows = left.count.div_ceil(row_blocks).next_multiple_of(ROWS);
    // A task packs its rows once, for all of its blocks of columns.
    let wanted = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(row_blocks);
    let per_task = right.blocks().div_ceil(wanted).max(1);
    let groups = right.blocks().div_ceil(per_task);
    (0..row_blocks * groups).into_par_iter().for_each(|index| {
        let first = index / groups * rows;
        let rows = first.min(left.count)..(first + rows).min(left.count);
        let first = index % groups * per_task;
        let blocks = first..right.blocks().min(first + per_task);
        Task { isa, left, rows, right }.run(blocks, sink);
    });
}

/// Enough for a thread that lost time to another process to be helped out.
const TASKS_PER_THREAD: usize = 12;

struct Task<'a, R> {
    isa: Isa,
    left: Rows<'a>,
    rows: Range<usize>,
    right: &'a R,
}

/// The packed sides of one block of the depth.
struct Block<'a> {
    number: usize,
    left: &'a [f32],
    right: &'a [f32],
    depth: Range<usize>,
}

impl<R: Right> Task<'_, R> {
    fn run<S: Sink>(&self, blocks: Range<usize>, sink: &S) {
        let (depth, step) = (self.left.width, self.right.step());
        let tile_rows = self.rows.len().div_ceil(ROWS);
        let panels = blocks.clone().map(|block| self.right.panels(block)).max().unwrap_or(0);
        let tiles = tile_rows * panels * size_of::<Tile>() / size_of::<f32>();
        let deep = tile_rows * ROWS * LEFT_STRIDE;
        let parts = || (0..depth.max(1)).step_by(step).map(|at| at..depth.min(at + step));
        lend(Use::Left, parts().count() * deep, |left| {
            for (depth, left) in parts().zip(left.chunks_exact_mut(deep.max(1))) {
                pack::left(self.left, self.rows.clone(), depth, left);
            }
            lend(Use::Tiles, tiles, |tiles| {
                lend(Use::Right, self.right.room(), |room| {
                    for number in blocks {
                        let tiles = &mut tiles.as_chunks_mut::<{ ROWS * COLUMNS }>().0
                            [..tile_rows * self.right.panels(number)];
                        for (depth, left) in parts().zip(left.chunks_exact(deep.max(1))) {
                            let right = self.right.lay(number, depth.clone(), room);
                            self.block(&Block { number, left, right, depth }, tiles);
                        }
                        self.store(number, tiles, sink);
                    }
                });
            });
        });
    }

    /// Adds one block of the depth to the tiles: a panel's, from above, then the next panel's.
    fn block(&self, block: &Block<'_>, tiles: &mut [Tile]) {
        let kernels = kernel::kernels(self.isa);
        let (offsets, deep) = (self.right.offsets(), block.depth.len());
        let tile_rows = self.rows.len().div_ceil(ROWS);
        let mut tiles = tiles.iter_mut();
        for number in 0..self.right.panels(block.number) {
            let panel = self.right.panel(block.number, number);
            let vectors = panel.count.div_ceil(LANES);
            let start = self.right.start(block.number, number, deep);
            let end = offsets[..deep].last().map_or(0, |last| *last as usize + vectors * LANES);
            let right = &block.right[start..][..end];
            let next = self.right.ahead(number + 1, deep);
            let next = block.right.get(next).unwrap_or(&[]);
            let mut ahead = next.chunks(next.len().div_ceil(tile_rows).max(LANES));
            for (left, tile) in block.left.chunks_exact(ROWS * LEFT_STRIDE).zip(&mut tiles) {
                kernel::fetch_ahead(ahead.next().unwrap_or(&[]));
                let product = Product {
                    depth: deep,
                    left: left.as_ptr(),
                    right: right.as_ptr(),
                    offsets: offsets.as_ptr(),
                    tile: tile.as_mut_ptr(),
                    stride: COLUMNS,
                    add: block.depth.start > 0,
                };
                // SAFETY: `left` is 8 rows of `LEFT_STRIDE` > `deep`; `right` ends with the last
                // offset's vectors, and offsets rise; a tile is 8 rows of 48; `kernels` are those
                // of an `Isa`, which is proof of its instructions.
                #[allow(unsafe_code, reason = "the kernels read by pointers")]
                unsafe {
                    kernels[vectors - 1](&product);
                }
            }
        }
    }

    /// Hands the tiles on, row by row of the product: what is neighbours in memory comes together.
    fn store<S: Sink>(&self, block: usize, tiles: &mut [Tile], sink: &S) {
        let tile_rows = self.rows.len().div_ceil(ROWS);
        for (of, first) in self.rows.clone().step_by(ROWS).enumerate() {
            let rows = first..self.rows.end.min(first + ROWS);
            for panel in 0..self.right.panels(block) {
                let tile = &mut tiles[panel * tile_rows + of];
                sink.store(rows.clone(), self.right.panel(block, panel), tile);
            }
        }
    }
}

/// How many panels a task should have, of `panels`, beside how many rows: few enough for its cache
/// and for every thread to have some tasks, many enough to pay for packing the rows.
pub(super) fn task_panels(panels: usize, rows: usize, task_rows_max: usize) -> usize {
    /// Tiles of a task: 786 KiB.
    const TILES_MAX: usize = 512;
    const TASKS_PER_THREAD: usize = 4;
    const LEAST: usize = 4;
    let row_blocks = rows.div_ceil(task_rows_max).max(1);
    let fitting = TILES_MAX * ROWS * row_blocks / rows.max(1);
    let shared = panels * row_blocks / (TASKS_PER_THREAD * rayon::current_num_threads());
    fitting.min(shared.max(LEAST)).clamp(1, MOST_PANELS)
}

/// Panels of a task at most: its part of the right side, over a block of the depth, stays small.
const MOST_PANELS: usize = 32;

/// Panels laid out one after another, each `depth` lines of 48.
pub(super) fn line_offsets() -> Vec<u32> {
    (0..DEPTH_MAX as u32).map(|line| line * COLUMNS as u32).collect()
}

/// Blocks of nearly one size, a multiple of `unit`, none deeper than `most`.
pub(super) fn balanced_step(depth: usize, unit: usize, most: usize) -> usize {
    let units = depth.div_ceil(unit).max(1);
    let per_block = (most / unit).max(1);
    units.div_ceil(units.div_ceil(per_block)) * unit
}
