//! Dense optical flow after Farnebäck (SPEC §2) over several pairs at a time.
//!
//! Owns the launches of `farneback.cu`, the scales of one size, and the memory between steps. A
//! frame has a slot, and its coefficients stay there: slot p and p + 1 are a pair. `window_down`
//! and `window_solve` are in the order of `vision/farneback/window.rs`.

use std::sync::Arc;

use super::backend::Backend;
use super::error::CudaError;
use super::images::Resize;
use super::kernels::{self, Shape};
use super::memory::Memory;
use super::queue::{Call, Queue};
use super::{GpuVision, plane, plane_of, same_size, size_of_plane};
use crate::vision::VisionError;
use crate::vision::farneback::expansion::Basis;
use crate::vision::farneback::pyramid::{self, Level};
use crate::vision::farneback::window::Weights;
use crate::vision::farneback::{FarnebackParams, SIDE_MIN};
use crate::vision::flow_stats::Motion;
use crate::vision::plane::Plane;

/// Numbers per pixel of coefficients and of matrices.
const TERMS: usize = 5;
/// A block of `expand` makes a tile of so many pixels.
const EXPAND_TILE: [usize; 2] = [32, 16];
/// A block of `window_down` makes so many rows of 32 columns.
const DOWN_ROWS: usize = 32;
/// Columns and rows of a block of `window_solve`.
const SOLVE_BLOCK: [usize; 2] = [64, 4];
/// Blocks that share a flow in `motion_sums`; each leaves a sum and the longest.
pub(crate) const MOTION_BLOCKS: usize = 64;

/// One scale.
#[derive(Debug)]
struct Scale {
    level: Level,
    taps: Memory<f32>,
    radius: usize,
    /// (slots, 5, h, w)
    coefficients: Memory<f32>,
    /// (pairs, h, w, 2)
    flow: Memory<f32>,
}

impl Scale {
    fn size(&self) -> [usize; 2] {
        [self.level.width, self.level.height]
    }

    fn pixels(&self) -> usize {
        self.level.width * self.level.height
    }
}

/// Flow between frames of one size, up to `pairs_max` pairs at a time.
#[derive(Debug)]
pub(crate) struct FlowPlan {
    params: FarnebackParams,
    size: [usize; 2],
    /// The original (k = 0) first.
    scales: Vec<Scale>,
    basis: Memory<f32>,
    window: Memory<f32>,
    share: f64,
    /// Half-made images (frames, H, w) and images (frames, h, w) of the scale at work.
    across: Memory<f32>,
    image: Memory<f32>,
    /// (pairs, 5, h, w) of the scale at work, and their sums down the window.
    matrices: Memory<f32>,
    sums: Memory<f32>,
}

/// The frames of some slots, or the pairs that begin with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl FlowPlan {
    pub(crate) fn new(
        backend: &Arc<dyn Backend>,
        queue: &Queue,
        size: [usize; 2],
        pairs_max: usize,
        params: &FarnebackParams,
    ) -> Result<Self, CudaError> {
        params.check()?;
        let [width, height] = size;
        if width < SIDE_MIN || height < SIDE_MIN {
            return Err(VisionError::TooSmall { width, height, min: SIDE_MIN }.into());
        }
        let mut scales = Vec::new();
        for level in pyramid::levels(width, height, params) {
            let taps = pyramid::taps(&level);
            let pixels = level.width * level.height;
            scales.push(Scale {
                taps: queue.send(taps.weights())?,
                radius: taps.radius(),
                coefficients: Memory::new(backend, (pairs_max + 1) * TERMS * pixels)?,
                flow: Memory::new(backend, pairs_max * 2 * pixels)?,
                level,
            });
        }
        let basis = Basis::of(params);
        let inverse = [basis.ig11, basis.ig03, basis.ig33, basis.ig55].map(|v| v as f32);
        let basis = [&basis.g[..], &basis.xg, &basis.xxg, &inverse].concat();
        let window = Weights::of(params);
        let pixels = width * height;
        Ok(Self {
            params: params.clone(),
            size,
            scales,
            basis: queue.send(&basis)?,
            window: queue.send(&window.line)?,
            share: window.share,
            // A frame more than pairs: two frames alone are expanded together.
            across: Memory::new(backend, (pairs_max + 1) * pixels)?,
            image: Memory::new(backend, (pairs_max + 1) * pixels)?,
            matrices: Memory::new(backend, pairs_max * TERMS * pixels)?,
            sums: Memory::new(backend, pairs_max * TERMS * pixels)?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let scale =
            |scale: &Scale| scale.taps.bytes() + scale.coefficients.bytes() + scale.flow.bytes();
        let between = [&self.across, &self.image, &self.matrices, &self.sums];
        let small = self.basis.bytes() + self.window.bytes();
        self.scales.iter().map(scale).sum::<usize>()
            + between.iter().map(|memory| memory.bytes()).sum::<usize>()
            + small
    }

    /// The flow of the pairs, at the original scale.
    pub(crate) fn flow(&self) -> &Memory<f32> {
        &self.scales[0].flow
    }

    /// Enqueues the coefficients of gray frames, one after another in `gray`, into their slots.
    pub(crate) fn expand(
        &self,
        queue: &Queue,
        gray: &Memory<u8>,
        slots: Slots,
    ) -> Result<(), CudaError> {
        for scale in &self.scales {
            self.enqueue_image(queue, gray, scale, slots.count)?;
            let frame = TERMS * scale.pixels();
            let shape = Shape::tiles([32, 8], EXPAND_TILE, scale.size(), slots.count);
            let expand = Call::new(kernels::EXPAND, shape)
                .memory(&self.image, scale.pixels() * slots.count)
                .part(&scale.coefficients, slots.first * frame, slots.count * frame)
                .int(scale.level.width)
                .int(scale.level.height)
                .memory(&self.basis, self.basis.len())
                .int(self.params.poly_n as usize);
            queue.launch(expand)?;
        }
        Ok(())
    }

    /// Enqueues the images of a scale.
    fn enqueue_image(
        &self,
        queue: &Queue,
        gray: &Memory<u8>,
        scale: &Scale,
        frames: usize,
    ) -> Result<(), CudaError> {
        let [width, height] = self.size;
        let [to_width, to_height] = scale.size();
        let across = Call::new(kernels::PYRAMID_ACROSS, Shape::pixels([to_width, height], frames))
            .memory(gray, width * height * frames)
            .memory(&self.across, to_width * height * frames)
            .int(width)
            .int(height)
            .int(to_width)
            .memory(&scale.taps, 2 * scale.radius + 1)
            .int(scale.radius);
        queue.launch(across)?;
        let down = Call::new(kernels::PYRAMID_DOWN, Shape::pixels(scale.size(), frames))
            .memory(&self.across, to_width * height * frames)
            .memory(&self.image, scale.pixels() * frames)
            .int(height)
            .int(to_width)
            .int(to_height)
            .memory(&scale.taps, 2 * scale.radius + 1)
            .int(scale.radius);
        queue.launch(down)
    }

    /// Enqueues the flow of pairs whose frames are expanded, from the coarsest scale to the
    /// finest; `initial`, (pairs, H, W, 2), is where the search starts instead of zero.
    pub(crate) fn enqueue_flow(
        &self,
        queue: &Queue,
        pairs: Slots,
        initial: Option<&Memory<f32>>,
    ) -> Result<(), CudaError> {
        let mut coarser: Option<&Scale> = None;
        for scale in self.scales.iter().rev() {
            let to = scale.size();
            let resize = |from| Resize { from, to, channels: 2, planes: pairs.count };
            match (coarser, initial) {
                (Some(coarser), _) => {
                    let longer = 1.0 / self.params.pyr_scale;
                    let enlarge = resize(coarser.size());
                    enlarge.linear(queue, &coarser.flow, &scale.flow, longer)?;
                }
                (None, Some(initial)) => {
                    resize(self.size).area(queue, initial, &scale.flow, scale.level.scale)?;
                }
                (None, None) => queue.clear(&scale.flow, pairs.count * 2 * scale.pixels())?,
            }
            for _ in 0..self.params.iterations {
                self.enqueue_matrices(queue, scale, pairs)?;
                self.enqueue_solution(queue, scale, pairs.count)?;
            }
            coarser = Some(scale);
        }
        Ok(())
    }

    fn enqueue_matrices(
        &self,
        queue: &Queue,
        scale: &Scale,
        pairs: Slots,
    ) -> Result<(), CudaError> {
        let (pixels, frame) = (scale.pixels(), TERMS * scale.pixels());
        let call = Call::new(kernels::FLOW_MATRICES, Shape::pixels(scale.size(), pairs.count))
            .part(&scale.coefficients, pairs.first * frame, (pairs.count + 1) * frame)
            .memory(&scale.flow, pairs.count * 2 * pixels)
            .memory(&self.matrices, pairs.count * frame)
            .int(scale.level.width)
            .int(scale.level.height);
        queue.launch(call)
    }

    /// Averages the matrices over the window and solves for the flow.
    fn enqueue_solution(
        &self,
        queue: &Queue,
        scale: &Scale,
        pairs: usize,
    ) -> Result<(), CudaError> {
        let [width, height] = scale.size();
        let (count, samples) = (self.window.len(), pairs * TERMS * scale.pixels());
        let m = count / 2;
        let planes = pairs * TERMS;
        let shape = Shape::tiles([32, 8], [32, DOWN_ROWS], scale.size(), planes);
        let down = Call::new(kernels::WINDOW_DOWN, shape)
            .shared_bytes(size_of::<f32>() * (count + 32 * (DOWN_ROWS + 2 * m)))
            .memory(&self.matrices, samples)
            .memory(&self.sums, samples);
        queue.launch(down.int(width).int(height).memory(&self.window, count).int(m))?;
        let [columns, rows] = SOLVE_BLOCK;
        let block = [columns as u32, rows as u32];
        let shape = Shape::tiles(block, SOLVE_BLOCK, scale.size(), pairs);
        let lines = rows * TERMS * (columns + 2 * m);
        let solve = Call::new(kernels::WINDOW_SOLVE, shape)
            .shared_bytes(size_of::<f32>() * (count + lines))
            .memory(&self.sums, samples)
            .memory(&scale.flow, pairs * 2 * scale.pixels())
            .int(width)
            .int(height)
            .memory(&self.window, count)
            .int(m)
            .double(self.share);
        queue.launch(solve)
    }

    /// Enqueues the lengths of the flows, to (pairs, MOTION_BLOCKS) sums and longest.
    pub(crate) fn enqueue_motion(
        &self,
        queue: &Queue,
        pairs: usize,
        sums: &Memory<f64>,
        longest: &Memory<f32>,
    ) -> Result<(), CudaError> {
        let [width, height] = self.size;
        let shape = Shape::shared(MOTION_BLOCKS, pairs);
        let call = Call::new(kernels::MOTION_SUMS, shape)
            .memory(self.flow(), pairs * 2 * width * height)
            .memory(sums, pairs * MOTION_BLOCKS)
            .memory(longest, pairs * MOTION_BLOCKS);
        queue.launch(call.int(width).int(height))
    }

    /// Enqueues the move of a frame's coefficients to slot 0.
    pub(crate) fn enqueue_carry(&self, queue: &Queue, slot: usize) -> Result<(), CudaError> {
        for scale in &self.scales {
            let frame = TERMS * scale.pixels();
            queue.copy_to_front(&scale.coefficients, slot * frame, frame)?;
        }
        Ok(())
    }
}

/// Mean and longest motion from one pair's sums, added in the order of the blocks.
pub(crate) fn motion(sums: &[f64], longest: &[f32], pixels: usize) -> Motion {
    let max_px = longest.iter().fold(0.0, |max: f32, &length| max.max(length));
    Motion { mean_px: sums.iter().sum::<f64>() / pixels as f64, max_px: f64::from(max_px) }
}

/// The steps between two frames at one scale, from a flow of zero: for comparison with goldens.
#[derive(Debug)]
pub struct FlowSteps {
    /// Both frames at this scale.
    pub images: [Plane<f32>; 2],
    /// Their coefficients.
    pub coefficients: [Plane<[f32; 5]>; 2],
    /// The matrices at a flow of zero.
    pub matrices: Plane<[f32; 5]>,
    /// What they are solved to.
    pub flow: Plane<[f32; 2]>,
}

impl GpuVision {
    /// As [`crate::vision::farneback::flow`].
    /// # Errors
    /// As there, and of the device.
    pub fn flow(
        &self,
        prev: &Plane<u8>,
        next: &Plane<u8>,
        params: &FarnebackParams,
        initial: Option<&Plane<[f32; 2]>>,
    ) -> Result<Plane<[f32; 2]>, CudaError> {
        same_size(prev, next)?;
        if let Some(initial) = initial {
            same_size(prev, initial)?;
        }
        let size = size_of_plane(prev)?;
        let queue = Queue::new(&self.backend)?;
        let plan = FlowPlan::new(&self.backend, &queue, size, 1, params)?;
        let gray = queue.send(&[prev.data(), next.data()].concat())?;
        let initial = initial.map(|flow| queue.send(flow.data().as_flattened())).transpose()?;
        plan.expand(&queue, &gray, Slots { first: 0, count: 2 })?;
        plan.enqueue_flow(&queue, Slots { first: 0, count: 1 }, initial.as_ref())?;
        plane_of(size, &queue.fetch(plan.flow(), 2 * size[0] * size[1])?)
    }

    /// Mean and longest motion of a flow, as [`crate::vision::flow_stats::motion`].
    /// # Errors
    /// Of the device.
    pub fn motion(&self, flow: &Plane<[f32; 2]>) -> Result<Motion, CudaError> {
        let size = size_of_plane(flow)?;
        let pixels = flow.data().len();
        let queue = Queue::new(&self.backend)?;
        let vectors = queue.send(flow.data().as_flattened())?;
        let (sums, longest) = (
            Memory::new(&self.backend, MOTION_BLOCKS)?,
            Memory::new(&self.backend, MOTION_BLOCKS)?,
        );
        let call = Call::new(kernels::MOTION_SUMS, Shape::shared(MOTION_BLOCKS, 1))
            .memory(&vectors, 2 * pixels)
            .memory(&sums, MOTION_BLOCKS)
            .memory(&longest, MOTION_BLOCKS);
        queue.launch(call.int(size[0]).int(size[1]))?;
        let sums: Vec<f64> = queue.fetch(&sums, MOTION_BLOCKS)?;
        Ok(motion(&sums, &queue.fetch(&longest, MOTION_BLOCKS)?, pixels))
    }

    /// The steps of scale `k`; none when the pyramid does not reach it.
    /// # Errors
    /// As [`GpuVision::flow`].
    pub fn flow_steps(
        &self,
        frames: [&Plane<u8>; 2],
        params: &FarnebackParams,
        k: usize,
    ) -> Result<Option<FlowSteps>, CudaError> {
        same_size(frames[0], frames[1])?;
        let size = size_of_plane(frames[0])?;
        let queue = Queue::new(&self.backend)?;
        let plan = FlowPlan::new(&self.backend, &queue, size, 1, params)?;
        let Some(scale) = plan.scales.get(k) else { return Ok(None) };
        let gray = queue.send(&[frames[0].data(), frames[1].data()].concat())?;
        plan.expand(&queue, &gray, Slots { first: 0, count: 2 })?;
        let pixels = scale.pixels();
        plan.enqueue_image(&queue, &gray, scale, 2)?;
        let images = queue.fetch(&plan.image, 2 * pixels)?;
        queue.clear(&scale.flow, 2 * pixels)?;
        plan.enqueue_matrices(&queue, scale, Slots { first: 0, count: 1 })?;
        plan.enqueue_solution(&queue, scale, 1)?;
        let matrices = queue.fetch(&plan.matrices, TERMS * pixels)?;
        let coefficients = queue.fetch(&scale.coefficients, 2 * TERMS * pixels)?;
        let (first, second) = (&images[..pixels], &images[pixels..]);
        let (r0, r1) = coefficients.split_at(TERMS * pixels);
        let terms = |planes: &[f32]| interleaved(scale.size(), planes);
        Ok(Some(FlowSteps {
            images: [plane(scale.size(), first.to_vec())?, plane(scale.size(), second.to_vec())?],
            coefficients: [terms(r0)?, terms(r1)?],
            matrices: terms(&matrices)?,
            flow: plane_of(scale.size(), &queue.fetch(&scale.flow, 2 * pixels)?)?,
        }))
    }
}

/// `(5, h, w)` to `(h, w, 5)`.
fn interleaved(size: [usize; 2], planes: &[f32]) -> Result<Plane<[f32; 5]>, CudaError> {
    let pixels = size[0] * size[1];
    let pixel = |i: usize| std::array::from_fn(|term| planes[term * pixels + i]);
    plane(size, (0..pixels).map(pixel).collect())
}
