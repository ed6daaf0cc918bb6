//! What the processor can do at most: multiply-adds that wait for nothing.
//!
//! Owns the loop. 24 sums, each added to every round, keep two units of four steps busy.

/// f32 operations of a round per value of a vector.
const SUMS: usize = 24;

/// Runs about `gflop` times 10^9 operations on every thread of the pool that this is called in.
pub(crate) fn run(gflop: usize) -> f32 {
    rayon::broadcast(|_| rounds(gflop)).into_iter().sum()
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a function with target features")]
fn rounds(gflop: usize) -> f32 {
    let operations = gflop * 1_000_000_000;
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has just been asked.
        unsafe { wide(operations / (2 * SUMS * 16)) }
    } else if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked.
        unsafe { narrow(operations / (2 * 12 * 8)) }
    } else {
        scalar(operations / (2 * 8))
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn rounds(gflop: usize) -> f32 {
    scalar(gflop * 1_000_000_000 / (2 * 8))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide(rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};

    let (factor, more) = (std::hint::black_box(0.999), std::hint::black_box(1e-9));
    let (factor, more) = (_mm512_set1_ps(factor), _mm512_set1_ps(more));
    let mut sums = [factor; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, more);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(more, |a, b| _mm512_add_ps(a, b)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn narrow(rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};

    let (factor, more) = (std::hint::black_box(0.999), std::hint::black_box(1e-9));
    let (factor, more) = (_mm256_set1_ps(factor), _mm256_set1_ps(more));
    let mut sums = [factor; 12];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, more);
        }
    }
    _mm256_cvtss_f32(sums.into_iter().fold(more, |a, b| _mm256_add_ps(a, b)))
}

fn scalar(rounds: usize) -> f32 {
    let (factor, more) = (std::hint::black_box(0.999f32), std::hint::black_box(1e-9));
    let mut sums = [factor; 8];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = *sum * factor + more;
        }
    }
    sums.into_iter().sum()
}
