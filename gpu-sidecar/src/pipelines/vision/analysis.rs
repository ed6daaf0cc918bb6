//! One frame after another: gray, flow from the frame before, edges, sharpness.
//!
//! Owns what has to be remembered between two frames and nothing more: the expansion of the frame
//! before, which the flow of the next pair needs again.

use crate::media::Frame;
use crate::pipeline::RunError;
use crate::vision::VisionError;
use crate::vision::canny::canny;
use crate::vision::farneback::{Expansion, FarnebackParams, flow_between};
use crate::vision::flow_stats::{Motion, motion};
use crate::vision::gray::gray_from_rgb;
use crate::vision::plane::Plane;
use crate::vision::sharpness::laplacian_variance;

use super::params::Params;
use super::source::Sampled;

/// Analyses frames in order.
pub(super) struct Analyst {
    params: Params,
    flow: FarnebackParams,
    before: Option<Expansion>,
}

/// What one frame gave.
pub(super) struct Analysed {
    /// From the frame before; none for the first.
    pub(super) motion: Option<Motion>,
    /// Share of edge pixels, 0 to 1.
    pub(super) edge_density: f64,
    /// Variance of the Laplacian, squared gray levels.
    pub(super) sharpness: f64,
    pub(super) picture: Picture,
}

/// What a key frame shows.
pub(super) struct Picture {
    pub(super) color: Frame,
    pub(super) edges: Plane<u8>,
}

impl Analyst {
    pub(super) fn new(params: &Params) -> Self {
        Self { params: params.clone(), flow: params.flow(), before: None }
    }

    /// Analyses the next frame.
    pub(super) fn analyse(&mut self, sampled: Sampled) -> Result<Analysed, RunError> {
        let Sampled { frame: color, field } = sampled;
        let refused = |error: VisionError| refusal(&error, &field);
        let gray = gray_from_rgb(&color);
        let now = Expansion::of(&gray, &self.flow).map_err(refused)?;
        let motion = match &self.before {
            Some(before) => {
                let flow = flow_between(before, &now, &self.flow, None).map_err(refused)?;
                Some(motion(&flow))
            }
            None => None,
        };
        self.before = Some(now);
        let edges = canny(&gray, &self.params.canny).map_err(refused)?;
        let edge_pixels = edges.data().iter().filter(|&&value| value != 0).count();
        Ok(Analysed {
            motion,
            edge_density: edge_pixels as f64 / edges.data().len() as f64,
            sharpness: laplacian_variance(&gray),
            picture: Picture { color, edges },
        })
    }
}

/// A frame that the kernels do not take. Parameters have been checked before.
fn refusal(error: &VisionError, field: &str) -> RunError {
    match error {
        VisionError::TooSmall { .. } => RunError::input("frame_too_small", field, error),
        VisionError::SizesDiffer { .. } => RunError::input("frame_size_differs", field, error),
        other => RunError::internal("kernel_refused", other),
    }
}
