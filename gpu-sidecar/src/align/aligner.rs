//! The aligner: vectors of both texts in, beads with scores out.
//!
//! Owns the order of search, first pass, band and second pass, and the bound of the table. Knows
//! no texts.

use std::ops::ControlFlow;

use super::band::Band;
use super::beads::Bead;
use super::dots::Rows;
use super::encoder::{Groups, Watch};
use super::similarity::{AlignParams, Sides};
use super::{first_pass, search, second_pass};

/// Cells of the second pass's band, at most; each takes a byte. Protects the sidecar's memory from
/// long texts that have nothing in common; texts of 10,000 sentences that have need 200,000.
pub const CELLS_MAX: usize = 1 << 28;
/// Share of the work that each step is, for progress.
const SEARCH_SHARE: f64 = 0.5;

/// What belongs together.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// In the texts' order; every sentence is in exactly one.
    pub beads: Vec<Bead>,
    /// Of each bead.
    pub scores: Vec<f64>,
}

/// Why there is no alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlignError {
    /// The watcher broke off.
    #[error("aligning was cancelled")]
    Cancelled,
    /// The table of the second pass would pass [`CELLS_MAX`].
    #[error(
        "long stretches of the texts have nothing in common: {cells} pairs of places would have \
         to be compared, at most {CELLS_MAX} are; align shorter parts"
    )]
    BandTooWide { cells: usize },
}

impl AlignError {
    /// Public and permanent.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::BandTooWide { .. } => "texts_unrelated",
        }
    }
}

/// Aligns two texts. Where one has no sentence, each of the other's is a bead of its own.
/// # Errors
/// [`AlignError`].
pub fn align(
    source: &Groups,
    target: &Groups,
    params: AlignParams,
    watch: &mut Watch<'_>,
) -> Result<Alignment, AlignError> {
    let (m, n) = (source.sentences, target.sentences);
    if m == 0 || n == 0 {
        let source = (0..m).map(|i| Bead { source: i..i + 1, target: 0..0 });
        let target = (0..n).map(|j| Bead { source: 0..0, target: j..j + 1 });
        let beads: Vec<Bead> = source.chain(target).collect();
        let scores = vec![params.skip; beads.len()];
        return Ok(Alignment { beads, scores });
    }
    let sides = Sides::new(source, target, params);
    let mut searching = |done: f64| watch(done * SEARCH_SHARE);
    let singles = |side| single_rows(side);
    let neighbours =
        search::nearest(singles(source), singles(target), params.top_k, &mut searching)
            .ok_or(AlignError::Cancelled)?;
    let anchors = first_pass::anchors(&first_pass::decide(&neighbours, (m, n)));
    let band = Band::around(&anchors, (m, n), params.win);
    if band.cells() > CELLS_MAX {
        return Err(AlignError::BandTooWide { cells: band.cells() });
    }
    let mut deciding = |done: f64| watch(SEARCH_SHARE + done * (1.0 - SEARCH_SHARE));
    let pointers =
        second_pass::decide(&sides, &band, &mut deciding).ok_or(AlignError::Cancelled)?;
    let beads = pointers
        .walk_back(&second_pass::kinds(params.max_align))
        .expect("the band around anchors leads from the start to the end");
    let scores = beads.iter().map(|bead| score(&sides, bead)).collect();
    Ok(Alignment { beads, scores })
}

/// The vectors of a text's single sentences.
#[must_use]
pub fn single_rows(side: &Groups) -> Rows<'_> {
    Rows::new(&side.vectors, side.width).slice(0, side.sentences)
}

fn score(sides: &Sides<'_>, bead: &Bead) -> f64 {
    let kind = (bead.source.len(), bead.target.len());
    sides.bead_score(kind, (bead.source.end, bead.target.end))
}

/// A watcher that never breaks off.
pub fn unwatched(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
