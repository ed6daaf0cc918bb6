//! Normalisation on the CPU: over rows of tokens, and over groups of a picture's channels.
//!
//! Owns the statistics. A chunk's mean, then its squared distances from it, while the chunk is in
//! the cache: f32 lanes, f64 between them. Chunks are joined in f64, in order (Chan, Golub and
//! LeVeque 1979), so that the result does not depend on the number of threads.

use std::mem::MaybeUninit;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::gemm::room::Output;
use super::held::{Held, optional};
use super::{Norm, math};
use crate::vision::simd::{Isa, per_isa};

/// Values of a chunk, 64 KiB: it is read twice for the price of once.
const CHUNK: usize = 16 << 10;
/// Sums side by side: four vectors of 16, whose additions wait for each other only every fourth.
const LANES: usize = 64;

pub(super) fn layer_norm(isa: Isa, x: &Tensor, norm: Norm<'_>) -> Result<Tensor> {
    let Some(&width) = x.dims().last() else { bail!("a scalar has no last axis") };
    let affine = Affine::new(norm, width)?;
    let (weight, bias) = (Held::new(&affine.weight)?, Held::new(&affine.bias)?);
    let (weight, bias) = (weight.values(), bias.values());
    let x = x.contiguous()?;
    let held = Held::new(&x)?;
    let values = held.values();
    let length = x.elem_count();
    let mut output = Output::new(length);
    let parts = output.parts();
    let rows = (CHUNK / width).max(1);
    values.par_chunks(rows * width).enumerate().for_each(|(index, chunk)| {
        // SAFETY: each chunk comes once, and they do not overlap.
        #[allow(unsafe_code, reason = "tasks write disjoint parts")]
        let to = unsafe { parts.part(index * rows * width, chunk.len()) };
        for (row, to) in chunk.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
            let mut moments = Moments::default();
            for part in row.chunks(CHUNK) {
                moments = moments.joined(moments_of(isa, part));
            }
            let (mean, factor) = moments.mean_and_factor(norm.eps);
            apply_row(isa, (row, to), (weight, bias), (mean, factor));
        }
    });
    // SAFETY: the chunks are all of the values.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(length) };
    Tensor::from_vec(values, x.dims(), &Device::Cpu)
}

pub(super) fn group_norm(
    isa: Isa,
    x: &Tensor,
    groups: usize,
    norm: Norm<'_>,
    relu: bool,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("{channels} channels cannot be put into {groups} groups");
    }
    let affine = Affine::new(norm, channels)?;
    let (weight, bias) = (Held::new(&affine.weight)?, Held::new(&affine.bias)?);
    let (weight, bias) = (weight.values(), bias.values());
    let x = x.contiguous()?;
    let held = Held::new(&x)?;
    let values = held.values();
    let (plane, length) = (height * width, x.elem_count());
    let group = channels / groups * plane;
    let chunks: Vec<Moments> = (0..batch * groups * group.div_ceil(CHUNK))
        .into_par_iter()
        .map(|index| {
            let (of, part) = (index / group.div_ceil(CHUNK), index % group.div_ceil(CHUNK));
            let values = &values[of * group..][..group];
            moments_of(isa, &values[part * CHUNK..group.min((part + 1) * CHUNK)])
        })
        .collect();
    let statistics: Vec<(f32, f32)> = chunks
        .chunks(group.div_ceil(CHUNK))
        .map(|chunks| chunks.iter().fold(Moments::default(), |sum, &chunk| sum.joined(chunk)))
        .map(|moments| moments.mean_and_factor(norm.eps))
        .collect();
    let mut output = Output::new(length);
    let parts = output.parts();
    (0..batch * channels * plane.div_ceil(CHUNK)).into_par_iter().for_each(|index| {
        let (of, part) = (index / plane.div_ceil(CHUNK), index % plane.div_ceil(CHUNK));
        let (start, end) = (part * CHUNK, plane.min((part + 1) * CHUNK));
        let from = &values[of * plane + start..of * plane + end];
        // SAFETY: each chunk of each plane comes once, and they do not overlap.
        #[allow(unsafe_code, reason = "tasks write disjoint parts")]
        let to = unsafe { parts.part(of * plane + start, from.len()) };
        let (mean, factor) = statistics[of / (channels / groups)];
        let channel = of % channels;
        let how = Shift { mean, factor: factor * weight[channel], bias: bias[channel] };
        if relu { apply_relu(isa, from, to, how) } else { apply(isa, from, to, how) }
    });
    // SAFETY: the chunks are all of the values.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(length) };
    Tensor::from_vec(values, x.dims(), &Device::Cpu)
}

/// Weight and bias without gaps.
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(norm: Norm<'_>, channels: usize) -> Result<Self> {
        let weight = optional(Some(norm.weight), &[channels])?;
        let bias = optional(Some(norm.bias), &[channels])?;
        let (Some(weight), Some(bias)) = (weight, bias) else {
            bail!("both have been given");
        };
        Ok(Self { weight, bias })
    }
}

/// How many values there were, their mean and the sum of their squared distances from it.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn joined(self, other: Self) -> Self {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let share = other.count / count;
        Self {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }

    /// With the biased variance.
    fn mean_and_factor(self, eps: f64) -> (f32, f32) {
        (self.mean as f32, (1.0 / (self.squares / self.count + eps).sqrt()) as f32)
    }
}

per_isa! { fn moments_of = moments_body(values: &[f32]) -> Moments }

#[inline(always)]
fn moments_body<const FMA: bool>(values: &[f32]) -> Moments {
    let count = values.len() as f64;
    let mean = sum(values, |value| value) / count;
    // Rounding the centre leaves a distance, which is taken out again.
    let centre = mean as f32;
    let squares = sum(values, |value| (value - centre) * (value - centre));
    let off = mean - f64::from(centre);
    Moments { count, mean, squares: (squares - count * off * off).max(0.0) }
}

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += of(value);
        }
    }
    let rest: f64 = rest.iter().map(|&value| f64::from(of(value))).sum();
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest
}

/// `(x - mean) * factor + bias`.
#[derive(Debug, Clone, Copy)]
struct Shift {
    mean: f32,
    factor: f32,
    bias: f32,
}

per_isa! { fn apply = apply_body(from: &[f32], to: &mut [MaybeUninit<f32>], how: Shift) }
per_isa! { fn apply_relu = apply_relu_body(from: &[f32], to: &mut [MaybeUninit<f32>], how: Shift) }
per_isa! {
    fn apply_row = apply_row_body(
        rows: (&[f32], &mut [MaybeUninit<f32>]),
        affine: (&[f32], &[f32]),
        statistics: (f32, f32),
    )
}

#[inline(always)]
fn apply_body<const FMA: bool>(from: &[f32], to: &mut [MaybeUninit<f32>], how: Shift) {
    for (to, from) in to.iter_mut().zip(from) {
        to.write((from - how.mean) * how.factor + how.bias);
    }
}

#[inline(always)]
fn apply_relu_body<const FMA: bool>(from: &[f32], to: &mut [MaybeUninit<f32>], how: Shift) {
    for (to, from) in to.iter_mut().zip(from) {
        to.write(math::relu((from - how.mean) * how.factor + how.bias));
    }
}

#[inline(always)]
fn apply_row_body<const FMA: bool>(
    (from, to): (&[f32], &mut [MaybeUninit<f32>]),
    (weight, bias): (&[f32], &[f32]),
    (mean, factor): (f32, f32),
) {
    for (((to, from), weight), bias) in to.iter_mut().zip(from).zip(weight).zip(bias) {
        to.write((from - mean) * factor * weight + bias);
    }
}
