//! Scalar functions of the composer (SPEC 9), each with the values at which it bends. Those that
//! files of Gaussians need, too, are `splat`'s.

pub use crate::splat::color::{logit, sigmoid};

/// Below it, an inverse depth has no logarithm to speak of.
const INVERSE_SOFTPLUS_MIN: f32 = 1e-6;
/// Above it, softplus is the identity to f32's precision.
const SOFTPLUS_LINEAR: f32 = 20.0;
/// Largest factor of a scale; the smallest is 0.
const SCALE_MAX: f32 = 10.0;

/// `ln(1 + eˣ)`.
#[must_use]
pub fn softplus(x: f32) -> f32 {
    if x > SOFTPLUS_LINEAR { x } else { x.exp().ln_1p() }
}

/// The inverse of [`softplus`], `ln(eʸ - 1)`, without the cancellation of upstream's form.
#[must_use]
pub fn inverse_softplus(y: f32) -> f32 {
    let y = y.max(INVERSE_SOFTPLUS_MIN);
    y + (-(-y).exp_m1()).ln()
}

/// Slope and offset inside [`scale_factor`]: they make a change of 0 the factor 1.
#[must_use]
pub fn scale_constants() -> (f32, f32) {
    (SCALE_MAX / (SCALE_MAX - 1.0), logit(1.0 / SCALE_MAX))
}

/// What a scale is multiplied by for a change `delta`: from 0 to 10.
#[must_use]
pub fn scale_factor(delta: f32) -> f32 {
    let (slope, offset) = scale_constants();
    SCALE_MAX * sigmoid(slope * delta + offset)
}
