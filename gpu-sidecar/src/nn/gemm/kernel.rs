//! The innermost product: a tile of 8 rows and up to 48 columns, kept in registers over its depth.
//!
//! Owns the tile's shape and one form per instruction set. Knows memory by pointers only; `gemm`
//! checks the bounds. Always: every form sums a tile's products in the order of the depth, starting
//! at zero, so that forms with a fused multiply-add give the same bits.

#![allow(unsafe_code, reason = "vectors, and the registers' worth of them that safe loops lose")]

use crate::vision::simd::Isa;

/// Rows of a tile.
pub(in crate::nn) const ROWS: usize = 8;
/// Columns of the widest tile: with 24 sums, three vectors of the right side and one value of the
/// left, 28 of the 32 registers of AVX-512 are in use, and two of three reads are spared.
pub(in crate::nn) const COLUMNS: usize = 48;
/// Columns of the narrowest tile; the others are multiples.
pub(in crate::nn) const LANES: usize = 16;
/// The greatest depth of one call. 128 rows of a tile's right side are 24 KiB: half of the nearest
/// cache of server processors, whose other half a neighbour on the same core may have. On such a
/// machine 192 rows were 5 to 8 % slower; on one of its own there is no difference.
pub(in crate::nn) const DEPTH_MAX: usize = 128;
/// From one row of the left side to the next: no power of two, so that the rows do not share one
/// set of the nearest cache.
pub(in crate::nn) const LEFT_STRIDE: usize = DEPTH_MAX + LANES;

/// What a tile is made of.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Product {
    /// 1 to [`DEPTH_MAX`].
    pub(in crate::nn) depth: usize,
    /// `left[row * LEFT_STRIDE + k]`, 8 rows.
    pub(in crate::nn) left: *const f32,
    /// `right[offsets[k] + column]`.
    pub(in crate::nn) right: *const f32,
    /// As many as `depth`.
    pub(in crate::nn) offsets: *const u32,
    /// `tile[row * stride + column]`, 8 rows.
    pub(in crate::nn) tile: *mut f32,
    pub(in crate::nn) stride: usize,
    /// Add to what is in the tile; else overwrite it.
    pub(in crate::nn) add: bool,
}

/// Computes one tile.
///
/// Safety: the pointers of the [`Product`] hold for what its fields say, for as many columns as the
/// kernel is wide, and the processor has the kernel's instruction set.
pub(in crate::nn) type Kernel = unsafe fn(&Product);

/// The kernels of 16, 32 and 48 columns.
pub(in crate::nn) fn kernels(isa: Isa) -> [Kernel; COLUMNS / LANES] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => [x86::wide::<1>, x86::wide::<2>, x86::wide::<3>],
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => [x86::narrow::<1>, x86::narrow::<2>, x86::narrow::<3>],
        Isa::Portable => [portable::<16>, portable::<32>, portable::<48>],
    }
}

/// Asks for values that a later tile reads, so that they come while this one is computed.
pub(in crate::nn) fn fetch_ahead(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LANES) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, which reads nothing; it is part of every x86-64.
        #[allow(unused_unsafe, reason = "the intrinsic's signature depends on the compiler")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, LEFT_STRIDE, Product, ROWS};

    /// `V` vectors of 16 columns.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn wide<const V: usize>(product: &Product) {
        let Product { depth, left, right, offsets, tile, stride, add } = *product;
        let mut sums = [[_mm512_setzero_ps(); V]; ROWS];
        for row in 0..ROWS {
            for v in 0..V {
                let line = tile.wrapping_add(row * stride + v * LANES);
                _mm_prefetch::<_MM_HINT_T0>(line.cast());
            }
        }
        for k in 0..depth {
            // SAFETY: `k < depth`, for which the caller answers for the three pointers.
            unsafe {
                let right = right.add(*offsets.add(k) as usize);
                let mut b = [_mm512_setzero_ps(); V];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = _mm512_loadu_ps(right.add(v * LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let a = _mm512_set1_ps(*left.add(row * LEFT_STRIDE + k));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_fmadd_ps(a, b, *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: 8 rows and `V` vectors are the tile that the caller answers for.
                unsafe {
                    let at = tile.add(row * stride + v * LANES);
                    let sum = if add { _mm512_add_ps(_mm512_loadu_ps(at), sum) } else { sum };
                    _mm512_storeu_ps(at, sum);
                }
            }
        }
    }

    /// `V` times 16 columns, as parts of 4 rows and 16 columns: 8 of the 16 registers hold sums.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn narrow<const V: usize>(product: &Product) {
        for row in (0..ROWS).step_by(4) {
            for v in 0..V {
                // SAFETY: a part of the tile, for which the caller answers.
                unsafe { narrow_part(product, row, v * LANES) };
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn narrow_part(product: &Product, first_row: usize, column: usize) {
        let Product { depth, left, right, offsets, tile, stride, add } = *product;
        let mut sums = [[_mm256_setzero_ps(); 2]; 4];
        for k in 0..depth {
            // SAFETY: `k < depth`; rows and columns lie in the tile, for which the caller answers.
            unsafe {
                let right = right.add(*offsets.add(k) as usize + column);
                let b = [_mm256_loadu_ps(right), _mm256_loadu_ps(right.add(8))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let a = _mm256_set1_ps(*left.add((first_row + row) * LEFT_STRIDE + k));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm256_fmadd_ps(a, b, *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: rows and columns lie in the tile, for which the caller answers.
                unsafe {
                    let at = tile.add((first_row + row) * stride + column + half * 8);
                    let sum = if add { _mm256_add_ps(_mm256_loadu_ps(at), sum) } else { sum };
                    _mm256_storeu_ps(at, sum);
                }
            }
        }
    }
}

/// `W` columns, as parts of 4 rows and 8 columns, which plain loops keep in registers everywhere.
unsafe fn portable<const W: usize>(product: &Product) {
    for row in (0..ROWS).step_by(4) {
        for column in (0..W).step_by(8) {
            // SAFETY: a part of the tile, for which the caller answers.
            unsafe { portable_part(product, row, column) };
        }
    }
}

#[inline(always)]
unsafe fn portable_part(product: &Product, first_row: usize, column: usize) {
    use crate::vision::simd::{PORTABLE_FMA, mul_add};

    let Product { depth, left, right, offsets, tile, stride, add } = *product;
    let mut sums = [[0f32; 8]; 4];
    for k in 0..depth {
        // SAFETY: `k < depth`, and 8 columns from `column` lie in the tile; arrays of f32 need no
        // more alignment than f32.
        let b = unsafe { *right.add(*offsets.add(k) as usize + column).cast::<[f32; 8]>() };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: one of the 8 rows, at `k < depth`.
            let a = unsafe { *left.add((first_row + row) * LEFT_STRIDE + k) };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = mul_add::<PORTABLE_FMA>(a, b, *sum);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        // SAFETY: rows and columns lie in the tile, for which the caller answers.
        let at = unsafe { &mut *tile.add((first_row + row) * stride + column).cast::<[f32; 8]>() };
        for (value, sum) in at.iter_mut().zip(sums) {
            *value = if add { *value + sum } else { sum };
        }
    }
}
