//! Linear interpolation along a row: two neighbours of every destination column.
//!
//! Owns where the columns lie and how they weigh, made once a picture, and the walk: one column
//! at a time, or sixteen where the processor gathers.

use super::{fixed_weights, spot_inside};
use crate::vision::simd::Isa;

/// The source columns of each destination column.
#[derive(Debug)]
pub(super) struct Columns {
    /// The left one; the right one follows it.
    left: Vec<i32>,
    /// Weights of the two in units of 2⁻¹¹: left in the lower 16 bits, right in the upper.
    weights: Vec<i32>,
    /// Samples of a source row.
    width: usize,
}

/// Samples past a source row that a gathered column may touch.
const SPILL: usize = 4;

impl Columns {
    pub(super) fn new(width: usize, to_width: usize) -> Self {
        let (mut left, mut weights) = (Vec::new(), Vec::new());
        for x in 0..to_width {
            let at = spot_inside(x, width, to_width);
            let (mut w0, mut w1) = fixed_weights(at.fraction);
            let mut first = at.first as usize;
            // On the last column the whole weight is the left one's: it becomes a right one.
            if first + 1 == width && width > 1 {
                (first, w0, w1) = (first - 1, w1, w0);
            }
            left.push(first as i32);
            weights.push(w1 << 16 | w0);
        }
        Self { left, weights, width }
    }

    /// Room for a source row, for `walk`.
    pub(super) fn room(&self) -> Vec<u8> {
        vec![0; self.width + SPILL]
    }

    /// `row` at each destination column, in units of 2⁻⁷: at most 255·2⁷. `room` is overwritten.
    pub(super) fn walk(&self, isa: Isa, row: &[u8], room: &mut [u8], out: &mut [i16]) {
        room[..self.width].copy_from_slice(row);
        #[cfg(target_arch = "x86_64")]
        if gather::walk(isa, self, room, out) {
            return;
        }
        self.one_by_one(0, room, out);
    }

    fn one_by_one(&self, from: usize, room: &[u8], out: &mut [i16]) {
        let columns = self.left[from..].iter().zip(&self.weights[from..]);
        for (out, (&left, &weights)) in out[from..].iter_mut().zip(columns) {
            let pair = &room[left as usize..][..2];
            let (w0, w1) = (weights & 0xffff, weights >> 16);
            *out = ((w0 * i32::from(pair[0]) + w1 * i32::from(pair[1])) >> 4) as i16;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions of processors that have them")]
mod gather {
    use std::arch::x86_64::*;

    use super::{Columns, Isa, SPILL};

    /// Walks a row; false where the processor lacks AVX-512, and nothing is done.
    pub(super) fn walk(isa: Isa, columns: &Columns, room: &[u8], out: &mut [i16]) -> bool {
        if !matches!(isa, Isa::Avx512(_)) {
            return false;
        }
        // SAFETY: only `simd.rs` makes an `Avx512`, after it has asked the processor.
        unsafe { sixteen_by_sixteen(columns, room, out) };
        true
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
    fn sixteen_by_sixteen(columns: &Columns, room: &[u8], out: &mut [i16]) {
        assert_eq!(room.len(), columns.width + SPILL, "`Columns::room` makes it");
        // The two samples of each number become its 16-bit halves.
        let halves = _mm512_broadcast_i32x4(_mm_setr_epi8(
            0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1,
        ));
        let (lefts, weights) = (columns.left.as_chunks::<16>(), columns.weights.as_chunks::<16>());
        let blocks = out.as_chunks_mut::<16>().0.iter_mut().zip(lefts.0).zip(weights.0);
        for ((out, left), weights) in blocks {
            // SAFETY: 64 bytes are read from arrays of 16 numbers of 32 bits, and 32 are written
            // to an array of 16 of 16. Each gathered number is 4 bytes from `left` on, and `left`
            // is below `width`, past which `room` has 4 more.
            unsafe {
                let left = _mm512_loadu_si512(left.as_ptr().cast());
                let weights = _mm512_loadu_si512(weights.as_ptr().cast());
                let pairs = _mm512_i32gather_epi32::<1>(left, room.as_ptr().cast());
                let pairs = _mm512_shuffle_epi8(pairs, halves);
                let sums = _mm512_srai_epi32::<4>(_mm512_madd_epi16(pairs, weights));
                let sums = _mm512_cvtepi32_epi16(sums);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), sums);
            }
        }
        let done = out.len() / 16 * 16;
        columns.one_by_one(done, room, out);
    }
}
