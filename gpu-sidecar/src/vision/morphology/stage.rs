//! One erosion or dilation as a stream: rows go in from the top, results come out from the top.
//!
//! Owns the few rows that one output row still needs, so that an opening or a closing walks down
//! the image once and stays in the cache. Knows windows and runs; not operations or threads.
//! Always: a sample outside the image is `Extreme::neutral`, so it never wins.

use std::ops::Range;

use super::rows::Extreme;
use super::runs::{self, Runs};
use super::window::{self, Window};
use crate::vision::aligned::Aligned;
use crate::vision::simd::Isa;

/// Rows are worked on in blocks of this many samples; what lies past the image is garbage.
pub(super) const BLOCK: usize = 64;

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) extreme: Extreme,
    pub(super) shape: StepShape,
}

/// Under which pixels it looks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StepShape {
    /// A whole rectangle: the cost does not grow with its height, and with the logarithm of its
    /// width.
    Window(Window),
    /// Any other form, as runs of cells within rows.
    Runs(Runs),
}

/// How far a step looks from a pixel in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) up: usize,
    pub(super) down: usize,
}

impl Step {
    pub(super) fn reach(&self) -> Reach {
        match &self.shape {
            StepShape::Window(window) => window.reach,
            StepShape::Runs(runs) => runs.reach,
        }
    }
}

/// Which rows go in and come out, and how wide they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Extent {
    pub(super) width: usize,
    /// Rows that go in; they reach past `output` as far as the step looks and the image goes.
    pub(super) input: Range<usize>,
    pub(super) output: Range<usize>,
}

impl Extent {
    /// Samples of a row, up to a whole block.
    pub(super) fn stride(&self) -> usize {
        self.width.next_multiple_of(BLOCK)
    }
}

/// A step on its way down an image.
#[derive(Debug)]
pub(super) struct Stage {
    /// What was asked for, and what it comes to on an image of this size.
    wanted: Step,
    step: Step,
    extent: Extent,
    input: Input,
    state: State,
    /// The next row that comes out.
    next: usize,
    isa: Isa,
}

#[derive(Debug)]
enum State {
    Window(window::State),
    Runs(runs::State),
}

impl Stage {
    pub(super) fn new(step: &Step, isa: Isa) -> Self {
        let state = match &step.shape {
            StepShape::Window(_) => State::Window(window::State::default()),
            StepShape::Runs(_) => State::Runs(runs::State::default()),
        };
        let extent = Extent { width: 0, input: 0..0, output: 0..0 };
        let (wanted, step) = (step.clone(), step.clone());
        Self { wanted, step, extent, input: Input::default(), state, next: 0, isa }
    }

    /// Cuts a window to what an image of this size can fill, and says how far it reaches then.
    /// What it loses lies outside, where nothing wins.
    pub(super) fn fit(&mut self, width: usize, height: usize) -> Reach {
        let wanted = self.wanted.reach();
        let reach = Reach {
            left: wanted.left.min(width - 1),
            right: wanted.right.min(width - 1),
            up: wanted.up.min(height - 1),
            down: wanted.down.min(height - 1),
        };
        if matches!(self.step.shape, StepShape::Window(_)) && self.step.reach() != reach {
            self.step.shape = StepShape::Window(Window::new(reach));
        }
        self.step.reach()
    }

    pub(super) fn extent(&self) -> &Extent {
        &self.extent
    }

    /// Makes ready for the first row of `extent`; keeps its memory.
    pub(super) fn start(&mut self, extent: Extent) {
        let extreme = self.step.extreme;
        self.next = extent.output.start;
        self.input.start(&extent, self.step.reach(), extreme.neutral());
        match (&mut self.state, &self.step.shape) {
            (State::Window(state), StepShape::Window(window)) => {
                state.start(window, &extent, extreme);
            }
            (State::Runs(state), StepShape::Runs(runs)) => state.start(runs, &extent, extreme),
            _ => unreachable!("`new` pairs them"),
        }
        self.extent = extent;
    }

    /// Where the next row is written before `push`: `width` samples, or the whole stride.
    pub(super) fn row(&mut self) -> &mut [u8] {
        let (front, stride) = (self.input.front, self.extent.stride());
        &mut self.input.samples[front..][..stride]
    }

    /// Takes the row in `row`, which is row `index`; whether a result is complete then.
    pub(super) fn push(&mut self, index: usize) -> bool {
        self.input.pad();
        let work = Work { step: self.step.extreme, isa: self.isa };
        let input = &self.input.samples[self.input.front - self.input.left..];
        match (&mut self.state, &self.step.shape) {
            (State::Window(state), StepShape::Window(window)) => {
                state.take(window, input, index, &work);
            }
            (State::Runs(state), StepShape::Runs(runs)) => state.take(runs, input, index, &work),
            _ => unreachable!("`new` pairs them"),
        }
        index >= self.next + self.step.reach().down
    }

    /// The next row that comes out.
    pub(super) fn next(&self) -> usize {
        self.next
    }

    /// Whether all rows came out.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.extent.output.end
    }

    /// Writes the next row, the whole stride of it, and says which it is. It is complete after
    /// `push` said so, and always after the last row went in.
    pub(super) fn emit(&mut self, out: &mut [u8]) -> usize {
        let work = Work { step: self.step.extreme, isa: self.isa };
        let y = self.next;
        match (&mut self.state, &self.step.shape) {
            (State::Window(state), StepShape::Window(window)) => {
                state.emit(window, &self.extent, y, (&work, out));
            }
            (State::Runs(state), _) => state.emit(y, &work, out),
            _ => unreachable!("`new` pairs them"),
        }
        self.next = y + 1;
        y
    }
}

/// How rows are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) step: Extreme,
    pub(super) isa: Isa,
}

/// One row with neutral samples around it.
#[derive(Debug, Default)]
struct Input {
    samples: Aligned<u8>,
    /// Index of the first pixel; a whole number of blocks.
    front: usize,
    left: usize,
    /// Between the last pixel and the end of its block: whoever writes the row may spill there.
    spill: Range<usize>,
    neutral: u8,
}

impl Input {
    fn start(&mut self, extent: &Extent, reach: Reach, neutral: u8) {
        self.front = reach.left.next_multiple_of(BLOCK);
        self.left = reach.left;
        self.spill = self.front + extent.width..self.front + extent.stride();
        self.neutral = neutral;
        // Two blocks more: a walk may read the block after the last that matters.
        let length = self.front + extent.stride() + reach.right + 2 * BLOCK;
        self.samples.refill(length, neutral);
    }

    fn pad(&mut self) {
        self.samples[self.spill.clone()].fill(self.neutral);
    }
}
