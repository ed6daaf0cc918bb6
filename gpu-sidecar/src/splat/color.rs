//! Colour and opacity as single numbers: transfer curves, the constant harmonic, logits.
//!
//! Owns these scalar functions, in f32 as the reference computes them (SPEC, sections 9 and 11).
//! Knows no cloud and no file. Numbers past 0 to 1 are carried on, not cut; NaN stays NaN.

/// The spherical harmonic of degree 0, `sqrt(1 / 4π)`: what a stored coefficient is a factor of.
pub const HARMONIC_0: f32 = 0.282_094_8;

/// IEC 61966-2-1: the light of an sRGB component. 0 to 1 maps to 0 to 1.
#[must_use]
pub fn srgb_to_linear(component: f32) -> f32 {
    if component <= 0.040_45 { component / 12.92 } else { ((component + 0.055) / 1.055).powf(2.4) }
}

/// The inverse of [`srgb_to_linear`].
#[must_use]
pub fn linear_to_srgb(light: f32) -> f32 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// The coefficient of degree 0 that stands for a component: 1/2 is 0.
#[must_use]
pub fn component_to_harmonic(component: f32) -> f32 {
    (component - 0.5) / HARMONIC_0
}

/// The inverse of [`component_to_harmonic`].
#[must_use]
pub fn harmonic_to_component(coefficient: f32) -> f32 {
    coefficient * HARMONIC_0 + 0.5
}

/// `ln(p / (1 - p))`; 0 gives minus infinity and 1 infinity.
#[must_use]
pub fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

/// The inverse of [`logit`].
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// 0 to 1 in 256 steps, rounded; what is past the ends or NaN becomes an end.
pub(super) fn byte(component: f32) -> u8 {
    // Not `round`, which older processors leave to a function.
    (component * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splat::goldens::Goldens;

    #[track_caller]
    fn check(function: fn(f32) -> f32, input: &str, output: &str) {
        let goldens = Goldens::open("00_scalar_functions");
        let got: Vec<f32> = goldens.f32(input).into_iter().map(function).collect();
        goldens.check(output, &got);
    }

    #[test]
    fn scalars_are_the_reference_s() {
        check(srgb_to_linear, "input.color", "srgb_to_linear");
        check(linear_to_srgb, "input.color", "linear_to_srgb");
        check(component_to_harmonic, "input.color", "rgb_to_sh");
        check(harmonic_to_component, "input.real", "sh_to_rgb");
        check(logit, "input.probability", "inverse_sigmoid");
        check(sigmoid, "input.real", "sigmoid");
    }

    #[test]
    fn the_curves_meet_at_their_ends() {
        assert_eq!(srgb_to_linear(0.0), 0.0);
        assert_eq!(srgb_to_linear(1.0), 1.0);
        assert_eq!(linear_to_srgb(0.0), 0.0);
        assert!((linear_to_srgb(1.0) - 1.0).abs() < 1e-6);
        assert_eq!(linear_to_srgb(-1.0), -12.92);
        assert!(linear_to_srgb(f32::NAN).is_nan());
        assert_eq!(logit(1.0), f32::INFINITY);
        assert_eq!(logit(0.0), f32::NEG_INFINITY);
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0));
        assert_eq!((byte(-1.0), byte(0.5), byte(2.0), byte(f32::NAN)), (0, 128, 255, 0));
    }
}
