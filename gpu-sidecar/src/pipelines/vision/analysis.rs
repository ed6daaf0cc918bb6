//! One frame after another: gray, flow from the frame before, edges, sharpness; on the CPU or, a
//! chunk at a time, on a GPU.
//!
//! Owns what has to be remembered between two frames and nothing more: the expansion of the frame
//! before, which the flow of the next pair needs again. An analyst works on one chunk at a time and
//! keeps its memory: after the first frame it asks for none but what it hands on.

use std::sync::Arc;

use crate::media::Frame;
use crate::pipeline::{Cancel, RunError};
use crate::vision::VisionError;
use crate::vision::canny::Canny;
use crate::vision::farneback::{Expansion, Farneback};
use crate::vision::flow_stats::Motion;
use crate::vision::gray::{Order, gray_into};
use crate::vision::plane::Plane;
use crate::vision::sharpness::variance;
use crate::vision::threads::Threads;

use super::annotation;
use super::gpu::{Clip, Gpu};
use super::outputs::Output;
use super::params::Params;
use super::source::Sampled;
use super::stream::Chunk;

/// Analyses chunks of frames.
pub(super) struct Analyst {
    params: Params,
    threads: usize,
    gpu: Option<Gpu>,
    /// Made for the size of the first frame.
    tools: Option<Tools>,
}

/// What frames are analysed with.
enum Tools {
    Cpu(Box<CpuTools>),
    Gpu(Box<Clip>),
}

/// The kernels with their memory.
struct CpuTools {
    flow: Farneback,
    canny: Canny,
    threads: Threads,
    gray: Plane<u8>,
    edges: Plane<u8>,
    /// Place of the frame that `before` belongs to.
    expanded: Option<u64>,
    before: Expansion,
    now: Expansion,
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

/// The numbers of one frame, and its edges where they were asked for.
pub(super) type WithEdges = (Figures, Option<Plane<u8>>);

/// What a key frame's artifacts are made of.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) frame: Arc<Frame>,
    /// The sampled frame before it.
    pub(super) before: Option<Arc<Frame>>,
}

impl Analyst {
    /// An analyst whose kernels use so many threads of the pool that it works in, or a GPU. A GPU's
    /// analyst has all chunks of a clip, in order.
    pub(super) fn new(params: &Params, threads: usize, gpu: Option<Gpu>) -> Self {
        Self { params: params.clone(), threads, gpu, tools: None }
    }

    /// Analyses the frames of a chunk.
    pub(super) fn analyse(
        &mut self,
        chunk: Chunk,
        cancel: &Cancel,
    ) -> Result<Vec<Analysed>, RunError> {
        let Some(first) = chunk.frames.first() else { return Ok(Vec::new()) };
        let tools = match &mut self.tools {
            Some(tools) => tools,
            None => {
                let made = Tools::new(&self.params, self.threads, self.gpu.as_ref(), first)?;
                self.tools.insert(made)
            }
        };
        match tools {
            Tools::Cpu(tools) => tools.analyse(chunk, &self.params, cancel),
            Tools::Gpu(clip) => on_gpu(clip, chunk, &self.params),
        }
    }
}

/// The same on a GPU, where a chunk is too short to be cut off in between.
fn on_gpu(clip: &mut Clip, chunk: Chunk, params: &Params) -> Result<Vec<Analysed>, RunError> {
    let Chunk { first_index, mut before, frames } = chunk;
    let figures = clip.figures(&frames, params.wants(Output::Preview))?;
    let analysed = (first_index..).zip(frames).zip(figures);
    let analysed = analysed.map(|((index, Sampled { frame, .. }), (figures, edges))| {
        let annotate = |edges| annotation::annotate(&frame, &edges, index, &figures);
        let annotated = edges.map(annotate);
        let before = before.replace(Arc::clone(&frame));
        Analysed { index, figures, picture: Picture { frame, before }, annotated }
    });
    Ok(analysed.collect())
}

impl Tools {
    fn new(
        params: &Params,
        threads: usize,
        gpu: Option<&Gpu>,
        first: &Sampled,
    ) -> Result<Self, RunError> {
        let size = first.frame.size();
        if let Some(gpu) = gpu
            && let Some(clip) = gpu.clip(params, size, &first.field)?
        {
            return Ok(Self::Gpu(Box::new(clip)));
        }
        let tools = CpuTools::new(params, threads, size);
        Ok(Self::Cpu(Box::new(tools.map_err(|error| refusal(&error, &first.field))?)))
    }
}

impl CpuTools {
    fn new(
        params: &Params,
        threads: usize,
        (width, height): (usize, usize),
    ) -> Result<Self, VisionError> {
        let flow = Farneback::new(&params.flow(), width, height)?.on_threads(threads);
        let (before, now) = (flow.expansion(), flow.expansion());
        Ok(Self {
            flow,
            canny: Canny::new(&params.canny)?,
            threads: if threads > 1 { Threads::Pool } else { Threads::This },
            gray: Plane::pixel(),
            edges: Plane::pixel(),
            expanded: None,
            before,
            now,
        })
    }

    fn analyse(
        &mut self,
        chunk: Chunk,
        params: &Params,
        cancel: &Cancel,
    ) -> Result<Vec<Analysed>, RunError> {
        let Chunk { first_index, mut before, frames } = chunk;
        let mut analysed = Vec::with_capacity(frames.len());
        for (index, Sampled { frame, field }) in (first_index..).zip(frames) {
            cancel.check()?;
            let before = before.replace(Arc::clone(&frame));
            let figures = self.figures(index, &frame, before.as_deref());
            let figures = figures.map_err(|error| refusal(&error, &field))?;
            let annotate = || annotation::annotate(&frame, &self.edges, index, &figures);
            let annotated = params.wants(Output::Preview).then(annotate);
            analysed.push(Analysed {
                index,
                figures,
                picture: Picture { frame, before },
                annotated,
            });
        }
        Ok(analysed)
    }

    fn figures(
        &mut self,
        index: u64,
        frame: &Frame,
        before: Option<&Frame>,
    ) -> Result<Figures, VisionError> {
        self.expand_before(index, before)?;
        gray_into(frame, Order::Rgb, self.threads, &mut self.gray);
        self.flow.expand(&self.gray, &mut self.now)?;
        let motion = match before {
            Some(_) => Some(self.flow.motion((&self.before, &self.now), None)?),
            None => None,
        };
        std::mem::swap(&mut self.before, &mut self.now);
        self.expanded = Some(index);
        self.canny.run(&self.gray, self.threads, &mut self.edges);
        let edge_pixels = self.edges.data().iter().filter(|&&value| value != 0).count();
        Ok(Figures {
            motion,
            edge_density: edge_pixels as f64 / self.edges.data().len() as f64,
            sharpness: variance(&self.gray, self.threads),
        })
    }

    /// Makes the polynomials of the frame before, unless they are there: at a chunk's start another
    /// analyst may have had that frame.
    fn expand_before(&mut self, index: u64, before: Option<&Frame>) -> Result<(), VisionError> {
        let Some(before) = before else { return Ok(()) };
        if self.expanded != Some(index - 1) {
            gray_into(before, Order::Rgb, self.threads, &mut self.gray);
            self.flow.expand(&self.gray, &mut self.before)?;
        }
        Ok(())
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
