//! L1 thinning in vectors of 32 pixels, where comparisons give bits at once.
//!
//! The same comparisons as in `thin`, whose tests hold for this form, too.

#![allow(unsafe_code, reason = "vector instructions of processors that have them")]

use std::arch::x86_64::*;

use super::gradient::{BLOCK, FRONT};
use super::thin::{Around, Maps};
use crate::vision::simd::Isa;

/// Pixels of a vector.
const LANES: usize = 32;
/// Columns of a block and the ones beside it.
const SPAN: usize = BLOCK + 2;

/// Thins a row; false where the processor lacks AVX-512, and nothing is done.
pub(super) fn thin_l1(isa: Isa, around: &Around<'_, i16>, maps: &mut Maps<'_>) -> bool {
    if !matches!(isa, Isa::Avx512(_)) {
        return false;
    }
    // SAFETY: only `simd.rs` makes an `Avx512`, after it has asked the processor.
    unsafe { thin(around, maps) };
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
fn thin(around: &Around<'_, i16>, maps: &mut Maps<'_>) {
    let (low, high) = around.thresholds;
    let words = maps.candidates.iter_mut().zip(&mut *maps.strong);
    for ((block, &peak), (candidates, strong)) in around.row.peak.iter().enumerate().zip(words) {
        (*candidates, *strong) = (0, 0);
        if peak <= low {
            continue;
        }
        let at = block * BLOCK;
        let rows = [around.above, around.row, around.below].map(|row| {
            let span = row.magnitude[at + FRONT - 1..].first_chunk::<SPAN>();
            span.expect("a row has room on both sides")
        });
        let [dx, dy] = [&around.row.dx, &around.row.dy]
            .map(|values| values[at..].first_chunk::<BLOCK>().expect("rows are whole blocks"));
        for half in 0..BLOCK / LANES {
            let (candidate, is_strong) = ridges(rows, [dx, dy], half * LANES, (low, high));
            *candidates |= u64::from(candidate) << (half * LANES);
            *strong |= u64::from(is_strong) << (half * LANES);
        }
    }
}

/// Candidates and strong pixels of `LANES` columns from `from` on, which is 0 or `LANES`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
fn ridges(
    [above, row, below]: [&[i16; SPAN]; 3],
    [dx, dy]: [&[i16; BLOCK]; 2],
    from: usize,
    (low, high): (i16, i16),
) -> (u32, u32) {
    let load = |values: &[i16]| {
        let lanes = values.first_chunk::<LANES>().expect("`from` leaves a vector");
        // SAFETY: 64 bytes are read from an array of 32 numbers of 16 bits.
        unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
    };
    let magnitude = load(&row[from + 1..]);
    let above_low = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(low));
    if above_low == 0 {
        return (0, 0);
    }
    let passes = |beside: &[i16]| _mm512_cmpgt_epi16_mask(magnitude, load(beside));
    let reaches = |beside: &[i16]| _mm512_cmpge_epi16_mask(magnitude, load(beside));
    let (dx, dy) = (load(&dx[from..]), load(&dy[from..]));
    let (across, down) = (_mm512_abs_epi16(dx), _mm512_abs_epi16(dy));
    let flat = _mm512_mulhi_epu16(across, _mm512_set1_epi16(2 * 13573));
    let steep = _mm512_add_epi16(_mm512_add_epi16(across, across), flat);
    let is_horizontal = _mm512_cmple_epi16_mask(down, flat);
    let is_vertical = _mm512_cmpgt_epi16_mask(down, steep);
    let is_falling = _mm512_movepi16_mask(_mm512_xor_si512(dx, dy));
    let beside = passes(&row[from..]) & reaches(&row[from + 2..]);
    let upright = passes(&above[from + 1..]) & reaches(&below[from + 1..]);
    let falling = passes(&above[from + 2..]) & passes(&below[from..]);
    let rising = passes(&above[from..]) & passes(&below[from + 2..]);
    let diagonal = (is_falling & falling) | (!is_falling & rising);
    let not_flat = (is_vertical & upright) | (!is_vertical & diagonal);
    let ridge = above_low & ((is_horizontal & beside) | (!is_horizontal & not_flat));
    (ridge, ridge & _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(high)))
}
