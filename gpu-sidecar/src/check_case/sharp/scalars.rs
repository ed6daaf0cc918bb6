//! Functions of one number.

use candle_core::{Device, Tensor};

use super::tensors::{compare, input};
use crate::check_case::golden::Golden;
use crate::check_case::{Case, CheckError};
use crate::nn::{Activation, LinearAfter, linear};
use crate::sharp::activation::{
    inverse_softplus, logit, scale_constants, scale_factor, sigmoid, softplus,
};
use crate::splat::color::{
    component_to_harmonic, harmonic_to_component, linear_to_srgb, srgb_to_linear,
};

/// A function, the input it is tried on, and the golden's name for the result.
type Function = (&'static str, &'static str, fn(f32) -> f32);

const FUNCTIONS: [Function; 10] = [
    ("inverse_softplus", "positive", inverse_softplus),
    ("inverse_softplus_extreme", "positive_extreme", inverse_softplus),
    ("softplus", "real", softplus),
    ("inverse_sigmoid", "probability", logit),
    ("sigmoid", "real", sigmoid),
    ("srgb_to_linear", "color", srgb_to_linear),
    ("linear_to_srgb", "color", linear_to_srgb),
    ("rgb_to_sh", "color", component_to_harmonic),
    ("sh_to_rgb", "real", harmonic_to_component),
    ("scale_activation", "real", scale_factor),
];

pub(super) fn run(mut golden: Golden) -> Result<Case, CheckError> {
    for (name, on, function) in FUNCTIONS {
        let x = input(&golden, &format!("input.{on}"), &Device::Cpu)?;
        let numbers = x.to_vec1::<f32>().map_err(|e| golden.refused(e))?;
        let values: Vec<f64> = numbers.into_iter().map(|x| function(x).into()).collect();
        golden.compare(name, x.dims(), &values)?;
    }
    let (slope, offset) = scale_constants();
    golden.compare("scale_activation_constants", &[2], &[slope.into(), offset.into()])?;

    // The function lives inside the product: a product with 1 shows it.
    let gelu = |x: &Tensor| {
        let after = LinearAfter { activation: Activation::Gelu, ..LinearAfter::default() };
        let one = Tensor::new(&[[1f32]], &Device::Cpu)?;
        linear(&x.unsqueeze(1)?, &one, None, after)?.squeeze(1)
    };
    let x = input(&golden, "input.real", &Device::Cpu)?;
    let value = gelu(&x).map_err(|e| golden.refused(e))?;
    compare(&mut golden, "gelu_exact", &value)?;
    Ok(golden.finish())
}
