//! An operation made ready: its steps, and memory that is kept from frame to frame.
//!
//! Owns how an operation becomes steps and how they are spread over threads.

use rayon::prelude::*;

use super::chain::{Chain, Sink, halo};
use super::rows::{self, Extreme};
use super::runs::{Run, Runs};
use super::stage::{BLOCK, Reach, Step, StepShape};
use super::window::Window;
use super::{Kernel, MorphologyParams, Operation, check_iterations};
use crate::vision::error::VisionError;
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;
use crate::vision::threads::Threads;

/// Fewest rows of a stripe: below that, a thread costs more than it brings.
const STRIPE_ROWS_MIN: usize = 32;

/// One operation with one kernel, for any number of frames of any size. Memory grows to what the
/// largest frame needs and stays.
#[derive(Debug)]
pub struct Morphology {
    operation: Operation,
    /// The steps that make the result; a gradient has the steps of its erosion, too.
    steps: Vec<Step>,
    erosion: Vec<Step>,
    workers: Vec<Chain>,
    eroders: Vec<Chain>,
    /// For each step by itself, where steps are walked one after another, and what is between two.
    alone: Vec<Vec<Chain>>,
    between: [Plane<u8>; 2],
    isa: Isa,
}

/// What happens to a row that is complete.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// It is the result.
    Keep,
    /// The source minus it.
    FromSource,
    /// It minus the source.
    LessSource,
    /// The result so far minus it.
    FromResult,
}

impl Morphology {
    /// # Errors
    /// `Parameter` when a field is outside its range.
    pub fn new(params: &MorphologyParams) -> Result<Self, VisionError> {
        Self::with_kernel(params.operation, &params.kernel()?, params.iterations)
    }

    /// As `new`, with any kernel.
    /// # Errors
    /// `Parameter` when `iterations` is not 1 to 100.
    pub fn with_kernel(
        operation: Operation,
        kernel: &Kernel,
        iterations: u32,
    ) -> Result<Self, VisionError> {
        check_iterations(iterations)?;
        let repeated = |extreme| repeated(kernel, iterations as usize, extreme);
        let erode = || repeated(Extreme::Least);
        let dilate = || repeated(Extreme::Largest);
        let steps = match operation {
            Operation::Erode => erode(),
            Operation::Dilate | Operation::Gradient => dilate(),
            Operation::Open | Operation::TopHat => [erode(), dilate()].concat(),
            Operation::Close | Operation::BlackHat => [dilate(), erode()].concat(),
        };
        let erosion = if operation == Operation::Gradient { erode() } else { Vec::new() };
        Ok(Self {
            operation,
            steps,
            erosion,
            workers: Vec::new(),
            eroders: Vec::new(),
            alone: Vec::new(),
            between: [Plane::pixel(), Plane::pixel()],
            isa: Isa::best(),
        })
    }

    /// As built, but for `isa`.
    #[cfg(test)]
    pub(super) fn on(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// Applies the operation to `image`; `out` takes its size.
    pub fn run(&mut self, image: &Plane<u8>, threads: Threads, out: &mut Plane<u8>) {
        out.reshape(image.width(), image.height());
        let last = match self.operation {
            Operation::TopHat => Last::FromSource,
            Operation::BlackHat => Last::LessSource,
            _ => Last::Keep,
        };
        let rows = threads.stripe_rows(image.height(), STRIPE_ROWS_MIN);
        // Rows past a seam are computed twice: where that is most of them, step by step.
        if rows < image.height() && halo(&self.steps) > rows && self.steps.len() > 1 {
            self.step_by_step(image, threads, (last, out));
        } else {
            let task = Task { steps: &self.steps, rows, last, isa: self.isa };
            task.run(&mut self.workers, image, (image, out));
        }
        if self.operation == Operation::Gradient {
            let task = Task { steps: &self.erosion, rows, last: Last::FromResult, isa: self.isa };
            task.run(&mut self.eroders, image, (image, out));
        }
    }

    fn step_by_step(
        &mut self,
        image: &Plane<u8>,
        threads: Threads,
        (last, out): (Last, &mut Plane<u8>),
    ) {
        let rows = threads.stripe_rows(image.height(), STRIPE_ROWS_MIN);
        self.alone.resize_with(self.steps.len(), Vec::new);
        let [from, to] = &mut self.between;
        let end = self.steps.len() - 1;
        for (i, (step, workers)) in self.steps.iter().zip(&mut self.alone).enumerate() {
            let steps = std::slice::from_ref(step);
            let source = if i == 0 { image } else { &*from };
            if i == end {
                let task = Task { steps, rows, last, isa: self.isa };
                task.run(workers, source, (image, &mut *out));
            } else {
                to.reshape(image.width(), image.height());
                let task = Task { steps, rows, last: Last::Keep, isa: self.isa };
                task.run(workers, source, (image, &mut *to));
                std::mem::swap(from, to);
            }
        }
    }
}

/// `iterations` times the kernel. A rectangle repeated is a larger rectangle, also at the border:
/// what lies outside never wins, so a window that is cut there loses nothing.
fn repeated(kernel: &Kernel, iterations: usize, extreme: Extreme) -> Vec<Step> {
    let (x, y) = kernel.anchor;
    let reach = Reach { left: x, right: kernel.width - 1 - x, up: y, down: kernel.height - 1 - y };
    if kernel.cells.iter().all(|&counts| counts) {
        let reach = Reach {
            left: reach.left * iterations,
            right: reach.right * iterations,
            up: reach.up * iterations,
            down: reach.down * iterations,
        };
        return vec![Step { extreme, shape: StepShape::Window(Window::new(reach)) }];
    }
    let shape = StepShape::Runs(Runs::new(reach, &runs(kernel)));
    vec![Step { extreme, shape }; iterations]
}

/// The kernel's cells that count, as runs.
fn runs(kernel: &Kernel) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, cells) in kernel.cells.chunks(kernel.width).enumerate() {
        let mut first = 0;
        for run in cells.chunk_by(|a, b| a == b) {
            if run[0] {
                runs.push(Run { row, first, length: run.len() });
            }
            first += run.len();
        }
    }
    runs
}

/// Steps that are walked down an image together.
struct Task<'a> {
    steps: &'a [Step],
    rows: usize,
    last: Last,
    isa: Isa,
}

impl Task<'_> {
    fn run(
        &self,
        workers: &mut Vec<Chain>,
        image: &Plane<u8>,
        (source, out): (&Plane<u8>, &mut Plane<u8>),
    ) {
        let (width, height) = image.size();
        let stripes = height.div_ceil(self.rows);
        while workers.len() < stripes {
            workers.push(Chain::new(self.steps, self.isa));
        }
        let stripe = |(i, (chain, out)): (usize, (&mut Chain, &mut [u8]))| {
            let rows = i * self.rows..((i + 1) * self.rows).min(height);
            let place =
                Place { first: rows.start, width, last: self.last, source, out, isa: self.isa };
            chain.run(image, rows, &mut { place });
        };
        let parts = out.data_mut().chunks_mut(self.rows * width);
        if stripes == 1 {
            workers.iter_mut().zip(parts).enumerate().for_each(stripe);
        } else {
            let parts: Vec<_> = workers.iter_mut().zip(parts).enumerate().collect();
            parts.into_par_iter().for_each(stripe);
        }
    }
}

/// The rows of the result that belong to one stripe.
struct Place<'a> {
    first: usize,
    width: usize,
    last: Last,
    source: &'a Plane<u8>,
    out: &'a mut [u8],
    isa: Isa,
}

impl Sink for Place<'_> {
    fn place(&mut self, y: usize) -> Option<&mut [u8]> {
        let is_whole = matches!(self.last, Last::Keep) && self.width.is_multiple_of(BLOCK);
        is_whole.then(|| &mut self.out[(y - self.first) * self.width..][..self.width])
    }

    fn take(&mut self, y: usize, row: &[u8]) {
        let out = &mut self.out[(y - self.first) * self.width..][..self.width];
        let row = &row[..self.width];
        match self.last {
            Last::Keep => out.copy_from_slice(row),
            Last::FromSource => rows::difference(self.isa, self.source.row(y), row, out),
            Last::LessSource => rows::difference(self.isa, row, self.source.row(y), out),
            Last::FromResult => rows::subtract(self.isa, out, row),
        }
    }
}
