//! What a network of half size (bf16) is held to, where the goldens are of f32.
//!
//! Owns the limits: five times the influence of bf16 operands that upstream's network showed on
//! golden 11 (SPEC 18), which the SPEC gives as indications, for smoke tests. They say that nothing
//! is wrong, not how good the results are. What is computed in f32 keeps the case's own tolerance.

use crate::check_case::golden::Rounded;

/// The SPEC's factor.
const MARGIN: f64 = 5.0;
/// Measured influence: of maps as root mean square over that of the f32 numbers.
const ENCODER: f64 = 7e-3;
const DECODER: f64 = 1.1e-2;
const DISPARITY: f64 = 6.5e-3;
const DELTAS: f64 = 2e-2;
/// Of Gaussians as median and 99th percentile of the rows' errors.
const MEANS: (f64, f64) = (3e-3, 1.7e-2);
const SCALES: (f64, f64) = (1.2e-2, 5e-2);
/// And as largest error.
const COLORS: f64 = 1.1e-2;
const OPACITIES: f64 = 3.3e-2;

/// Computed in f32 from nothing that was rounded.
const EXACT: [&str; 6] = [
    "pre.image",
    "pre.disparity_factor",
    "enc.x2",
    "init.base_x_ndc",
    "init.base_y_ndc",
    "init.base_colors",
];

/// What the tensor `name` is held to.
pub(super) fn rule(name: &str) -> Rounded {
    let (stage, part) = name.split_once('.').unwrap_or((name, ""));
    let rows = |(median, p99): (f64, f64)| Rounded::Rows([MARGIN * median, MARGIN * p99]);
    match (stage, part) {
        _ if EXACT.contains(&name) => Rounded::Own,
        ("unproject", "intrinsics_resized" | "matrix") => Rounded::Own,
        (_, "mean_vectors") => rows(MEANS),
        (_, "singular_values") => rows(SCALES),
        (_, "colors") => Rounded::Largest(MARGIN * COLORS),
        (_, "opacities") => Rounded::Largest(MARGIN * OPACITIES),
        ("mono", "disparity" | "head4") | ("out", "disparity") => Rounded::Rms(MARGIN * DISPARITY),
        // Proportional to disparity, or its largest.
        ("init", "global_scale" | "feature_input" | "base_inverse_z") => {
            Rounded::Rms(MARGIN * DISPARITY)
        }
        ("mono", _) => Rounded::Rms(MARGIN * DECODER),
        ("enc" | "vit", _) | ("out", "feature_map") => Rounded::Rms(MARGIN * ENCODER),
        ("gauss" | "delta" | "align", _) | ("out", "delta") => Rounded::Rms(MARGIN * DELTAS),
        // The base's is 1, 0, 0, 0; all else is the change.
        ("ndc", "quaternions") => Rounded::Rms(MARGIN * DELTAS),
        // Depths have no bound near disparity 0; covariances are squares of what was compared.
        _ => Rounded::Shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_rounded_keeps_its_own_tolerance_and_results_have_limits() {
        assert_eq!(rule("pre.image"), Rounded::Own);
        assert_eq!(rule("enc.x2"), Rounded::Own);
        assert_eq!(rule("enc.x2_tokens"), Rounded::Rms(MARGIN * ENCODER));
        for name in ["mean_vectors", "singular_values", "colors", "opacities"] {
            assert_ne!(rule(&format!("out.{name}")), Rounded::Shown, "{name}");
        }
    }
}
