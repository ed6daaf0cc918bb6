//! One layer with its input and its parameters, ready to be called.
//!
//! Owns the names and sizes of the benchmark, and what the numbers are. They are the ones of
//! `xtask/src/bench/nn.rs` and `xtask/bench/nn.py`.

use anyhow::{Context, Result, bail};
use candle_core::{D, Device, Tensor};
use postern_sidecar::nn::{self, Activation, ConvOptions, LinearAfter, Norm};

use crate::peak;

/// A layer and what it is applied to.
pub(crate) struct Work {
    layer: Layer,
    candle: bool,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
}

enum Layer {
    /// So many 10^9 operations a thread.
    Peak(usize),
    Linear(Activation),
    Conv {
        stride: usize,
        padding: usize,
    },
    ConvTranspose,
    Attention {
        heads: usize,
    },
    Norm,
    /// With ReLU.
    GroupNorm {
        groups: usize,
    },
}

impl Work {
    /// `size` is made of numbers with `x` between them.
    pub(crate) fn named(name: &str, size: &str, candle: bool) -> Result<Self> {
        let sizes: Result<Vec<usize>, _> = size.split('x').map(str::parse).collect();
        let sizes = sizes.with_context(|| format!("`{size}` is no size"))?;
        let (layer, x, weight, out): (_, Vec<usize>, Vec<usize>, usize) = match (name, &sizes[..]) {
            ("peak", &[gflop]) => (Layer::Peak(gflop), vec![1], vec![1], 1),
            ("linear", &[rows, depth, out]) => {
                (Layer::Linear(Activation::None), vec![rows, depth], vec![out, depth], out)
            }
            ("linear_gelu", &[rows, depth, out]) => {
                (Layer::Linear(Activation::Gelu), vec![rows, depth], vec![out, depth], out)
            }
            ("conv" | "conv_patches", &[from, out, kernel, side]) => {
                let stride = if name == "conv" { 1 } else { kernel };
                let padding = if name == "conv" { kernel / 2 } else { 0 };
                let weight = vec![out, from, kernel, kernel];
                (Layer::Conv { stride, padding }, vec![1, from, side, side], weight, out)
            }
            ("conv_transpose", &[from, out, side]) => {
                (Layer::ConvTranspose, vec![1, from, side, side], vec![from, out, 2, 2], out)
            }
            ("attention", &[batch, tokens, heads, width]) => {
                let x = vec![batch, tokens, 3 * heads * width];
                (Layer::Attention { heads }, x, vec![1], 1)
            }
            ("layer_norm", &[rows, width]) => (Layer::Norm, vec![rows, width], vec![width], width),
            ("group_norm_relu", &[channels, groups, side]) => {
                let x = vec![1, channels, side, side];
                (Layer::GroupNorm { groups }, x, vec![channels], channels)
            }
            _ => bail!("no layer is called `{name}` of size {size}"),
        };
        let (x, weight, bias) = (tensor(1, &x)?, tensor(2, &weight)?, tensor(3, &[out])?);
        Ok(Self { layer, candle, x, weight, bias })
    }

    /// Calls the layer once, on the threads of the pool that this is called in.
    pub(crate) fn call(&self) -> Result<Tensor> {
        if self.candle {
            return self.call_candle();
        }
        let (x, weight, bias) = (&self.x, &self.weight, Some(&self.bias));
        let norm = |eps| Norm { weight, bias: &self.bias, eps };
        Ok(match self.layer {
            Layer::Peak(gflop) => Tensor::new(peak::run(gflop), &Device::Cpu)?,
            Layer::Linear(activation) => {
                let after = LinearAfter { activation, ..Default::default() };
                nn::linear(x, weight, bias, after)?
            }
            Layer::Conv { stride, padding } => {
                let options = ConvOptions { stride, padding, ..Default::default() };
                nn::conv2d(x, weight, bias, options)?
            }
            Layer::ConvTranspose => nn::conv_transpose_2x2(x, weight, bias)?,
            Layer::Attention { heads } => nn::self_attention(x, heads)?,
            Layer::Norm => nn::layer_norm(x, norm(1e-6))?,
            Layer::GroupNorm { groups } => nn::group_norm(x, groups, norm(1e-5), true)?,
        })
    }

    fn call_candle(&self) -> Result<Tensor> {
        let Self { x, weight, bias, .. } = self;
        let channels = || bias.reshape((1, (), 1, 1));
        Ok(match self.layer {
            Layer::Peak(gflop) => Tensor::new(peak::run(gflop), &Device::Cpu)?,
            Layer::Linear(activation) => {
                let y = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
                if activation == Activation::Gelu { y.gelu_erf()? } else { y }
            }
            Layer::Conv { stride, padding } => {
                x.conv2d(weight, padding, stride, 1, 1)?.broadcast_add(&channels()?)?
            }
            Layer::ConvTranspose => {
                x.conv_transpose2d(weight, 0, 0, 2, 1)?.broadcast_add(&channels()?)?
            }
            Layer::Attention { heads } => attention(x, heads)?,
            Layer::Norm => normal(x, 1e-6)?.broadcast_mul(weight)?.broadcast_add(bias)?,
            Layer::GroupNorm { groups } => {
                let shape = x.dims();
                let y = normal(&x.reshape((shape[0], groups, ()))?, 1e-5)?.reshape(shape)?;
                let y = y.broadcast_mul(&weight.reshape((1, (), 1, 1))?)?;
                y.broadcast_add(&channels()?)?.relu()?
            }
        })
    }

    /// The result as it lies in memory, little-endian.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        let values: Vec<f32> = self.call()?.flatten_all()?.to_vec1()?;
        Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
    }
}

fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let head = width / 3 / heads;
    let parts = qkv.reshape((batch, tokens, 3, heads, head))?.permute((2, 0, 3, 1, 4))?;
    let part = |index| parts.get(index)?.contiguous();
    let scores = (part(0)?.matmul(&part(1)?.t()?)? / (head as f64).sqrt())?;
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    Ok(weights.matmul(&part(2)?)?.transpose(1, 2)?.reshape((batch, tokens, width / 3))?)
}

fn normal(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(centred.broadcast_div(&(variance + eps)?.sqrt()?)?)
}

/// Values in -1 to 1 that `xtask/bench/nn.py` makes, too: 24 bits of a product of the index.
fn tensor(seed: u32, shape: &[usize]) -> Result<Tensor> {
    let count = u32::try_from(shape.iter().product::<usize>()).context("2^32 values")?;
    let value = |index: u32| {
        let mixed = index.wrapping_add(seed << 28).wrapping_mul(2_654_435_769);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
        (mixed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let values: Vec<f32> = (0..count).map(value).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}
