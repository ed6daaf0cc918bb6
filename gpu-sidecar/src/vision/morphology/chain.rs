//! Several steps, one after another, down a stripe of an image in one walk.
//!
//! Owns which rows each step needs for the rows that are asked for: past a stripe's edge, a step
//! computes the rows again that its neighbour computes, so a seam cannot be seen.

use std::ops::Range;

use super::stage::{BLOCK, Extent, Stage, Step};
use crate::vision::aligned::Aligned;
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;

/// Stages whose results feed the next one.
#[derive(Debug)]
pub(super) struct Chain {
    stages: Vec<Stage>,
    /// A result row of the last stage, up to a whole block.
    last: Aligned<u8>,
}

impl Chain {
    pub(super) fn new(steps: &[Step], isa: Isa) -> Self {
        let stages = steps.iter().map(|step| Stage::new(step, isa)).collect();
        Self { stages, last: Aligned::default() }
    }

    /// Makes rows `rows` of the result, from the top, and hands each to `sink`.
    pub(super) fn run(&mut self, image: &Plane<u8>, rows: Range<usize>, sink: &mut impl Sink) {
        let (width, height) = image.size();
        let mut output = rows;
        for stage in self.stages.iter_mut().rev() {
            let reach = stage.fit(width, height);
            let input =
                output.start.saturating_sub(reach.up)..(output.end + reach.down).min(height);
            stage.start(Extent { width, input: input.clone(), output });
            output = input;
        }
        self.last.refill(width.next_multiple_of(BLOCK), 0);
        for y in output {
            let first = self.stages.first_mut().expect("an operation has at least one step");
            first.row()[..width].copy_from_slice(image.row(y));
            feed(&mut self.stages, &mut self.last, y, sink);
        }
    }
}

/// Where result rows go.
pub(super) trait Sink {
    /// Where row y is written, if it is kept as it is and can be written in whole blocks.
    fn place(&mut self, y: usize) -> Option<&mut [u8]>;

    /// Takes row y, which has no place; what follows the last pixel is garbage.
    fn take(&mut self, y: usize, row: &[u8]);
}

/// Row `index` was written into the first stage; whatever becomes complete goes down the rest.
fn feed(stages: &mut [Stage], last: &mut [u8], index: usize, sink: &mut impl Sink) {
    let Some((stage, rest)) = stages.split_first_mut() else { return };
    let is_end = index + 1 == stage.extent().input.end;
    if stage.push(index) {
        pass_on(stage, rest, last, sink);
    }
    while is_end && !stage.is_done() {
        pass_on(stage, rest, last, sink);
    }
}

/// The next row of `stage`, which is complete, to the stage after it or to its end.
fn pass_on(stage: &mut Stage, rest: &mut [Stage], last: &mut [u8], sink: &mut impl Sink) {
    if let Some(next) = rest.first_mut() {
        let y = stage.emit(next.row());
        return feed(rest, last, y, sink);
    }
    match sink.place(stage.next()) {
        Some(place) => {
            stage.emit(place);
        }
        None => {
            let y = stage.emit(last);
            sink.take(y, last);
        }
    }
}

/// The rows above and below a result row that `steps` look at, all together.
pub(super) fn halo(steps: &[Step]) -> usize {
    let reaches = steps.iter().map(Step::reach);
    reaches.map(|reach| reach.up + reach.down).sum()
}
