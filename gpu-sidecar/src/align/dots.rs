//! Inner products of many vectors with many, each summed in one fixed order.
//!
//! Owns the kernel. Knows rows of f32. Always: the product of two vectors is the same number
//! wherever they stand and however the work is cut, because every product is sixteen sums of every
//! sixteenth element, added in a tree. Processors without fused multiply-add round differently.

use crate::vision::simd::{Isa, mul_add, per_isa};

/// Partial sums of a product: one 64-byte vector.
const LANES: usize = 16;
/// Rows and columns of a tile: its sums and what they are made of stay in registers.
const TILE: usize = 4;

/// Rows of vectors of one width, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// `values` is `(rows, width)`, row-major. The width is above 0 and divides the length.
    #[must_use]
    pub fn new(values: &'a [f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "rows of one width");
        Self { values, width }
    }

    /// How many rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// Rows `start..end`.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        Self { values: &self.values[start * self.width..end * self.width], ..*self }
    }

    #[inline(always)]
    fn take<const N: usize>(&self, first: usize) -> [&'a [f32]; N] {
        std::array::from_fn(|i| &self.values[(first + i) * self.width..][..self.width])
    }
}

/// `out[i, j]` = `left[i]` · `right[j]`; `out` is `(left.count(), right.count())`, row-major.
pub fn products(left: Rows<'_>, right: Rows<'_>, out: &mut [f32]) {
    assert_eq!(left.width, right.width, "vectors of one width");
    assert_eq!(out.len(), left.count() * right.count(), "a number for each pair");
    products_on(Isa::best(), left, right, out);
}

/// One inner product, the same number as in [`products`].
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut out = [0.0];
    products(Rows::new(a, a.len()), Rows::new(b, b.len()), &mut out);
    out[0]
}

per_isa! { fn products_on = products_body(left: Rows<'_>, right: Rows<'_>, out: &mut [f32]) }

#[inline(always)]
fn products_body<const FMA: bool>(left: Rows<'_>, right: Rows<'_>, out: &mut [f32]) {
    let columns = right.count();
    let mut i = 0;
    while i + TILE <= left.count() {
        let band = &mut out[i * columns..(i + TILE) * columns];
        strip::<FMA, TILE>(left.take(i), right, band);
        i += TILE;
    }
    while i < left.count() {
        strip::<FMA, 1>(left.take(i), right, &mut out[i * columns..(i + 1) * columns]);
        i += 1;
    }
}

/// `R` rows with all columns.
#[inline(always)]
fn strip<const FMA: bool, const R: usize>(left: [&[f32]; R], right: Rows<'_>, out: &mut [f32]) {
    let columns = right.count();
    let mut j = 0;
    while j + TILE <= columns {
        let sums = tile::<FMA, R, TILE>(left, right.take(j));
        for (r, row) in sums.iter().enumerate() {
            out[r * columns + j..][..TILE].copy_from_slice(row);
        }
        j += TILE;
    }
    while j < columns {
        let sums = tile::<FMA, R, 1>(left, right.take(j));
        for (r, row) in sums.iter().enumerate() {
            out[r * columns + j] = row[0];
        }
        j += 1;
    }
}

#[inline(always)]
fn tile<const FMA: bool, const R: usize, const C: usize>(
    left: [&[f32]; R],
    right: [&[f32]; C],
) -> [[f32; C]; R] {
    let mut sums = [[[0f32; LANES]; C]; R];
    let left = left.map(|row| row.as_chunks::<LANES>());
    let right = right.map(|row| row.as_chunks::<LANES>());
    let whole = left[0].0.len();
    let (left_whole, right_whole) =
        (left.map(|(chunks, _)| &chunks[..whole]), right.map(|(chunks, _)| &chunks[..whole]));
    for k in 0..whole {
        for r in 0..R {
            for c in 0..C {
                for lane in 0..LANES {
                    let (a, b) = (left_whole[r][k][lane], right_whole[c][k][lane]);
                    sums[r][c][lane] = mul_add::<FMA>(a, b, sums[r][c][lane]);
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            for (lane, (&a, &b)) in left[r].1.iter().zip(right[c].1).enumerate() {
                sums[r][c][lane] = mul_add::<FMA>(a, b, sums[r][c][lane]);
            }
        }
    }
    sums.map(|row| row.map(tree))
}

/// The sum of all lanes: halves are added to halves.
#[inline(always)]
fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_product_is_the_same_number_wherever_it_stands() {
        for width in [1, 15, 16, 17, 64, 513] {
            for (rows, columns) in [(1, 1), (3, 5), (4, 4), (9, 7), (5, 33)] {
                let (left, right) = (noise(rows * width, 1), noise(columns * width, 2));
                let (left, right) = (Rows::new(&left, width), Rows::new(&right, width));
                let mut out = vec![f32::NAN; rows * columns];
                products(left, right, &mut out);
                for (i, row) in out.chunks_exact(columns).enumerate() {
                    for (j, &got) in row.iter().enumerate() {
                        let ([a], [b]) = (left.take::<1>(i), right.take::<1>(j));
                        assert_eq!(got.to_bits(), dot(a, b).to_bits(), "{width} {i} {j}");
                        let exact: f64 =
                            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                        assert!((f64::from(got) - exact).abs() < 1e-5 * width as f64, "{got}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_agrees_within_rounding() {
        let width = 70;
        let (left, right) = (noise(6 * width, 3), noise(6 * width, 4));
        let (left, right) = (Rows::new(&left, width), Rows::new(&right, width));
        let mut want = vec![0.0; 36];
        products(left, right, &mut want);
        for isa in Isa::available() {
            let mut got = vec![0.0; 36];
            products_on(isa, left, right, &mut got);
            let near = got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-5);
            assert!(near, "{isa:?}");
        }
    }
}
