//! Canny edges.
//!
//! Owns the launches of `canny.cu` and the memory between them.

use std::sync::Arc;

use super::backend::Backend;
use super::error::CudaError;
use super::kernels::{self, Shape};
use super::memory::Memory;
use super::queue::{Call, Queue};
use super::{GpuVision, plane, size_of_plane};
use crate::vision::canny::CannyParams;
use crate::vision::plane::Plane;

/// Rows of pixels that a block of `canny_finish` (32 x 8 threads) makes.
const FINISH_ROWS: usize = 64;

/// The derivatives of pictures of some channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gradient {
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) frames: usize,
    pub(crate) aperture: u32,
    pub(crate) l2: bool,
}

impl Gradient {
    pub(crate) fn enqueue(
        self,
        queue: &Queue,
        image: &Memory<u8>,
        to: &Memory<i16>,
    ) -> Result<(), CudaError> {
        let kernel = match self.aperture {
            3 => kernels::CANNY_GRADIENT_3,
            5 => kernels::CANNY_GRADIENT_5,
            _ => kernels::CANNY_GRADIENT_7,
        };
        let [width, height] = self.size;
        let pixels = width * height * self.frames;
        let call = Call::new(kernel, Shape::pixels(self.size, self.frames))
            .memory(image, pixels * self.channels)
            .memory(to, 2 * pixels);
        queue.launch(call.int(width).int(height).int(self.channels).int(self.l2.into()))
    }
}

/// Edges of up to `frames_max` pictures of one size at a time.
#[derive(Debug)]
pub(crate) struct EdgePlan {
    size: [usize; 2],
    channels: usize,
    params: CannyParams,
    gradients: Memory<i16>,
    parents: Memory<i32>,
    /// 255 on an edge, else 0.
    pub(crate) edges: Memory<u8>,
    /// Edge pixels of each picture.
    pub(crate) counts: Memory<u32>,
}

impl EdgePlan {
    pub(crate) fn new(
        backend: &Arc<dyn Backend>,
        (size, channels): ([usize; 2], usize),
        frames_max: usize,
        params: &CannyParams,
    ) -> Result<Self, CudaError> {
        params.check()?;
        let pixels = size[0] * size[1] * frames_max;
        Ok(Self {
            size,
            channels,
            params: params.clone(),
            gradients: Memory::new(backend, 2 * pixels)?,
            parents: Memory::new(backend, pixels + frames_max)?,
            edges: Memory::new(backend, pixels)?,
            counts: Memory::new(backend, frames_max)?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let planes = self.gradients.bytes() + self.parents.bytes() + self.edges.bytes();
        planes + self.counts.bytes()
    }

    /// Enqueues the edges of `frames` pictures.
    pub(crate) fn enqueue(
        &self,
        queue: &Queue,
        image: &Memory<u8>,
        frames: usize,
    ) -> Result<(), CudaError> {
        let Self { size, channels, .. } = *self;
        let (aperture, l2) = (self.params.aperture, self.params.l2);
        let gradient = Gradient { size, channels, frames, aperture, l2 };
        gradient.enqueue(queue, image, &self.gradients)?;
        let [width, height] = size;
        let (low, high) = self.params.thresholds();
        let pixels = width * height * frames;
        let shape = Shape::pixels(size, frames);
        let thin = Call::new(kernels::CANNY_THIN, shape)
            .memory(&self.gradients, 2 * pixels)
            .memory(&self.parents, pixels + frames);
        queue.launch(thin.int(width).int(height).signed(low).signed(high).int(l2.into()))?;
        let join = Call::new(kernels::CANNY_JOIN, shape).memory(&self.parents, pixels + frames);
        queue.launch(join.int(width).int(height))?;
        queue.clear(&self.counts, frames)?;
        let shape = Shape::tiles([32, 8], [32, FINISH_ROWS], size, frames);
        let finish = Call::new(kernels::CANNY_FINISH, shape)
            .memory(&self.parents, pixels + frames)
            .memory(&self.edges, pixels)
            .memory(&self.counts, frames);
        queue.launch(finish.int(width).int(height))
    }
}

impl GpuVision {
    /// As [`crate::vision::canny::canny`].
    /// # Errors
    /// As there, and of the device.
    pub fn canny(&self, gray: &Plane<u8>, params: &CannyParams) -> Result<Plane<u8>, CudaError> {
        self.edges(gray.data(), (size_of_plane(gray)?, 1), params)
    }

    /// As [`crate::vision::canny::canny_color`].
    /// # Errors
    /// As there, and of the device.
    pub fn canny_color(
        &self,
        image: &Plane<[u8; 3]>,
        params: &CannyParams,
    ) -> Result<Plane<u8>, CudaError> {
        self.edges(image.data().as_flattened(), (size_of_plane(image)?, 3), params)
    }

    fn edges(
        &self,
        samples: &[u8],
        (size, channels): ([usize; 2], usize),
        params: &CannyParams,
    ) -> Result<Plane<u8>, CudaError> {
        let plan = EdgePlan::new(&self.backend, (size, channels), 1, params)?;
        let queue = Queue::new(&self.backend)?;
        let image = queue.send(samples)?;
        plan.enqueue(&queue, &image, 1)?;
        plane(size, queue.fetch(&plan.edges, size[0] * size[1])?)
    }
}
