//! The transposed convolution that doubles a picture: one product, spread over 2 x 2 pixels.
//!
//! Owns the transposed weight and where a product's values go: row `4 o + 2 u + v` of column
//! `(i, j)` is pixel `(2i + u, 2j + v)` of channel `o`.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::after::Tile;
use super::conv::{Geometry, Window};
use super::gemm::pack::Rows;
use super::gemm::room::{Output, Parts, Use, lend};
use super::gemm::{self, COLUMNS, Panel, ROWS, Sink};
use super::held::{Held, hold, optional};
use crate::vision::simd::Isa;

/// Pixels that one becomes.
const SPREAD: usize = 4;
const _: () = assert!(ROWS.is_multiple_of(SPREAD), "a tile holds whole channels");

pub(super) fn conv_transpose_2x2(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (from, out, 2, 2) = weight.dims4()? else {
        bail!("{:?} is not the weight of a kernel of 2 x 2", weight.dims());
    };
    if from != channels {
        bail!("{:?} cannot be convolved by {:?}", x.dims(), weight.dims());
    }
    let bias = optional(bias, &[out])?;
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let (x, weight, bias) = (Held::new(&x)?, Held::new(&weight)?, hold(&bias)?);
    let shape = [batch, out, 2 * height, 2 * width];
    let length = shape.iter().product();
    let mut output = Output::new(length);
    let sink =
        Store { out, height, width, bias: bias.as_ref().map(Held::values), output: output.parts() };
    let geometry = Geometry::pixels_of(batch, channels, height * width);
    let right = Window::new(isa, x.values(), geometry, out * SPREAD);
    lend(Use::Whole, weight.values().len(), |rows| {
        transpose(weight.values(), channels, rows);
        gemm::multiply(isa, Rows::dense(rows, channels), &right, &sink);
    });
    // SAFETY: each row of the weight comes to `Store` with each pixel; together they are the
    // result.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(length) };
    Tensor::from_vec(values, &shape, &Device::Cpu)
}

/// `to[row * channels + channel] = from[channel * rows + row]`, in squares that fit the cache.
fn transpose(from: &[f32], channels: usize, to: &mut [f32]) {
    const SIDE: usize = 16;
    let rows = to.len() / channels;
    to.par_chunks_mut(SIDE * channels).enumerate().for_each(|(index, to)| {
        for first in (0..channels).step_by(SIDE) {
            for (row, to) in to.chunks_exact_mut(channels).enumerate() {
                let end = channels.min(first + SIDE);
                for (channel, to) in (first..end).zip(&mut to[first..end]) {
                    *to = from[channel * rows + index * SIDE + row];
                }
            }
        }
    });
}

struct Store<'a> {
    out: usize,
    height: usize,
    width: usize,
    bias: Option<&'a [f32]>,
    output: Parts<'a>,
}

impl Sink for Store<'_> {
    fn store(&self, rows: Range<usize>, panel: Panel, tile: &mut Tile) {
        let lines = tile.as_chunks::<COLUMNS>().0;
        for (pair, [left, right]) in lines[..rows.len()].as_chunks::<2>().0.iter().enumerate() {
            let row = rows.start + pair * 2;
            let (channel, below) = (row / SPREAD, row % SPREAD / 2);
            let bias = self.bias.map_or(0.0, |bias| bias[channel]);
            let plane = (panel.batch * self.out + channel) * self.height;
            let mut done = 0;
            // A panel goes on in the next row of the picture.
            while done < panel.count {
                let (i, j) = ((panel.first + done) / self.width, (panel.first + done) % self.width);
                let count = (self.width - j).min(panel.count - done);
                let at = (((plane + i) * 2 + below) * self.width + j) * 2;
                // SAFETY: a pair of rows and a panel come once, and their pixels are theirs alone.
                #[allow(unsafe_code, reason = "tasks write disjoint parts")]
                let to = unsafe { self.output.part(at, 2 * count) };
                let values = left[done..][..count].iter().zip(&right[done..][..count]);
                for ([a, b], (left, right)) in to.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    a.write(left + bias);
                    b.write(right + bias);
                }
                done += count;
            }
        }
    }
}
