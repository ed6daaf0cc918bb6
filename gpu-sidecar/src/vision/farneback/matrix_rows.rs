//! The systems of one row at the current flow (the plain definition is in `matrices`).
//!
//! Owns the bilinear sampling of the second frame, a block of pixels at a time. Neighbours move
//! alike, so a block reads whole lines: each pixel weighs the few columns and rows that the
//! block needs by how near they are, most of them by 0. A block whose pixels move apart is
//! sampled pixel by pixel; the weights, their order and so the result are the same.

use super::lines::{BLOCK, Block, Lines, block, block_mut};
use crate::vision::simd::{mul_add, per_isa};

/// Coefficients of a polynomial, and numbers in a matrix.
pub(super) const TERMS: usize = 5;
/// Columns and rows of the second frame that a block may need in one go.
const REACH_MAX: usize = 3;

/// 0, 1, 2 …: the pixels of a block.
const PIXELS: [i32; BLOCK] = {
    let mut pixels = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        pixels[i] = i as i32;
        i += 1;
    }
    pixels
};

/// One row of the first frame, and the second frame to find it in.
pub(super) struct Row<'a> {
    pub(super) y: usize,
    /// First column; a multiple of `BLOCK`.
    pub(super) from: usize,
    /// Width and height of the frames.
    pub(super) size: (usize, usize),
    /// Coefficients of both frames.
    pub(super) prev: &'a Lines,
    pub(super) next: &'a Lines,
    /// What the border leaves of each column, from column 0, and of this row.
    pub(super) across: &'a [f32],
    pub(super) down: f32,
}

per_isa! {
    /// Matrices of `dx.len()` pixels from `row.from` on: five lines, `stride` apart in `out`.
    pub(super) fn matrices = matrices_body(
        row: &Row<'_>, flow: (&[f32], &[f32]), stride: usize, out: &mut [f32])
}

#[inline(always)]
fn matrices_body<const FMA: bool>(
    row: &Row<'_>,
    (dx, dy): (&[f32], &[f32]),
    stride: usize,
    out: &mut [f32],
) {
    let prev = row.prev.row(row.y);
    let width = row.prev.stride();
    for x in (0..dx.len()).step_by(BLOCK) {
        let flow = (block(dx, x), block(dy, x));
        let at = row.from + x;
        let (sample, inside) = sample::<FMA>(row, at, flow);
        let first: [&Block; TERMS] = std::array::from_fn(|c| block(prev, c * width + at));
        let matrix = combine::<FMA>(first, &sample, flow, &shares(row, at, &inside));
        for (index, terms) in matrix.iter().enumerate() {
            *block_mut(out, index * stride + x) = *terms;
        }
    }
}

/// What the residuals and the mean polynomial of each pixel are multiplied with.
struct Shares {
    /// ½ of what the border leaves.
    half: Block,
    /// The same, or all of it for a pixel that left the frame.
    mean: Block,
}

#[inline(always)]
fn shares(row: &Row<'_>, at: usize, inside: &Block) -> Shares {
    let across = block(row.across, at);
    let mut shares = Shares { half: [0.0; BLOCK], mean: [0.0; BLOCK] };
    for i in 0..BLOCK {
        let left = across[i] * row.down;
        shares.half[i] = left * 0.5;
        shares.mean[i] = left * (1.0 - 0.5 * inside[i]);
    }
    shares
}

/// The matrices of a block: `[g11, g12, g22, h1, h2]`, index 1 being y and 2 being x.
#[inline(always)]
fn combine<const FMA: bool>(
    prev: [&Block; TERMS],
    next: &[Block; TERMS],
    (dx, dy): (&Block, &Block),
    shares: &Shares,
) -> [Block; TERMS] {
    let mut matrix = [[0f32; BLOCK]; TERMS];
    for i in 0..BLOCK {
        let (half, mean) = (shares.half[i], shares.mean[i]);
        let r4 = (prev[2][i] + next[2][i]) * mean;
        let r5 = (prev[3][i] + next[3][i]) * mean;
        let r6 = (prev[4][i] + next[4][i]) * (mean * 0.5);
        let r2 = (prev[0][i] - next[0][i]) * half;
        let r3 = (prev[1][i] - next[1][i]) * half;
        let r2 = mul_add::<FMA>(r4, dy[i], mul_add::<FMA>(r6, dx[i], r2));
        let r3 = mul_add::<FMA>(r6, dy[i], mul_add::<FMA>(r5, dx[i], r3));
        matrix[0][i] = mul_add::<FMA>(r4, r4, r6 * r6);
        matrix[1][i] = (r4 + r5) * r6;
        matrix[2][i] = mul_add::<FMA>(r5, r5, r6 * r6);
        matrix[3][i] = mul_add::<FMA>(r4, r2, r6 * r3);
        matrix[4][i] = mul_add::<FMA>(r6, r2, r5 * r3);
    }
    matrix
}

/// Where the pixels of a block fall in the second frame.
struct Targets {
    /// Column and row, with their fractions.
    x: Block,
    y: Block,
    /// 1 inside the frame, 0 outside.
    inside: Block,
    /// Least and largest whole motion of the pixels inside, columns and rows; `None` inside.
    columns: (i32, i32),
    rows: (i32, i32),
}

/// Follows the flow of the block at (`at`, `row.y`).
#[inline(always)]
fn targets(row: &Row<'_>, at: usize, (dx, dy): (&Block, &Block)) -> Targets {
    let (right, bottom) = ((row.size.0 - 1) as f32, (row.size.1 - 1) as f32);
    let (at, y) = (at as i32, row.y as f32);
    let (mut xs, mut ys, mut insides) = ([0f32; BLOCK], [0f32; BLOCK], [0f32; BLOCK]);
    let (mut left_least, mut left_most) = (i32::MAX, i32::MIN);
    let (mut top_least, mut top_most) = (i32::MAX, i32::MIN);
    for i in 0..BLOCK {
        let fx = PIXELS[i].wrapping_add(at) as f32 + dx[i];
        let fy = y + dy[i];
        let inside = (fx >= 0.0) & (fx < right) & (fy >= 0.0) & (fy < bottom);
        (xs[i], ys[i], insides[i]) = (fx, fy, if inside { 1.0 } else { 0.0 });
        let (left, top) = (floor(fx).wrapping_sub(PIXELS[i]), floor(fy));
        left_least = left_least.min(if inside { left } else { i32::MAX });
        left_most = left_most.max(if inside { left } else { i32::MIN });
        top_least = top_least.min(if inside { top } else { i32::MAX });
        top_most = top_most.max(if inside { top } else { i32::MIN });
    }
    let (columns, rows) = ((left_least, left_most), (top_least, top_most));
    Targets { x: xs, y: ys, inside: insides, columns, rows }
}

/// The whole part of a number from 0 to 2²²; of any other number something. Vector instructions
/// have no conversion that saturates as `as` does.
#[inline(always)]
fn floor(number: f32) -> i32 {
    /// From here on the last digit of a f32 counts ones.
    const ONES: f32 = 8_388_608.0;
    let nearest = (number + ONES) - ONES;
    let whole = if nearest > number { nearest - 1.0 } else { nearest };
    (whole + ONES).to_bits().wrapping_sub(ONES.to_bits()) as i32
}

/// The second frame's coefficients where the block's pixels fall, 0 outside; and who is inside.
#[inline(always)]
fn sample<const FMA: bool>(
    row: &Row<'_>,
    at: usize,
    flow: (&Block, &Block),
) -> ([Block; TERMS], Block) {
    let targets = targets(row, at, flow);
    let (columns, rows) = (targets.columns, targets.rows);
    if columns.0 > columns.1 {
        return ([[0.0; BLOCK]; TERMS], targets.inside);
    }
    let reach = (columns.1 - columns.0).max(rows.1 - rows.0) as usize + 2;
    let sample = match reach {
        2 => sample_block::<FMA, 2>(row.next, row.size.1, &targets),
        REACH_MAX => sample_block::<FMA, REACH_MAX>(row.next, row.size.1, &targets),
        _ => sample_pixels::<FMA>(row.next, &targets),
    };
    (sample, targets.inside)
}

/// How much a column (or row) counts that lies `distance` from where a pixel falls.
#[inline(always)]
fn hat(distance: f32) -> f32 {
    (1.0 - distance.abs()).max(0.0)
}

/// Samples a block that needs `REACH` columns and rows around each pixel.
#[inline(always)]
fn sample_block<const FMA: bool, const REACH: usize>(
    next: &Lines,
    height: usize,
    targets: &Targets,
) -> [Block; TERMS] {
    let (left, top) = (targets.columns.0, targets.rows.0);
    let mut across = [[0f32; BLOCK]; REACH];
    let mut down = [[0f32; BLOCK]; REACH];
    for i in 0..BLOCK {
        let fx = targets.x[i] - PIXELS[i].wrapping_add(left) as f32;
        let fy = targets.y[i] - top as f32;
        for k in 0..REACH {
            across[k][i] = hat(fx - k as f32) * targets.inside[i];
            down[k][i] = hat(fy - k as f32) * targets.inside[i];
        }
    }
    // Past the last row every weight is 0.
    let line = |k: usize| (top as usize + k).min(height - 1);
    let places: [usize; REACH] = std::array::from_fn(|k| next.place(line(k), 0, left as isize));
    let mut sample = [[0f32; BLOCK]; TERMS];
    for (c, sample) in sample.iter_mut().enumerate() {
        let lines: [&[f32; BLOCK + REACH_MAX]; REACH] =
            std::array::from_fn(|k| next.from(places[k] + c * next.stride()));
        for i in 0..BLOCK {
            let mut sum = 0f32;
            for k in 0..REACH {
                let mut line = across[0][i] * lines[k][i];
                for j in 1..REACH {
                    line = mul_add::<FMA>(across[j][i], lines[k][i + j], line);
                }
                sum = mul_add::<FMA>(down[k][i], line, sum);
            }
            sample[i] = sum;
        }
    }
    sample
}

/// Samples pixel by pixel.
#[inline(always)]
fn sample_pixels<const FMA: bool>(next: &Lines, targets: &Targets) -> [Block; TERMS] {
    let mut sample = [[0f32; BLOCK]; TERMS];
    for i in (0..BLOCK).filter(|&i| targets.inside[i] > 0.0) {
        let (x, y) = (targets.x[i], targets.y[i]);
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (x0, x1, y0, y1) = (hat(fx), hat(fx - 1.0), hat(fy), hat(fy - 1.0));
        let upper = next.place(top, 0, left as isize);
        let lower = next.place(top + 1, 0, left as isize);
        for (c, sample) in sample.iter_mut().enumerate() {
            let [a, b] = *next.from::<2>(upper + c * next.stride());
            let above = mul_add::<FMA>(x1, b, x0 * a);
            let [a, b] = *next.from::<2>(lower + c * next.stride());
            let below = mul_add::<FMA>(x1, b, x0 * a);
            sample[i] = mul_add::<FMA>(y1, below, y0 * above);
        }
    }
    sample
}
