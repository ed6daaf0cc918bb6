//! Least and largest values of whole rows: the vector loops under every operation.
//!
//! Owns loops over bytes, compiled for each instruction set. Knows neither kernels nor images.
//! Rows are cut to equal lengths first, so that the compiler sees one trip count.

use crate::vision::simd::per_isa;

/// Which of several values is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    /// Erosion.
    Least,
    /// Dilation.
    Largest,
}

impl Extreme {
    /// What never wins against a pixel.
    pub(super) fn neutral(self) -> u8 {
        match self {
            Self::Least => u8::MAX,
            Self::Largest => u8::MIN,
        }
    }
}

/// How many rows `across` takes in one walk.
pub(super) const ROWS_MAX: usize = 5;

per_isa! {
    /// `out[x]` is the extreme of `rows[..][x]`; 1 to `ROWS_MAX` rows, each at least as long.
    pub(super) fn across = across_body(extreme: Extreme, rows: &[&[u8]], out: &mut [u8])
}

per_isa! {
    /// Takes `row` into `kept`.
    pub(super) fn fold = fold_body(extreme: Extreme, kept: &mut [u8], row: &[u8])
}

per_isa! {
    /// Takes `row` into `kept`, then `out[x]` is the extreme of `kept[x]` and `other[x]`.
    pub(super) fn fold_with = fold_with_body(
        extreme: Extreme, kept: &mut [u8], rows: (&[u8], &[u8]), out: &mut [u8],
    )
}

per_isa! {
    /// `out[x] − row[x]` into `out`, not below 0.
    pub(super) fn subtract = subtract_body(out: &mut [u8], row: &[u8])
}

per_isa! {
    /// `a[x] − b[x]` into `out`, not below 0.
    pub(super) fn difference = difference_body(a: &[u8], b: &[u8], out: &mut [u8])
}

#[inline(always)]
fn across_body<const FMA: bool>(extreme: Extreme, rows: &[&[u8]], out: &mut [u8]) {
    match extreme {
        Extreme::Least => across_by(u8::min, rows, out),
        Extreme::Largest => across_by(u8::max, rows, out),
    }
}

#[inline(always)]
fn across_by(pick: impl Fn(u8, u8) -> u8, rows: &[&[u8]], out: &mut [u8]) {
    let length = out.len();
    match *rows {
        [a] => out.copy_from_slice(&a[..length]),
        [a, b] => {
            let (a, b) = (&a[..length], &b[..length]);
            for x in 0..length {
                out[x] = pick(a[x], b[x]);
            }
        }
        [a, b, c] => {
            let (a, b, c) = (&a[..length], &b[..length], &c[..length]);
            for x in 0..length {
                out[x] = pick(pick(a[x], b[x]), c[x]);
            }
        }
        [a, b, c, d] => {
            let (a, b, c, d) = (&a[..length], &b[..length], &c[..length], &d[..length]);
            for x in 0..length {
                out[x] = pick(pick(a[x], b[x]), pick(c[x], d[x]));
            }
        }
        [a, b, c, d, e] => {
            let (a, b, c, d) = (&a[..length], &b[..length], &c[..length], &d[..length]);
            let e = &e[..length];
            for x in 0..length {
                out[x] = pick(pick(pick(a[x], b[x]), pick(c[x], d[x])), e[x]);
            }
        }
        _ => unreachable!("callers give 1 to ROWS_MAX rows"),
    }
}

#[inline(always)]
fn fold_body<const FMA: bool>(extreme: Extreme, kept: &mut [u8], row: &[u8]) {
    match extreme {
        Extreme::Least => fold_by(u8::min, kept, row),
        Extreme::Largest => fold_by(u8::max, kept, row),
    }
}

#[inline(always)]
fn fold_by(pick: impl Fn(u8, u8) -> u8, kept: &mut [u8], row: &[u8]) {
    for (kept, &sample) in kept.iter_mut().zip(row) {
        *kept = pick(*kept, sample);
    }
}

#[inline(always)]
fn fold_with_body<const FMA: bool>(
    extreme: Extreme,
    kept: &mut [u8],
    (row, other): (&[u8], &[u8]),
    out: &mut [u8],
) {
    match extreme {
        Extreme::Least => fold_with_by(u8::min, kept, (row, other), out),
        Extreme::Largest => fold_with_by(u8::max, kept, (row, other), out),
    }
}

#[inline(always)]
fn fold_with_by(
    pick: impl Fn(u8, u8) -> u8,
    kept: &mut [u8],
    (row, other): (&[u8], &[u8]),
    out: &mut [u8],
) {
    let length = out.len();
    let (kept, row, other) = (&mut kept[..length], &row[..length], &other[..length]);
    for x in 0..length {
        kept[x] = pick(kept[x], row[x]);
        out[x] = pick(kept[x], other[x]);
    }
}

#[inline(always)]
fn subtract_body<const FMA: bool>(out: &mut [u8], row: &[u8]) {
    for (out, &sample) in out.iter_mut().zip(row) {
        *out = out.saturating_sub(sample);
    }
}

#[inline(always)]
fn difference_body<const FMA: bool>(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = a.saturating_sub(b);
    }
}
