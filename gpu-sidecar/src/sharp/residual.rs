//! Residual units and the fusion of a running feature with a lateral one (SPEC 6.1 and 8).

use candle_core::{Result, Tensor};

use super::probe::{Probe, ProbeExt as _};
use crate::nn::{self, ConvOptions, Norm, Scope};

/// GroupNorm's epsilon; LayerNorm has another one.
const EPS: f64 = 1e-5;

/// A convolution with bias, of odd kernel and the padding that keeps the size.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
}

impl Conv {
    /// `shape`: channels out and in, kernel.
    pub(super) fn load(
        scope: &mut Scope<'_>,
        name: impl std::fmt::Display,
        shape: [usize; 3],
    ) -> Result<Self> {
        let mut scope = scope.at(name);
        let [out, from, kernel] = shape;
        let bias = scope.take("bias", &[out])?;
        let weight = scope.take("weight", &[out, from, kernel, kernel])?;
        Ok(Self { weight, bias, padding: kernel / 2 })
    }

    pub(super) fn forward(&self, x: &Tensor, options: ConvOptions<'_>) -> Result<Tensor> {
        let options = ConvOptions { padding: self.padding, ..options };
        nn::conv2d(x, &self.weight, Some(&self.bias), options)
    }

    pub(super) fn plain(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x, ConvOptions::default())
    }
}

/// `x + conv(relu(conv(relu(x))))`, without a norm.
#[derive(Debug)]
pub(super) struct Unit {
    first: Conv,
    second: Conv,
}

impl Unit {
    pub(super) fn load(mut scope: Scope<'_>, channels: usize) -> Result<Self> {
        let shape = [channels, channels, 3];
        Ok(Self {
            first: Conv::load(&mut scope, "residual.1", shape)?,
            second: Conv::load(&mut scope, "residual.3", shape)?,
        })
    }

    /// The unit's value, and `more` added to it.
    pub(super) fn forward(&self, x: &Tensor, more: Option<&Tensor>) -> Result<Tensor> {
        let relu = ConvOptions { relu_input: true, ..ConvOptions::default() };
        let hidden = self.first.forward(x, relu)?;
        self.second.forward(&hidden, ConvOptions { add: [Some(x), more], ..relu })
    }
}

/// Adds a lateral feature to the running one, and doubles the size where it has a `deconv`.
#[derive(Debug)]
pub(super) struct Fusion {
    lateral: Option<Unit>,
    running: Unit,
    deconv: Option<Tensor>,
    out: Conv,
}

impl Fusion {
    pub(super) fn load(
        mut scope: Scope<'_>,
        channels: usize,
        has_lateral: bool,
        doubles: bool,
    ) -> Result<Self> {
        let lateral = has_lateral.then(|| Unit::load(scope.at("resnet1"), channels)).transpose()?;
        let deconv = doubles.then(|| scope.take("deconv.weight", &[channels, channels, 2, 2]));
        let deconv = deconv.transpose()?;
        let running = Unit::load(scope.at("resnet2"), channels)?;
        let out = Conv::load(&mut scope, "out_conv", [channels, channels, 1])?;
        Ok(Self { lateral, running, deconv, out })
    }

    pub(super) fn forward(
        &self,
        x: Tensor,
        lateral: Option<&Tensor>,
        at: &str,
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        let sum = match (&self.lateral, lateral) {
            (Some(unit), Some(lateral)) => {
                probe.compute_in(at, "resnet1", || unit.forward(lateral, None))?;
                unit.forward(lateral, Some(&x))?
            }
            _ => x,
        };
        probe.see_in(at, "sum", &sum)?;
        let x = self.running.forward(&sum, None)?;
        drop(sum);
        probe.see_in(at, "resnet2", &x)?;
        let x = match &self.deconv {
            Some(weight) => nn::conv_transpose_2x2(&x, weight, None)?,
            None => x,
        };
        probe.see_in(at, "deconv", &x)?;
        let x = self.out.plain(&x)?;
        probe.see(at, &x)?;
        Ok(x)
    }
}

/// `shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))`.
#[derive(Debug)]
pub(super) struct NormBlock {
    norm1: (Tensor, Tensor),
    conv1: Conv,
    norm2: (Tensor, Tensor),
    conv2: Conv,
    shortcut: Option<Conv>,
    groups: usize,
}

impl NormBlock {
    /// The hidden layer has half the channels of the result.
    pub(super) fn load(
        mut scope: Scope<'_>,
        from: usize,
        out: usize,
        groups: usize,
    ) -> Result<Self> {
        let hidden = out / 2;
        let norm1 = load_norm(&mut scope, "residual.0", from)?;
        let norm2 = load_norm(&mut scope, "residual.3", hidden)?;
        let shortcut = (from != out).then(|| Conv::load(&mut scope, "shortcut", [out, from, 1]));
        Ok(Self {
            shortcut: shortcut.transpose()?,
            norm1,
            conv1: Conv::load(&mut scope, "residual.2", [hidden, from, 3])?,
            norm2,
            conv2: Conv::load(&mut scope, "residual.5", [out, hidden, 3])?,
            groups,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, at: &str, probe: &mut dyn Probe) -> Result<Tensor> {
        let Self { norm1, norm2, groups, .. } = self;
        probe.compute_in(at, "residual0", || group_norm(x, *groups, norm1, false))?;
        let y = self.conv1.plain(&group_norm(x, *groups, norm1, true)?)?;
        probe.see_in(at, "residual2", &y)?;
        probe.compute_in(at, "residual3", || group_norm(&y, *groups, norm2, false))?;
        let y = group_norm(&y, *groups, norm2, true)?;
        probe.compute_in(at, "residual5", || self.conv2.plain(&y))?;
        let shortcut = self.shortcut.as_ref().map(|conv| conv.plain(x)).transpose()?;
        let add = [Some(shortcut.as_ref().unwrap_or(x)), None];
        let y = self.conv2.forward(&y, ConvOptions { add, ..ConvOptions::default() })?;
        probe.see(at, &y)?;
        Ok(y)
    }
}

/// Weight and bias of a norm.
pub(super) fn load_norm(
    scope: &mut Scope<'_>,
    name: &str,
    channels: usize,
) -> Result<(Tensor, Tensor)> {
    let mut scope = scope.at(name);
    Ok((scope.take("weight", &[channels])?, scope.take("bias", &[channels])?))
}

/// GroupNorm with this network's epsilon.
pub(super) fn group_norm(
    x: &Tensor,
    groups: usize,
    (weight, bias): &(Tensor, Tensor),
    relu: bool,
) -> Result<Tensor> {
    nn::group_norm(x, groups, Norm { weight, bias, eps: EPS }, relu)
}
