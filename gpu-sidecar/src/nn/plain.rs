//! The definitions, in candle's operators: what the fast forms are compared with, and what runs on
//! a GPU until a layer has a kernel of its own there.

use candle_core::{D, Result, Tensor, bail};

use super::{Activation, ConvOptions, LinearAfter, Norm};

pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    after: LinearAfter<'_>,
) -> Result<Tensor> {
    let shape = x.dims();
    let (width, rows) = (x.dim(D::Minus1)?, x.elem_count() / x.dim(D::Minus1)?.max(1));
    let mut y = x.reshape((rows, width))?.matmul(&weight.t()?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(bias)?;
    }
    y = match after.activation {
        Activation::None => y,
        Activation::Relu => y.relu()?,
        Activation::Gelu => y.gelu_erf()?,
    };
    if let Some(scale) = after.scale {
        y = y.broadcast_mul(scale)?;
    }
    let mut shape = shape.to_vec();
    shape.pop();
    shape.push(weight.dim(0)?);
    y = y.reshape(shape)?;
    if let Some(add) = after.add {
        y = (y + add)?;
    }
    Ok(y)
}

pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Tensor> {
    let x = if options.relu_input { x.relu()? } else { x.clone() };
    let mut y = x.conv2d(weight, options.padding, options.stride, 1, 1)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
    }
    if options.relu {
        y = y.relu()?;
    }
    for add in options.add.into_iter().flatten() {
        y = (y + add)?;
    }
    Ok(y)
}

pub(super) fn conv_transpose_2x2(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let y = x.conv_transpose2d(weight, 0, 0, 2, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

pub(super) fn self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    if heads == 0 {
        bail!("attention without heads");
    }
    let head = width / 3 / heads;
    let parts = qkv.reshape((batch, tokens, 3, heads, head))?.permute((2, 0, 3, 1, 4))?;
    let part = |index| parts.get(index)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = (q.matmul(&k.transpose(2, 3)?)? * (1.0 / (head as f64).sqrt()))?;
    let top = scores.max_keepdim(D::Minus1)?;
    let weights = scores.broadcast_sub(&top)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, heads * head))
}

pub(super) fn layer_norm(x: &Tensor, norm: Norm<'_>) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + norm.eps)?.sqrt()?)?;
    normal.broadcast_mul(norm.weight)?.broadcast_add(norm.bias)
}

pub(super) fn group_norm(x: &Tensor, groups: usize, norm: Norm<'_>, relu: bool) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let rows = x.reshape((batch, groups, channels / groups.max(1) * height * width))?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(2)?)?;
    let variance = centred.sqr()?.mean_keepdim(2)?;
    let normal = centred.broadcast_div(&(variance + norm.eps)?.sqrt()?)?;
    let normal = normal.reshape((batch, channels, height, width))?;
    let (weight, bias) = (norm.weight.reshape((1, (), 1, 1))?, norm.bias.reshape((1, (), 1, 1))?);
    let y = normal.broadcast_mul(&weight)?.broadcast_add(&bias)?;
    if relu { y.relu() } else { Ok(y) }
}
