//! The plain definition of a flow, one whole step after another.
//!
//! Owns the walk from the coarsest scale to the finest over the steps `pyramid`, `expansion`,
//! `matrices` and `window`. The workspace computes the same; tests compare the two.

use super::pyramid::{self, Level};
use super::{FarnebackParams, expansion, matrices, window};
use crate::vision::error::VisionError;
use crate::vision::plane::Plane;
use crate::vision::resize;

/// The motion between two frames of one size, as [`super::flow`]. Parameters have been checked.
pub(crate) fn flow(
    prev: &Plane<f32>,
    next: &Plane<f32>,
    params: &FarnebackParams,
    initial: Option<&Plane<[f32; 2]>>,
) -> Result<Plane<[f32; 2]>, VisionError> {
    let (width, height) = prev.size();
    let weights = window::Weights::of(params);
    let mut flow = None;
    for level in pyramid::levels(width, height, params).iter().rev() {
        let prev = expansion::expand(&pyramid::image(prev, level)?, params);
        let next = expansion::expand(&pyramid::image(next, level)?, params);
        let start = match flow {
            None => match initial {
                Some(initial) => shrunk(level, initial)?,
                None => Plane::from_rows(level.width, level.height, |_, row| row.fill([0.0; 2])),
            },
            Some(coarser) => finer_start(level, &coarser, params)?,
        };
        let mut matrices = matrices::compute(&prev, &next, &start);
        for _ in 1..params.iterations {
            matrices = matrices::compute(&prev, &next, &window::solve(&matrices, &weights));
        }
        flow = Some(window::solve(&matrices, &weights));
    }
    Ok(flow.expect("a pyramid has at least the original scale"))
}

/// `initial` shrunk by area to a scale and shortened with it.
pub(super) fn shrunk(
    level: &Level,
    initial: &Plane<[f32; 2]>,
) -> Result<Plane<[f32; 2]>, VisionError> {
    let size = resize::Size { width: level.width, height: level.height };
    if initial.size() != level.original {
        return Err(VisionError::SizesDiffer { first: level.original, second: initial.size() });
    }
    let shrunk = initial.per_channel(|plane| resize::area_f32(plane, size))?;
    Ok(scaled(&shrunk, level.scale))
}

/// The flow of the next coarser scale, enlarged linearly and lengthened with it.
fn finer_start(
    level: &Level,
    coarser: &Plane<[f32; 2]>,
    params: &FarnebackParams,
) -> Result<Plane<[f32; 2]>, VisionError> {
    let size = resize::Size { width: level.width, height: level.height };
    let enlarged = coarser.per_channel(|plane| resize::linear_f32(plane, size))?;
    Ok(scaled(&enlarged, 1.0 / params.pyr_scale))
}

fn scaled(flow: &Plane<[f32; 2]>, factor: f64) -> Plane<[f32; 2]> {
    flow.map(|vector| vector.map(|v| (f64::from(v) * factor) as f32))
}
