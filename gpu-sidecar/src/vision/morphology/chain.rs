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

    /// Hands rows `rows` of the result to `sink(y, row)`, from the top.
    pub(super) fn run(
        &mut self,
        image: &Plane<u8>,
        rows: Range<usize>,
        sink: &mut impl FnMut(usize, &[u8]),
    ) {
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
            feed(&mut self.stages, &mut self.last, y, &mut |y, row| sink(y, &row[..width]));
        }
    }
}

/// Row `index` was written into the first stage; whatever becomes complete goes down the rest.
fn feed(stages: &mut [Stage], last: &mut [u8], index: usize, sink: &mut impl FnMut(usize, &[u8])) {
    let Some((stage, rest)) = stages.split_first_mut() else { return sink(index, last) };
    let is_end = index + 1 == stage.extent().input.end;
    let out = rest.first_mut().map_or(&mut *last, Stage::row);
    if let Some(y) = stage.push(index, out) {
        feed(rest, last, y, sink);
    }
    while is_end {
        let out = rest.first_mut().map_or(&mut *last, Stage::row);
        let Some(y) = stage.flush(out) else { break };
        feed(rest, last, y, sink);
    }
}

/// The rows above and below a result row that `steps` look at, all together.
pub(super) fn halo(steps: &[Step]) -> usize {
    let reaches = steps.iter().map(Step::reach);
    reaches.map(|reach| reach.up + reach.down).sum()
}
