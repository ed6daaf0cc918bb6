//! From the depth decoder's map to the disparity of two layers (SPEC 6.2).

use candle_core::{DType, Result, Tensor};

use super::config::LAYERS;
use super::probe::{Probe, ProbeExt as _};
use super::residual::Conv;
use crate::nn::{self, ConvOptions, Scope};

/// The head with its parameters.
#[derive(Debug)]
pub struct DisparityHead {
    narrow: Conv,
    double: (Tensor, Tensor),
    features: Conv,
    disparity: Conv,
}

impl DisparityHead {
    /// Takes the parameters of `head.`: `channels` come in, `last` lie before the disparity.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(mut scope: Scope<'_>, channels: usize, last: usize) -> Result<Self> {
        let half = channels / 2;
        let double = (scope.take("1.weight", &[half, half, 2, 2])?, scope.take("1.bias", &[half])?);
        let narrow = Conv::load(&mut scope, 0, [half, channels, 3])?;
        // A disparity near 0 is a depth far off: from here on nothing is rounded to half size.
        let mut exact = scope.exact();
        let features = Conv::load(&mut exact, 2, [last, half, 3])?;
        let disparity = Conv::load(&mut exact, 4, [LAYERS, last, 1])?;
        Ok(Self { narrow, double, features, disparity })
    }

    /// `[batch, channels, h, w]` to disparity, at least 0, `[batch, 2, 2h, 2w]`, in f32.
    ///
    /// # Errors
    /// An input of other channels.
    pub fn forward(&self, x: &Tensor, probe: &mut dyn Probe) -> Result<Tensor> {
        let x = self.narrow.plain(x)?;
        probe.see("mono.head0", &x)?;
        let x = nn::conv_transpose_2x2(&x, &self.double.0, Some(&self.double.1))?;
        probe.see("mono.head1", &x)?;
        // The ReLU between is the last layer's to apply: the map is large, and it reads it anyway.
        let x = self.features.plain(&x.to_dtype(DType::F32)?)?;
        probe.see("mono.head2", &x)?;
        let relu = ConvOptions { relu_input: true, ..ConvOptions::default() };
        probe.compute("mono.head4", || self.disparity.forward(&x, relu))?;
        self.disparity.forward(&x, ConvOptions { relu: true, ..relu })
    }
}
