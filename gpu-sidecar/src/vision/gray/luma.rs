//! Rows of colour to rows of gray, 64 pixels at a time where the processor can.
//!
//! Owns the weighted sum and its rounding. Pixels of three bytes become pairs of 16-bit numbers
//! (first and second channel; third channel and 1), which one multiplication each turns into
//! 32-bit sums; the 1 carries the rounding.

use crate::vision::simd::Isa;

/// Weights of a pixel's three bytes in units of 2⁻¹⁵, in the order in which they lie.
pub(super) type Weights = [i16; 3];

/// Half of 2¹⁵.
const ROUND: i16 = 1 << 14;

/// The gray value of one pixel, rounded half up.
#[inline(always)]
pub(super) fn luma(pixel: [u8; 3], weights: Weights) -> u8 {
    let mut sum = ROUND as u32;
    for (sample, weight) in pixel.into_iter().zip(weights) {
        sum = sum.wrapping_add(u32::from(sample).wrapping_mul(u32::from(weight as u16)));
    }
    // At most 255·2¹⁵ + 2¹⁴, so the quotient fits.
    (sum >> 15) as u8
}

/// Gray of a row; both are equally long.
#[allow(unsafe_code, reason = "calls of functions with target features")]
pub(super) fn row(isa: Isa, pixels: &[[u8; 3]], weights: Weights, out: &mut [u8]) {
    assert_eq!(pixels.len(), out.len(), "a gray value for each pixel");
    match isa {
        // SAFETY: only `simd.rs` makes an `Avx512`, after it has asked the processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { x86::row_avx512(pixels, weights, out) },
        // SAFETY: only `simd.rs` makes an `Avx2`, after it has asked the processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { x86::row_avx2(pixels, weights, out) },
        Isa::Portable => one_by_one(pixels, weights, out),
    }
}

#[inline(always)]
fn one_by_one(pixels: &[[u8; 3]], weights: Weights, out: &mut [u8]) {
    for (out, &pixel) in out.iter_mut().zip(pixels) {
        *out = luma(pixel, weights);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions of processors that have them")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ROUND, Weights, one_by_one};

    /// Two 16-bit numbers as one of 32.
    fn pair(low: i16, high: i16) -> i32 {
        i32::from(high) << 16 | i32::from(low as u16)
    }

    /// 48 bytes of a vector of 64.
    const SIXTEEN_PIXELS: u64 = (1 << 48) - 1;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
    pub(super) fn row_avx512(pixels: &[[u8; 3]], weights: Weights, out: &mut [u8]) {
        // Pixel i's first and second byte to the words of number i; then its third.
        let mut first = [0u8; 64];
        let mut third = [0u8; 64];
        for i in 0..16u8 {
            let at = usize::from(4 * i);
            (first[at], first[at + 2], third[at]) = (3 * i, 3 * i + 1, 3 * i + 2);
        }
        // SAFETY: 64 bytes are read from arrays of 64.
        let (first, third) = unsafe {
            (_mm512_loadu_si512(first.as_ptr().cast()), _mm512_loadu_si512(third.as_ptr().cast()))
        };
        let pair_weights = _mm512_set1_epi32(pair(weights[0], weights[1]));
        let third_weights = _mm512_set1_epi32(pair(weights[2], ROUND));
        let one = _mm512_set1_epi32(pair(0, 1));
        let sixteen = |bytes: __m512i| {
            let pairs = _mm512_maskz_permutexvar_epi8(0x5555_5555_5555_5555, first, bytes);
            let thirds = _mm512_mask_permutexvar_epi8(one, 0x1111_1111_1111_1111, third, bytes);
            let sum = _mm512_add_epi32(
                _mm512_madd_epi16(pairs, pair_weights),
                _mm512_madd_epi16(thirds, third_weights),
            );
            _mm512_srli_epi32::<15>(sum)
        };
        // Packing works within quarters of a vector; this brings their parts together.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let (blocks, rest) = pixels.as_chunks::<64>();
        let (out_blocks, out_rest) = out.as_chunks_mut::<64>();
        for (block, out) in blocks.iter().zip(out_blocks) {
            let bytes = block.as_ptr().cast::<i8>();
            // SAFETY: each load reads 48 bytes, at 0, 48, 96 and 144 of a block of 192; the store
            // writes 64 bytes to an array of 64.
            unsafe {
                let part =
                    |i: usize| sixteen(_mm512_maskz_loadu_epi8(SIXTEEN_PIXELS, bytes.add(48 * i)));
                let low = _mm512_packus_epi32(part(0), part(1));
                let high = _mm512_packus_epi32(part(2), part(3));
                let gray = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
                _mm512_storeu_si512(out.as_mut_ptr().cast(), gray);
            }
        }
        for (part, out) in rest.chunks(16).zip(out_rest.chunks_mut(16)) {
            let mask = (1u64 << (3 * part.len())) - 1;
            let kept = ((1u32 << part.len()) - 1) as u16;
            // SAFETY: the load reads 3 bytes for each of the pixels, and the store writes one for
            // each; the masks say so.
            unsafe {
                let gray = sixteen(_mm512_maskz_loadu_epi8(mask, part.as_ptr().cast()));
                _mm512_mask_cvtepi32_storeu_epi8(out.as_mut_ptr().cast(), kept, gray);
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn row_avx2(pixels: &[[u8; 3]], weights: Weights, out: &mut [u8]) {
        // The same in each half of a vector: four pixels.
        let first = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1,
        ));
        let third = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1,
        ));
        let pair_weights = _mm256_set1_epi32(pair(weights[0], weights[1]));
        let third_weights = _mm256_set1_epi32(pair(weights[2], ROUND));
        let one = _mm256_set1_epi32(pair(0, 1));
        let eight = |bytes: __m256i| {
            let pairs = _mm256_shuffle_epi8(bytes, first);
            let thirds = _mm256_or_si256(_mm256_shuffle_epi8(bytes, third), one);
            let sum = _mm256_add_epi32(
                _mm256_madd_epi16(pairs, pair_weights),
                _mm256_madd_epi16(thirds, third_weights),
            );
            _mm256_srli_epi32::<15>(sum)
        };
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let mut at = 0;
        // A load takes 16 bytes for 12, so a block has to end two pixels before the row does.
        while at + 32 + 2 <= pixels.len() {
            let bytes = pixels[at..][..34].as_ptr().cast::<u8>();
            // SAFETY: the last load reads bytes 84 to 99 of 34 pixels of 3; the store writes 32
            // bytes of a slice of 32.
            unsafe {
                let part = |i: usize| {
                    let four = |j: usize| _mm_loadu_si128(bytes.add(24 * i + 12 * j).cast());
                    eight(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(four(0)), four(1)))
                };
                let low = _mm256_packus_epi32(part(0), part(1));
                let high = _mm256_packus_epi32(part(2), part(3));
                let gray = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
                _mm256_storeu_si256(out[at..][..32].as_mut_ptr().cast(), gray);
            }
            at += 32;
        }
        one_by_one(&pixels[at..], weights, &mut out[at..]);
    }
}
