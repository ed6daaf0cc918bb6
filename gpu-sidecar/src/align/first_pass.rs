//! The first pass: pairs of single sentences that are surely translations of each other.
//!
//! Owns the search for anchors. Knows neighbours' scores; not vectors. Always: of equally good
//! ways the one whose last bead comes first in [`KINDS`] wins. Source:
//! `shared/reference/bertalign/SPEC.md`, section 6.

use super::band::{Anchor, Band};
use super::beads::{Kind, NO_PREDECESSOR, Pointers};
use super::search::Neighbours;

/// A target sentence alone, a source sentence alone, one of each.
pub const KINDS: [Kind; 3] = [(0, 1), (1, 0), (1, 1)];

/// Decides every cell of the band around the diagonal. `neighbours` are those of the m source
/// sentences among the n target sentences; both counts are above 0.
#[must_use]
pub fn decide(neighbours: &Neighbours, (m, n): (usize, usize)) -> Pointers {
    let mut pointers = Pointers::new(Band::diagonal(m, n));
    let mut before = Row::first(&mut pointers);
    let mut similar = Vec::new();
    for i in 1..=m {
        let (low, high) = pointers.band().row(i).clone().into_inner();
        similar.clear();
        similar.resize(high - low + 1, 0.0);
        for neighbour in neighbours.of(i - 1) {
            // Sentence `index` is left by cell `index + 1`.
            let place = (neighbour.index as usize + 1).checked_sub(low);
            if let Some(cell) = place.and_then(|place| similar.get_mut(place)) {
                *cell = neighbour.score;
            }
        }
        before = before.next(low, &similar, pointers.row_mut(i));
    }
    pointers
}

/// The cells that are left by a pair, ascending; none where the band has no way through.
#[must_use]
pub fn anchors(pointers: &Pointers) -> Vec<Anchor> {
    let beads = pointers.walk_back(&KINDS).unwrap_or_default();
    let pairs = beads.iter().filter(|bead| bead.source.len() == 1 && bead.target.len() == 1);
    pairs.map(|bead| (bead.source.end, bead.target.end)).collect()
}

/// Best sums of one row of the band; unreachable cells are minus infinity.
struct Row {
    low: usize,
    sums: Vec<f32>,
}

impl Row {
    /// Row 0: only target sentences alone, which cost nothing.
    fn first(pointers: &mut Pointers) -> Self {
        let row = pointers.row_mut(0);
        row[1..].fill(0);
        Self { low: 0, sums: vec![0.0; row.len()] }
    }

    /// The row below: `similar` are the scores of pairs that end in its cells.
    fn next(&self, low: usize, similar: &[f32], pointers: &mut [u8]) -> Self {
        let above = |j: usize| {
            let place = j.checked_sub(self.low);
            place.and_then(|place| self.sums.get(place)).copied().unwrap_or(f32::NEG_INFINITY)
        };
        let mut sums = Vec::with_capacity(similar.len());
        let mut left = f32::NEG_INFINITY;
        let mut diagonal = low.checked_sub(1).map_or(f32::NEG_INFINITY, &above);
        for ((j, &score), pointer) in (low..).zip(similar).zip(pointers) {
            let up = above(j);
            let (mut best, mut kind) = (f32::NEG_INFINITY, NO_PREDECESSOR);
            for (candidate, number) in [(left, 0), (up, 1), (diagonal + score, 2)] {
                if candidate > best {
                    (best, kind) = (candidate, number);
                }
            }
            *pointer = kind;
            sums.push(best);
            (left, diagonal) = (best, up);
        }
        Self { low, sums }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::align::aligner::single_rows;
    use crate::align::plain::{self, noise};
    use crate::align::search::nearest;

    #[test]
    fn the_pass_decides_as_the_definition_does() {
        for (m, n) in [(1, 1), (1, 9), (30, 40), (40, 30), (3, 900), (900, 3), (260, 700)] {
            let source = noise(m, 1, 5, None);
            let target = noise(n, 1, 6, Some(&source));
            let (left, right) = (single_rows(&source), single_rows(&target));
            let neighbours =
                nearest(left, right, 3, &mut |_| ControlFlow::Continue(())).expect("no break");
            let got = decide(&neighbours, (m, n));
            for (i, want) in plain::first_pass(&neighbours, (m, n)).iter().enumerate() {
                assert_eq!(got.row(i), want, "{m} × {n}, row {i}");
            }
        }
    }

    #[test]
    fn a_band_without_a_way_through_has_no_anchors() {
        let (source, target) = (noise(1, 1, 5, None), noise(2000, 1, 6, None));
        let (left, right) = (single_rows(&source), single_rows(&target));
        let neighbours =
            nearest(left, right, 3, &mut |_| ControlFlow::Continue(())).expect("no break");
        assert!(anchors(&decide(&neighbours, (1, 2000))).is_empty());
    }
}
