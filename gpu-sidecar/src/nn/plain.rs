//! The definitions, in candle's operators: what the fast forms are compared with, and what runs on
//! a GPU until a layer has a kernel of its own there.
//!
//! Owns what is computed in which type: products take and give the type of the tensors and sum in
//! f32; the statistics of norms and softmax are f32. Always: no operator that candle has not for
//! CUDA in f32 and bf16 (`docs/architecture/add-a-model.md` lists what was read), and none that
//! needs memory without bound: large layers are computed in pieces.

use candle_core::{D, DType, Result, Tensor, bail};

use super::{Activation, ConvOptions, LinearAfter, Norm};

/// A convolution lays out the window of every pixel; one with more bytes than this is computed in
/// bands of rows.
const WINDOWS_BYTES_MAX: usize = 1 << 30;
/// Attention holds a score for every pair of tokens; more samples than fit here take turns.
const SCORES_BYTES_MAX: usize = 1 << 30;

pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    after: LinearAfter<'_>,
) -> Result<Tensor> {
    let shape = x.dims();
    let (width, rows) = (x.dim(D::Minus1)?, x.elem_count() / x.dim(D::Minus1)?.max(1));
    let mut y = product(&x.reshape((rows, width))?, &weight.t()?)?;
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
    let mut y = convolved(&x, weight, options, WINDOWS_BYTES_MAX)?;
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

/// The convolution alone; at most `bytes_max` of windows are laid out at once, a row at least.
pub(super) fn convolved(
    x: &Tensor,
    weight: &Tensor,
    options: ConvOptions<'_>,
    bytes_max: usize,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (out, _, kernel, _) = weight.dims4()?;
    let ConvOptions { stride, padding, .. } = options;
    if weight.dims() == [out, channels, 1, 1] && (stride, padding) == (1, 0) {
        // The values lie right for a product already; nothing is laid out.
        let y = per_pixel(&weight.reshape((out, channels))?, x)?;
        return y.reshape((batch, out, height, width));
    }
    let wide = (wide(x)?, wide(weight)?);
    let conv = |x: &Tensor, padding| x.conv2d(&wide.1, padding, stride, 1, 1);
    let places = |side: usize| (side + 2 * padding).saturating_sub(kernel) / stride.max(1) + 1;
    let element = wide.0.dtype().size_in_bytes();
    let row_bytes = batch * places(width) * channels * kernel * kernel * element;
    let (rows, at_once) = (places(height), (bytes_max / row_bytes.max(1)).max(1));
    if rows <= at_once {
        return conv(&wide.0, padding)?.to_dtype(x.dtype());
    }
    let padded = wide.0.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let band = |first: usize| {
        let count = at_once.min(rows - first);
        let seen = padded.narrow(2, first * stride, (count - 1) * stride + kernel)?;
        conv(&seen, 0)?.to_dtype(x.dtype())
    };
    let bands = (0..rows).step_by(at_once).map(band).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&bands, 2)
}

pub(super) fn conv_transpose_2x2(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, _, height, width) = x.dims4()?;
    let (channels, out, rows, columns) = weight.dims4()?;
    if (rows, columns) != (2, 2) {
        bail!("a kernel of {rows} x {columns} where 2 x 2 belongs");
    }
    // Candle's own form for CUDA sums output by output; a product does the same far faster.
    let y = per_pixel(&weight.reshape((channels, 4 * out))?.t()?, x)?;
    let y = y.reshape(&[batch, out, 2, 2, height, width][..])?.permute(&[0, 1, 4, 2, 5, 3][..])?;
    let y = y.reshape((batch, out, 2 * height, 2 * width))?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

pub(super) fn self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    attended(qkv, heads, SCORES_BYTES_MAX)
}

/// [`self_attention`] that holds at most `bytes_max` of scores, a sample's at least.
pub(super) fn attended(qkv: &Tensor, heads: usize, bytes_max: usize) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    if heads == 0 {
        bail!("attention without heads");
    }
    let head = width / 3 / heads;
    let sample_bytes = heads * tokens * tokens * size_of::<f32>();
    let at_once = (bytes_max / sample_bytes.max(1)).max(1);
    let some = |first: usize| {
        let count = at_once.min(batch - first);
        let parts = qkv.narrow(0, first, count)?.reshape((count, tokens, 3, heads, head))?;
        let parts = parts.permute((2, 0, 3, 1, 4))?;
        let part = |index| parts.get(index)?.contiguous();
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let q = (q * (1.0 / (head as f64).sqrt()))?;
        let scores = exact(&product(&q, &k.transpose(2, 3)?)?)?;
        let top = scores.max_keepdim(D::Minus1)?;
        let weights = scores.broadcast_sub(&top)?.exp()?;
        let sums = weights.sum_keepdim(D::Minus1)?;
        // Divided last: a token's output is shorter than its row of scores.
        let mixed = exact(&product(&weights.to_dtype(v.dtype())?, &v)?)?;
        let mixed = mixed.broadcast_div(&sums)?.to_dtype(qkv.dtype())?;
        mixed.transpose(1, 2)?.reshape((count, tokens, heads * head))
    };
    let all = (0..batch).step_by(at_once).map(some).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&all, 0)
}

pub(super) fn layer_norm(x: &Tensor, norm: Norm<'_>) -> Result<Tensor> {
    let rows = exact(x)?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + norm.eps)?.sqrt()?)?;
    let (weight, bias) = (exact(norm.weight)?, exact(norm.bias)?);
    normal.broadcast_mul(&weight)?.broadcast_add(&bias)?.to_dtype(x.dtype())
}

pub(super) fn group_norm(x: &Tensor, groups: usize, norm: Norm<'_>, relu: bool) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let per_group = channels / groups.max(1);
    let rows = exact(x)?.reshape((batch, groups, per_group * height, width))?;
    // Line by line, then the lines: a group is millions of values, and on a GPU one block sums what
    // becomes one number.
    let mean = |rows: &Tensor| rows.mean_keepdim(3)?.mean_keepdim(2);
    let centred = rows.broadcast_sub(&mean(&rows)?)?;
    let variance = mean(&centred.sqr()?)?;
    let inverse = (variance + norm.eps)?.sqrt()?.recip()?.reshape((batch, groups, 1))?;
    let weight = exact(norm.weight)?.reshape((1, groups, per_group))?;
    let scale = inverse.broadcast_mul(&weight)?.reshape((batch, channels, 1, 1))?;
    let bias = exact(norm.bias)?.reshape((1, channels, 1, 1))?;
    let y = centred.reshape((batch, channels, height, width))?;
    let y = y.broadcast_mul(&scale)?.broadcast_add(&bias)?.to_dtype(x.dtype())?;
    if relu { y.relu() } else { Ok(y) }
}

/// `weight [out, channels]` times the channels of every pixel of `x [batch, channels, height,
/// width]`: `[batch, out, height · width]`.
fn per_pixel(weight: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let weight = weight.unsqueeze(0)?.broadcast_as((batch, weight.dim(0)?, weight.dim(1)?))?;
    product(&weight, &x.reshape((batch, channels, height * width))?)
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    wide(a)?.matmul(&wide(b)?)?.to_dtype(a.dtype())
}

/// A factor in the type that it is multiplied in. Candle has no products in bf16 on the CPU; as f32
/// they are what a GPU computes: exact products, sums in f32, rounded once.
fn wide(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { exact(x) } else { Ok(x.clone()) }
}

/// In the type for what must not be rounded to half size on the way.
fn exact(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
