//! Non-maximum suppression: which pixels of a row are ridges of the gradient, 64 at a time.
//!
//! Owns the comparison across the edge, without a branch: all four directions are compared. The
//! direction is decided in 16 bits: with T = 13573·|dx| / 2¹⁵,
//! which is whole only for dx = 0, |dy| < T is |dy| ≤ ⌊T⌋ and |dy| > 2·|dx| + T is the same
//! with ⌊T⌋; where both are 0 there is no candidate.

use super::bits::{Bits, per_bits};
use super::gradient::{BLOCK, FRONT, Magnitude, Row};
use crate::vision::simd::Isa;

/// Three rows around the one that is thinned, and what counts.
#[derive(Debug)]
pub(super) struct Around<'a, M> {
    pub(super) above: &'a Row<M>,
    pub(super) row: &'a Row<M>,
    pub(super) below: &'a Row<M>,
    /// A candidate is longer than the first, a strong pixel than both.
    pub(super) thresholds: (M, M),
}

/// Where the answer goes: a bit a pixel.
#[derive(Debug)]
pub(super) struct Maps<'a> {
    pub(super) candidates: &'a mut [u64],
    pub(super) strong: &'a mut [u64],
}

/// Candidates and strong pixels of one row.
pub(super) fn thin_l1(isa: Isa, around: &Around<'_, i16>, mut maps: Maps<'_>) {
    #[cfg(target_arch = "x86_64")]
    if super::thin_avx512::thin_l1(isa, around, &mut maps) {
        return;
    }
    thin_blocks_l1(isa, around, &mut maps);
}

per_bits! {
    fn thin_blocks_l1 = thin_body_l1(around: &Around<'_, i16>, maps: &mut Maps<'_>)
}

per_bits! {
    /// As `thin_l1`, with squared magnitudes.
    pub(super) fn thin_l2 = thin_body_l2(around: &Around<'_, i32>, maps: Maps<'_>)
}

#[inline(always)]
fn thin_body_l1<B: Bits>(around: &Around<'_, i16>, maps: &mut Maps<'_>) {
    thin::<B, i16>(around, maps);
}

#[inline(always)]
fn thin_body_l2<B: Bits>(around: &Around<'_, i32>, mut maps: Maps<'_>) {
    thin::<B, i32>(around, &mut maps);
}

#[inline(always)]
fn thin<B: Bits, M: Magnitude>(around: &Around<'_, M>, maps: &mut Maps<'_>) {
    let (low, high) = around.thresholds;
    let words = maps.candidates.iter_mut().zip(&mut *maps.strong);
    for ((block, &peak), (candidates, strong)) in around.row.peak.iter().enumerate().zip(words) {
        (*candidates, *strong) = (0, 0);
        if peak > low {
            let marks = ridges(around, block);
            *candidates = B::pack(&marks, CANDIDATE);
            if peak > high {
                *strong = B::pack(&marks, STRONG);
            }
        }
    }
}

const CANDIDATE: u8 = 1;
const STRONG: u8 = 2;

/// What each pixel of a block is.
#[inline(always)]
fn ridges<M: Magnitude>(around: &Around<'_, M>, block: usize) -> [u8; BLOCK] {
    let at = block * BLOCK;
    let (low, high) = around.thresholds;
    // Each begins one column to the left of the block and ends one to the right.
    let [above, row, below] = [around.above, around.row, around.below]
        .map(|row| row.magnitude[at + FRONT - 1..].first_chunk::<{ BLOCK + 2 }>())
        .map(|span| span.expect("a row has room on both sides"));
    let [dx, dy] = [&around.row.dx, &around.row.dy]
        .map(|values| values[at..].first_chunk::<BLOCK>().expect("rows are whole blocks"));
    let mut marks = [0; BLOCK];
    for x in 0..BLOCK {
        let (across, down) = (dx[x].wrapping_abs(), dy[x].wrapping_abs());
        // ⌊13573·|dx| / 2¹⁵⌋, as the upper half of a 32-bit product.
        let flat = ((u32::from(across as u16).wrapping_mul(2 * 13573)) >> 16) as i16;
        let is_horizontal = down <= flat;
        let is_vertical = down > across.wrapping_add(across).wrapping_add(flat);
        let is_falling = (dx[x] ^ dy[x]) < 0;
        let m = row[x + 1];
        // Along the axes the later neighbour may be as large. Every neighbour is compared and the
        // answers are selected: a selected neighbour would be fetched from a computed address.
        let beside = (m > row[x]) & (m >= row[x + 2]);
        let upright = (m > above[x + 1]) & (m >= below[x + 1]);
        let falling = (m > above[x + 2]) & (m > below[x]);
        let rising = (m > above[x]) & (m > below[x + 2]);
        let diagonal = (is_falling & falling) | (!is_falling & rising);
        let steep = (is_vertical & upright) | (!is_vertical & diagonal);
        let is_ridge = (m > low) & ((is_horizontal & beside) | (!is_horizontal & steep));
        let mark = CANDIDATE | if m > high { STRONG } else { 0 };
        marks[x] = if is_ridge { mark } else { 0 };
    }
    marks
}
