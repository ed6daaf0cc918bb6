//! Sobel derivatives and their length, a row at a time, in vectors of 16-bit numbers.
//!
//! Owns the two walks of one row: down the columns into smoothed and derived sums, then across
//! them. Knows rows, not thresholds. Nothing saturates: |dx| is at most 255·3·16 (aperture 5), and
//! |dx| + |dy| at most 24,480. Sums wrap instead of being checked, so that they become vectors.

use crate::vision::aligned::Aligned;
use crate::vision::simd::per_isa;

/// Columns are worked on in blocks; a block is a word of the bit maps.
pub(super) const BLOCK: usize = 64;
/// Samples before the first column of a row of magnitudes; one is needed and is 0.
pub(super) const FRONT: usize = 32;
/// Widest kernel.
pub(super) const TAPS_MAX: usize = 7;

/// How long a gradient is: L1 in 16 bits, the square of L2 in 32.
pub(super) trait Magnitude: Copy + Default + Ord + Send + Sync + std::fmt::Debug {
    fn of(dx: i16, dy: i16) -> Self;
    /// A threshold; one that no magnitude passes may be cut to the largest number.
    fn threshold(whole: i32) -> Self;
}

impl Magnitude for i16 {
    #[inline(always)]
    fn of(dx: i16, dy: i16) -> Self {
        dx.wrapping_abs().wrapping_add(dy.wrapping_abs())
    }

    fn threshold(whole: i32) -> Self {
        i16::try_from(whole).unwrap_or(i16::MAX)
    }
}

impl Magnitude for i32 {
    #[inline(always)]
    fn of(dx: i16, dy: i16) -> Self {
        let square = |v: i16| i32::from(v).wrapping_mul(i32::from(v));
        square(dx).wrapping_add(square(dy))
    }

    fn threshold(whole: i32) -> Self {
        whole
    }
}

/// The gradients of one row, up to a whole block; past the picture they are 0.
#[derive(Debug, Default)]
pub(super) struct Row<M> {
    pub(super) dx: Aligned<i16>,
    pub(super) dy: Aligned<i16>,
    /// Begins `FRONT` before the first column and ends as far behind the last block.
    pub(super) magnitude: Aligned<M>,
    /// The largest magnitude of each block, or more.
    pub(super) peak: Aligned<M>,
}

impl<M: Magnitude> Row<M> {
    /// All 0, for pictures of this width.
    pub(super) fn start(&mut self, width: usize) {
        let blocks = width.div_ceil(BLOCK);
        self.dx.refill(blocks * BLOCK, 0);
        self.dy.refill(blocks * BLOCK, 0);
        self.magnitude.refill(blocks * BLOCK + 2 * FRONT, M::default());
        self.peak.refill(blocks, M::default());
    }

    /// All 0: a row outside the picture.
    pub(super) fn clear(&mut self) {
        self.magnitude.fill(M::default());
        self.peak.fill(M::default());
    }
}

/// Sums down the columns of one row, with room for the kernel on both sides.
#[derive(Debug, Default)]
pub(super) struct Sums {
    smoothed: Aligned<i16>,
    derived: Aligned<i16>,
}

impl Sums {
    pub(super) fn start(&mut self, width: usize) {
        for sums in [&mut self.smoothed, &mut self.derived] {
            sums.refill(width.next_multiple_of(BLOCK) + TAPS_MAX, 0);
        }
    }

    /// Repeats the first and the last column of `width` to both sides.
    fn replicate(&mut self, width: usize, radius: usize) {
        for sums in [&mut self.smoothed, &mut self.derived] {
            let (first, last) = (sums[radius], sums[radius + width - 1]);
            sums[..radius].fill(first);
            sums[radius + width..][..radius].fill(last);
        }
    }
}

per_isa! {
    /// The gradients of the row in the middle of `rows`: as many rows as the aperture.
    pub(super) fn row_l1 = row_body_l1(rows: &[&[u8]], sums: &mut Sums, out: &mut Row<i16>)
}

per_isa! {
    /// As `row_l1`, with squared magnitudes.
    pub(super) fn row_l2 = row_body_l2(rows: &[&[u8]], sums: &mut Sums, out: &mut Row<i32>)
}

per_isa! {
    /// Takes the gradients of `other` where they are longer.
    pub(super) fn longest_l1 = longest_body_l1(row: &mut Row<i16>, other: &Row<i16>)
}

per_isa! {
    /// As `longest_l1`, with squared magnitudes.
    pub(super) fn longest_l2 = longest_body_l2(row: &mut Row<i32>, other: &Row<i32>)
}

#[inline(always)]
fn row_body_l1<const FMA: bool>(rows: &[&[u8]], sums: &mut Sums, out: &mut Row<i16>) {
    row_of(rows, sums, out);
}

#[inline(always)]
fn row_body_l2<const FMA: bool>(rows: &[&[u8]], sums: &mut Sums, out: &mut Row<i32>) {
    row_of(rows, sums, out);
}

#[inline(always)]
fn row_of<M: Magnitude>(rows: &[&[u8]], sums: &mut Sums, out: &mut Row<M>) {
    let width = rows[0].len();
    match *rows {
        [a, b, c] => {
            columns([a, b, c], &Taps::<3>::SOBEL, sums);
            sums.replicate(width, 1);
            across(&Taps::<3>::SOBEL, Taps::<3>::narrow, sums, out);
        }
        [a, b, c, d, e] => {
            columns([a, b, c, d, e], &Taps::<5>::SOBEL, sums);
            sums.replicate(width, 2);
            across(&Taps::<5>::SOBEL, Taps::<5>::narrow, sums, out);
        }
        [a, b, c, d, e, f, g] => {
            columns([a, b, c, d, e, f, g], &Taps::<7>::SOBEL, sums);
            sums.replicate(width, 3);
            across(&Taps::<7>::SOBEL, Taps::<7>::sixteenth, sums, out);
        }
        _ => unreachable!("the parameters allow 3, 5 and 7"),
    }
    out.magnitude[FRONT + width..].fill(M::default());
}

/// Taps of a kernel of side N.
struct Taps<const N: usize> {
    derive: [i16; N],
    smooth: [i16; N],
}

impl Taps<3> {
    const SOBEL: Self = Self { derive: [-1, 0, 1], smooth: [1, 2, 1] };
}

impl Taps<5> {
    const SOBEL: Self = Self { derive: [-1, -2, 0, 2, 1], smooth: [1, 4, 6, 4, 1] };
}

impl Taps<7> {
    const SOBEL: Self = Self { derive: [-1, -4, -5, 0, 5, 4, 1], smooth: [1, 6, 15, 20, 15, 6, 1] };
}

impl<const N: usize> Taps<N> {
    /// Σ taps·values, which fits 16 bits.
    #[inline(always)]
    fn narrow(taps: &[i16; N], values: &[i16]) -> i16 {
        let mut sum = 0i16;
        for k in 0..N {
            sum = sum.wrapping_add(taps[k].wrapping_mul(values[k]));
        }
        sum
    }

    /// Σ taps·values / 16, rounded half to even.
    #[inline(always)]
    fn sixteenth(taps: &[i16; N], values: &[i16]) -> i16 {
        let mut sum = 0i32;
        for k in 0..N {
            sum = sum.wrapping_add(i32::from(taps[k]).wrapping_mul(i32::from(values[k])));
        }
        // A half goes up only from an odd quotient.
        (sum.wrapping_add(7).wrapping_add((sum >> 4) & 1) >> 4) as i16
    }
}

#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "one index walks the rows and both kinds of taps")]
fn columns<const N: usize>(rows: [&[u8]; N], taps: &Taps<N>, sums: &mut Sums) {
    let width = rows[0].len();
    let rows = rows.map(|row| &row[..width]);
    let smoothed = &mut sums.smoothed[N / 2..][..width];
    let derived = &mut sums.derived[N / 2..][..width];
    for x in 0..width {
        let (mut smooth, mut derive) = (0i16, 0i16);
        for k in 0..N {
            let sample = i16::from(rows[k][x]);
            smooth = smooth.wrapping_add(taps.smooth[k].wrapping_mul(sample));
            derive = derive.wrapping_add(taps.derive[k].wrapping_mul(sample));
        }
        smoothed[x] = smooth;
        derived[x] = derive;
    }
}

#[inline(always)]
fn across<const N: usize, M: Magnitude>(
    taps: &Taps<N>,
    sum: impl Fn(&[i16; N], &[i16]) -> i16,
    sums: &Sums,
    out: &mut Row<M>,
) {
    for (block, peak) in out.peak.iter_mut().enumerate() {
        let at = block * BLOCK;
        let smoothed = &sums.smoothed[at..][..BLOCK + N - 1];
        let derived = &sums.derived[at..][..BLOCK + N - 1];
        let dx = &mut out.dx[at..][..BLOCK];
        let dy = &mut out.dy[at..][..BLOCK];
        let magnitude = &mut out.magnitude[FRONT + at..][..BLOCK];
        let mut largest = M::default();
        for x in 0..BLOCK {
            dx[x] = sum(&taps.derive, &smoothed[x..x + N]);
            dy[x] = sum(&taps.smooth, &derived[x..x + N]);
            magnitude[x] = M::of(dx[x], dy[x]);
            largest = largest.max(magnitude[x]);
        }
        *peak = largest;
    }
}

#[inline(always)]
fn longest_body_l1<const FMA: bool>(row: &mut Row<i16>, other: &Row<i16>) {
    longest(row, other);
}

#[inline(always)]
fn longest_body_l2<const FMA: bool>(row: &mut Row<i32>, other: &Row<i32>) {
    longest(row, other);
}

#[inline(always)]
fn longest<M: Magnitude>(row: &mut Row<M>, other: &Row<M>) {
    let length = row.dx.len();
    let magnitude = &mut row.magnitude[FRONT..][..length];
    let (dx, dy) = (&mut row.dx[..length], &mut row.dy[..length]);
    let (other_dx, other_dy) = (&other.dx[..length], &other.dy[..length]);
    let longer = &other.magnitude[FRONT..][..length];
    for x in 0..length {
        // All ones where the other is longer: a condition would become a branch around a store.
        let taken = i16::from(longer[x] > magnitude[x]).wrapping_neg();
        dx[x] = dx[x].wrapping_add(other_dx[x].wrapping_sub(dx[x]) & taken);
        dy[x] = dy[x].wrapping_add(other_dy[x].wrapping_sub(dy[x]) & taken);
        magnitude[x] = longer[x].max(magnitude[x]);
    }
    for (peak, &other) in row.peak.iter_mut().zip(other.peak.iter()) {
        *peak = other.max(*peak);
    }
}
