//! The flow sections: whole flows, and the steps of one of them.
//!
//! Owns how OpenCV's arguments become parameters and which step a tensor's name stands for.

use super::super::stage::{Stage, Tolerance};
use super::super::{Case, CheckError, files};
use super::manifest::{self, FlowParams, InitRule, Subsample};
use super::{Goldens, Tensor, f32_plane, plane, unsupported};
use crate::vision::farneback::{
    self, FarnebackParams, Frame, Window, expansion, matrices, plain, pyramid, stages, window,
};
use crate::vision::flow_stats::motion;
use crate::vision::plane::Plane;
use crate::vision::simd::Isa;

/// OpenCV's flags.
const INITIAL_FLOW: u32 = 4;
const GAUSSIAN_WINDOW: u32 = 256;

fn params(case: &str, given: &FlowParams) -> Result<FarnebackParams, CheckError> {
    if given.flags & !(INITIAL_FLOW | GAUSSIAN_WINDOW) != 0 {
        return Err(unsupported(case, format!("the flags {}", given.flags)));
    }
    let gaussian = given.flags & GAUSSIAN_WINDOW != 0;
    Ok(FarnebackParams {
        pyr_scale: given.pyr_scale,
        levels: given.levels,
        winsize: given.winsize,
        iterations: given.iterations,
        poly_n: given.poly_n,
        poly_sigma: given.poly_sigma,
        window: if gaussian { Window::Gaussian } else { Window::Box },
    })
}

pub(super) fn flow(
    goldens: &Goldens,
    case: String,
    entry: &manifest::Flow,
) -> Result<Case, CheckError> {
    let params = params(&case, &entry.params)?;
    let prev = goldens.gray_frame(&case, &entry.prev)?;
    let next = goldens.gray_frame(&case, &entry.next)?;
    let initial = initial(goldens, &case, entry, prev.size())?;
    let flow = plane(&case, farneback::flow(&prev, &next, &params, initial.as_ref()))?;
    let want = f32_plane::<2>(&case, goldens.tensor(&case, &entry.file, &entry.tensor)?)?;
    let tolerance = Tolerance::Spread { mean: entry.tolerance.mean, p99: entry.tolerance.p99 };
    let got = subsample(&case, &flow, entry.subsample)?;
    let [from, to] = [&prev, &next].map(|frame| frame.map(f32::from));
    let plain = plane(&case, plain::flow(&from, &to, &params, initial.as_ref()))?;
    let plain = subsample(&case, &plain, entry.subsample)?;
    let mut stages = vec![
        compare("flow", &got, &want, tolerance),
        compare("flow, plain", &plain, &want, tolerance),
    ];
    if let Some(want) = entry.mean_mag {
        // The mean length cannot be further off than the mean of the vectors.
        let bound = Tolerance::Absolute(entry.tolerance.mean);
        stages.push(Stage::compare("mean_mag", [motion(&flow).mean_px], [want], bound));
    }
    Ok(Case::new(case, stages))
}

/// The initial flow of an entry, whose flags must say the same.
fn initial(
    goldens: &Goldens,
    case: &str,
    entry: &manifest::Flow,
    (width, height): (usize, usize),
) -> Result<Option<Plane<[f32; 2]>>, CheckError> {
    let wanted = entry.params.flags & INITIAL_FLOW != 0;
    let Some(init) = entry.init.as_ref().filter(|_| wanted) else {
        if wanted || entry.init.is_some() {
            return Err(unsupported(case, "the flags and `init` disagree"));
        }
        return Ok(None);
    };
    let InitRule::Blocks = init.rule;
    let blocks = f32_plane::<2>(case, goldens.tensor(case, &init.file, &init.tensor)?)?;
    if blocks.size() != (width.div_ceil(3), height.div_ceil(3)) {
        return Err(unsupported(case, "the initial flow does not cover the frame"));
    }
    Ok(Some(Plane::from_rows(width, height, |y, row| {
        for (x, vector) in row.iter_mut().enumerate() {
            *vector = blocks.row(y / 3)[x / 3];
        }
    })))
}

/// `flow[y0::step, x0::step]`.
fn subsample(
    case: &str,
    flow: &Plane<[f32; 2]>,
    subsample: Option<Subsample>,
) -> Result<Plane<[f32; 2]>, CheckError> {
    let Some(Subsample { y0, x0, step }) = subsample else {
        return Ok(flow.clone());
    };
    if step == 0 || x0 >= flow.width() || y0 >= flow.height() {
        return Err(unsupported(case, "`subsample` picks nothing"));
    }
    let (width, height) = ((flow.width() - x0).div_ceil(step), (flow.height() - y0).div_ceil(step));
    Ok(Plane::from_rows(width, height, |y, row| {
        for (x, vector) in row.iter_mut().enumerate() {
            *vector = flow.row(y0 + y * step)[x0 + x * step];
        }
    }))
}

/// Compares planes; of ours, only the first rows where the golden holds no more.
fn compare_rows<const N: usize>(
    name: &str,
    got: &Plane<[f32; N]>,
    want: &Plane<[f32; N]>,
    tolerance: Tolerance,
) -> Stage {
    if got.width() != want.width() || got.height() < want.height() {
        return Stage::failed(name);
    }
    let numbers = |plane: &Plane<[f32; N]>| {
        let first = plane.data().iter().take(want.data().len());
        first.flatten().map(|&v| f64::from(v)).collect::<Vec<_>>()
    };
    Stage::compare(name, numbers(got), numbers(want), tolerance)
}

fn compare<const N: usize>(
    name: &str,
    got: &Plane<[f32; N]>,
    want: &Plane<[f32; N]>,
    tolerance: Tolerance,
) -> Stage {
    if got.size() != want.size() {
        Stage::failed(name)
    } else {
        compare_rows(name, got, want, tolerance)
    }
}

/// The steps of one case: every tensor of the file is one stage.
pub(super) fn stages(
    goldens: &Goldens,
    case: String,
    entry: &manifest::FlowStages,
) -> Result<Case, CheckError> {
    let Some(of) = goldens.manifest.flow.iter().find(|flow| flow.name == entry.of) else {
        return Err(unsupported(&case, format!("no flow case `{}`", entry.of)));
    };
    let params = params(&case, &of.params)?;
    let names = [&of.prev, &of.next];
    let [prev, next] = names.map(|name| goldens.gray_frame(&case, name));
    let frames = [prev?, next?];
    let mut stages = Vec::new();
    for kind in [Kind::Rows(Isa::best()), Kind::Plain] {
        let steps = Steps { case: &case, kind, params: &params, frames: &frames };
        for (name, tensor) in files::read_tensors(&goldens.dir.join(&entry.file))? {
            stages.push(steps.stage(&name, tensor)?);
        }
    }
    Ok(Case::new(case, stages))
}

/// The steps between two frames, each computed from the frames when it is asked for.
struct Steps<'a> {
    case: &'a str,
    kind: Kind,
    params: &'a FarnebackParams,
    frames: &'a [Plane<u8>; 2],
}

/// Which form of the steps: the one that flows are made with, or the definition.
#[derive(Clone, Copy)]
enum Kind {
    Rows(Isa),
    Plain,
}

impl Steps<'_> {
    /// Compares the step that `name` (`level{k}.{step}`) stands for.
    fn stage(&self, name: &str, want: Tensor) -> Result<Stage, CheckError> {
        let unknown = || unsupported(self.case, format!("the stage `{name}`"));
        let (level, step) = name.split_once('.').ok_or_else(unknown)?;
        let k = level.strip_prefix("level").and_then(|k| k.parse::<usize>().ok());
        let k = k.ok_or_else(unknown)?;
        let (width, height) = self.frames[0].size();
        let levels = pyramid::levels(width, height, self.params);
        let level = levels.get(k).ok_or_else(unknown)?;
        let [prev, next] = [0, 1].map(|i| self.image(i, level));
        let (prev, next) = (prev?, next?);
        let (r0, r1) = (self.expand(&prev), self.expand(&next));
        let zero = r0.map(|_| [0f32; 2]);
        let title = match self.kind {
            Kind::Rows(_) => name.to_owned(),
            Kind::Plain => format!("{name}, plain"),
        };
        match step {
            "I0" => self.first_rows(&title, &prev.map(|v| [v]), want),
            "I1" => self.first_rows(&title, &next.map(|v| [v]), want),
            "R0" => self.whole(&title, &r0, (want, Tolerance::Absolute(1e-4))),
            "R1" => self.whole(&title, &r1, (want, Tolerance::Absolute(1e-4))),
            "M0" => {
                let matrices = match self.kind {
                    Kind::Rows(isa) => stages::matrices(isa, (&r0, &r1), &zero),
                    Kind::Plain => matrices::compute(&r0, &r1, &zero),
                };
                self.whole(&title, &matrices, (want, Tolerance::Relative(1e-4)))
            }
            // Only the coarsest scale starts at zero.
            "flow1" if k + 1 == levels.len() => {
                let flow = self.first_flow(&r0, &r1, &zero);
                self.whole(&title, &flow, (want, Tolerance::Absolute(1e-4)))
            }
            _ => Err(unknown()),
        }
    }

    fn image(&self, index: usize, level: &pyramid::Level) -> Result<Plane<f32>, CheckError> {
        let frame = &self.frames[index];
        match self.kind {
            Kind::Rows(isa) => Ok(stages::image(isa, Frame::U8(frame), level)),
            Kind::Plain => plane(self.case, pyramid::image(&frame.map(f32::from), level)),
        }
    }

    fn expand(&self, image: &Plane<f32>) -> Plane<[f32; 5]> {
        match self.kind {
            Kind::Rows(isa) => stages::expand(isa, image, self.params),
            Kind::Plain => expansion::expand(image, self.params),
        }
    }

    /// The flow after one iteration.
    fn first_flow(
        &self,
        r0: &Plane<[f32; 5]>,
        r1: &Plane<[f32; 5]>,
        start: &Plane<[f32; 2]>,
    ) -> Plane<[f32; 2]> {
        match self.kind {
            Kind::Rows(isa) => {
                let once = FarnebackParams { iterations: 1, ..self.params.clone() };
                stages::iterate(isa, (r0, r1), start, &once)
            }
            Kind::Plain => {
                let weights = window::Weights::of(self.params);
                window::solve(&matrices::compute(r0, r1, start), &weights)
            }
        }
    }

    fn first_rows(
        &self,
        name: &str,
        got: &Plane<[f32; 1]>,
        want: Tensor,
    ) -> Result<Stage, CheckError> {
        let want = f32_plane(self.case, want)?;
        Ok(compare_rows(name, got, &want, Tolerance::Absolute(2e-3)))
    }

    fn whole<const N: usize>(
        &self,
        name: &str,
        got: &Plane<[f32; N]>,
        (want, tolerance): (Tensor, Tolerance),
    ) -> Result<Stage, CheckError> {
        Ok(compare(name, got, &f32_plane(self.case, want)?, tolerance))
    }
}
