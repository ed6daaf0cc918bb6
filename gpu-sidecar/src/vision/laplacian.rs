//! The Laplacian of gray pictures, as OpenCV's with 16-bit results; border reflect-101.
//!
//! Owns the two 3×3 kernels: the cross of direct neighbours, and the one of diagonal neighbours.
//! Knows 8-bit samples. Results are exact: no sum leaves 16 bits.

use rayon::prelude::*;

use super::border::reflect_101;
use super::plane::Plane;
use super::simd::{Isa, per_isa};
use super::threads::Threads;

/// Which neighbours are compared with a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbours {
    /// `[0 1 0; 1 −4 1; 0 1 0]`: OpenCV's aperture 1.
    Direct,
    /// `[2 0 2; 0 −8 0; 2 0 2]`: OpenCV's aperture 3.
    Diagonal,
}

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 64;

/// The Laplacian of `gray`; `out` takes its size.
pub fn laplacian(gray: &Plane<u8>, neighbours: Neighbours, threads: Threads, out: &mut Plane<i16>) {
    laplacian_on(Isa::best(), (gray, neighbours), threads, out);
}

fn laplacian_on(
    isa: Isa,
    (gray, neighbours): (&Plane<u8>, Neighbours),
    threads: Threads,
    out: &mut Plane<i16>,
) {
    let (width, height) = gray.size();
    out.reshape(width, height);
    let rows = threads.stripe_rows(height, STRIPE_ROWS_MIN);
    let stripe = |(i, out): (usize, &mut [i16])| {
        for (y, out) in (i * rows..).zip(out.chunks_mut(width)) {
            row(isa, (gray, y), neighbours, out);
        }
    };
    if rows == height {
        stripe((0, out.data_mut()));
    } else {
        out.data_mut().par_chunks_mut(rows * width).enumerate().for_each(stripe);
    }
}

/// The Laplacian along row `y`; every value lies within ±4080.
pub(crate) fn row(
    isa: Isa,
    (gray, y): (&Plane<u8>, usize),
    neighbours: Neighbours,
    out: &mut [i16],
) {
    let (width, height) = gray.size();
    let above = gray.row(reflect_101(y as isize - 1, height));
    let below = gray.row(reflect_101(y as isize + 1, height));
    let rows = [above, gray.row(y), below];
    // The ends look past the row; between them no column does.
    for x in [0, width - 1] {
        let columns = [-1, 0, 1].map(|dx| reflect_101(x as isize + dx, width));
        out[x] = at(rows, columns, neighbours);
    }
    if width > 2 {
        let out = &mut out[1..width - 1];
        match neighbours {
            Neighbours::Direct => inner_direct(isa, rows, out),
            Neighbours::Diagonal => inner_diagonal(isa, rows, out),
        }
    }
}

/// The definition: the kernel on three columns of three rows.
fn at(rows: [&[u8]; 3], columns: [usize; 3], neighbours: Neighbours) -> i16 {
    let sample = |i: usize, j: usize| i16::from(rows[i][columns[j]]);
    match neighbours {
        Neighbours::Direct => {
            sample(0, 1) + sample(1, 0) + sample(1, 2) + sample(2, 1) - 4 * sample(1, 1)
        }
        Neighbours::Diagonal => {
            2 * (sample(0, 0) + sample(0, 2) + sample(2, 0) + sample(2, 2)) - 8 * sample(1, 1)
        }
    }
}

per_isa! {
    /// `out[x]` is the Laplacian at column x + 1.
    fn inner_direct = inner_direct_body(rows: [&[u8]; 3], out: &mut [i16])
}

per_isa! {
    /// As `inner_direct`.
    fn inner_diagonal = inner_diagonal_body(rows: [&[u8]; 3], out: &mut [i16])
}

#[inline(always)]
fn inner_direct_body<const FMA: bool>(rows: [&[u8]; 3], out: &mut [i16]) {
    let length = out.len();
    let (above, below) = (&rows[0][1..][..length], &rows[2][1..][..length]);
    let [left, middle, right] = [0, 1, 2].map(|shift| &rows[1][shift..][..length]);
    for x in 0..length {
        let [a, b, c, d] = [above[x], left[x], right[x], below[x]].map(i16::from);
        let around = a.wrapping_add(b).wrapping_add(c.wrapping_add(d));
        out[x] = around.wrapping_sub(i16::from(middle[x]) << 2);
    }
}

#[inline(always)]
fn inner_diagonal_body<const FMA: bool>(rows: [&[u8]; 3], out: &mut [i16]) {
    let length = out.len();
    let middle = &rows[1][1..][..length];
    let [above, below] = [rows[0], rows[2]].map(|row| (&row[..length], &row[2..][..length]));
    for x in 0..length {
        let [a, b, c, d] = [above.0[x], above.1[x], below.0[x], below.1[x]].map(i16::from);
        let around = a.wrapping_add(b).wrapping_add(c.wrapping_add(d));
        out[x] = (around << 1).wrapping_sub(i16::from(middle[x]) << 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::threads::on_three;

    #[test]
    fn it_is_its_definition_on_any_processor_and_any_number_of_threads() {
        let mut got = Plane::pixel();
        for (width, height) in [(1, 1), (2, 1), (1, 7), (3, 3), (67, 200), (131, 5)] {
            let samples = (0..width * height).map(|i| (i * i * 31 % 253) as u8).collect();
            let gray = Plane::new(width, height, samples).expect("fits");
            for neighbours in [Neighbours::Direct, Neighbours::Diagonal] {
                let want: Vec<i16> = (0..width * height)
                    .map(|i| {
                        let around = |at: usize, length| {
                            [-1, 0, 1].map(|by| reflect_101(at as isize + by, length))
                        };
                        let rows = around(i / width, height).map(|y| gray.row(y));
                        at(rows, around(i % width, width), neighbours)
                    })
                    .collect();
                for isa in Isa::available() {
                    for threads in [Threads::Pool, Threads::This] {
                        on_three(|| laplacian_on(isa, (&gray, neighbours), threads, &mut got));
                        assert_eq!(got.data(), want, "{width} x {height} {isa:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_dot_is_its_kernel() {
        let mut samples = vec![0u8; 25];
        samples[12] = 255;
        let dot = Plane::new(5, 5, samples).expect("5 x 5");
        let mut got = Plane::pixel();
        laplacian(&dot, Neighbours::Direct, Threads::This, &mut got);
        assert_eq!(got.row(2), [0, 255, -1020, 255, 0]);
        laplacian(&dot, Neighbours::Diagonal, Threads::This, &mut got);
        assert_eq!((got.row(1), got.row(2)), (&[0, 510, 0, 510, 0][..], &[0, 0, -2040, 0, 0][..]));
    }
}
