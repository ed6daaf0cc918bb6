//! Beads: neighbouring sentences of both texts that say the same, and the way back through a
//! table of decisions that finds them.
//!
//! Owns the table's pointers and the walk. Knows no scores.

use std::ops::Range;

use super::band::Band;

/// No predecessor: the cell cannot be reached.
pub const NO_PREDECESSOR: u8 = u8::MAX;

/// Sentences `source` and `target` belong together; either may be empty, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bead {
    /// Of the source text, from 0.
    pub source: Range<usize>,
    /// Of the target text, from 0.
    pub target: Range<usize>,
}

/// A kind of bead: so many sentences of the source, so many of the target.
pub type Kind = (usize, usize);

/// For every cell of a band the number of the kind of bead that ends there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointers {
    band: Band,
    cells: Vec<u8>,
}

impl Pointers {
    /// All cells without a predecessor.
    #[must_use]
    pub fn new(band: Band) -> Self {
        let cells = vec![NO_PREDECESSOR; band.cells()];
        Self { band, cells }
    }

    /// The cells' shape.
    #[must_use]
    pub fn band(&self) -> &Band {
        &self.band
    }

    /// Row `i`, from the band's lower to its upper bound.
    #[must_use]
    pub fn row(&self, i: usize) -> &[u8] {
        &self.cells[self.band.offset(i)..self.band.offset(i + 1)]
    }

    /// As [`Pointers::row`].
    pub fn row_mut(&mut self, i: usize) -> &mut [u8] {
        &mut self.cells[self.band.offset(i)..self.band.offset(i + 1)]
    }

    /// The beads from the first sentences to the last; `None` when no way leads there. `kinds` are
    /// those that the pointers number.
    #[must_use]
    pub fn walk_back(&self, kinds: &[Kind]) -> Option<Vec<Bead>> {
        let mut i = self.band.rows() - 1;
        let mut j = *self.band.row(i).end();
        let mut beads = Vec::new();
        while (i, j) != (0, 0) {
            let row = self.band.row(i);
            if !row.contains(&j) {
                return None;
            }
            let &(a, b) = kinds.get(usize::from(self.row(i)[j - row.start()]))?;
            let (before_i, before_j) = (i.checked_sub(a)?, j.checked_sub(b)?);
            beads.push(Bead { source: before_i..i, target: before_j..j });
            (i, j) = (before_i, before_j);
        }
        beads.reverse();
        Some(beads)
    }
}
