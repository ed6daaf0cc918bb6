//! A video on the GPU: frames in, figures out, several frames at a time.
//!
//! Owns all memory that frames of one size need, allocated once, and the order of work: while a
//! batch is computed the next one is copied, and only figures come back unless more is wanted. The
//! frame before is remembered as its coefficients, so every frame is expanded once. Always: figures
//! come in the order of the frames and do not depend on how they are cut into batches or calls.
//! Start at [`Session::analyse`].

use std::collections::HashMap;

use super::edges::EdgePlan;
use super::error::CudaError;
use super::flow::{FlowPlan, MOTION_BLOCKS, Slots, motion};
use super::images::{Order, gray};
use super::memory::{HostMemory, Memory};
use super::queue::{Graph, Mark, Queue};
use super::sharpness::{self, SUMS, variance};
use super::{GpuVision, plane, plane_of};
use crate::vision::VisionError;
use crate::vision::canny::CannyParams;
use crate::vision::farneback::{FarnebackParams, pyramid};
use crate::vision::flow_stats::Motion;
use crate::vision::plane::Plane;

/// Most frames of a batch: a small frame alone does not fill a GPU.
const FRAMES_MAX: usize = 16;
/// Most pixels of a batch of more than one frame: larger frames fill a GPU by themselves, and a
/// pixel takes some 110 bytes.
const PIXELS_MAX: usize = 1 << 23;
/// Bytes of an original pixel in a batch, but for what each scale adds: colour twice, gray, images
/// (8), matrices and their sums (40), gradients, sets and edges (9).
const BYTES_PER_PIXEL: usize = 6 + 1 + 8 + 40 + 9;
/// Coefficients and flow of a pixel of one scale.
const COEFFICIENT_BYTES: usize = 20;
const FLOW_BYTES: usize = 8;
/// Weights, figures, and what alignment takes.
const BYTES_FIXED: usize = 1 << 20;

/// What a session is for. Frames are red, green, blue.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// How flow is computed.
    pub flow: FarnebackParams,
    /// What counts as an edge.
    pub canny: CannyParams,
}

/// What is fetched besides the figures; each costs a copy of its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Want {
    /// The edges of every frame.
    pub edges: bool,
    /// The flow from the frame before.
    pub flow: bool,
    /// The gray frame.
    pub gray: bool,
}

/// What one frame gave.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameFigures {
    /// From the frame before; none for the first.
    pub motion: Option<Motion>,
    /// Pixels on an edge.
    pub edge_pixels: u64,
    /// Variance of the Laplacian, squared gray levels.
    pub sharpness: f64,
    /// 255 on an edge, else 0; when wanted.
    pub edges: Option<Plane<u8>>,
    /// `(H, W)` of (x, y) in pixels; when wanted and there is a frame before.
    pub flow: Option<Plane<[f32; 2]>>,
    /// When wanted.
    pub gray: Option<Plane<u8>>,
}

/// Where a batch is copied to, and the marks that keep its two users apart.
#[derive(Debug)]
struct Landing {
    staging: HostMemory<u8>,
    color: Memory<u8>,
    uploaded: Mark,
    consumed: Mark,
}

/// Figures as the device leaves them, of a whole batch.
#[derive(Debug)]
struct Figures {
    sums: Memory<f64>,
    longest: Memory<f32>,
    laplacian: Memory<i64>,
    host_sums: HostMemory<f64>,
    host_longest: HostMemory<f32>,
    host_laplacian: HostMemory<i64>,
    host_counts: HostMemory<u32>,
}

/// What a graph was written down for: frames of the batch, and whether a frame came before.
type Case = (usize, bool);

/// Frames of one size. Dropping it gives the memory back.
#[derive(Debug)]
pub struct Session {
    // The queues go first: they wait for the steps that use the rest.
    copies: Queue,
    compute: Queue,
    graphs: HashMap<Case, Graph>,
    landings: [Landing; 2],
    gray: Memory<u8>,
    flow: FlowPlan,
    edges: EdgePlan,
    figures: Figures,
    size: [usize; 2],
    frames_max: usize,
    has_before: bool,
}

/// Frames of a batch of this size.
fn frames_max(width: usize, height: usize) -> usize {
    (PIXELS_MAX / (width * height).max(1)).clamp(1, FRAMES_MAX)
}

impl GpuVision {
    /// Device memory for frames of one size, allocated at once.
    /// # Errors
    /// `OutOfMemory`; `Refused` when a parameter is out of range or a side is under 10 pixels.
    pub fn session(&self, options: &SessionOptions) -> Result<Session, CudaError> {
        let SessionOptions { width, height, .. } = *options;
        Self::check_size(width, height)?;
        let (backend, size, frames_max) =
            (&self.backend, [width, height], frames_max(width, height));
        let samples = 3 * width * height * frames_max;
        let landing = || -> Result<Landing, CudaError> {
            Ok(Landing {
                staging: HostMemory::new(backend, samples)?,
                color: Memory::new(backend, samples)?,
                uploaded: Mark::new(backend)?,
                consumed: Mark::new(backend)?,
            })
        };
        let compute = Queue::new(backend)?;
        let motions = frames_max * MOTION_BLOCKS;
        Ok(Session {
            copies: Queue::new(backend)?,
            flow: FlowPlan::new(backend, &compute, size, frames_max, &options.flow)?,
            edges: EdgePlan::new(backend, (size, 1), frames_max, &options.canny)?,
            compute,
            graphs: HashMap::new(),
            landings: [landing()?, landing()?],
            gray: Memory::new(backend, width * height * frames_max)?,
            figures: Figures {
                sums: Memory::new(backend, motions)?,
                longest: Memory::new(backend, motions)?,
                laplacian: Memory::new(backend, frames_max * SUMS)?,
                host_sums: HostMemory::new(backend, motions)?,
                host_longest: HostMemory::new(backend, motions)?,
                host_laplacian: HostMemory::new(backend, frames_max * SUMS)?,
                host_counts: HostMemory::new(backend, frames_max)?,
            },
            size,
            frames_max,
            has_before: false,
        })
    }
}

impl Session {
    /// Upper bound of the device memory that a session takes, before it is made.
    #[must_use]
    pub fn device_bytes_max(options: &SessionOptions) -> usize {
        let frames = frames_max(options.width, options.height);
        let levels = pyramid::levels(options.width, options.height, &options.flow);
        let scaled: usize = levels.iter().map(|level| level.width * level.height).sum();
        let pixels = options.width * options.height;
        // One frame more than pairs, for the frame before.
        (frames + 1) * (pixels * BYTES_PER_PIXEL + scaled * COEFFICIENT_BYTES)
            + frames * scaled * FLOW_BYTES
            + BYTES_FIXED
    }

    /// The device memory that this session holds.
    #[must_use]
    pub fn device_bytes(&self) -> usize {
        let Figures { sums, longest, laplacian, .. } = &self.figures;
        let figures = sums.bytes() + longest.bytes() + laplacian.bytes();
        let color: usize = self.landings.iter().map(|landing| landing.color.bytes()).sum();
        color + self.gray.bytes() + self.flow.bytes() + self.edges.bytes() + figures
    }

    /// Forgets the frame before: the next one is the first of another video.
    pub fn restart(&mut self) {
        self.has_before = false;
    }

    /// Analyses frames in order; the first has no motion, unless frames came before.
    /// # Errors
    /// `Refused` when a frame has another size, before anything is computed; else of the device,
    /// after which the session is of no further use.
    pub fn analyse(
        &mut self,
        frames: &[&Plane<[u8; 3]>],
        want: Want,
    ) -> Result<Vec<FrameFigures>, CudaError> {
        let first = (self.size[0], self.size[1]);
        if let Some(odd) = frames.iter().find(|frame| frame.size() != first) {
            return Err(VisionError::SizesDiffer { first, second: odd.size() }.into());
        }
        let analysed = self.analyse_batches(frames, want);
        if analysed.is_err() {
            // The staging memory must not change under a copy that is still on its way.
            let _ = (self.copies.finish(), self.compute.finish());
        }
        analysed
    }

    fn analyse_batches(
        &mut self,
        frames: &[&Plane<[u8; 3]>],
        want: Want,
    ) -> Result<Vec<FrameFigures>, CudaError> {
        let mut figures = Vec::with_capacity(frames.len());
        let batches: Vec<&[&Plane<[u8; 3]>]> = frames.chunks(self.frames_max).collect();
        if let Some(batch) = batches.first() {
            self.send(0, batch)?;
        }
        for (i, batch) in batches.iter().enumerate() {
            let case = (batch.len(), self.has_before);
            self.compute(i % 2, case)?;
            if let Some(next) = batches.get(i + 1) {
                // While the device computes.
                self.send((i + 1) % 2, next)?;
            }
            self.has_before = true;
            self.compute.finish()?;
            self.collect(case, want, &mut figures)?;
        }
        Ok(figures)
    }

    /// Copies a batch to the host's side of a landing, and from there to the device.
    fn send(&mut self, to: usize, batch: &[&Plane<[u8; 3]>]) -> Result<(), CudaError> {
        let landing = &mut self.landings[to];
        // The batch that lay there has been copied: its figures, if any, have been collected.
        let frame = 3 * self.size[0] * self.size[1];
        let places = landing.staging.samples_mut().chunks_exact_mut(frame);
        for (place, plane) in places.zip(batch) {
            place.copy_from_slice(plane.data().as_flattened());
        }
        self.copies.wait(&landing.consumed)?;
        self.copies.upload(&landing.staging, &landing.color, frame * batch.len())?;
        self.copies.record(&landing.uploaded)
    }

    /// Enqueues everything that the figures of a batch need.
    fn compute(&mut self, at: usize, case: Case) -> Result<(), CudaError> {
        let landing = &self.landings[at];
        let pixels = self.size[0] * self.size[1] * case.0;
        self.compute.wait(&landing.uploaded)?;
        gray(&self.compute, &landing.color, &self.gray, pixels, Order::RedFirst)?;
        self.compute.record(&landing.consumed)?;
        if !self.graphs.contains_key(&case) {
            let graph = self.compute.capture(|queue| self.steps(queue, case))?;
            self.graphs.insert(case, graph);
        }
        self.compute.replay(&self.graphs[&case])
    }

    /// From gray frames to figures in the host's memory. The frames are in slots 1 to `count`;
    /// slot 0 holds the frame before, and in the end the last of these.
    fn steps(&self, queue: &Queue, case: Case) -> Result<(), CudaError> {
        let (count, pairs) = (case.0, pairs(case));
        self.flow.expand(queue, &self.gray, Slots { first: 1, count })?;
        let Figures { sums, longest, laplacian, .. } = &self.figures;
        if pairs.count > 0 {
            self.flow.enqueue_flow(queue, pairs, None)?;
            self.flow.enqueue_motion(queue, pairs.count, sums, longest)?;
            let figures = pairs.count * MOTION_BLOCKS;
            queue.download(sums, &self.figures.host_sums, figures)?;
            queue.download(longest, &self.figures.host_longest, figures)?;
        }
        self.flow.enqueue_carry(queue, count)?;
        self.edges.enqueue(queue, &self.gray, count)?;
        queue.download(&self.edges.counts, &self.figures.host_counts, count)?;
        sharpness::enqueue(queue, &self.gray, laplacian, self.size, count)?;
        queue.download(laplacian, &self.figures.host_laplacian, count * SUMS)
    }

    /// Takes the figures of a batch that has been computed.
    fn collect(
        &self,
        case: Case,
        want: Want,
        figures: &mut Vec<FrameFigures>,
    ) -> Result<(), CudaError> {
        let (count, pairs) = (case.0, pairs(case));
        let pixels = self.size[0] * self.size[1];
        let fetch = |memory: &Memory<u8>, wanted: bool| match wanted {
            true => self.compute.fetch(memory, count * pixels),
            false => Ok(Vec::new()),
        };
        let (edges, gray) = (fetch(&self.edges.edges, want.edges)?, fetch(&self.gray, want.gray)?);
        let vectors = if want.flow && pairs.count > 0 {
            self.compute.fetch(self.flow.flow(), 2 * pairs.count * pixels)?
        } else {
            Vec::new()
        };
        let picture = |samples: &[u8], frame: usize| {
            let samples = samples.get(frame * pixels..(frame + 1) * pixels);
            samples.map(|samples| plane(self.size, samples.to_vec())).transpose()
        };
        let held = &self.figures;
        for frame in 0..count {
            // The first frame of all begins no pair.
            let pair = (frame + pairs.count).checked_sub(count);
            let own = |pair: usize, length: usize| pair * length..(pair + 1) * length;
            let flow = pair.and_then(|pair| vectors.get(own(pair, 2 * pixels)));
            figures.push(FrameFigures {
                motion: pair.map(|pair| {
                    let blocks = own(pair, MOTION_BLOCKS);
                    let sums = &held.host_sums.samples()[blocks.clone()];
                    motion(sums, &held.host_longest.samples()[blocks], pixels)
                }),
                edge_pixels: held.host_counts.samples()[frame].into(),
                sharpness: variance(&held.host_laplacian.samples()[own(frame, SUMS)], pixels),
                edges: picture(&edges, frame)?,
                flow: flow.map(|vectors| plane_of(self.size, vectors)).transpose()?,
                gray: picture(&gray, frame)?,
            });
        }
        Ok(())
    }
}

/// The pairs of a batch: with the frame before in slot 0, or among its own frames from slot 1 on.
fn pairs((count, has_before): Case) -> Slots {
    if has_before { Slots { first: 0, count } } else { Slots { first: 1, count: count - 1 } }
}
