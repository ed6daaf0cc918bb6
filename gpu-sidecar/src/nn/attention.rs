//! Attention on the CPU: scores, softmax and weighted sum of a few queries at a time.
//!
//! Owns how a head is cut: 48 queries meet up to 128 keys, whose weights multiply the values while
//! they are in the nearest cache; what came before is scaled down when a greater score appears
//! (online softmax: Milakov and Gimelshein 2018, arXiv 1805.02867). Always: a thread holds one
//! head's keys and values and 48 queries, never the scores of all tokens.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::gemm::kernel::{self, DEPTH_MAX, LANES, LEFT_STRIDE, Product};
use super::gemm::pack::{self, Rows};
use super::gemm::room::{Output, Parts, Use, lend};
use super::gemm::{COLUMNS, ROWS, line_offsets};
use super::held::Held;
use super::math;
use crate::vision::simd::{Isa, per_isa};

/// Queries that meet a block of keys together.
const QUERIES: usize = 6 * ROWS;
/// Where there are fewer heads than this per thread, a head's queries are divided, too.
const TASKS_PER_THREAD: usize = 2;

/// The widest head that [`self_attention`] takes.
pub(super) const HEAD_MAX: usize = DEPTH_MAX;

/// `heads` divides a third of the last axis, into at most [`HEAD_MAX`].
pub(super) fn self_attention(isa: Isa, qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    if heads == 0 || !width.is_multiple_of(3 * heads) || width / 3 / heads > HEAD_MAX {
        bail!("{:?} has no {heads} heads of at most {HEAD_MAX}", qkv.dims());
    }
    let qkv = qkv.contiguous()?;
    let qkv = Held::new(&qkv)?;
    let values = qkv.values();
    let length = batch * tokens * width / 3;
    let mut output = Output::new(length);
    let head = Head::new(isa, [tokens, heads, width / 3 / heads], output.parts());
    let blocks = tokens.div_ceil(QUERIES);
    let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
    let parts = wanted.div_ceil(batch * heads).min(blocks);
    let blocks = blocks.div_ceil(parts);
    (0..batch * heads * parts).into_par_iter().for_each(|index| {
        let (of, part) = (index / parts, index % parts);
        let first = (part * blocks * QUERIES).min(tokens);
        let queries = first..(first + blocks * QUERIES).min(tokens);
        head.run(values, [of / heads, of % heads], queries);
    });
    // SAFETY: every head of every picture has stored its part of every token.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(length) };
    Tensor::from_vec(values, (batch, tokens, width / 3), &Device::Cpu)
}

/// What all heads have in common.
struct Head<'a> {
    isa: Isa,
    tokens: usize,
    heads: usize,
    width: usize,
    /// `width` up to whole vectors.
    wide: usize,
    /// Keys of a block.
    step: usize,
    key_offsets: Vec<u32>,
    value_offsets: Vec<u32>,
    output: Parts<'a>,
}

/// One head's packed keys and values, and room for its queries.
struct Packed<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    queries: &'a mut [f32],
    scores: &'a mut [f32],
    sums: &'a mut [f32],
}

/// A query's greatest score so far, and the sum of its weights relative to it.
#[derive(Debug, Clone, Copy)]
struct Softmax {
    top: f32,
    sum: f32,
}

impl<'a> Head<'a> {
    fn new(isa: Isa, [tokens, heads, width]: [usize; 3], output: Parts<'a>) -> Self {
        let wide = width.next_multiple_of(LANES);
        let step = tokens.div_ceil(tokens.div_ceil(DEPTH_MAX)).next_multiple_of(LANES);
        let value_offsets = (0..DEPTH_MAX).map(|key| (key * wide) as u32).collect();
        let key_offsets = line_offsets();
        Self { isa, tokens, heads, width, wide, step, key_offsets, value_offsets, output }
    }

    /// Values of a panel of keys.
    fn panel(&self) -> usize {
        self.width * COLUMNS
    }

    /// Panels of a block of keys.
    fn panels(&self) -> usize {
        self.step.div_ceil(COLUMNS)
    }

    fn run(&self, qkv: &[f32], [batch, head]: [usize; 2], queries: Range<usize>) {
        let stride = 3 * self.heads * self.width;
        let rows = |part: usize| Rows {
            values: &qkv[batch * self.tokens * stride + (part * self.heads + head) * self.width..],
            count: self.tokens,
            width: self.width,
            stride,
        };
        let keys = self.tokens.div_ceil(self.step) * self.panels() * self.panel();
        let scores = QUERIES * LEFT_STRIDE;
        lend(Use::Right, keys, |keys| {
            lend(Use::Whole, self.tokens * self.wide + COLUMNS, |values| {
                self.pack(rows(1), rows(2), keys, values);
                lend(Use::Left, scores, |left| {
                    lend(Use::Tiles, scores + QUERIES * self.wide, |tiles| {
                        let (scores, sums) = tiles.split_at_mut(scores);
                        let mut packed = Packed { keys, values, queries: left, scores, sums };
                        for start in queries.clone().step_by(QUERIES) {
                            let part = start..queries.end.min(start + QUERIES);
                            pack::left(rows(0), part.clone(), 0..self.width, packed.queries);
                            let softmax = self.attend(&mut packed, part.len());
                            self.store([batch, head], part, packed.sums, &softmax);
                        }
                    });
                });
            });
        });
    }

    fn pack(
        &self,
        from_keys: Rows<'_>,
        from_values: Rows<'_>,
        keys: &mut [f32],
        values: &mut [f32],
    ) {
        let block = self.panels() * self.panel();
        for (index, keys) in keys.chunks_exact_mut(block).enumerate() {
            let end = self.tokens.min((index + 1) * self.step);
            let firsts = (index * self.step..end).step_by(COLUMNS);
            for (first, keys) in firsts.zip(keys.chunks_exact_mut(self.panel())) {
                let rows = first..end.min(first + COLUMNS);
                pack::transposed(self.isa, from_keys, rows, 0..self.width, keys);
            }
        }
        for (token, values) in values.chunks_exact_mut(self.wide).take(self.tokens).enumerate() {
            values[..self.width].copy_from_slice(from_values.row(token));
            values[self.width..].fill(0.0);
        }
    }

    /// Fills `packed.sums` for up to 48 queries; their sums are still to be divided.
    fn attend(&self, packed: &mut Packed<'_>, queries: usize) -> [Softmax; QUERIES] {
        let mut softmax = [Softmax { top: f32::NEG_INFINITY, sum: 0.0 }; QUERIES];
        let scale = 1.0 / (self.width as f32).sqrt();
        for (block, first) in (0..self.tokens).step_by(self.step).enumerate() {
            let keys = self.step.min(self.tokens - first);
            self.score(packed, [block, keys, queries]);
            let rows = packed.scores.chunks_exact_mut(LEFT_STRIDE).take(queries);
            let sums = packed.sums.chunks_exact_mut(self.wide);
            for ((scores, sums), softmax) in rows.zip(sums).zip(&mut softmax) {
                soften(self.isa, &mut scores[..keys], softmax, sums, (scale, block > 0));
            }
            self.gather(packed, [first, keys, queries]);
        }
        softmax
    }

    /// `scores = queries · keysᵀ` for one block of keys.
    fn score(&self, packed: &mut Packed<'_>, [block, keys, queries]: [usize; 3]) {
        let kernels = kernel::kernels(self.isa);
        let panels = &packed.keys[block * self.panels() * self.panel()..];
        for (panel, right) in (0..keys).step_by(COLUMNS).zip(panels.chunks_exact(self.panel())) {
            let vectors = (keys - panel).min(COLUMNS).div_ceil(LANES);
            for row in (0..queries).step_by(ROWS) {
                let product = Product {
                    depth: self.width,
                    left: packed.queries[row * LEFT_STRIDE..][..ROWS * LEFT_STRIDE].as_ptr(),
                    right: right.as_ptr(),
                    offsets: self.key_offsets[..self.width].as_ptr(),
                    tile: packed.scores[row * LEFT_STRIDE..][..ROWS * LEFT_STRIDE][panel..]
                        .as_mut_ptr(),
                    stride: LEFT_STRIDE,
                    add: false,
                };
                // SAFETY: 8 rows of queries and of scores; a panel is `width` lines of 48; the
                // tile's columns end by `step` <= 128, within a row of 144; the kernels are of an
                // `Isa`, which is proof of its instructions.
                #[allow(unsafe_code, reason = "the kernels read by pointers")]
                unsafe {
                    kernels[vectors - 1](&product);
                }
            }
        }
    }

    /// `sums += weights · values` for one block of keys, the first of which is `first`.
    fn gather(&self, packed: &mut Packed<'_>, [first, keys, queries]: [usize; 3]) {
        let kernels = kernel::kernels(self.isa);
        for column in (0..self.wide).step_by(COLUMNS) {
            let vectors = (self.wide - column).min(COLUMNS) / LANES;
            let right = &packed.values[first * self.wide..][..keys * self.wide][column..];
            for row in (0..queries).step_by(ROWS) {
                let sums = &mut packed.sums[row * self.wide..][..ROWS * self.wide][column..];
                let product = Product {
                    depth: keys,
                    left: packed.scores[row * LEFT_STRIDE..][..ROWS * LEFT_STRIDE].as_ptr(),
                    right: right.as_ptr(),
                    offsets: self.value_offsets[..keys].as_ptr(),
                    tile: sums.as_mut_ptr(),
                    stride: self.wide,
                    add: first > 0,
                };
                // SAFETY: 8 rows of weights, `keys` <= 128 in each; `keys` rows of values and 8 of
                // sums, `wide` in each, of which the tile takes columns `column` to at most `wide`;
                // the kernels are of an `Isa`, which is proof of its instructions.
                #[allow(unsafe_code, reason = "the kernels read by pointers")]
                unsafe {
                    kernels[vectors - 1](&product);
                }
            }
        }
    }

    fn store(
        &self,
        [batch, head]: [usize; 2],
        queries: Range<usize>,
        sums: &[f32],
        softmax: &[Softmax; QUERIES],
    ) {
        for ((token, sums), softmax) in queries.zip(sums.chunks_exact(self.wide)).zip(softmax) {
            let at = ((batch * self.tokens + token) * self.heads + head) * self.width;
            // SAFETY: a token and head come once.
            #[allow(unsafe_code, reason = "tasks write disjoint parts")]
            let to = unsafe { self.output.part(at, self.width) };
            let factor = 1.0 / softmax.sum;
            for (to, sum) in to.iter_mut().zip(sums) {
                to.write(sum * factor);
            }
        }
    }
}

per_isa! {
    /// Turns scores into weights `e^(scale (score - top))`. `sums` is what was summed with earlier
    /// tops, if there was anything (the flag).
    fn soften = soften_body(
        scores: &mut [f32],
        softmax: &mut Softmax,
        sums: &mut [f32],
        how: (f32, bool),
    )
}

#[inline(always)]
fn soften_body<const FMA: bool>(
    scores: &mut [f32],
    softmax: &mut Softmax,
    sums: &mut [f32],
    (scale, has_sums): (f32, bool),
) {
    let (chunks, rest) = scores.as_chunks::<LANES>();
    let mut tops = [softmax.top; LANES];
    for chunk in chunks {
        for (top, &score) in tops.iter_mut().zip(chunk) {
            *top = if score > *top { score } else { *top };
        }
    }
    let top = tops.iter().chain(rest).fold(softmax.top, |a, &b| if b > a { b } else { a });
    let weight = |score: f32| math::exp::<FMA>((score - top) * scale);
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (score, lane) in chunk.iter_mut().zip(&mut lanes) {
            *score = weight(*score);
            *lane += *score;
        }
    }
    for (score, lane) in rest.iter_mut().zip(&mut lanes) {
        *score = weight(*score);
        *lane += *score;
    }
    let mut sum = lanes.iter().sum::<f32>();
    if has_sums {
        let factor = math::exp::<FMA>((softmax.top - top) * scale);
        sum += softmax.sum * factor;
        for value in sums {
            *value *= factor;
        }
    }
    *softmax = Softmax { top, sum };
}
