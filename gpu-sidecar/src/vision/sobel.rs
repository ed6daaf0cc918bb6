//! Sobel derivatives of gray pictures, as OpenCV's with 16-bit results; border reflect-101.
//!
//! Owns the first derivative along x or y with an aperture of 3, 5 or 7. Knows 8-bit samples.
//! Results are exact; those of aperture 7 can leave 16 bits and end at the nearest number then.
//! Canny has its own, with another border and fused with what follows.

use rayon::prelude::*;

use super::border::reflect_101;
use super::error::{VisionError, require};
use super::plane::Plane;
use super::simd::{Isa, per_isa};
use super::threads::Threads;

/// Along which axis brightness is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// To the right: upright edges answer.
    X,
    /// Down: level edges answer.
    Y,
}

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 64;
/// Widest kernel.
const TAPS_MAX: usize = 7;

/// The derivative of `gray` along `axis`; `out` takes its size.
/// # Errors
/// `Parameter` when `aperture` is not 3, 5 or 7.
pub fn sobel(
    gray: &Plane<u8>,
    (aperture, axis): (u32, Axis),
    threads: Threads,
    out: &mut Plane<i16>,
) -> Result<(), VisionError> {
    sobel_on(Isa::best(), (gray, aperture, axis), threads, out)
}

fn sobel_on(
    isa: Isa,
    (gray, aperture, axis): (&Plane<u8>, u32, Axis),
    threads: Threads,
    out: &mut Plane<i16>,
) -> Result<(), VisionError> {
    require(matches!(aperture, 3 | 5 | 7), "aperture", "3, 5 or 7")?;
    let (width, height) = gray.size();
    out.reshape(width, height);
    let (derive, smooth) = taps(aperture);
    let (down, across) = match axis {
        Axis::X => (smooth, derive),
        Axis::Y => (derive, smooth),
    };
    let rows = threads.stripe_rows(height, STRIPE_ROWS_MIN);
    let stripe = |(i, out): (usize, &mut [i16])| {
        let mut sums = vec![0i16; width + TAPS_MAX];
        for (y, out) in (i * rows..).zip(out.chunks_mut(width)) {
            column_sums(isa, (gray, y), down, &mut sums);
            row_sums(isa, &sums, across, out);
        }
    };
    if rows == height {
        stripe((0, out.data_mut()));
    } else {
        out.data_mut().par_chunks_mut(rows * width).enumerate().for_each(stripe);
    }
    Ok(())
}

/// Derivative and smoothing taps of an aperture.
fn taps(aperture: u32) -> (&'static [i16], &'static [i16]) {
    match aperture {
        3 => (&[-1, 0, 1], &[1, 2, 1]),
        5 => (&[-1, -2, 0, 2, 1], &[1, 4, 6, 4, 1]),
        _ => (&[-1, -4, -5, 0, 5, 4, 1], &[1, 6, 15, 20, 15, 6, 1]),
    }
}

/// Σ taps·samples down each column around row `y`, with the border on both sides of `sums`.
fn column_sums(isa: Isa, (gray, y): (&Plane<u8>, usize), taps: &[i16], sums: &mut [i16]) {
    let (width, height) = gray.size();
    let radius = taps.len() / 2;
    let inside = &mut sums[radius..][..width];
    inside.fill(0);
    for (k, &tap) in taps.iter().enumerate() {
        let from = reflect_101((y + k) as isize - radius as isize, height);
        add(isa, tap, gray.row(from), inside);
    }
    for i in 0..radius {
        let (left, right) = (i as isize - radius as isize, width + i);
        sums[i] = sums[radius + reflect_101(left, width)];
        sums[radius + right] = sums[radius + reflect_101(right as isize, width)];
    }
}

per_isa! {
    /// Adds `tap`·`row` to `sums`; they stay within 64·255.
    fn add = add_body(tap: i16, row: &[u8], sums: &mut [i16])
}

per_isa! {
    /// `out[x]` is Σ taps·sums from x on, cut to 16 bits.
    fn row_sums = row_sums_body(sums: &[i16], taps: &[i16], out: &mut [i16])
}

#[inline(always)]
fn add_body<const FMA: bool>(tap: i16, row: &[u8], sums: &mut [i16]) {
    for (sum, &sample) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(tap.wrapping_mul(i16::from(sample)));
    }
}

#[inline(always)]
fn row_sums_body<const FMA: bool>(sums: &[i16], taps: &[i16], out: &mut [i16]) {
    match *taps {
        [a, b, c] => across([a, b, c], sums, out),
        [a, b, c, d, e] => across([a, b, c, d, e], sums, out),
        [a, b, c, d, e, f, g] => across([a, b, c, d, e, f, g], sums, out),
        _ => unreachable!("`taps` gives 3, 5 or 7"),
    }
}

#[inline(always)]
fn across<const N: usize>(taps: [i16; N], sums: &[i16], out: &mut [i16]) {
    let length = out.len();
    let sums = &sums[..length + N - 1];
    for x in 0..length {
        let mut sum = 0i32;
        for k in 0..N {
            sum = sum.wrapping_add(i32::from(taps[k]).wrapping_mul(i32::from(sums[x + k])));
        }
        out[x] = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::threads::on_three;

    /// The definition: every cell of the kernel.
    fn plain(gray: &Plane<u8>, aperture: u32, axis: Axis) -> Vec<i16> {
        let (width, height) = gray.size();
        let (derive, smooth) = taps(aperture);
        let (down, across) = if axis == Axis::X { (smooth, derive) } else { (derive, smooth) };
        let radius = (aperture / 2) as isize;
        let at = |i: usize| {
            let mut sum = 0i32;
            for (dy, &down) in (-radius..).zip(down) {
                let row = gray.row(reflect_101((i / width) as isize + dy, height));
                for (dx, &across) in (-radius..).zip(across) {
                    let sample = row[reflect_101((i % width) as isize + dx, width)];
                    sum += i32::from(down) * i32::from(across) * i32::from(sample);
                }
            }
            sum.clamp(-32768, 32767) as i16
        };
        (0..width * height).map(at).collect()
    }

    #[test]
    fn it_is_its_definition_on_any_processor_and_any_number_of_threads() {
        let mut got = Plane::pixel();
        for (width, height) in [(1, 1), (2, 1), (1, 7), (3, 3), (67, 200), (131, 5)] {
            let noise = (0..width * height).map(|i| (i * i * 31 % 253) as u8).collect();
            let half = (0..width * height).map(|i| if i % width > 2 { 255 } else { 0 }).collect();
            for samples in [noise, half] {
                let gray = Plane::new(width, height, samples).expect("fits");
                for (aperture, axis) in
                    [3, 5, 7].into_iter().flat_map(|a| [(a, Axis::X), (a, Axis::Y)])
                {
                    let want = plain(&gray, aperture, axis);
                    for isa in Isa::available() {
                        for threads in [Threads::Pool, Threads::This] {
                            let made = on_three(|| {
                                sobel_on(isa, (&gray, aperture, axis), threads, &mut got)
                            });
                            made.expect("in range");
                            assert_eq!(got.data(), want, "{width} x {height} {aperture} {isa:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn other_apertures_are_refused() {
        let gray = Plane::new(1, 1, vec![0u8]).expect("1 x 1");
        let refused = sobel(&gray, (4, Axis::X), Threads::This, &mut Plane::pixel());
        assert!(matches!(refused, Err(VisionError::Parameter { field: "aperture", .. })));
    }
}
