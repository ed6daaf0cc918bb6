//! Exact nearest neighbours: for each vector of one text the best of the other.
//!
//! Owns the search. Knows vectors; not what they stand for. Always: the result does not depend on
//! threads or blocks, and memory does not grow with the product of the two counts.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::dots::{Rows, products};

/// Vectors whose products with a block of the others are held at once, by one thread.
const LEFT_BLOCK: usize = 32;
/// The others: 128 vectors of 512 numbers stay in a core's cache.
const RIGHT_BLOCK: usize = 128;
/// Blocks between two looks at whether to go on.
const BLOCKS_AT_ONCE: usize = 16;

/// One neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Which vector of the other text.
    pub index: u32,
    /// The inner product.
    pub score: f32,
}

/// The neighbours of every vector, best first; of two equal ones the earlier first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    per_row: usize,
    entries: Vec<Neighbour>,
}

impl Neighbours {
    /// Those of vector `row`: as many as were asked for, or all there are.
    #[must_use]
    pub fn of(&self, row: usize) -> &[Neighbour] {
        &self.entries[row * self.per_row..][..self.per_row]
    }
}

/// The `k` rows of `right` with the largest inner products with each row of `left`. `None` when
/// `watch`, which hears how much is done (0 to 1), broke off.
#[must_use]
pub fn nearest(
    left: Rows<'_>,
    right: Rows<'_>,
    k: usize,
    watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Option<Neighbours> {
    let per_row = k.min(right.count());
    let absent = Neighbour { index: u32::MAX, score: f32::NEG_INFINITY };
    let mut entries = vec![absent; left.count() * per_row];
    let rows_at_once = LEFT_BLOCK * BLOCKS_AT_ONCE;
    for (part, best) in entries.chunks_mut((rows_at_once * per_row).max(1)).enumerate() {
        let first = part * rows_at_once;
        best.par_chunks_mut(LEFT_BLOCK * per_row).enumerate().for_each(|(block, best)| {
            let first = first + block * LEFT_BLOCK;
            search_block(left.slice(first, first + best.len() / per_row), right, per_row, best);
        });
        if watch((first + rows_at_once).min(left.count()) as f64 / left.count() as f64).is_break() {
            return None;
        }
    }
    Some(Neighbours { per_row, entries })
}

/// `best` is `(left.count(), per_row)`, all absent.
fn search_block(left: Rows<'_>, right: Rows<'_>, per_row: usize, best: &mut [Neighbour]) {
    let mut scores = [0f32; LEFT_BLOCK * RIGHT_BLOCK];
    for start in (0..right.count()).step_by(RIGHT_BLOCK) {
        let columns = RIGHT_BLOCK.min(right.count() - start);
        let scores = &mut scores[..left.count() * columns];
        products(left, right.slice(start, start + columns), scores);
        for (row, best) in scores.chunks_exact(columns).zip(best.chunks_exact_mut(per_row)) {
            for (index, &score) in (start..).zip(row) {
                offer(best, index, score);
            }
        }
    }
}

/// Keeps `best` sorted; a number that is not one is never kept.
#[inline(always)]
fn offer(best: &mut [Neighbour], index: usize, score: f32) {
    let last = best.len() - 1;
    if score > best[last].score {
        let place = best.partition_point(|other| other.score >= score);
        best[place..].rotate_right(1);
        let index = u32::try_from(index).expect("sentences are counted in 32 bits");
        best[place] = Neighbour { index, score };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::dots::dot;

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few values, so that equal products happen.
            ((state >> 33) % 5) as f32 - 2.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn neighbours_are_those_of_a_full_sort() {
        let width = 6;
        for (m, n, k) in [(1, 1, 3), (33, 129, 3), (70, 300, 7), (600, 5, 1), (3, 2, 5)] {
            let (left, right) = (noise(m * width, 7), noise(n * width, 8));
            let (a, b) = (Rows::new(&left, width), Rows::new(&right, width));
            let got = nearest(a, b, k, &mut |_| ControlFlow::Continue(())).expect("no break");
            for i in 0..m {
                let row = &left[i * width..][..width];
                let mut want: Vec<(f32, usize)> =
                    right.chunks_exact(width).map(|other| dot(row, other)).zip(0..).collect();
                want.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                want.truncate(k);
                let got: Vec<_> = got.of(i).iter().map(|e| (e.score, e.index as usize)).collect();
                assert_eq!(got, want, "{m} {n} {k} row {i}");
            }
        }
    }

    #[test]
    fn a_search_that_is_broken_off_has_no_result() {
        let values = noise(64, 1);
        let rows = Rows::new(&values, 4);
        assert!(nearest(rows, rows, 3, &mut |_| ControlFlow::Break(())).is_none());
    }
}
