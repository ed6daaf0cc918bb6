//! The row-wise steps one by one, as whole planes.
//!
//! Owns no arithmetic: each function runs the rows of one step and has the signature of its plain
//! definition, so that goldens and tests can look at the steps of either.

use super::FarnebackParams;
use super::expand_rows::Fitter;
use super::expansion::Basis;
use super::lines::Lines;
use super::matrices::attenuation;
use super::matrix_rows::{self, Row, TERMS};
use super::pyramid::Level;
use super::scale_rows::{Decimation, Frame, ScaleRows};
use super::start_rows::Start;
use super::sweep::{Scratch, Sweep};
use super::window::Weights;
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;

/// As `pyramid::image`.
pub(crate) fn image(isa: Isa, frame: Frame<'_>, level: &Level) -> Plane<f32> {
    let (decimation, mut rows) = (Decimation::of(level), ScaleRows::default());
    let mut data = vec![0f32; level.width * level.height];
    for (y, row) in data.chunks_exact_mut(level.width).enumerate() {
        rows.row(isa, (frame, &decimation), y, row);
    }
    Plane::new(level.width, level.height, data).expect("as many rows as the level has")
}

/// As `expansion::expand`.
pub(crate) fn expand(isa: Isa, image: &Plane<f32>, params: &FarnebackParams) -> Plane<[f32; 5]> {
    let (width, height) = image.size();
    let (mut fitter, mut out) = (Fitter::new(&Basis::of(params)), Lines::new(height, TERMS, width));
    fitter.start((width, height));
    let row = |y: usize, out: &mut [f32]| out.copy_from_slice(image.row(y));
    fitter.rows(isa, (0, height), row, out.rows_mut());
    from_lines(&out, (width, height))
}

/// As `matrices::compute`.
pub(crate) fn matrices(
    isa: Isa,
    (prev, next): (&Plane<[f32; 5]>, &Plane<[f32; 5]>),
    flow: &Plane<[f32; 2]>,
) -> Plane<[f32; 5]> {
    let (width, height) = prev.size();
    let (prev, next, flow) = (to_lines(prev), to_lines(next), to_lines(flow));
    let (across, down) = borders(width, height, prev.stride());
    let mut out = Lines::new(height, TERMS, width);
    for (y, &down) in down.iter().enumerate() {
        let row = Row {
            y,
            from: 0,
            size: (width, height),
            prev: &prev,
            next: &next,
            across: &across,
            down,
        };
        let stride = out.stride();
        let vectors = (flow.line(y, 0), flow.line(y, 1));
        matrix_rows::matrices(isa, &row, vectors, stride, out.row_mut(y));
    }
    from_lines(&out, (width, height))
}

/// The flow after `params.iterations` more of one scale.
pub(crate) fn iterate(
    isa: Isa,
    (prev, next): (&Plane<[f32; 5]>, &Plane<[f32; 5]>),
    flow: &Plane<[f32; 2]>,
    params: &FarnebackParams,
) -> Plane<[f32; 2]> {
    let (width, height) = prev.size();
    let (prev, next, start) = (to_lines(prev), to_lines(next), to_lines(flow));
    let (across, down) = borders(width, height, prev.stride());
    let weights = Weights::of(params);
    let sweep = Sweep {
        isa,
        size: (width, height),
        prev: &prev,
        next: &next,
        across: &across,
        down: &down,
        weights: &weights,
        start: Start::Here(&start),
        depth: params.iterations as usize,
    };
    let mut out = flow.clone();
    sweep.rows(0..height, &mut Scratch::new(&weights), &mut |y, x, dx, dy| {
        let row = &mut out.data_mut()[y * width + x..][..dx.len()];
        for ((vector, &dx), &dy) in row.iter_mut().zip(dx).zip(dy) {
            *vector = [dx, dy];
        }
    });
    out
}

/// What the border leaves of each column and of each row.
fn borders(width: usize, height: usize, stride: usize) -> (Vec<f32>, Vec<f32>) {
    let mut across: Vec<f32> = (0..width).map(|x| attenuation(x, width)).collect();
    across.resize(stride, 0.0);
    (across, (0..height).map(|y| attenuation(y, height)).collect())
}

fn to_lines<const N: usize>(plane: &Plane<[f32; N]>) -> Lines {
    let (width, height) = plane.size();
    let mut lines = Lines::new(height, N, width);
    let stride = lines.stride();
    for y in 0..height {
        let row = lines.row_mut(y);
        for (x, pixel) in plane.row(y).iter().enumerate() {
            for (c, &value) in pixel.iter().enumerate() {
                row[c * stride + x] = value;
            }
        }
    }
    lines
}

fn from_lines(lines: &Lines, (width, height): (usize, usize)) -> Plane<[f32; 5]> {
    Plane::from_rows(width, height, |y, row| {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = std::array::from_fn(|c| lines.line(y, c)[x]);
        }
    })
}
