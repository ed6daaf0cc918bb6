//! Linear layers on the CPU: rows of tokens times a transposed weight.
//!
//! Owns the packed form of a weight, which all threads read. It is made anew for each call: a
//! model's weights would otherwise lie in memory twice.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::gemm::kernel::DEPTH_MAX;
use super::gemm::pack::{self, Rows};
use super::gemm::room::{Output, Parts, Use, lend};
use super::gemm::{self, COLUMNS, Panel, Right, Sink};
use super::held::{Held, hold, optional};
use super::{Activation, LinearAfter, after};
use crate::vision::simd::Isa;

/// Rows of a task and columns (576) of a block, at most: its tiles (442 KiB), its left side over a
/// block of the depth (108 KiB) and a panel of the weight lie in a cache of 1 MiB. Measured: fewer
/// rows bring the weight in too often, more columns push the tiles out.
const TASK_ROWS_MAX: usize = 192;
const BLOCK_PANELS: usize = 12;

pub(super) fn linear(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    after: LinearAfter<'_>,
) -> Result<Tensor> {
    let (columns, depth) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    match shape.last_mut() {
        Some(last) if *last == depth => *last = columns,
        _ => bail!("{:?} does not go into a linear layer {:?}", x.dims(), weight.dims()),
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let bias = optional(bias, &[columns])?;
    let scale = optional(after.scale, &[columns])?;
    let add = optional(after.add, &shape)?;
    let (x, weight) = (Held::new(&x)?, Held::new(&weight)?);
    let (bias, scale, add) = (hold(&bias)?, hold(&scale)?, hold(&add)?);
    let x = Rows::dense(x.values(), depth);
    let mut output = Output::new(x.count * columns);
    let sink = Store {
        isa,
        columns,
        activation: after.activation,
        bias: bias.as_ref().map(Held::values),
        scale: scale.as_ref().map(Held::values),
        add: add.as_ref().map(Held::values),
        output: output.parts(),
    };
    let weight = Rows::dense(weight.values(), depth);
    with_packed(isa, weight, |weight| gemm::multiply(isa, x, weight, &sink));
    // SAFETY: each of `x.count` rows comes to `Store` with each of `columns` columns.
    #[allow(unsafe_code, reason = "all of the result is written")]
    let values = unsafe { output.into_vec(x.count * columns) };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A weight whose rows have become columns: a run of panels per block of the depth.
struct Packed<'a> {
    values: &'a [f32],
    columns: usize,
    panels: usize,
    step: usize,
    offsets: Vec<u32>,
}

fn with_packed(isa: Isa, weight: Rows<'_>, work: impl FnOnce(&Packed<'_>)) {
    let (panels, depth) = (weight.count.div_ceil(COLUMNS), weight.width);
    let step = gemm::balanced_step(depth, 1, DEPTH_MAX);
    lend(Use::Whole, panels * depth * COLUMNS, |values| {
        for (block, values) in values.chunks_mut(panels * step * COLUMNS).enumerate() {
            let deep = block * step..depth.min((block + 1) * step);
            let lines = deep.len() * COLUMNS;
            values.par_chunks_mut(lines).enumerate().for_each(|(panel, values)| {
                let rows = panel * COLUMNS..weight.count.min((panel + 1) * COLUMNS);
                pack::transposed(isa, weight, rows, deep.clone(), values);
            });
        }
        let offsets = gemm::line_offsets();
        work(&Packed { values, columns: weight.count, panels, step, offsets });
    });
}

impl Right for Packed<'_> {
    fn task_rows_max(&self) -> usize {
        TASK_ROWS_MAX
    }

    fn blocks(&self) -> usize {
        self.panels.div_ceil(BLOCK_PANELS)
    }

    fn panels(&self, block: usize) -> usize {
        (self.panels - block * BLOCK_PANELS).min(BLOCK_PANELS)
    }

    fn panel(&self, block: usize, panel: usize) -> Panel {
        let first = (block * BLOCK_PANELS + panel) * COLUMNS;
        Panel { batch: 0, first, count: (self.columns - first).min(COLUMNS) }
    }

    fn step(&self) -> usize {
        self.step
    }

    fn room(&self) -> usize {
        0
    }

    fn lay<'a>(&'a self, block: usize, depth: Range<usize>, _: &'a mut [f32]) -> &'a [f32] {
        let lines = self.panels * depth.start + block * BLOCK_PANELS * depth.len();
        &self.values[lines * COLUMNS..][..self.panels(block) * depth.len() * COLUMNS]
    }

    fn start(&self, _: usize, panel: usize, depth: usize) -> usize {
        panel * depth * COLUMNS
    }

    fn ahead(&self, panel: usize, depth: usize) -> Range<usize> {
        panel * depth * COLUMNS..(panel + 1) * depth * COLUMNS
    }

    fn offsets(&self) -> &[u32] {
        &self.offsets
    }
}

/// Stores rows of tokens.
struct Store<'a> {
    isa: Isa,
    columns: usize,
    activation: Activation,
    bias: Option<&'a [f32]>,
    scale: Option<&'a [f32]>,
    add: Option<&'a [f32]>,
    output: Parts<'a>,
}

impl Sink for Store<'_> {
    fn store(&self, rows: Range<usize>, panel: Panel, tile: &mut after::Tile) {
        let channels = after::Channels::new(self.bias, self.scale, panel.first);
        after::columns(self.isa, tile, &channels, self.activation);
        for (row, values) in rows.zip(tile.as_chunks::<COLUMNS>().0) {
            let at = row * self.columns + panel.first;
            // SAFETY: a row and panel come once, and panels do not overlap.
            #[allow(unsafe_code, reason = "tasks write disjoint parts")]
            let to = unsafe { self.output.part(at, panel.count) };
            let add = self.add.map(|add| &add[at..][..panel.count]);
            after::store(to, &values[..panel.count], [add, None]);
        }
    }
}
