//! The vision kernels on a GPU (feature `cuda`).
//!
//! Owns the device and everything that runs there; the definitions of the kernels stay in
//! `vision/`, and each kernel here is tested against its definition. The kernels themselves are in
//! `gpu-sidecar/kernels/*.cu`. Knows planes and parameters; not pipelines. Always: gray, resize of
//! 8 bits, edges, morphology and sharpness are the CPU's to the bit; a flow is within 1e-3 px
//! (mean) and 1e-2 px (99th percentile) of the CPU's. A video goes through a [`Session`]; the
//! methods of [`GpuVision`] take one picture there and back, for checks and single pictures.
//! `docs/architecture/add-a-kernel.md` says how the parts fit.

mod error;

mod kernels;

mod backend;
mod memory;
mod queue;

mod driver;
#[cfg(test)]
mod emulation;
#[cfg(test)]
pub(crate) use emulation::Pace;

mod edges;
mod flow;
mod images;
mod morphology;
mod sharpness;

mod session;

use std::sync::Arc;

use super::VisionError;
use super::plane::Plane;
use backend::Backend;
use memory::{Memory, Sample};
use queue::Queue;

pub use error::CudaError;
pub use flow::FlowSteps;
pub use session::{FrameFigures, Session, SessionOptions, Want};

/// Pixels are counted in 31 bits, three channels of them too.
const PIXELS_MAX: usize = 1 << 29;

/// A GPU with our kernels loaded. Cheap to clone; the device goes when the last clone does.
#[derive(Debug, Clone)]
pub struct GpuVision {
    backend: Arc<dyn Backend>,
}

impl GpuVision {
    /// Takes the first GPU.
    /// # Errors
    /// `NoDevice` where there is no driver or no GPU; `Device` when the kernels cannot be loaded.
    pub fn open() -> Result<Self, CudaError> {
        Ok(Self { backend: Arc::new(driver::Gpu::open()?) })
    }

    /// What the driver calls it.
    pub fn name(&self) -> &str {
        self.backend.name()
    }

    fn check_size(width: usize, height: usize) -> Result<(), CudaError> {
        let fits = width.checked_mul(height).is_some_and(|pixels| pixels <= PIXELS_MAX);
        if fits { Ok(()) } else { Err(CudaError::TooLarge { width, height }) }
    }

    /// Sends `image`, lets `steps` make a plane of `size` from it, and fetches that.
    fn there_and_back<T: Sample, U: Sample>(
        &self,
        image: &[T],
        length: usize,
        steps: impl FnOnce(&Queue, &Memory<T>, &Memory<U>) -> Result<(), CudaError>,
    ) -> Result<Vec<U>, CudaError> {
        let queue = Queue::new(&self.backend)?;
        let from = queue.send(image)?;
        let to = Memory::new(&self.backend, length)?;
        let run = steps(&queue, &from, &to);
        // The memory outlives the steps on the way out of a fault, too.
        queue.finish()?;
        run?;
        queue.fetch(&to, length)
    }
}

/// `samples` as a plane; the device makes exactly as many as the size says.
fn plane<T>(size: [usize; 2], samples: Vec<T>) -> Result<Plane<T>, CudaError> {
    Ok(Plane::new(size[0], size[1], samples)?)
}

/// As `plane`, from `N` samples for each pixel.
fn plane_of<T: Copy, const N: usize>(
    size: [usize; 2],
    samples: &[T],
) -> Result<Plane<[T; N]>, CudaError> {
    plane(size, samples.as_chunks().0.to_vec())
}

/// Width and height of a plane of either kind.
fn size_of_plane<T>(image: &Plane<T>) -> Result<[usize; 2], CudaError> {
    GpuVision::check_size(image.width(), image.height())?;
    Ok([image.width(), image.height()])
}

/// Two planes that must have one size.
fn same_size<T, U>(first: &Plane<T>, second: &Plane<U>) -> Result<(), VisionError> {
    first.same_size(second)
}

#[cfg(test)]
mod tests;
