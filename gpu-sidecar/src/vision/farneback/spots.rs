//! Where the pixels of one resized line fall in the line they come from, and picking them.
//!
//! Owns the table for linear interpolation (SPEC §5) and short cuts for the ratios of the usual
//! pyramid. Always: both neighbours of a spot are inside.

use std::ops::Range;

use crate::vision::resize::spot_inside;
use crate::vision::simd::{Isa, mul_add, per_isa};

/// For each pixel, its left (upper) neighbour and the share of the one after it.
#[derive(Debug, Clone)]
pub(super) struct Spots {
    first: Vec<u32>,
    share: Vec<f32>,
    ratio: Ratio,
}

/// How the lengths of both lines relate.
#[derive(Debug, Clone, Copy)]
enum Ratio {
    Equal,
    /// Twice as long.
    Double,
    /// This many times shorter: 2, 4 or 8.
    Shorter(usize),
    Any,
}

impl Spots {
    /// `from` pixels, at least 2, resized to `to`.
    pub(super) fn of(from: usize, to: usize) -> Self {
        let last = from - 1;
        let inside = |i: usize| {
            let spot = spot_inside(i, from, to);
            // The last pixel by itself is all of the pair that ends with it.
            let first = spot.first as usize;
            if first >= last { (last as u32 - 1, 1.0) } else { (first as u32, spot.fraction) }
        };
        let (first, share) = (0..to).map(inside).unzip();
        let ratio = match (from / to, from % to) {
            (1, 0) => Ratio::Equal,
            (step @ (2 | 4 | 8), 0) => Ratio::Shorter(step),
            _ if to == 2 * from => Ratio::Double,
            _ => Ratio::Any,
        };
        Self { first, share, ratio }
    }

    /// Pixels of the resized line.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// The neighbour before pixel `i` and the share of the one after it.
    pub(super) fn at(&self, i: usize) -> (usize, f32) {
        (self.first[i] as usize, self.share[i])
    }

    /// The given pixels of the line that `line` is resized to.
    pub(super) fn pick(&self, isa: Isa, line: &[f32], pixels: Range<usize>, out: &mut [f32]) {
        match self.ratio {
            Ratio::Equal => out.copy_from_slice(&line[pixels]),
            Ratio::Shorter(step @ (2 | 4 | 8)) => {
                let line = &line[pixels.start * step..pixels.end * step];
                match step {
                    2 => shorten_2(isa, line, out),
                    4 => shorten_4(isa, line, out),
                    _ => shorten_8(isa, line, out),
                }
            }
            Ratio::Double if pixels.len() >= 2 && pixels.start.is_multiple_of(2) => {
                // The pairs that lie between the same two pixels, and one at either end.
                let inner = pixels.start + 1..pixels.end - 1 - pixels.len() % 2;
                let (ends, pairs) = (inner.len(), &line[pixels.start / 2..]);
                double(isa, pairs, &mut out[1..1 + ends]);
                let outer = (pixels.start..inner.start).chain(inner.end..pixels.end);
                for i in outer {
                    let (first, share) = self.at(i);
                    let (a, b) = (line[first], line[first + 1]);
                    out[i - pixels.start] = (1.0 - share) * a + share * b;
                }
            }
            _ => pick_any(isa, line, (&self.first[pixels.clone()], &self.share[pixels]), out),
        }
    }
}

per_isa! {
    /// `out[x]` lies between `line[first[x]]` and the next one, `share[x]` of the way.
    fn pick_any = pick_any_body(line: &[f32], spots: (&[u32], &[f32]), out: &mut [f32])
}
per_isa! {
    /// Each of the two pixels between neighbours, a quarter and three quarters of the way.
    fn double = double_body(line: &[f32], out: &mut [f32])
}
per_isa! {
    /// The middle of each 2 pixels.
    fn shorten_2 = shorten_2_body(line: &[f32], out: &mut [f32])
}
per_isa! {
    /// The middle of each 4 pixels.
    fn shorten_4 = shorten_4_body(line: &[f32], out: &mut [f32])
}
per_isa! {
    /// The middle of each 8 pixels.
    fn shorten_8 = shorten_8_body(line: &[f32], out: &mut [f32])
}

#[inline(always)]
fn pick_any_body<const FMA: bool>(line: &[f32], (first, share): (&[u32], &[f32]), out: &mut [f32]) {
    for ((out, &first), &share) in out.iter_mut().zip(first).zip(share) {
        let pair = &line[first as usize..][..2];
        *out = mul_add::<FMA>(share, pair[1], (1.0 - share) * pair[0]);
    }
}

#[inline(always)]
fn double_body<const FMA: bool>(line: &[f32], out: &mut [f32]) {
    for (out, pair) in out.as_chunks_mut::<2>().0.iter_mut().zip(line.windows(2)) {
        out[0] = mul_add::<FMA>(0.25, pair[1], 0.75 * pair[0]);
        out[1] = mul_add::<FMA>(0.75, pair[1], 0.25 * pair[0]);
    }
}

#[inline(always)]
fn shorten_2_body<const FMA: bool>(line: &[f32], out: &mut [f32]) {
    shorten::<2>(line, out);
}

#[inline(always)]
fn shorten_4_body<const FMA: bool>(line: &[f32], out: &mut [f32]) {
    shorten::<4>(line, out);
}

#[inline(always)]
fn shorten_8_body<const FMA: bool>(line: &[f32], out: &mut [f32]) {
    shorten::<8>(line, out);
}

#[inline(always)]
fn shorten<const STEP: usize>(line: &[f32], out: &mut [f32]) {
    for (out, pixels) in out.iter_mut().zip(line.as_chunks::<STEP>().0) {
        *out = (pixels[STEP / 2 - 1] + pixels[STEP / 2]) * 0.5;
    }
}
