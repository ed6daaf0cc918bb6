//! Layers of neural networks: what models are made of.
//!
//! Owns each layer's definition (in candle's operators, file `plain`) and its fast form on the CPU.
//! Knows tensors; no model, no weights' names. Always: both forms give the same numbers to
//! rounding, and a shape that does not fit is an error of candle's, not a panic. On a GPU, with a
//! type other than f32, or where [`with_kernels`] says so, the definition runs.

mod after;
mod attention;
mod conv;
mod conv_transpose;
mod gemm;
mod held;
mod kernels;
mod linear;
mod math;
mod norms;
mod parameters;
mod plain;
mod random;
#[cfg(test)]
mod tests;

use candle_core::{D, Result, Tensor};

use crate::vision::simd::Isa;

pub use kernels::{Kernels, with_kernels};
pub use parameters::{Parameters, Scope};
pub use random::RandomParameters;

/// What is done to each value of a product before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    #[default]
    None,
    Relu,
    /// The exact form, by the error function.
    Gelu,
}

/// `add + scale * activation(x · weightᵀ + bias)`: what follows a product, in one pass over it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinearAfter<'a> {
    pub activation: Activation,
    /// A factor per output channel (LayerScale), `[out]`.
    pub scale: Option<&'a Tensor>,
    /// Same shape as the result.
    pub add: Option<&'a Tensor>,
}

/// Stride, padding and what is done before and after a convolution, in one pass.
#[derive(Debug, Clone, Copy)]
pub struct ConvOptions<'a> {
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// ReLU on the input as it is read.
    pub relu_input: bool,
    /// ReLU on the result, before anything is added.
    pub relu: bool,
    /// Added to the result; same shape as it.
    pub add: [Option<&'a Tensor>; 2],
}

impl Default for ConvOptions<'_> {
    fn default() -> Self {
        Self { stride: 1, padding: 0, relu_input: false, relu: false, add: [None, None] }
    }
}

/// `x [.., in]`, `weight [out, in]`, `bias [out]` to `[.., out]`.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    after: LinearAfter<'_>,
) -> Result<Tensor> {
    let all = [Some(x), Some(weight), bias, after.scale, after.add];
    if held::all(all.into_iter().flatten()) {
        return linear::linear(Isa::best(), x, weight, bias, after);
    }
    plain::linear(x, weight, bias, after)
}

/// `x [batch, in, height, width]`, `weight [out, in, kernel, kernel]`, `bias [out]`.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Tensor> {
    let [first, second] = options.add;
    if held::all([Some(x), Some(weight), bias, first, second].into_iter().flatten()) {
        return conv::conv2d(Isa::best(), x, weight, bias, options);
    }
    plain::conv2d(x, weight, bias, options)
}

/// Transposed convolution with kernel 2 and stride 2, which doubles both sides:
/// `out[b, o, 2i+u, 2j+v] = bias[o] + Σ_c x[b, c, i, j] · weight[c, o, u, v]`.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn conv_transpose_2x2(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if held::all([Some(x), Some(weight), bias].into_iter().flatten()) {
        return conv_transpose::conv_transpose_2x2(Isa::best(), x, weight, bias);
    }
    plain::conv_transpose_2x2(x, weight, bias)
}

/// Softmax attention of every token with every other: `qkv [batch, tokens, 3 · heads · width]`, in
/// which q, k and v follow each other and each is heads-major, to `[batch, tokens, heads · width]`.
/// Scores are divided by the root of `width`.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let is_narrow = heads * 3 * attention::HEAD_MAX >= qkv.dim(D::Minus1)?;
    if held::all([qkv]) && is_narrow {
        return attention::self_attention(Isa::best(), qkv, heads);
    }
    plain::self_attention(qkv, heads)
}

/// `weight * (x - mean) / sqrt(variance + eps) + bias`, with the biased variance.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    pub weight: &'a Tensor,
    pub bias: &'a Tensor,
    pub eps: f64,
}

/// Statistics over the last axis; `weight` and `bias` of its length.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn layer_norm(x: &Tensor, norm: Norm<'_>) -> Result<Tensor> {
    if held::all([x, norm.weight, norm.bias]) {
        return norms::layer_norm(Isa::best(), x, norm);
    }
    plain::layer_norm(x, norm)
}

/// Statistics over each of `groups` runs of consecutive channels of `x [batch, channels, height,
/// width]`; `weight` and `bias` per channel. With `relu`, a ReLU follows.
///
/// # Errors
/// Shapes or types that do not fit.
pub fn group_norm(x: &Tensor, groups: usize, norm: Norm<'_>, relu: bool) -> Result<Tensor> {
    if held::all([x, norm.weight, norm.bias]) {
        return norms::group_norm(Isa::best(), x, groups, norm, relu);
    }
    plain::group_norm(x, groups, norm, relu)
}
