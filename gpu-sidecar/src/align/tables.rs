//! Products of the groups of a few rows of the band with all groups that they meet there.
//!
//! Owns which products a row of scores needs and where they lie. A product of two groups serves as
//! the likeness of one bead and as the neighbour of others, so each is computed once. Knows a
//! band; not decisions.

use std::ops::Range;

use super::band::Band;
use super::beads::Kind;
use super::dots::{Rows, products};
use super::encoder::Groups;
use super::similarity::{Around, Sides};

/// Rows whose products are computed together: as many as a tile of the kernel has.
pub(super) const BLOCK_ROWS: usize = 4;

/// Products of the source's groups that end in a block's rows.
#[derive(Debug)]
pub(super) struct Block {
    /// From 1.
    rows: Range<usize>,
    /// From 1; the cells whose products any row's scores need.
    columns: Range<usize>,
    layers: usize,
    /// For kind `(a, b)` at `(a - 1) · layers + b - 1`: `(rows, columns)`, empty where not needed.
    tables: Vec<Vec<f32>>,
}

impl Block {
    /// Products of the rows `rows`, from 1, of cells of `band`.
    pub(super) fn compute(sides: &Sides<'_>, band: &Band, rows: Range<usize>) -> Self {
        let params = sides.params;
        let layers = params.layers();
        let (m, n) = sides.counts();
        let (above, below) = if params.margin { (1, layers) } else { (0, 0) };
        // Rows up to `layers` further down look back at these as sentences before their group,
        // and the row above as the sentence after its group.
        let first = band.row(rows.start - above);
        let last = band.row((rows.end - 1 + below).min(m));
        let low = (first.start().saturating_sub(below)).max(1);
        let high = (last.end() + above).min(n);
        let mut tables = Vec::with_capacity(layers * layers);
        let columns = low..high + 1;
        for a in 1..=layers {
            for b in 1..=layers {
                let needed = a + b <= params.max_align && !columns.is_empty();
                let size = if needed { rows.len() * columns.len() } else { 0 };
                let mut table = vec![0.0; size];
                if needed {
                    let left = groups(sides.source, a, &rows);
                    products(left, groups(sides.target, b, &columns), &mut table);
                }
                tables.push(table);
            }
        }
        Self { rows, columns, layers, tables }
    }

    /// The product of the groups `a` and `b` that end at cell `(i, j)` of this block.
    #[inline(always)]
    fn at(&self, (a, b): Kind, (i, j): (usize, usize)) -> f32 {
        let table = &self.tables[(a - 1) * self.layers + b - 1];
        table[(i - self.rows.start) * self.columns.len() + j - self.columns.start]
    }
}

/// Groups of `size` sentences that end at `places`, from 1.
fn groups<'a>(side: &'a Groups, size: usize, places: &Range<usize>) -> Rows<'a> {
    let first = (size - 1) * side.sentences;
    Rows::new(&side.vectors, side.width).slice(first + places.start - 1, first + places.end - 1)
}

/// Consecutive blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks<'a> {
    /// Each of [`BLOCK_ROWS`] rows but the very last; the first starts at row `first`.
    pub(super) blocks: &'a [Block],
    /// From 1.
    pub(super) first: usize,
}

impl Blocks<'_> {
    /// Scores of the beads of `kind` that end in row `i`, for the row's cells from `low` on.
    /// Cells where no such group ends are left as they are.
    pub(super) fn score_row(
        &self,
        sides: &Sides<'_>,
        (a, b): Kind,
        (i, low): (usize, usize),
        out: &mut [f64],
    ) {
        if i < a {
            return;
        }
        let (m, n) = sides.counts();
        let here = self.holding(i);
        let after = (sides.params.margin && i < m).then(|| self.holding(i + 1));
        let before = (sides.params.margin && i > a).then(|| self.holding(i - a));
        for (j, out) in (low..).zip(out).skip(b.saturating_sub(low)) {
            let around = if sides.params.margin {
                Around {
                    target_after: (j < n).then(|| here.at((a, 1), (i, j + 1))),
                    target_before: (j > b).then(|| here.at((a, 1), (i, j - b))),
                    source_after: after.map(|block| block.at((1, b), (i + 1, j))),
                    source_before: before.map(|block| block.at((1, b), (i - a, j))),
                }
            } else {
                Around {
                    target_after: None,
                    target_before: None,
                    source_after: None,
                    source_before: None,
                }
            };
            *out = sides.score(((a, b), (i, j)), here.at((a, b), (i, j)), &around);
        }
    }

    fn holding(&self, row: usize) -> &Block {
        &self.blocks[(row - self.first) / BLOCK_ROWS]
    }
}
