//! One frame after another: gray, flow from the frame before, edges, sharpness.
//!
//! Owns what has to be remembered between two frames and nothing more: the expansion of the frame
//! before, which the flow of the next pair needs again. An analyst works on one chunk at a time.

use std::sync::Arc;

use crate::media::Frame;
use crate::pipeline::{Cancel, RunError};
use crate::vision::VisionError;
use crate::vision::canny::canny;
use crate::vision::farneback::{Expansion, FarnebackParams, flow_between};
use crate::vision::flow_stats::{Motion, motion};
use crate::vision::gray::gray_from_rgb;
use crate::vision::sharpness::laplacian_variance;

use super::annotation;
use super::outputs::Output;
use super::params::Params;
use super::source::Sampled;
use super::stream::Chunk;

/// Analyses chunks of frames.
pub(super) struct Analyst {
    params: Params,
    flow: FarnebackParams,
    /// Polynomials of the frame at this place: the chunk after it needs them.
    expanded: Option<(u64, Expansion)>,
}

/// What one frame gave.
pub(super) struct Analysed {
    /// Place among the sampled frames.
    pub(super) index: u64,
    pub(super) figures: Figures,
    pub(super) picture: Picture,
    /// The frame with its figures drawn in, where a preview is wanted.
    pub(super) annotated: Option<Frame>,
}

/// The numbers of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// From the frame before; none for the first.
    pub(super) motion: Option<Motion>,
    /// Share of edge pixels, 0 to 1.
    pub(super) edge_density: f64,
    /// Variance of the Laplacian, squared gray levels.
    pub(super) sharpness: f64,
}

/// What a key frame's artifacts are made of.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) frame: Arc<Frame>,
    /// The sampled frame before it.
    pub(super) before: Option<Arc<Frame>>,
}

impl Analyst {
    pub(super) fn new(params: &Params) -> Self {
        Self { params: params.clone(), flow: params.flow(), expanded: None }
    }

    /// Analyses the frames of a chunk.
    pub(super) fn analyse(
        &mut self,
        chunk: Chunk,
        cancel: &Cancel,
    ) -> Result<Vec<Analysed>, RunError> {
        let Chunk { first_index, mut before, frames } = chunk;
        self.expand_before(first_index, before.as_deref())?;
        let mut analysed = Vec::with_capacity(frames.len());
        for (index, sampled) in (first_index..).zip(frames) {
            cancel.check()?;
            let last = before.replace(Arc::clone(&sampled.frame));
            analysed.push(self.analyse_one(index, sampled, last)?);
        }
        Ok(analysed)
    }

    /// Makes the polynomials of the frame before the chunk, unless they are there: this analyst
    /// may have had the chunk before as well.
    fn expand_before(&mut self, first_index: u64, before: Option<&Frame>) -> Result<(), RunError> {
        let Some(before) = before else {
            self.expanded = None;
            return Ok(());
        };
        let index = first_index - 1;
        if self.expanded.as_ref().is_none_or(|(known, _)| *known != index) {
            // Freed first: two analysts' worth of memory is what the plan does not have.
            self.expanded = None;
            let expansion = Expansion::of(&gray_from_rgb(before), &self.flow)
                .map_err(|error| refusal(&error, ""))?;
            self.expanded = Some((index, expansion));
        }
        Ok(())
    }

    fn analyse_one(
        &mut self,
        index: u64,
        sampled: Sampled,
        before: Option<Arc<Frame>>,
    ) -> Result<Analysed, RunError> {
        let Sampled { frame, field } = sampled;
        let refused = |error: VisionError| refusal(&error, &field);
        let gray = gray_from_rgb(&frame);
        let now = Expansion::of(&gray, &self.flow).map_err(refused)?;
        let motion = match &self.expanded {
            Some((_, before)) => {
                let flow = flow_between(before, &now, &self.flow, None).map_err(refused)?;
                Some(motion(&flow))
            }
            None => None,
        };
        self.expanded = Some((index, now));
        let edges = canny(&gray, &self.params.canny).map_err(refused)?;
        let edge_pixels = edges.data().iter().filter(|&&value| value != 0).count();
        let figures = Figures {
            motion,
            edge_density: edge_pixels as f64 / edges.data().len() as f64,
            sharpness: laplacian_variance(&gray),
        };
        let wanted = self.params.wants(Output::Preview);
        let annotated = wanted.then(|| annotation::annotate(&frame, &edges, index, &figures));
        Ok(Analysed { index, figures, picture: Picture { frame, before }, annotated })
    }
}

/// A frame that the kernels do not take. Parameters have been checked before.
pub(super) fn refusal(error: &VisionError, field: &str) -> RunError {
    match error {
        VisionError::TooSmall { .. } => RunError::input("frame_too_small", field, error),
        VisionError::SizesDiffer { .. } => RunError::input("frame_size_differs", field, error),
        other => RunError::internal("kernel_refused", other),
    }
}
