//! Both sides of a product in the order in which [`super::kernel`] reads them.
//!
//! Owns the copies. A left side keeps its rows, at a fixed stride; a right side whose columns are
//! rows in memory (weights, keys) is transposed. What a panel has too much is zero.

use std::ops::Range;

use super::kernel::{COLUMNS, LANES, LEFT_STRIDE, ROWS};
use crate::vision::simd::Isa;

/// Rows that lie one after another, at a fixed stride.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Rows<'a> {
    pub(in crate::nn) values: &'a [f32],
    pub(in crate::nn) count: usize,
    /// Values of a row.
    pub(in crate::nn) width: usize,
    pub(in crate::nn) stride: usize,
}

impl<'a> Rows<'a> {
    pub(in crate::nn) fn dense(values: &'a [f32], width: usize) -> Self {
        let count = values.len().checked_div(width).unwrap_or(0);
        Self { values, count, width, stride: width }
    }

    pub(in crate::nn) fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.width]
    }
}

/// Rows `rows` of a left side over `depth`, with zero rows up to a multiple of 8.
pub(in crate::nn) fn left(from: Rows<'_>, rows: Range<usize>, depth: Range<usize>, to: &mut [f32]) {
    let used = rows.len();
    for (row, to) in rows.zip(to.chunks_exact_mut(LEFT_STRIDE)) {
        to[..depth.len()].copy_from_slice(&from.row(row)[depth.clone()]);
    }
    let end = used.next_multiple_of(ROWS);
    for to in to[used * LEFT_STRIDE..end * LEFT_STRIDE].chunks_exact_mut(LEFT_STRIDE) {
        to[..depth.len()].fill(0.0);
    }
}

/// One panel: rows `rows` of `from` (48 at most) become columns. `to[k * 48 + column]`.
pub(in crate::nn) fn transposed(
    isa: Isa,
    from: Rows<'_>,
    rows: Range<usize>,
    depth: Range<usize>,
    to: &mut [f32],
) {
    let to = &mut to[..depth.len() * COLUMNS];
    for first in (0..COLUMNS).step_by(LANES) {
        let here = (rows.start + first).min(rows.end)..(rows.start + first + LANES).min(rows.end);
        if here.is_empty() {
            // A kernel of as many vectors as there are columns never reads these.
            break;
        }
        transposed_lanes(isa, from, here, depth.clone(), &mut to[first..]);
    }
}

/// Up to 16 rows become the first 16 columns of lines of 48; the rest of the 16 is zero.
fn transposed_lanes(
    isa: Isa,
    from: Rows<'_>,
    rows: Range<usize>,
    depth: Range<usize>,
    to: &mut [f32],
) {
    // Lines enough for a row's cache line, few enough to stay near while 16 rows fill them.
    for start in depth.clone().step_by(LANES) {
        let part = start..depth.end.min(start + LANES);
        let to = &mut to[(start - depth.start) * COLUMNS..];
        let is_square = rows.len() == LANES && part.len() == LANES;
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) if is_square => {
                let values = &from.values[rows.start * from.stride + start..];
                x86::transpose(isa, values, from.stride, to);
            }
            _ => transposed_plain(from, rows.clone(), part, to),
        }
    }
}

fn transposed_plain(from: Rows<'_>, rows: Range<usize>, depth: Range<usize>, to: &mut [f32]) {
    let used = rows.len();
    for (column, row) in rows.enumerate() {
        for (line, &value) in from.row(row)[depth.clone()].iter().enumerate() {
            to[line * COLUMNS + column] = value;
        }
    }
    for line in 0..depth.len() {
        to[line * COLUMNS..][used..LANES].fill(0.0);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vectors")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, Isa, LANES};

    /// 16 rows of 16 values, `stride` apart, become 16 lines of 48. `isa` is AVX-512.
    pub(super) fn transpose(isa: Isa, from: &[f32], stride: usize, to: &mut [f32]) {
        assert!(matches!(isa, Isa::Avx512(_)), "the caller has matched it");
        assert!(from.len() >= (LANES - 1) * stride + LANES, "16 rows are there");
        assert!(to.len() >= (LANES - 1) * COLUMNS + LANES, "16 lines are there");
        // SAFETY: an `Avx512` is proof of the instructions; both lengths have just been checked.
        unsafe { transpose_avx512(from.as_ptr(), stride, to.as_mut_ptr()) }
    }

    /// Doubles what is together four times: pairs and fours within quarters of a vector, then the
    /// quarters.
    #[target_feature(enable = "avx512f")]
    unsafe fn transpose_avx512(from: *const f32, stride: usize, to: *mut f32) {
        let mut rows = [_mm512_setzero_ps(); LANES];
        for (index, row) in rows.iter_mut().enumerate() {
            // SAFETY: row `index` of 16, 16 values, for which the caller answers.
            *row = unsafe { _mm512_loadu_ps(from.add(index * stride)) };
        }
        let mut fours = rows;
        for four in 0..4 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|index| rows[four * 4 + index]);
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ef, gh) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            let pairs =
                [(ab, cd), (ef, gh)].map(|(x, y)| (_mm512_castps_pd(x), _mm512_castps_pd(y)));
            for (index, (x, y)) in pairs.into_iter().enumerate() {
                fours[four * 4 + index * 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                fours[four * 4 + index * 2 + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
            }
        }
        // `fours[4g + i]`, quarter q: column 4q + i of rows 4g to 4g + 3.
        for i in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|g| fours[g + i]);
            let even = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
            let odd = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
            let lines = [
                _mm512_shuffle_f32x4::<0x88>(even.0, even.1),
                _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1),
                _mm512_shuffle_f32x4::<0xdd>(even.0, even.1),
                _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1),
            ];
            for (quarter, line) in lines.into_iter().enumerate() {
                // SAFETY: line 4 · quarter + i of 16, for which the caller answers.
                unsafe { _mm512_storeu_ps(to.add((quarter * 4 + i) * COLUMNS), line) };
            }
        }
    }
}
