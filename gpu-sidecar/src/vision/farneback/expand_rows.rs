//! Polynomial expansion, row by row (the plain definition is in `expansion`).
//!
//! Owns the ring of image rows that the fit of one row needs and the separable sums, all in f32.
//! Coefficients come out as five lines, `[y, x, y², x², xy]`.

use super::expansion::Basis;
use super::lines::{BLOCK, Block, Lines, block, block_mut};
use crate::vision::border::replicate;
use crate::vision::simd::{Isa, mul_add, per_isa};

/// Columns before the first of a line of vertical sums: at least `poly_n`.
const PAD: usize = 16;
/// Largest `poly_n`.
const N_MAX: usize = 7;

/// Weights of the fit in f32: `g`, `x·g`, `x²·g` at x = 0..=n, and the Gram inverse.
#[derive(Debug)]
struct Weights {
    n: usize,
    g: [f32; N_MAX + 1],
    xg: [f32; N_MAX + 1],
    xxg: [f32; N_MAX + 1],
    ig11: f32,
    ig03: f32,
    ig33: f32,
    ig55: f32,
}

impl Weights {
    fn of(basis: &Basis) -> Self {
        let padded = |weights: &[f32]| std::array::from_fn(|k| *weights.get(k).unwrap_or(&0.0));
        Self {
            n: basis.n(),
            g: padded(&basis.g),
            xg: padded(&basis.xg),
            xxg: padded(&basis.xxg),
            ig11: basis.ig11 as f32,
            ig03: basis.ig03 as f32,
            ig33: basis.ig33 as f32,
            ig55: basis.ig55 as f32,
        }
    }
}

/// Fits rows of one image from top to bottom.
#[derive(Debug)]
pub(super) struct Fitter {
    weights: Weights,
    /// The image rows around the fitted one; row y lies at y mod (2n + 1).
    ring: Lines,
    /// Vertical sums of one row: Σ g·I, Σ y·g·I, Σ y²·g·I.
    sums: Lines,
    /// Size of the image.
    width: usize,
    height: usize,
}

impl Fitter {
    pub(super) fn new(basis: &Basis) -> Self {
        let (ring, sums) = (Lines::default(), Lines::default());
        Self { weights: Weights::of(basis), ring, sums, width: 0, height: 0 }
    }

    /// Starts an image of the given width and height.
    pub(super) fn start(&mut self, (width, height): (usize, usize)) {
        (self.width, self.height) = (width, height);
        self.ring.reshape(2 * self.weights.n + 1, 1, width);
        self.sums.reshape(1, 3, self.ring.stride() + 2 * PAD);
    }

    /// Fits the rows `from..to`; `image` gives image row y, `out` takes five lines for each row.
    pub(super) fn rows(
        &mut self,
        isa: Isa,
        (from, to): (usize, usize),
        mut image: impl FnMut(usize, &mut [f32]),
        out: &mut [f32],
    ) {
        let (n, slots) = (self.weights.n, 2 * self.weights.n + 1);
        let length = out.len() / (to - from);
        let mut known = from.saturating_sub(n);
        for (y, out) in (from..to).zip(out.chunks_exact_mut(length)) {
            while known < self.height.min(y + n + 1) {
                image(known, &mut self.ring.row_mut(known % slots)[..self.width]);
                known += 1;
            }
            self.fit(isa, y, out);
        }
    }

    fn fit(&mut self, isa: Isa, y: usize, out: &mut [f32]) {
        let Self { weights, ring, sums, width, height } = self;
        let (n, slots) = (weights.n, 2 * weights.n + 1);
        let columns = out.len() / 5;
        let row = |k: isize| &ring.row(replicate(y as isize + k, *height) % slots)[..columns];
        let rows: [&[f32]; 2 * N_MAX + 1] = std::array::from_fn(|k| {
            let k = k as isize - N_MAX as isize;
            row(k.clamp(-(n as isize), n as isize))
        });
        match n {
            5 => sum_columns_5(isa, &rows, weights, sums.row_mut(0)),
            _ => sum_columns_7(isa, &rows, weights, sums.row_mut(0)),
        }
        let stride = sums.stride();
        for line in sums.row_mut(0).chunks_exact_mut(stride) {
            let (first, last) = (line[PAD], line[PAD + *width - 1]);
            line[..PAD].fill(first);
            line[PAD + *width..].fill(last);
        }
        match n {
            5 => sum_rows_5(isa, sums.row(0), weights, out),
            _ => sum_rows_7(isa, sums.row(0), weights, out),
        }
    }
}

per_isa! {
    /// Vertical sums with `poly_n` 5.
    fn sum_columns_5 = sum_columns_5_body(
        rows: &[&[f32]; 2 * N_MAX + 1], weights: &Weights, sums: &mut [f32])
}
per_isa! {
    /// Vertical sums with `poly_n` 7.
    fn sum_columns_7 = sum_columns_7_body(
        rows: &[&[f32]; 2 * N_MAX + 1], weights: &Weights, sums: &mut [f32])
}
per_isa! {
    /// Horizontal sums and the Gram inverse with `poly_n` 5.
    fn sum_rows_5 = sum_rows_5_body(sums: &[f32], weights: &Weights, out: &mut [f32])
}
per_isa! {
    /// Horizontal sums and the Gram inverse with `poly_n` 7.
    fn sum_rows_7 = sum_rows_7_body(sums: &[f32], weights: &Weights, out: &mut [f32])
}

#[inline(always)]
fn sum_columns_5_body<const FMA: bool>(
    rows: &[&[f32]; 2 * N_MAX + 1],
    weights: &Weights,
    sums: &mut [f32],
) {
    sum_columns::<FMA, 5>(rows, weights, sums);
}

#[inline(always)]
fn sum_columns_7_body<const FMA: bool>(
    rows: &[&[f32]; 2 * N_MAX + 1],
    weights: &Weights,
    sums: &mut [f32],
) {
    sum_columns::<FMA, 7>(rows, weights, sums);
}

#[inline(always)]
fn sum_rows_5_body<const FMA: bool>(sums: &[f32], weights: &Weights, out: &mut [f32]) {
    sum_rows::<FMA, 5>(sums, weights, out);
}

#[inline(always)]
fn sum_rows_7_body<const FMA: bool>(sums: &[f32], weights: &Weights, out: &mut [f32]) {
    sum_rows::<FMA, 7>(sums, weights, out);
}

/// `sums` gets the three vertical sums of every column, each line from `PAD` on.
#[inline(always)]
fn sum_columns<const FMA: bool, const N: usize>(
    rows: &[&[f32]; 2 * N_MAX + 1],
    weights: &Weights,
    sums: &mut [f32],
) {
    let stride = sums.len() / 3;
    for x in (0..rows[0].len()).step_by(BLOCK) {
        let at: [&Block; 2 * N_MAX + 1] = std::array::from_fn(|k| block(rows[k], x));
        let mut v = [[0f32; BLOCK]; 3];
        for i in 0..BLOCK {
            let mut v0 = weights.g[0] * at[N_MAX][i];
            let (mut v1, mut v2) = (0f32, 0f32);
            for k in 0..N {
                let (above, below) = (at[N_MAX - 1 - k][i], at[N_MAX + 1 + k][i]);
                v0 = mul_add::<FMA>(weights.g[k + 1], above + below, v0);
                v1 = mul_add::<FMA>(weights.xg[k + 1], below - above, v1);
                v2 = mul_add::<FMA>(weights.xxg[k + 1], above + below, v2);
            }
            (v[0][i], v[1][i], v[2][i]) = (v0, v1, v2);
        }
        for (index, v) in v.iter().enumerate() {
            *block_mut(sums, index * stride + PAD + x) = *v;
        }
    }
}

/// `out` gets the five coefficients of every column from the vertical sums around it.
#[expect(clippy::needless_range_loop, reason = "all arrays of a block are walked alike")]
#[inline(always)]
fn sum_rows<const FMA: bool, const N: usize>(sums: &[f32], weights: &Weights, out: &mut [f32]) {
    let (stride, columns) = (sums.len() / 3, out.len() / 5);
    for x in (0..columns).step_by(BLOCK) {
        let [v0, v1, v2] = [0, 1, 2].map(|index| -> &[f32; BLOCK + 2 * N_MAX] {
            let around = sums[index * stride + PAD + x - N_MAX..].first_chunk();
            around.expect("the lines have PAD columns more at both ends")
        });
        let mut r = [[0f32; BLOCK]; 5];
        for i in 0..BLOCK {
            let (g, xg, xxg) = (&weights.g, &weights.xg, &weights.xxg);
            let middle = i + N_MAX;
            let (mut b1, mut b3, mut b5) =
                (g[0] * v0[middle], g[0] * v1[middle], g[0] * v2[middle]);
            let (mut b2, mut b4, mut b6) = (0f32, 0f32, 0f32);
            for k in 0..N {
                let (left, right) = (middle - 1 - k, middle + 1 + k);
                let (g, xg, xxg) = (g[k + 1], xg[k + 1], xxg[k + 1]);
                b1 = mul_add::<FMA>(g, v0[left] + v0[right], b1);
                b2 = mul_add::<FMA>(xg, v0[right] - v0[left], b2);
                b4 = mul_add::<FMA>(xxg, v0[left] + v0[right], b4);
                b3 = mul_add::<FMA>(g, v1[left] + v1[right], b3);
                b6 = mul_add::<FMA>(xg, v1[right] - v1[left], b6);
                b5 = mul_add::<FMA>(g, v2[left] + v2[right], b5);
            }
            let square = b1 * weights.ig03;
            r[0][i] = b3 * weights.ig11;
            r[1][i] = b2 * weights.ig11;
            r[2][i] = mul_add::<FMA>(b5, weights.ig33, square);
            r[3][i] = mul_add::<FMA>(b4, weights.ig33, square);
            r[4][i] = b6 * weights.ig55;
        }
        for (index, r) in r.iter().enumerate() {
            *block_mut(out, index * columns + x) = *r;
        }
    }
}
