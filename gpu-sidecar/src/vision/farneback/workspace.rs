//! The workspace of Farnebäck's flow: computes it for frames of one size, over and over.
//!
//! Owns the tables of every scale, the scratch of every thread and the walk from the coarsest
//! scale to the finest. Knows nothing of the arithmetic. Always: after the first frames no memory
//! is asked for, and the result does not depend on the number of threads.

use rayon::prelude::*;

use super::expand_rows::Fitter;
use super::expansion::Basis;
use super::lines::Lines;
use super::matrices::attenuation;
use super::matrix_rows::TERMS;
use super::plain::shrunk;
use super::pyramid::{self, Level};
use super::scale_rows::{Decimation, Frame, ScaleRows};
use super::spots::Spots;
use super::start_rows::Start;
use super::sweep::{Scratch, Sweep, depth_max};
use super::window::Weights;
use super::{Expansion, FarnebackParams, SIDE_MIN};
use crate::vision::error::VisionError;
use crate::vision::flow_stats::{Motion, MotionSums};
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;

/// Fewest rows of a stripe that is expanded on a thread of its own.
const STRIPE_ROWS_MIN: usize = 32;

/// Computes flow between frames of one size. One per thread may run at the same time.
#[derive(Debug)]
pub struct Farneback {
    params: FarnebackParams,
    isa: Isa,
    /// The original first.
    scales: Vec<Scale>,
    weights: Weights,
    workers: Vec<Worker>,
    /// The flow of the scale before and of the one at hand.
    flows: [Lines; 2],
    /// Of each row, for `motion`.
    lengths: Vec<MotionSums>,
}

/// Tables of one scale.
#[derive(Debug)]
struct Scale {
    level: Level,
    decimation: Decimation,
    /// What the border leaves of each column and of each row.
    across: Vec<f32>,
    down: Vec<f32>,
    /// Where its columns and rows fall in the next coarser scale, when there is one.
    coarser: Option<(Spots, Spots)>,
}

/// Scratch of one thread.
#[derive(Debug)]
struct Worker {
    image: ScaleRows,
    fitter: Fitter,
    sweep: Scratch,
}

/// Where the flow of the original scale goes.
enum Target<'a> {
    Plane(&'a mut Plane<[f32; 2]>),
    /// Only its statistics.
    Motion(&'a mut [MotionSums]),
}

impl Scale {
    fn of(level: &Level, coarser: Option<&Level>) -> Self {
        let (width, height) = (level.width, level.height);
        let mut across: Vec<f32> = (0..width).map(|x| attenuation(x, width)).collect();
        across.resize(Lines::new(0, 1, width).stride(), 0.0);
        let spots =
            |level: &Level| (Spots::of(level.width, width), Spots::of(level.height, height));
        Self {
            level: level.clone(),
            decimation: Decimation::of(level),
            across,
            down: (0..height).map(|y| attenuation(y, height)).collect(),
            coarser: coarser.map(spots),
        }
    }
}

impl Farneback {
    /// A workspace that works on the calling thread only.
    /// # Errors
    /// `Parameter` when a field is outside its range; `TooSmall` below 10 pixels.
    pub fn new(params: &FarnebackParams, width: usize, height: usize) -> Result<Self, VisionError> {
        params.check()?;
        if width < SIDE_MIN || height < SIDE_MIN {
            return Err(VisionError::TooSmall { width, height, min: SIDE_MIN });
        }
        let levels = pyramid::levels(width, height, params);
        let scale = |k: usize| Scale::of(&levels[k], levels.get(k + 1));
        let workspace = Self {
            params: params.clone(),
            isa: Isa::best(),
            scales: (0..levels.len()).map(scale).collect(),
            weights: Weights::of(params),
            workers: Vec::new(),
            flows: Default::default(),
            lengths: Vec::new(),
        };
        Ok(workspace.on_threads(1))
    }

    /// The same, but cut into stripes for up to `count` threads of the current rayon pool.
    pub fn on_threads(mut self, count: usize) -> Self {
        let basis = Basis::of(&self.params);
        let worker = || Worker {
            image: ScaleRows::default(),
            fitter: Fitter::new(&basis),
            sweep: Scratch::new(&self.weights),
        };
        self.workers.resize_with(count.max(1), worker);
        self
    }

    /// The same with another instruction set; results agree but for rounding.
    #[cfg(test)]
    pub(super) fn with(mut self, isa: Isa) -> Self {
        self.isa = isa;
        self
    }

    /// Width and height of its frames.
    pub fn size(&self) -> (usize, usize) {
        self.scales[0].level.original
    }

    /// Room for the expansion of one frame. It means nothing before `expand` has filled it.
    pub fn expansion(&self) -> Expansion {
        let lines = |scale: &Scale| Lines::new(scale.level.height, TERMS, scale.level.width);
        let levels = self.scales.iter().map(|scale| (scale.level.clone(), lines(scale))).collect();
        Expansion { params: self.params.clone(), levels }
    }

    /// Expands a gray frame of 0 to 255.
    /// # Errors
    /// `SizesDiffer`; `OtherExpansion` when `out` was made for other parameters.
    pub fn expand(&mut self, frame: &Plane<u8>, out: &mut Expansion) -> Result<(), VisionError> {
        self.expand_frame(Frame::U8(frame), out)
    }

    /// As `expand`, for f32 samples on the same scale.
    /// # Errors
    /// As `expand`.
    pub fn expand_f32(
        &mut self,
        frame: &Plane<f32>,
        out: &mut Expansion,
    ) -> Result<(), VisionError> {
        self.expand_frame(Frame::F32(frame), out)
    }

    fn expand_frame(&mut self, frame: Frame<'_>, out: &mut Expansion) -> Result<(), VisionError> {
        if frame.size() != self.size() {
            return Err(VisionError::SizesDiffer { first: self.size(), second: frame.size() });
        }
        self.fits(out)?;
        let isa = self.isa;
        for (scale, (_, lines)) in self.scales.iter().zip(&mut out.levels) {
            let height = scale.level.height;
            let rows = stripe_rows(height, self.workers.len(), STRIPE_ROWS_MIN);
            let length = rows * lines.row_length();
            striped(&mut self.workers, lines.rows_mut(), length, |worker, index, out| {
                let Worker { image, fitter, .. } = worker;
                fitter.start((scale.level.width, height));
                let span = (index * rows, height.min((index + 1) * rows));
                let row = |y: usize, out: &mut [f32]| {
                    image.row(isa, (frame, &scale.decimation), y, out);
                };
                fitter.rows(isa, span, row, out);
            });
        }
        Ok(())
    }

    /// `Ok` when `expansion` is one of this workspace's.
    fn fits(&self, expansion: &Expansion) -> Result<(), VisionError> {
        if expansion.size() != self.size() {
            let (first, second) = (self.size(), expansion.size());
            return Err(VisionError::SizesDiffer { first, second });
        }
        if !expansion.params.expands_like(&self.params) {
            return Err(VisionError::OtherExpansion);
        }
        Ok(())
    }

    /// The motion from `prev` to `next`, (x, y) in pixels, into `out`; `initial` is where the
    /// search starts (zero when absent).
    /// # Errors
    /// `SizesDiffer`; `OtherExpansion` when a frame was expanded with other parameters.
    pub fn flow(
        &mut self,
        (prev, next): (&Expansion, &Expansion),
        initial: Option<&Plane<[f32; 2]>>,
        out: &mut Plane<[f32; 2]>,
    ) -> Result<(), VisionError> {
        if out.size() != self.size() {
            return Err(VisionError::SizesDiffer { first: self.size(), second: out.size() });
        }
        self.walk((prev, next), initial, Target::Plane(out))
    }

    /// How much moves from `prev` to `next`: the statistics of `flow`, which is not kept.
    /// # Errors
    /// As `flow`.
    pub fn motion(
        &mut self,
        (prev, next): (&Expansion, &Expansion),
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Motion, VisionError> {
        let (width, height) = self.size();
        let mut rows = std::mem::take(&mut self.lengths);
        rows.clear();
        rows.resize(height, MotionSums::default());
        let walked = self.walk((prev, next), initial, Target::Motion(&mut rows));
        let motion = Motion::of(&rows, width * height);
        self.lengths = rows;
        walked.map(|()| motion)
    }

    fn walk(
        &mut self,
        (prev, next): (&Expansion, &Expansion),
        initial: Option<&Plane<[f32; 2]>>,
        mut target: Target<'_>,
    ) -> Result<(), VisionError> {
        self.fits(prev)?;
        self.fits(next)?;
        let coarsest = &self.scales.last().expect("a pyramid has a scale").level;
        let initial = initial.map(|flow| shrunk(coarsest, flow)).transpose()?;
        let Self { isa, scales, weights, workers, flows: [known, made], .. } = self;
        if let Some(flow) = &initial {
            copy_to_lines(flow, known);
        }
        for (k, scale) in scales.iter().enumerate().rev() {
            let mut left = self.params.iterations as usize;
            while left > 0 {
                let depth = left.min(depth_max(weights));
                let start = match &scale.coarser {
                    _ if left < self.params.iterations as usize => Start::Here(known),
                    Some((columns, rows)) => {
                        let factor = (1.0 / self.params.pyr_scale) as f32;
                        Start::Coarser { flow: known, columns, rows, factor }
                    }
                    None if initial.is_some() => Start::Here(known),
                    None => Start::Zero,
                };
                let sweep = Sweep {
                    isa: *isa,
                    size: (scale.level.width, scale.level.height),
                    prev: &prev.levels[k].1,
                    next: &next.levels[k].1,
                    across: &scale.across,
                    down: &scale.down,
                    weights,
                    start,
                    depth,
                };
                left -= depth;
                match &mut target {
                    Target::Plane(plane) if k == 0 && left == 0 => {
                        sweep_plane(&sweep, workers, plane)
                    }
                    Target::Motion(rows) if k == 0 && left == 0 => {
                        sweep_motion(&sweep, workers, rows)
                    }
                    _ => sweep_lines(&sweep, workers, made),
                }
                std::mem::swap(known, made);
            }
        }
        Ok(())
    }
}

/// Rows of a stripe when `height` rows are shared by `workers`.
fn stripe_rows(height: usize, workers: usize, least: usize) -> usize {
    height.div_ceil(workers).max(least)
}

/// Cuts `data` into stripes of `length` and gives each to a worker.
fn striped<T: Send>(
    workers: &mut [Worker],
    data: &mut [T],
    length: usize,
    work: impl Fn(&mut Worker, usize, &mut [T]) + Send + Sync,
) {
    if data.len() <= length {
        return work(&mut workers[0], 0, data);
    }
    let stripes = data.par_chunks_mut(length).zip(workers).enumerate();
    stripes.for_each(|(index, (stripe, worker))| work(worker, index, stripe));
}

/// Rows of a stripe of a sweep: a stripe also computes the rows that its windows reach.
fn sweep_rows(sweep: &Sweep<'_>, workers: &[Worker]) -> usize {
    stripe_rows(sweep.size.1, workers.len(), 2 * sweep.depth * sweep.weights.m())
}

/// The flow as two lines a row.
fn sweep_lines(sweep: &Sweep<'_>, workers: &mut [Worker], out: &mut Lines) {
    let (width, height) = sweep.size;
    out.reshape(height, 2, width);
    let (stride, rows) = (out.stride(), sweep_rows(sweep, workers));
    striped(workers, out.rows_mut(), rows * 2 * stride, |worker, index, out| {
        let from = index * rows;
        let span = from..height.min(from + rows);
        sweep.rows(span, &mut worker.sweep, &mut |y, x, dx, dy| {
            let row = &mut out[(y - from) * 2 * stride..][..2 * stride];
            row[x..][..dx.len()].copy_from_slice(dx);
            row[stride + x..][..dy.len()].copy_from_slice(dy);
        });
    });
}

/// The flow as pixels.
fn sweep_plane(sweep: &Sweep<'_>, workers: &mut [Worker], out: &mut Plane<[f32; 2]>) {
    let (width, height) = sweep.size;
    let rows = sweep_rows(sweep, workers);
    striped(workers, out.data_mut(), rows * width, |worker, index, out| {
        let from = index * rows;
        let span = from..height.min(from + rows);
        sweep.rows(span, &mut worker.sweep, &mut |y, x, dx, dy| {
            let row = &mut out[(y - from) * width + x..][..dx.len()];
            for ((vector, &dx), &dy) in row.iter_mut().zip(dx).zip(dy) {
                *vector = [dx, dy];
            }
        });
    });
}

/// The sums of the flow's lengths, row by row.
fn sweep_motion(sweep: &Sweep<'_>, workers: &mut [Worker], out: &mut [MotionSums]) {
    let height = sweep.size.1;
    let rows = sweep_rows(sweep, workers);
    striped(workers, out, rows, |worker, index, out| {
        let from = index * rows;
        let span = from..height.min(from + rows);
        sweep.rows(span, &mut worker.sweep, &mut |y, _, dx, dy| {
            out[y - from].add(sweep.isa, dx, dy);
        });
    });
}

fn copy_to_lines(flow: &Plane<[f32; 2]>, out: &mut Lines) {
    let (width, height) = flow.size();
    out.reshape(height, 2, width);
    let stride = out.stride();
    for y in 0..height {
        let (dx, dy) = out.row_mut(y).split_at_mut(stride);
        for (x, &vector) in flow.row(y).iter().enumerate() {
            [dx[x], dy[x]] = vector;
        }
    }
}
