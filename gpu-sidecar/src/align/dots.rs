//! Inner products of many vectors with many, each summed in one fixed order.
//!
//! Owns the kernel. Knows rows of f32. Always: the product of two vectors is the same number
//! wherever they stand and however the work is cut, because every product is sixteen sums of every
//! sixteenth element, added in a tree. Processors without fused multiply-add round differently.

use crate::vision::simd::{Isa, mul_add, per_isa};

/// Partial sums of a product: one 64-byte vector.
const LANES: usize = 16;
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

/// The sums of a tile of 4 by 4 fit into 32 registers of 64 bytes, of 2 by 2 into 16 of 32.
fn products_on(isa: Isa, left: Rows<'_>, right: Rows<'_>, out: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => products_by_four(isa, left, right, out),
        _ => products_by_two(isa, left, right, out),
    }
}

per_isa! {
    fn products_by_four = by_four(left: Rows<'_>, right: Rows<'_>, out: &mut [f32])
}
per_isa! {
    fn products_by_two = by_two(left: Rows<'_>, right: Rows<'_>, out: &mut [f32])
}

/// One step of every sum of a tile. Written out: loops over rows and columns would leave the sums
/// in memory.
macro_rules! step {
    ($sums:ident, $left:ident, $right:ident, $k:ident, [$($r:literal)*], $columns:tt) => {
        $(step!(row $sums[$r], &$left[$r][$k], $right, $k, $columns);)*
    };
    (row $sums:expr, $a:expr, $right:ident, $k:ident, [$($c:literal)*]) => {
        $($sums[$c] = step::<FMA>($sums[$c], $a, &$right[$c][$k]);)*
    };
}

/// A function of `$rows` vectors and `$columns` others that gives all products.
macro_rules! tile {
    ($name:ident, $rows:literal $each_row:tt, $columns:literal $each_column:tt) => {
        #[inline(always)]
        fn $name<const FMA: bool>(
            left: [&[f32]; $rows],
            right: [&[f32]; $columns],
        ) -> [[f32; $columns]; $rows] {
            let left = left.map(|row| row.as_chunks::<LANES>());
            let right = right.map(|row| row.as_chunks::<LANES>());
            let whole = left[0].0.len();
            let left_whole = left.map(|(chunks, _)| &chunks[..whole]);
            let right_whole = right.map(|(chunks, _)| &chunks[..whole]);
            let mut sums = [[[0f32; LANES]; $columns]; $rows];
            for k in 0..whole {
                step!(sums, left_whole, right_whole, k, $each_row, $each_column);
            }
            // A copy, because this one is indexed by variables.
            let mut all = sums;
            for (sums, (_, rest)) in all.iter_mut().zip(left) {
                for (sums, (_, other)) in sums.iter_mut().zip(right) {
                    for ((sum, &a), &b) in sums.iter_mut().zip(rest).zip(other) {
                        *sum = mul_add::<FMA>(a, b, *sum);
                    }
                }
            }
            all.map(|row| row.map(tree))
        }
    };
}

/// All products, in tiles of `$size` rows and columns, and smaller ones at the edges.
macro_rules! kernel {
    ($name:ident, $size:literal $each:tt) => {
        #[inline(always)]
        fn $name<const FMA: bool>(left: Rows<'_>, right: Rows<'_>, out: &mut [f32]) {
            tile!(square, $size $each, $size $each);
            tile!(tall, $size $each, 1 [0]);
            tile!(wide, 1 [0], $size $each);
            tile!(single, 1 [0], 1 [0]);
            let (rows, columns) = (left.count(), right.count());
            let (rows_tiled, columns_tiled) = (rows - rows % $size, columns - columns % $size);
            for i in (0..rows_tiled).step_by($size) {
                for j in (0..columns_tiled).step_by($size) {
                    store(&square::<FMA>(left.take(i), right.take(j)), out, (i, j), columns);
                }
                for j in columns_tiled..columns {
                    store(&tall::<FMA>(left.take(i), right.take(j)), out, (i, j), columns);
                }
            }
            for i in rows_tiled..rows {
                for j in (0..columns_tiled).step_by($size) {
                    store(&wide::<FMA>(left.take(i), right.take(j)), out, (i, j), columns);
                }
                for j in columns_tiled..columns {
                    store(&single::<FMA>(left.take(i), right.take(j)), out, (i, j), columns);
                }
            }
        }
    };
}
kernel!(by_four, 4 [0 1 2 3]);
kernel!(by_two, 2 [0 1]);

#[inline(always)]
fn step<const FMA: bool>(sums: [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) -> [f32; LANES] {
    let mut out = sums;
    for lane in 0..LANES {
        out[lane] = mul_add::<FMA>(a[lane], b[lane], sums[lane]);
    }
    out
}

#[inline(always)]
fn store<const R: usize, const C: usize>(
    tile: &[[f32; C]; R],
    out: &mut [f32],
    (i, j): (usize, usize),
    columns: usize,
) {
    for (r, row) in tile.iter().enumerate() {
        out[(i + r) * columns + j..][..C].copy_from_slice(row);
    }
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
