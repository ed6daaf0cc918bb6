//! 64 pixels as 64 bytes and as one word, and back.
//!
//! Owns the instructions that turn the one into the other, and the macro [`per_bits`] that
//! compiles a body with each of them.

/// How a processor packs bytes into bits.
pub(super) trait Bits {
    /// Bit i is whether byte i has any bit of `mask`.
    fn pack(bytes: &[u8; 64], mask: u8) -> u64;
    /// Byte i is 255 where bit i is set, else 0.
    fn spread(word: u64) -> [u8; 64];
}

/// With nothing but 64-bit arithmetic.
pub(super) struct Words;

impl Bits for Words {
    #[inline(always)]
    fn pack(bytes: &[u8; 64], mask: u8) -> u64 {
        let mut word = 0;
        for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let any = eight.map(|byte| u8::from(byte & mask != 0));
            // The product puts byte i's bit at bit 56 + i.
            let gathered = u64::from_le_bytes(any).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            word |= gathered << (8 * i);
        }
        word
    }

    #[inline(always)]
    fn spread(word: u64) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (eight, bits) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(word.to_le_bytes()) {
            // Byte i keeps bit i; a byte that is not 0 then reaches its highest bit.
            let apart = u64::from(bits).wrapping_mul(0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
            let highest = apart.wrapping_add(0x7f7f_7f7f_7f7f_7f7f) & 0x8080_8080_8080_8080;
            *eight = (highest >> 7).wrapping_mul(255).to_le_bytes();
        }
        bytes
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions of processors that have them")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Bits;

    /// AVX-512 BW. Used only in functions that are compiled for it.
    pub(in super::super) struct Avx512;

    impl Bits for Avx512 {
        #[inline(always)]
        fn pack(bytes: &[u8; 64], mask: u8) -> u64 {
            // SAFETY: 64 bytes are read from an array of 64; `per_bits` names this type only in a
            // function that runs where AVX-512 BW is.
            unsafe {
                let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
                _mm512_test_epi8_mask(bytes, _mm512_set1_epi8(mask as i8))
            }
        }

        #[inline(always)]
        fn spread(word: u64) -> [u8; 64] {
            let mut bytes = [0u8; 64];
            // SAFETY: 64 bytes are written to an array of 64; the processor as in `pack`.
            unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), _mm512_movm_epi8(word)) };
            bytes
        }
    }

    /// AVX2. Used only in functions that are compiled for it.
    pub(in super::super) struct Avx2;

    impl Bits for Avx2 {
        #[inline(always)]
        fn pack(bytes: &[u8; 64], mask: u8) -> u64 {
            let mut word = 0;
            for (i, half) in bytes.as_chunks::<32>().0.iter().enumerate() {
                // SAFETY: 32 bytes are read from an array of 32; `per_bits` names this type only
                // in a function that runs where AVX2 is.
                let none = unsafe {
                    let half = _mm256_loadu_si256(half.as_ptr().cast());
                    let kept = _mm256_and_si256(half, _mm256_set1_epi8(mask as i8));
                    _mm256_movemask_epi8(_mm256_cmpeq_epi8(kept, _mm256_setzero_si256()))
                };
                word |= u64::from(!(none as u32)) << (32 * i);
            }
            word
        }

        #[inline(always)]
        fn spread(word: u64) -> [u8; 64] {
            let mut bytes = [0u8; 64];
            for (i, half) in bytes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                // SAFETY: 32 bytes are written to an array of 32; the processor as in `pack`.
                unsafe {
                    let bits = _mm256_set1_epi32((word >> (32 * i)) as i32);
                    // Byte j / 8 of the word to byte j, then its bit j % 8.
                    let from = _mm256_setr_epi64x(
                        0,
                        0x0101_0101_0101_0101,
                        0x0202_0202_0202_0202,
                        0x0303_0303_0303_0303,
                    );
                    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
                    let apart = _mm256_and_si256(_mm256_shuffle_epi8(bits, from), bit);
                    let bytes = _mm256_cmpeq_epi8(apart, bit);
                    _mm256_storeu_si256(half.as_mut_ptr().cast(), bytes);
                }
            }
            bytes
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// As `per_isa`, for a body whose parameter is a [`Bits`].
macro_rules! per_bits {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $kind:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls of functions with target features")]
        $vis fn $name(isa: $crate::vision::simd::Isa, $($arg: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
            fn avx512($($arg: $kind),*) {
                $body::<$crate::vision::canny::bits::Avx512>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $kind),*) {
                $body::<$crate::vision::canny::bits::Avx2>($($arg),*)
            }
            match isa {
                // SAFETY: only `simd.rs` makes an `Avx512`, after it has asked the processor.
                #[cfg(target_arch = "x86_64")]
                $crate::vision::simd::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: only `simd.rs` makes an `Avx2`, after it has asked the processor.
                #[cfg(target_arch = "x86_64")]
                $crate::vision::simd::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                $crate::vision::simd::Isa::Portable => {
                    $body::<$crate::vision::canny::bits::Words>($($arg),*)
                }
            }
        }
    };
}
pub(super) use per_bits;

per_bits! {
    /// Writes 255 for each bit of `words` that is set, 0 for the others; `out` may end within the
    /// last word.
    pub(super) fn spread_row = spread_row_body(words: &[u64], out: &mut [u8])
}

#[inline(always)]
fn spread_row_body<B: Bits>(words: &[u64], out: &mut [u8]) {
    let (blocks, rest) = out.as_chunks_mut::<64>();
    for (block, &word) in blocks.iter_mut().zip(words) {
        *block = B::spread(word);
    }
    if let Some(&word) = words.get(blocks.len()) {
        rest.copy_from_slice(&B::spread(word)[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::simd::Isa;

    per_bits! { fn pack_into = pack_body(bytes: &[u8; 64], mask: u8, word: &mut u64) }

    #[inline(always)]
    fn pack_body<B: Bits>(bytes: &[u8; 64], mask: u8, word: &mut u64) {
        *word = B::pack(bytes, mask);
    }

    #[test]
    fn bytes_become_bits_and_bits_bytes() {
        for isa in Isa::available() {
            for seed in 0..200u64 {
                let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(seed as u32);
                let mut bytes = [7u8; 64];
                spread_row(isa, &[word], &mut bytes);
                for (i, &byte) in bytes.iter().enumerate() {
                    assert_eq!(byte, if word >> i & 1 == 1 { 255 } else { 0 }, "{isa:?}");
                }
                for mask in [1, 2, 128] {
                    let mut packed = 0;
                    pack_into(isa, &bytes.map(|byte| byte & mask | 4), mask, &mut packed);
                    assert_eq!(packed, word, "{isa:?}");
                }
                let mut short = [7u8; 9];
                spread_row(isa, &[word], &mut short);
                assert_eq!(short, bytes[..9]);
            }
        }
    }
}
