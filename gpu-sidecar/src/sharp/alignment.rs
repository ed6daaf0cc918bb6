//! The fit of a predicted depth to a given one (SPEC 14): a small UNet predicts a factor per pixel.
//!
//! Upstream's command line never runs it and neither does `sharp@1`, which takes no depth map; the
//! checkpoint's tensors for it are not loaded. It is here, and checked, for the first caller with a
//! depth sensor.

use candle_core::{DType, Result, Tensor};

use super::probe::{Probe, ProbeExt as _};
use super::residual::{Conv, NormBlock, group_norm, load_norm};
use crate::nn::{ConvOptions, Scope};

/// Groups of every norm.
const GROUPS: usize = 4;
/// Channels never exceed this.
const WIDTH_MAX: usize = 1024;
/// Depths are kept above this before they are inverted.
const DEPTH_MIN: f32 = 1e-4;

/// The network with its parameters.
#[derive(Debug)]
pub struct Alignment {
    conv_in: Conv,
    norm_in: (Tensor, Tensor),
    downs: Vec<[NormBlock; 2]>,
    ups: Vec<[NormBlock; 2]>,
    norm_skip: (Tensor, Tensor),
    conv_skip: Conv,
    norm_last: (Tensor, Tensor),
    conv_out: Conv,
}

impl Alignment {
    /// Takes the parameters of `scale_map_estimator.`: `steps` halvings from `base` channels.
    ///
    /// # Errors
    /// One is missing or of another shape.
    pub fn load(mut scope: Scope<'_>, base: usize, steps: usize) -> Result<Self> {
        let width = |level: usize| (base << level).min(WIDTH_MAX);
        let pair = |mut scope: Scope<'_>, from: usize, to: usize| {
            let first = NormBlock::load(scope.at(1), from, to, GROUPS)?;
            Ok([first, NormBlock::load(scope.at(2), to, to, GROUPS)?])
        };
        let mut encoder = scope.at("encoder");
        let conv_in = Conv::load(&mut encoder, "conv_in.0", [base, 2, 3])?;
        let norm_in = load_norm(&mut encoder, "conv_in.1", base)?;
        let downs = (0..steps)
            .map(|k| pair(encoder.at("convs_down").at(k), width(k), width(k + 1)))
            .collect::<Result<_>>()?;
        let mut decoder = scope.at("decoder");
        let ups = (0..steps)
            .map(|k| {
                let (from, to) = (width(steps - k), width(steps - 1 - k));
                let skip = if k == 0 { 0 } else { from };
                pair(decoder.at("convs_up").at(k), from + skip, to)
            })
            .collect::<Result<_>>()?;
        let norm_skip = load_norm(&mut decoder, "conv_out.0", 2 * base)?;
        let conv_skip = Conv::load(&mut decoder, "conv_out.2", [base, 2 * base, 1])?;
        let norm_last = load_norm(&mut decoder, "conv_out.3", base)?;
        let conv_out = Conv::load(&mut scope, "conv_out", [1, base, 1])?;
        Ok(Self { conv_in, norm_in, downs, ups, norm_skip, conv_skip, norm_last, conv_out })
    }

    /// The factors `[batch, 1, h, w]` that bring `predicted [batch, 2, h, w]` close to `given
    /// [batch, 1, h, w]`, both metric.
    ///
    /// # Errors
    /// Sizes that differ, or that the halvings do not divide.
    pub fn factors(
        &self,
        predicted: &Tensor,
        given: &Tensor,
        probe: &mut dyn Probe,
    ) -> Result<Tensor> {
        let inverse = |depth: &Tensor| depth.maximum(DEPTH_MIN)?.recip();
        let visible = predicted.narrow(1, 0, 1)?;
        let x = Tensor::cat(&[inverse(&visible)?, inverse(given)?], 1)?;
        let x = x.to_dtype(self.norm_in.0.dtype())?;
        let mut skips = vec![group_norm(&self.conv_in.plain(&x)?, GROUPS, &self.norm_in, true)?];
        for (level, blocks) in self.downs.iter().enumerate() {
            let x = skips[level].avg_pool2d(2)?;
            skips.push(through(blocks, &x, probe)?);
        }
        for (level, skip) in skips.iter().enumerate() {
            probe.see(&format!("align.enc{level}"), skip)?;
        }
        let mut x = skips.pop().expect("there is the first");
        for (step, blocks) in self.ups.iter().enumerate() {
            if step > 0 {
                x = Tensor::cat(&[x, skips.pop().expect("one per halving")], 1)?;
            }
            let (_, _, height, width) = x.dims4()?;
            x = through(blocks, &x.upsample_nearest2d(2 * height, 2 * width)?, probe)?;
        }
        let x = Tensor::cat(&[x, skips.pop().expect("the first is left")], 1)?;
        let x = self.conv_skip.plain(&group_norm(&x, GROUPS, &self.norm_skip, true)?)?;
        let x = group_norm(&x, GROUPS, &self.norm_last, true)?;
        probe.see("align.dec", &x)?;
        let logits = self.conv_out.forward(&x, ConvOptions::default())?.to_dtype(DType::F32)?;
        probe.see("align.logits", &logits)?;
        logits.exp()
    }
}

fn through(blocks: &[NormBlock; 2], x: &Tensor, probe: &mut dyn Probe) -> Result<Tensor> {
    let x = blocks[0].forward(x, "align.block", probe)?;
    blocks[1].forward(&x, "align.block", probe)
}
