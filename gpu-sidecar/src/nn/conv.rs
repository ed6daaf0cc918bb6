//! Convolutions on the CPU: a product of the weight and columns that are gathered as they are read.
//!
//! Owns how a picture becomes the right side of a product. With stride 1, a block holds the rows
//! and columns of the picture that its pixels touch, once each, and every step of the kernel reads
//! them at another offset (`Window`); with another stride, each pixel's column is copied
//! (`Gathered`). Always: beside the result, a thread holds a block of a few hundred KiB, never a
//! matrix of all columns.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};

use super::gemm::pack::Rows;
use super::gemm::room::{Output, Parts};
use super::gemm::{self, COLUMNS, Panel, ROWS, Sink};
use super::held::{Held, hold, optional};
use super::{ConvOptions, after};
use crate::vision::simd::Isa;

mod gathered;
mod window;

pub(super) use window::Window;

/// Channels of a task, at most: its weights over a block of the depth are 213 KiB.
const TASK_ROWS_MAX: usize = 256;

/// What is convolved, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) relu: bool,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

impl Geometry {
    fn new(x: &Tensor, weight: &Tensor, options: &ConvOptions<'_>) -> Result<Self> {
        let (batch, channels, height, width) = x.dims4()?;
        let (_, of, kernel_height, kernel_width) = weight.dims4()?;
        let ConvOptions { stride, padding, relu_input: relu, .. } = *options;
        let out = |size: usize, kernel: usize| {
            let room = (size + 2 * padding).checked_sub(kernel).filter(|_| kernel > 0)?;
            Some(room.checked_div(stride)? + 1)
        };
        let (out_height, out_width) = (out(height, kernel_height), out(width, kernel_width));
        let (Some(out_height), Some(out_width), true) = (out_height, out_width, of == channels)
        else {
            bail!("{:?} cannot be convolved by {:?}, {options:?}", x.dims(), weight.dims());
        };
        let kernel = [kernel_height, kernel_width];
        if kernel == [1, 1] && stride == 1 && padding == 0 {
            return Ok(Self { relu, ..Self::pixels_of(batch, channels, height * width) });
        }
        Ok(Self {
            batch,
            channels,
            height,
            width,
            kernel,
            stride,
            padding,
            relu,
            out_height,
            out_width,
        })
    }

    /// Pixels that do not know their neighbours: a picture is one row.
    pub(super) fn pixels_of(batch: usize, channels: usize, pixels: usize) -> Self {
        Self {
            batch,
            channels,
            height: 1,
            width: pixels,
            kernel: [1, 1],
            stride: 1,
            padding: 0,
            relu: false,
            out_height: 1,
            out_width: pixels,
        }
    }

    fn steps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn pixels(&self) -> usize {
        self.out_height * self.out_width
    }
}

pub(super) fn conv2d(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, &options)?;
    let channels = weight.dim(0)?;
    let out =
        |size: usize, kernel: usize| (size + 2 * options.padding - kernel) / options.stride + 1;
    let (_, _, height, width) = x.dims4()?;
    let (kernel_height, kernel_width) = (weight.dim(2)?, weight.dim(3)?);
    let shape = [geometry.batch, channels, out(height, kernel_height), out(width, kernel_width)];
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let bias = optional(bias, &[channels])?;
    let [first, second] = options.add;
    let (first, second) = (optional(first, &shape)?, optional(second, &shape)?);
    let (x, weight, bias) = (Held::new(&x)?, Held::new(&weight)?, hold(&bias)?);
    let (first, second) = (hold(&first)?, hold(&second)?);
    let length = shape.iter().product();
    let mut output = Output::new(length);
    let sink = Store {
        isa,
        channels,
        pixels: geometry.pixels(),
        relu: options.relu,
        bias: bias.as_ref().map(Held::values),
        add: [first.as_ref().map(Held::values), second.as_ref().map(Held::values)],
        output: output.parts(),
    };
    let weight = Rows::dense(weight.values(), geometry.channels * geometry.steps());
    if geometry.stride == 1 && geometry.steps() <= gemm::kernel::DEPTH_MAX {
        gemm::multiply(isa, weight, &Window::new(isa, x.values(), geometry, channels), &sink);
    } else {
        gemm::multiply(
            isa,
            weight,
            &gathered::Gathered::new(x.values(), geometry, channels),
            &sink,
        );
    }
    // SAFETY: each channel of the weight comes to `Store` with each pixel of each picture.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(length) };
    Tensor::from_vec(values, &shape, &Device::Cpu)
}

/// Stores planes of channels.
struct Store<'a> {
    isa: Isa,
    channels: usize,
    pixels: usize,
    relu: bool,
    bias: Option<&'a [f32]>,
    add: [Option<&'a [f32]>; 2],
    output: Parts<'a>,
}

impl Sink for Store<'_> {
    fn store(&self, rows: Range<usize>, panel: Panel, tile: &mut after::Tile) {
        if self.bias.is_some() || self.relu {
            after::rows(self.isa, tile, &row_biases(self.bias, rows.clone()), self.relu);
        }
        for (channel, values) in rows.zip(tile.as_chunks::<COLUMNS>().0) {
            let at = (panel.batch * self.channels + channel) * self.pixels + panel.first;
            // SAFETY: a channel and panel come once, and panels do not overlap.
            #[allow(unsafe_code, reason = "tasks write disjoint parts")]
            let to = unsafe { self.output.part(at, panel.count) };
            let add = self.add.map(|add| add.map(|add| &add[at..][..panel.count]));
            after::store(to, &values[..panel.count], add);
        }
    }
}

/// The biases of a tile's rows.
fn row_biases(bias: Option<&[f32]>, rows: Range<usize>) -> [f32; ROWS] {
    let mut biases = [0.0; ROWS];
    if let Some(bias) = bias {
        biases[..rows.len()].copy_from_slice(&bias[rows]);
    }
    biases
}
