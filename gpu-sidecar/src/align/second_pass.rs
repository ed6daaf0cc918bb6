//! The second pass: beads of up to `max_align` sentences, inside a band around the anchors.
//!
//! Owns the order of the work: products of a few rows, their scores, then the decisions. Products
//! and scores do not depend on decisions and are computed on all threads; decisions on one.
//! Always: of equally good ways the one whose last bead comes first in [`kinds`] wins; the result
//! does not depend on threads; memory grows with the band and one group of rows. Source:
//! `shared/reference/bertalign/SPEC.md`, section 8.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use super::band::Band;
use super::beads::{Kind, NO_PREDECESSOR, Pointers};
use super::similarity::Sides;
use super::tables::{BLOCK_ROWS, Block, Blocks};

/// Scores that are held at once: enough rows for all threads, and 32 MiB. Tests hold few, so that
/// small texts have many groups of rows.
const SCORES_AT_ONCE: usize = if cfg!(test) { 1 << 14 } else { 1 << 22 };
/// Blocks of rows at once, at most: bounds the wait for a cancel.
const BLOCKS_AT_ONCE_MAX: usize = 64;

/// All kinds of beads in the order that decides between equals.
#[must_use]
pub fn kinds(max_align: usize) -> Vec<Kind> {
    let pairs = (1..max_align).flat_map(|a| (1..max_align).map(move |b| (a, b)));
    let pairs = pairs.filter(|&(a, b)| a + b <= max_align);
    [(0, 1), (1, 0)].into_iter().chain(pairs).collect()
}

/// Decides every cell of `band`. `None` when `watch`, which hears how much is done (0 to 1), broke
/// off.
#[must_use]
pub fn decide(
    sides: &Sides<'_>,
    band: &Band,
    watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Option<Pointers> {
    let (m, _) = sides.counts();
    let mut decisions = Decisions::new(sides, band);
    let mut work = Work { sides, band, kinds: &kinds(sides.params.max_align), scored: Vec::new() };
    let mut blocks: VecDeque<Block> = VecDeque::new();
    let mut blocks_first = 1;
    let mut blocks_end = 1;
    let rows_at_once = work.rows_at_once();
    let layers = sides.params.layers();
    decisions.decide_row(0, &[]);
    let mut start = 1;
    while start <= m {
        let end = (start + rows_at_once).min(m + 1);
        // The row after the last is the neighbour of its groups.
        let needed = (end + 1).min(m + 1);
        let missing: Vec<Range<usize>> = (blocks_end..needed)
            .step_by(BLOCK_ROWS)
            .map(|first| first..(first + BLOCK_ROWS).min(m + 1))
            .collect();
        let computed: Vec<Block> =
            missing.into_par_iter().map(|rows| Block::compute(sides, band, rows)).collect();
        blocks_end += BLOCK_ROWS * computed.len();
        blocks.extend(computed);
        work.score(Blocks { blocks: blocks.make_contiguous(), first: blocks_first }, start..end);
        let mut scores = work.scored.as_slice();
        for i in start..end {
            let (row, rest) = scores.split_at(work.row_scores(i));
            decisions.decide_row(i, row);
            scores = rest;
        }
        while blocks_first + BLOCK_ROWS + layers <= end {
            blocks.pop_front();
            blocks_first += BLOCK_ROWS;
        }
        start = end;
        if watch((end - 1) as f64 / m as f64).is_break() {
            return None;
        }
    }
    Some(decisions.pointers)
}

/// Scores of a group of rows.
struct Work<'a> {
    sides: &'a Sides<'a>,
    band: &'a Band,
    kinds: &'a [Kind],
    /// For each row, for each kind with both sides, for each cell.
    scored: Vec<f64>,
}

impl Work<'_> {
    /// A multiple of a block's rows.
    fn rows_at_once(&self) -> usize {
        let scores_per_block = self.band.width() * self.kinds.len() * BLOCK_ROWS;
        BLOCK_ROWS * (SCORES_AT_ONCE / scores_per_block.max(1)).clamp(1, BLOCKS_AT_ONCE_MAX)
    }

    fn row_cells(&self, i: usize) -> usize {
        self.band.offset(i + 1) - self.band.offset(i)
    }

    fn row_scores(&self, i: usize) -> usize {
        self.row_cells(i) * (self.kinds.len() - 2)
    }

    fn score(&mut self, blocks: Blocks<'_>, rows: Range<usize>) {
        let mut scored = std::mem::take(&mut self.scored);
        scored.clear();
        scored.resize(rows.clone().map(|i| self.row_scores(i)).sum(), 0.0);
        let mut parts = Vec::with_capacity(rows.len());
        let mut rest = scored.as_mut_slice();
        for i in rows {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(self.row_scores(i));
            parts.push((i, part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(i, part)| {
            let low = *self.band.row(i).start();
            for (&kind, out) in self.kinds[2..].iter().zip(part.chunks_mut(self.row_cells(i))) {
                blocks.score_row(self.sides, kind, (i, low), out);
            }
        });
        self.scored = scored;
    }
}

/// The table so far.
struct Decisions {
    pointers: Pointers,
    kinds: Vec<Kind>,
    skip: f64,
    /// Best sums of the last rows, the newest first; unreachable cells are minus infinity.
    sums: VecDeque<Vec<f32>>,
    /// Rows that a bead can reach back over.
    kept: usize,
}

impl Decisions {
    fn new(sides: &Sides<'_>, band: &Band) -> Self {
        Self {
            pointers: Pointers::new(band.clone()),
            kinds: kinds(sides.params.max_align),
            skip: sides.params.skip,
            sums: VecDeque::new(),
            kept: sides.params.layers(),
        }
    }

    /// `scores`: for each kind with both sides, for each cell.
    fn decide_row(&mut self, i: usize, scores: &[f64]) {
        let (low, high) = self.pointers.band().row(i).clone().into_inner();
        let cells = high - low + 1;
        let mut best = vec![f64::NEG_INFINITY; cells];
        let mut choice = vec![NO_PREDECESSOR; cells];
        // Everything but a target sentence alone comes from the rows above.
        for (number, &(a, b)) in (1u8..).zip(&self.kinds[1..]) {
            let Some(above) = a.checked_sub(1).and_then(|back| self.sums.get(back)) else {
                continue;
            };
            let (above_low, above_high) = self.pointers.band().row(i - a).clone().into_inner();
            let scores = (b > 0).then(|| &scores[(usize::from(number) - 2) * cells..][..cells]);
            let from = low.max(above_low + b);
            let to = high.min(above_high + b);
            for j in from..=to {
                let score = scores.map_or(self.skip, |scores| scores[j - low]);
                let sum = f64::from(above[j - b - above_low]) + score;
                if sum > best[j - low] {
                    best[j - low] = sum;
                    choice[j - low] = number;
                }
            }
        }
        let row = self.pointers.row_mut(i);
        let mut sums: Vec<f32> = Vec::with_capacity(cells);
        for (cell, (&sum, &number)) in best.iter().zip(&choice).enumerate() {
            let alone = cell.checked_sub(1).map(|left| f64::from(sums[left]) + self.skip);
            let start = (i, low + cell) == (0, 0);
            // First in the order of kinds, so it wins where it is as good as the best.
            let (sum, number) = match alone {
                _ if start => (0.0, NO_PREDECESSOR),
                Some(alone) if alone >= sum && alone > f64::NEG_INFINITY => (alone, 0),
                _ => (sum, number),
            };
            sums.push(sum as f32);
            row[cell] = number;
        }
        self.sums.push_front(sums);
        self.sums.truncate(self.kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::plain::{self, noise};
    use crate::align::similarity::AlignParams;

    fn go_on(_: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[track_caller]
    fn check((m, n): (usize, usize), params: AlignParams) {
        let source = noise(m, params.layers(), 1, None);
        let target = noise(n, params.layers(), 2, Some(&source));
        let sides = Sides::new(&source, &target, params);
        let steps =
            (1..m.min(n) / 7 + 1).map(|step| (step * 7 * m / m.max(n), step * 7 * n / m.max(n)));
        let anchors: Vec<_> = steps.filter(|&(i, j)| i > 0 && j > 0).collect();
        let mut distinct: Vec<(usize, usize)> = Vec::new();
        for anchor in anchors {
            if distinct.last().is_none_or(|last| last.0 < anchor.0 && last.1 < anchor.1) {
                distinct.push(anchor);
            }
        }
        let band = Band::around(&distinct, (m, n), params.win);
        let got = decide(&sides, &band, &mut go_on).expect("nobody breaks off");
        for (i, want) in plain::second_pass(&sides, &band).iter().enumerate() {
            assert_eq!(got.row(i), want, "{m} × {n}, {params:?}, row {i}");
        }
        let beads = got.walk_back(&kinds(params.max_align)).expect("a way through");
        let sources: usize = beads.iter().map(|bead| bead.source.len()).sum();
        let targets: usize = beads.iter().map(|bead| bead.target.len()).sum();
        assert_eq!((sources, targets), (m, n));
    }

    #[test]
    fn tables_of_products_decide_as_the_definition_does() {
        let usual = AlignParams::default();
        for counts in
            [(1, 1), (1, 9), (9, 1), (2, 3), (4, 5), (5, 4), (255, 250), (256, 260), (257, 90)]
        {
            check(counts, usual);
        }
        for params in [
            AlignParams { margin: false, ..usual },
            AlignParams { len_penalty: false, ..usual },
            AlignParams { max_align: 2, ..usual },
            AlignParams { max_align: 9, win: 0, ..usual },
            AlignParams { skip: -1.0, win: 40, ..usual },
        ] {
            check((61, 70), params);
        }
    }

    #[test]
    fn a_wide_band_in_many_groups_of_rows_decides_as_the_definition_does() {
        for max_align in [4, 10] {
            check((70, 190), AlignParams { max_align, win: 100, ..AlignParams::default() });
        }
    }

    #[test]
    fn equal_ways_end_with_the_first_kind() {
        let params = AlignParams { skip: 0.0, ..AlignParams::default() };
        let mut source = noise(6, params.layers(), 3, None);
        source.vectors.fill(0.0);
        let target = source.clone();
        let sides = Sides::new(&source, &target, params);
        let band = Band::around(&[], (6, 6), params.win);
        let got = decide(&sides, &band, &mut go_on).expect("nobody breaks off");
        assert!((1..=6).all(|i| got.row(i)[1..].iter().all(|&kind| kind == 0)));
        assert!((1..=6).all(|i| got.row(i)[0] == 1));
    }

    #[test]
    fn a_pass_that_is_broken_off_has_no_result() {
        let params = AlignParams::default();
        let source = noise(5, params.layers(), 3, None);
        let sides = Sides::new(&source, &source, params);
        let band = Band::around(&[], (5, 5), params.win);
        assert!(decide(&sides, &band, &mut |_| ControlFlow::Break(())).is_none());
    }
}
