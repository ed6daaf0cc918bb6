//! Where the search of a scale starts, row by row.
//!
//! Owns the linear enlarging of the coarser scale's flow (plain definition:
//! `resize::linear_f32`).

use std::ops::Range;

use super::lines::Lines;
use super::spots::Spots;
use crate::vision::simd::{Isa, mul_add, per_isa};

/// The start flow of a scale.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// No motion.
    Zero,
    /// A flow of this scale.
    Here(&'a Lines),
    /// The flow of the coarser scale, enlarged and multiplied with `factor`.
    Coarser { flow: &'a Lines, columns: &'a Spots, rows: &'a Spots, factor: f32 },
}

impl Start<'_> {
    /// Row `y`, from column `columns.start` to `columns.end`, x and then y, into `out`.
    pub(super) fn row(
        &self,
        isa: Isa,
        (y, columns): (usize, Range<usize>),
        scratch: &mut Lines,
        out: &mut [f32],
    ) {
        match self {
            Start::Zero => out.fill(0.0),
            Start::Here(flow) => {
                for (index, out) in out.chunks_exact_mut(columns.len()).enumerate() {
                    out.copy_from_slice(&flow.line(y, index)[columns.clone()]);
                }
            }
            Start::Coarser { flow, columns: across, rows, factor } => {
                scratch.reshape(1, 2, flow.stride());
                let between = scratch.row_mut(0);
                let (top, share) = rows.at(y);
                blend(isa, (flow.row(top), flow.row(top + 1)), (share, *factor), between);
                let known = columns.start..columns.end.min(across.len());
                let lines = between.chunks_exact(flow.stride());
                for (line, out) in lines.zip(out.chunks_exact_mut(columns.len())) {
                    let (out, rest) = out.split_at_mut(known.len());
                    across.pick(isa, line, known.clone(), out);
                    rest.fill(0.0);
                }
            }
        }
    }
}

per_isa! {
    /// `out` lies between two lines, the given share of the way, and is multiplied with a factor.
    fn blend = blend_body(
        lines: (&[f32], &[f32]), share_and_factor: (f32, f32), out: &mut [f32])
}

#[inline(always)]
fn blend_body<const FMA: bool>(
    (upper, lower): (&[f32], &[f32]),
    (share, factor): (f32, f32),
    out: &mut [f32],
) {
    let (above, below) = ((1.0 - share) * factor, share * factor);
    for ((out, &upper), &lower) in out.iter_mut().zip(upper).zip(lower) {
        *out = mul_add::<FMA>(below, lower, above * upper);
    }
}
