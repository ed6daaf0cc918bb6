//! Instruction sets: which one this processor has, and kernels compiled once for each.
//!
//! Owns the choice, made once per process, and the macro [`per_isa`] that compiles a kernel's one
//! body for every set. Knows no kernel. The bodies are plain loops that the compiler turns into
//! vectors: on aarch64 NEON is always there, so `Portable` is NEON.

use std::sync::OnceLock;

/// What a kernel is compiled for. A set that this processor lacks is never handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 F, BW, DQ, VL and VBMI with FMA: 64-byte vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512(Proof),
    /// AVX2 with FMA: 32-byte vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
    /// What every processor of this architecture has: SSE2, NEON.
    Portable,
}

/// That the processor was asked: only this module makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof(());

impl Isa {
    /// The widest set of this processor.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().next().unwrap_or(Self::Portable))
    }

    /// Every set that this processor has, the widest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi");
            let sets = [(avx512, Self::Avx512(Proof(()))), (avx2, Self::Avx2(Proof(())))];
            sets.into_iter().filter_map(|(there, isa)| there.then_some(isa))
        };
        #[cfg(not(target_arch = "x86_64"))]
        let wide = std::iter::empty();
        wide.chain([Self::Portable])
    }
}

/// `a`·`b` + `c`: in one rounding where `FMA` says that the processor has it, else in two.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Whether [`mul_add`] of the portable body is one instruction.
pub(crate) const PORTABLE_FMA: bool = cfg!(target_arch = "aarch64");

/// Compiles the body once per instruction set; the function made takes the [`Isa`] first.
///
/// The body is an `#[inline(always)]` function with a `const FMA: bool` parameter:
/// `per_isa! { pub(super) fn blur_row = blur_row_body(row: &[f32], out: &mut [f32]) }`.
macro_rules! per_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $kind:ty),* $(,)?)
        $(-> $out:ty)?) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls of functions with target features")]
        $vis fn $name(isa: $crate::vision::simd::Isa, $($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma")]
            fn avx512($($arg: $kind),*) $(-> $out)? {
                $body::<true>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $kind),*) $(-> $out)? {
                $body::<true>($($arg),*)
            }
            match isa {
                // SAFETY: only `simd.rs` makes an `Avx512`, after it has asked the processor.
                #[cfg(target_arch = "x86_64")]
                $crate::vision::simd::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: only `simd.rs` makes an `Avx2`, after it has asked the processor.
                #[cfg(target_arch = "x86_64")]
                $crate::vision::simd::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                $crate::vision::simd::Isa::Portable => {
                    $body::<{ $crate::vision::simd::PORTABLE_FMA }>($($arg),*)
                }
            }
        }
    };
}
pub(crate) use per_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    fn double_body<const FMA: bool>(values: &mut [f32]) {
        for value in values {
            *value = mul_add::<FMA>(*value, 2.0, 0.0);
        }
    }
    per_isa! { fn double = double_body(values: &mut [f32]) }

    #[test]
    fn every_set_of_this_processor_runs_the_same_body() {
        for isa in Isa::available() {
            let mut values: Vec<f32> = (0u8..37).map(f32::from).collect();
            double(isa, &mut values);
            let expected: Vec<f32> = (0u8..37).map(|value| f32::from(value) * 2.0).collect();
            assert_eq!(values, expected, "{isa:?}");
        }
        assert_eq!(Isa::available().next(), Some(Isa::best()));
    }
}
