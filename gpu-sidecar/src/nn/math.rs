//! The exponential and error functions, in a form that loops over arrays turn into vectors.
//!
//! Owns their coefficients: minimax fits of our own (linear programme over Chebyshev nodes in 40
//! digits). Always: a value that is not a number stays one.

use crate::vision::simd::mul_add;

/// 1.5 · 2^23: adding it leaves a number's nearest integer in the last bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; multiples of the first up to 2^8 are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `(e^r - 1 - r) / r²` on |r| <= ln 2 / 2; error of e^r 3.2e-9.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_434, 0.008_368_652, 0.001_381_18];
/// Where e^x is a normal number of the smallest size.
const EXP_LEAST: f32 = -87.3;
/// `-ln(erfc x) / x` on 0 <= x <= 4; error of erf 2.3e-9.
const ERF: [f32; 9] = [
    1.128_379_3,
    0.636_616_1,
    0.102_799_214,
    -0.019_217_145,
    -5.877_884e-5,
    0.001_576_757_5,
    -5.879_493e-4,
    1.060_262_8e-4,
    -8.043_782e-6,
];
/// Past it erf is 1 to 1.6e-8.
const ERF_END: f32 = 4.0;

/// `2^n` and `e^r - 1` of `x = n ln 2 + r`, for -87.3 <= x <= 88.
#[inline(always)]
fn split_exp<const FMA: bool>(x: f32) -> (f32, f32) {
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let r = mul_add::<FMA>(n, -LN2_LOW, mul_add::<FMA>(n, -LN2_HIGH, x));
    (power, mul_add::<FMA>(polynomial::<FMA, 5>(r, &EXP), r * r, r))
}

#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: &[f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for &coefficient in coefficients[..N - 1].iter().rev() {
        sum = mul_add::<FMA>(sum, x, coefficient);
    }
    sum
}

/// `e^x` for `x <= 88` to a relative error of 2e-7; below -87.3 it stays 1.2e-38.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    let x = if x < EXP_LEAST { EXP_LEAST } else { x };
    let (power, rest) = split_exp::<FMA>(x);
    mul_add::<FMA>(power, rest, power)
}

/// The error function to 1e-7.
#[inline(always)]
pub(super) fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let size = if size > ERF_END { ERF_END } else { size };
    let (power, rest) = split_exp::<FMA>(-size * polynomial::<FMA, 9>(size, &ERF));
    // 1 - power is exact, and what is left is rounded once.
    mul_add::<FMA>(-power, rest, 1.0 - power).copysign(x)
}

/// `x Φ(x)`: the exact form, by the error function.
#[inline(always)]
pub(super) fn gelu<const FMA: bool>(x: f32) -> f32 {
    let half = 0.5 * x;
    mul_add::<FMA>(half, erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2), half)
}

/// Zero below zero; unlike `max`, it does not hide what is not a number.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function to 1e-15, by a series without differences (Abramowitz and Stegun 7.1.6).
    fn erf_exact(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn erf_is_right_to_1e_7_everywhere() {
        for step in -50_000..=50_000 {
            let x = step as f32 * 1e-4;
            let exact = erf_exact(f64::from(x));
            assert!((f64::from(erf::<true>(x)) - exact).abs() <= 1e-7, "{x}: {exact}");
            assert!((f64::from(erf::<false>(x)) - exact).abs() <= 2e-7, "{x}: {exact}");
        }
        assert_eq!(erf::<true>(f32::INFINITY), 1.0);
        assert_eq!(erf::<true>(f32::NEG_INFINITY), -1.0);
        assert!(erf::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn exp_is_right_to_2e_7_of_itself_until_it_stays_tiny() {
        for step in -87_000..=88_000 {
            let x = step as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let apart = (f64::from(exp::<true>(x)) - exact).abs();
            assert!(apart <= 2e-7 * exact, "{x}: {exact}");
            let apart = (f64::from(exp::<false>(x)) - exact).abs();
            assert!(apart <= 4e-7 * exact, "{x}: {exact}");
        }
        for x in [-88.0, -1e9, f32::NEG_INFINITY] {
            assert!(exp::<true>(x) < 1.3e-38, "{x}");
        }
        assert!(exp::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn relu_and_gelu_do_not_hide_what_is_not_a_number() {
        assert!(relu(f32::NAN).is_nan() && gelu::<true>(f32::NAN).is_nan());
        assert_eq!([relu(-1.0), relu(0.0), relu(2.5)], [0.0, 0.0, 2.5]);
        assert_eq!(gelu::<true>(10.0), 10.0);
    }
}
