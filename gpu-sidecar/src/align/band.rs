//! Bands: which cells of the table of both texts a pass looks at.
//!
//! Owns both bands' shapes. Knows counts and anchors. Cell `(i, j)` stands between the first `i`
//! sentences of the source and the first `j` of the target, so there are rows 0 to m. Always: the
//! last row reaches n. Source: `shared/reference/bertalign/SPEC.md`, sections 6 and 7.

use std::ops::RangeInclusive;

/// Half the first band's height, at least.
const HALF_HEIGHT_MIN: usize = 250;
/// The same as a share of the longer text.
const HALF_HEIGHT_SHARE: f64 = 0.06;

/// A range of columns for every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    rows: Vec<RangeInclusive<usize>>,
    /// Cells before each row, one more than there are rows.
    offsets: Vec<usize>,
}

/// One sentence of each text that belong together; counted from 1.
pub type Anchor = (usize, usize);

impl Band {
    /// At least one row; none is empty.
    fn new(rows: Vec<RangeInclusive<usize>>) -> Self {
        let ends = rows.iter().scan(0, |cells, row| {
            *cells += row.end() - row.start() + 1;
            Some(*cells)
        });
        let offsets = std::iter::once(0).chain(ends).collect();
        Self { rows, offsets }
    }

    /// Around the straight line from (0, 0) to (m, n). m is above 0.
    #[must_use]
    pub fn diagonal(m: usize, n: usize) -> Self {
        let half = HALF_HEIGHT_MIN.max((HALF_HEIGHT_SHARE * m.max(n) as f64) as usize);
        let slope = n as f64 / m as f64;
        let row = |i: usize| {
            let centre = (slope * i as f64) as usize;
            centre.saturating_sub(half)..=n.min(centre + half)
        };
        Self::new((0..=m).map(row).collect())
    }

    /// Around `anchors`, ascending, `win` cells above and below. m and n are above 0.
    #[must_use]
    pub fn around(anchors: &[Anchor], (m, n): (usize, usize), win: usize) -> Self {
        let anchors = closed(anchors, (m, n));
        let mut rows = Vec::with_capacity(m + 1);
        let mut before: Anchor = (0, 0);
        for &(i, j) in &anchors {
            let row = before.1.saturating_sub(win)..=n.min(j + win);
            rows.extend((before.0..i).map(|_| row.clone()));
            before = (i, j);
        }
        // Row 0 is as row 1.
        rows.insert(0, rows[0].clone());
        Self::new(rows)
    }

    /// How many rows: one more than the source has sentences.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The columns of row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &RangeInclusive<usize> {
        &self.rows[i]
    }

    /// Cells in the rows before row `i`.
    #[must_use]
    pub fn offset(&self, i: usize) -> usize {
        self.offsets[i]
    }

    /// How many cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.offsets[self.rows()]
    }

    /// Cells of the widest row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.iter().map(|row| row.end() - row.start() + 1).max().unwrap_or(0)
    }
}

/// The anchors with (m, n) as the last; one that shares a side with it is dropped.
fn closed(anchors: &[Anchor], end: Anchor) -> Vec<Anchor> {
    let mut anchors = anchors.to_vec();
    if let Some(&last) = anchors.last()
        && (last.0 == end.0 || last.1 == end.1)
    {
        anchors.pop();
    }
    anchors.push(end);
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_replaces_an_anchor_that_shares_a_side_with_it() {
        assert_eq!(closed(&[], (3, 4)), [(3, 4)]);
        assert_eq!(closed(&[(1, 1), (3, 4)], (3, 4)), [(1, 1), (3, 4)]);
        assert_eq!(closed(&[(1, 1), (3, 2)], (3, 4)), [(1, 1), (3, 4)]);
        assert_eq!(closed(&[(1, 1), (2, 4)], (3, 4)), [(1, 1), (3, 4)]);
        assert_eq!(closed(&[(1, 1), (2, 3)], (3, 4)), [(1, 1), (2, 3), (3, 4)]);
    }

    #[test]
    fn a_band_has_a_row_for_every_sentence_and_ends_at_the_end() {
        for (m, n) in [(1, 1), (1, 2000), (2000, 1), (700, 900)] {
            for band in [Band::diagonal(m, n), Band::around(&[(1, 1)], (m, n), 5)] {
                assert_eq!(band.rows(), m + 1, "{m} {n}");
                assert_eq!(*band.row(0).start(), 0);
                assert!(*band.row(m).end() <= n && *band.row(m).end() + 1 >= n);
            }
        }
        let band = Band::around(&[(2, 2)], (4, 6), 1);
        let rows: Vec<_> = (0..5).map(|i| band.row(i).clone()).collect();
        assert_eq!(rows, [0..=3, 0..=3, 0..=3, 1..=6, 1..=6]);
        assert_eq!((band.cells(), band.width()), (24, 6));
    }
}
