//! The image of one scale, row by row (the plain definition is in `pyramid`).
//!
//! Owns the blur that decimates: only the rows that the scale keeps are blurred, downwards first
//! and straight from the frame's samples, then across, then picked. Knows one frame and one
//! scale at a time.

use super::lines::{BLOCK, Block, Lines, block, block_mut};
use super::pyramid::{Level, taps};
use super::spots::Spots;
use crate::vision::border::reflect_101;
use crate::vision::plane::Plane;
use crate::vision::simd::{Isa, mul_add, per_isa};

/// A gray frame as it comes.
#[derive(Clone, Copy)]
pub(crate) enum Frame<'a> {
    U8(&'a Plane<u8>),
    F32(&'a Plane<f32>),
}

impl Frame<'_> {
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::U8(plane) => plane.size(),
            Self::F32(plane) => plane.size(),
        }
    }
}

/// How the images of one scale are made.
#[derive(Debug, Clone)]
pub(super) struct Decimation {
    level: Level,
    taps: Vec<f32>,
    rows: Spots,
    columns: Spots,
}

impl Decimation {
    pub(super) fn of(level: &Level) -> Self {
        let (width, height) = level.original;
        Self {
            level: level.clone(),
            taps: taps(level).weights().to_vec(),
            rows: Spots::of(height, level.height),
            columns: Spots::of(width, level.width),
        }
    }

    fn radius(&self) -> usize {
        self.taps.len() / 2
    }
}

/// Scratch to make image rows with.
#[derive(Debug, Default)]
pub(super) struct ScaleRows {
    /// Frame rows and their weights in the row at hand.
    picks: Vec<(usize, f32)>,
    /// One row blurred downwards, with room for the taps at both ends.
    down: Vec<f32>,
    /// The same, blurred across too.
    both: Lines,
}

impl ScaleRows {
    /// Row `y` of the scale's image of `frame`.
    pub(super) fn row(
        &mut self,
        isa: Isa,
        (frame, decimation): (Frame<'_>, &Decimation),
        y: usize,
        out: &mut [f32],
    ) {
        self.pick(decimation, y);
        let (width, radius) = (decimation.level.original.0, decimation.radius());
        self.both.reshape(1, 1, width);
        let padded = self.both.stride() + 2 * radius;
        self.down.resize(self.down.len().max(padded), 0.0);
        let down = &mut self.down[radius..radius + width];
        match frame {
            Frame::U8(plane) => sum_rows_u8(isa, plane.data(), &self.picks, down),
            Frame::F32(plane) => sum_rows_f32(isa, plane.data(), &self.picks, down),
        }
        for k in 0..radius {
            self.down[k] = self.down[radius + reflect_101(k as isize - radius as isize, width)];
            let right = reflect_101((width + k) as isize, width);
            self.down[radius + width + k] = self.down[radius + right];
        }
        let both = self.both.row_mut(0);
        sum_taps(isa, &self.down[..padded], &decimation.taps, both);
        decimation.columns.pick(isa, both, 0..out.len(), out);
    }

    /// The rows of the frame that make row `y`: two blurred rows, interpolated.
    fn pick(&mut self, decimation: &Decimation, y: usize) {
        let (height, taps) = (decimation.level.original.1, &decimation.taps);
        let (first, share) = decimation.rows.at(y);
        let radius = decimation.radius() as isize;
        let rows = if share == 0.0 { taps.len() } else { taps.len() + 1 };
        self.picks.clear();
        self.picks.extend((0..rows).map(|k| {
            let upper = taps.get(k).map_or(0.0, |weight| (1.0 - share) * weight);
            let lower = if k > 0 { share * taps[k - 1] } else { 0.0 };
            (reflect_101(first as isize - radius + k as isize, height), upper + lower)
        }));
    }
}

per_isa! {
    /// `out[x] = Σ weight · samples[row, x]` over picks `(row, weight)`; rows as long as `out`.
    fn sum_rows_u8 = sum_rows_u8_body(samples: &[u8], picks: &[(usize, f32)], out: &mut [f32])
}
per_isa! {
    /// As `sum_rows_u8`.
    fn sum_rows_f32 = sum_rows_f32_body(samples: &[f32], picks: &[(usize, f32)], out: &mut [f32])
}
per_isa! {
    /// `out[x] = Σ taps[k] · samples[x + k]`; `out` is whole blocks.
    fn sum_taps = sum_taps_body(samples: &[f32], taps: &[f32], out: &mut [f32])
}
#[inline(always)]
fn sum_rows_u8_body<const FMA: bool>(samples: &[u8], picks: &[(usize, f32)], out: &mut [f32]) {
    sum_rows::<FMA, u8>(samples, picks, out);
}

#[inline(always)]
fn sum_rows_f32_body<const FMA: bool>(samples: &[f32], picks: &[(usize, f32)], out: &mut [f32]) {
    sum_rows::<FMA, f32>(samples, picks, out);
}

#[inline(always)]
fn sum_rows<const FMA: bool, T: Copy + Into<f32>>(
    samples: &[T],
    picks: &[(usize, f32)],
    out: &mut [f32],
) {
    let width = out.len();
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK;
    for (index, out) in blocks.iter_mut().enumerate() {
        let mut sums = [0f32; BLOCK];
        for &(row, weight) in picks {
            let from = &samples[row * width + index * BLOCK..][..BLOCK];
            for (sum, &sample) in sums.iter_mut().zip(from) {
                *sum = mul_add::<FMA>(weight, sample.into(), *sum);
            }
        }
        *out = sums;
    }
    for (x, out) in rest.iter_mut().enumerate() {
        *out = picks.iter().fold(0.0, |sum, &(row, weight)| {
            mul_add::<FMA>(weight, samples[row * width + done + x].into(), sum)
        });
    }
}

#[inline(always)]
fn sum_taps_body<const FMA: bool>(samples: &[f32], taps: &[f32], out: &mut [f32]) {
    for x in (0..out.len()).step_by(BLOCK) {
        let mut sums: Block = [0.0; BLOCK];
        for (k, &weight) in taps.iter().enumerate() {
            let from = block(samples, x + k);
            for i in 0..BLOCK {
                sums[i] = mul_add::<FMA>(weight, from[i], sums[i]);
            }
        }
        *block_mut(out, x) = sums;
    }
}
