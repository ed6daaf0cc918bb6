//! The flow sections: whole flows, and the steps of one of them.
//!
//! Owns how OpenCV's arguments become parameters and which step a tensor's name stands for.

use super::super::stage::{Stage, Tolerance};
use super::super::{Case, CheckError, files};
use super::manifest::{self, FlowParams, InitRule, Subsample};
use super::{Goldens, Tensor, engine, f32_plane, plane, unsupported};
use crate::vision::farneback::pyramid;
use crate::vision::farneback::{FarnebackParams, Window};
use crate::vision::plane::Plane;

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
    let frames = [&prev, &next];
    let flow = plane(&case, goldens.engine.flow(frames, &params, initial.as_ref()))?;
    let want = f32_plane::<2>(&case, goldens.tensor(&case, &entry.file, &entry.tensor)?)?;
    let tolerance = Tolerance::Spread { mean: entry.tolerance.mean, p99: entry.tolerance.p99 };
    let got = subsample(&case, &flow, entry.subsample)?;
    let mut stages = vec![compare("flow", &got, &want, tolerance)];
    if let Some(flow) = plane(&case, goldens.engine.plain_flow(frames, &params, initial.as_ref()))?
    {
        let got = subsample(&case, &flow, entry.subsample)?;
        stages.push(compare("flow, plain", &got, &want, tolerance));
    }
    if let Some(want) = entry.mean_mag {
        // The mean length cannot be further off than the mean of the vectors.
        let bound = Tolerance::Absolute(entry.tolerance.mean);
        let motion = plane(&case, goldens.engine.motion(&flow))?;
        stages.push(Stage::compare("mean_mag", [motion.mean_px], [want], bound));
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
    let steps = Steps { goldens, case: &case, params, frames: [prev?, next?] };
    let mut stages = Vec::new();
    for (name, tensor) in files::read_tensors(&goldens.dir.join(&entry.file))? {
        stages.extend(steps.stage(&name, &tensor)?);
    }
    Ok(Case::new(case, stages))
}

/// The steps between two frames, each computed from the frames when it is asked for.
struct Steps<'a> {
    goldens: &'a Goldens<'a>,
    case: &'a str,
    params: FarnebackParams,
    frames: [Plane<u8>; 2],
}

impl Steps<'_> {
    /// Compares the step that `name` (`level{k}.{step}`) stands for, in each form of it.
    fn stage(&self, name: &str, want: &Tensor) -> Result<Vec<Stage>, CheckError> {
        let unknown = || unsupported(self.case, format!("the stage `{name}`"));
        let (level, step) = name.split_once('.').ok_or_else(unknown)?;
        let k = level.strip_prefix("level").and_then(|k| k.parse::<usize>().ok());
        let k = k.ok_or_else(unknown)?;
        let frames = [&self.frames[0], &self.frames[1]];
        let forms = plane(self.case, self.goldens.engine.steps(frames, &self.params, k))?;
        if forms.is_empty() {
            return Err(unknown());
        }
        let coarsest = {
            let (width, height) = self.frames[0].size();
            k + 1 == pyramid::levels(width, height, &self.params).len()
        };
        let compare = |steps: &engine::Steps| {
            let ([prev, next], [r0, r1]) = (&steps.images, &steps.coefficients);
            let (name, want) = (format!("{name}{}", steps.form), want.clone());
            match step {
                "I0" => self.first_rows(&name, &prev.map(|v| [v]), want),
                "I1" => self.first_rows(&name, &next.map(|v| [v]), want),
                "R0" => self.whole(&name, r0, (want, Tolerance::Absolute(1e-4))),
                "R1" => self.whole(&name, r1, (want, Tolerance::Absolute(1e-4))),
                "M0" => self.whole(&name, &steps.matrices, (want, Tolerance::Relative(1e-4))),
                // Only the coarsest scale starts at zero.
                "flow1" if coarsest => {
                    self.whole(&name, &steps.flow, (want, Tolerance::Absolute(1e-4)))
                }
                _ => Err(unknown()),
            }
        };
        forms.iter().map(compare).collect()
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
