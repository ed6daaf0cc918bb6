//! Morphology.
//!
//! Owns the launches of `morphology.cu` and the order of the seven operations.

use std::sync::Arc;

use super::backend::Backend;
use super::error::CudaError;
use super::kernels::{self, Shape};
use super::memory::Memory;
use super::queue::{Call, Queue};
use super::{GpuVision, plane, size_of_plane};
use crate::vision::morphology::{Kernel, MorphologyParams, Operation, check_iterations};
use crate::vision::plane::Plane;

/// Whether the least or the largest value under the kernel wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pick {
    Least,
    Largest,
}

/// How a kernel is walked.
#[derive(Debug)]
enum Walk {
    /// Every cell counts: along the rows, then along the columns.
    Lines { sides: [usize; 2], anchor: [usize; 2] },
    /// Columns and rows to each cell that counts.
    Cells { offsets: Memory<i32>, count: usize },
}

/// Planes of one size and the memory between steps.
#[derive(Debug)]
struct Plan {
    size: [usize; 2],
    walk: Walk,
    between: Memory<u8>,
}

impl Plan {
    fn new(
        backend: &Arc<dyn Backend>,
        queue: &Queue,
        size: [usize; 2],
        kernel: &Kernel,
    ) -> Result<Self, CudaError> {
        let walk = if let Some((sides, anchor)) = kernel.rectangle() {
            Walk::Lines { sides, anchor }
        } else {
            let offsets: Vec<i32> =
                kernel.offsets().flat_map(|(x, y)| [x, y]).map(|v| v as i32).collect();
            Walk::Cells { count: offsets.len() / 2, offsets: queue.send(&offsets)? }
        };
        Ok(Self { size, walk, between: Memory::new(backend, size[0] * size[1])? })
    }

    fn call(&self, kernel: kernels::Kernel, from: &Memory<u8>, to: &Memory<u8>) -> Call {
        let [width, height] = self.size;
        let call = Call::new(kernel, Shape::pixels(self.size, 1));
        let call = call.memory(from, width * height).memory(to, width * height);
        call.int(width).int(height).int(1)
    }

    /// `pick` under the kernel, once.
    fn step(
        &self,
        queue: &Queue,
        from: &Memory<u8>,
        to: &Memory<u8>,
        pick: Pick,
    ) -> Result<(), CudaError> {
        let dilate = (pick == Pick::Largest).into();
        match &self.walk {
            Walk::Lines { sides, anchor } => {
                let lines = [(0, from, &self.between), (1, &self.between, to)];
                for (axis, from, to) in lines {
                    let call = self.call(kernels::MORPHOLOGY_LINE, from, to);
                    let call = call.int(sides[axis]).int(anchor[axis]).int(axis);
                    queue.launch(call.int(dilate))?;
                }
                Ok(())
            }
            Walk::Cells { offsets, count } => {
                let call = self.call(kernels::MORPHOLOGY_CELLS, from, to);
                queue.launch(call.memory(offsets, 2 * count).int(*count).int(dilate))
            }
        }
    }
}

/// One call's pictures on the device.
struct Work<'a> {
    backend: &'a Arc<dyn Backend>,
    queue: &'a Queue,
    plan: Plan,
    iterations: u32,
}

impl Work<'_> {
    fn empty(&self) -> Result<Memory<u8>, CudaError> {
        Memory::new(self.backend, self.plan.size[0] * self.plan.size[1])
    }

    /// `pick` under the kernel, `iterations` times.
    fn repeat(&self, image: &Memory<u8>, pick: Pick) -> Result<Memory<u8>, CudaError> {
        let (mut to, mut spare) = (self.empty()?, self.empty()?);
        self.plan.step(self.queue, image, &to, pick)?;
        for _ in 1..self.iterations {
            self.plan.step(self.queue, &to, &spare, pick)?;
            std::mem::swap(&mut to, &mut spare);
        }
        // `spare` goes now.
        self.queue.finish()?;
        Ok(to)
    }

    /// `a` − `b`, not below 0.
    fn minus(&self, a: &Memory<u8>, b: &Memory<u8>) -> Result<Memory<u8>, CudaError> {
        let to = self.empty()?;
        let count = to.len();
        let call = Call::new(kernels::SUBTRACT, Shape::line(count));
        let call = call.memory(a, count).memory(b, count).memory(&to, count);
        self.queue.launch(call.long(count))?;
        self.queue.finish()?;
        Ok(to)
    }

    fn run(&self, image: &Memory<u8>, operation: Operation) -> Result<Memory<u8>, CudaError> {
        let erode = |image: &_| self.repeat(image, Pick::Least);
        let dilate = |image: &_| self.repeat(image, Pick::Largest);
        match operation {
            Operation::Erode => erode(image),
            Operation::Dilate => dilate(image),
            Operation::Open => dilate(&erode(image)?),
            Operation::Close => erode(&dilate(image)?),
            Operation::Gradient => self.minus(&dilate(image)?, &erode(image)?),
            Operation::TopHat => self.minus(image, &dilate(&erode(image)?)?),
            Operation::BlackHat => self.minus(&erode(&dilate(image)?)?, image),
        }
    }
}

impl GpuVision {
    /// As [`crate::vision::morphology::morphology`].
    /// # Errors
    /// As there, and of the device.
    pub fn morphology(
        &self,
        image: &Plane<u8>,
        params: &MorphologyParams,
    ) -> Result<Plane<u8>, CudaError> {
        self.morphology_with(image, params.operation, &params.kernel()?, params.iterations)
    }

    /// As [`crate::vision::morphology::apply`].
    /// # Errors
    /// As there, and of the device.
    pub fn morphology_with(
        &self,
        image: &Plane<u8>,
        operation: Operation,
        kernel: &Kernel,
        iterations: u32,
    ) -> Result<Plane<u8>, CudaError> {
        check_iterations(iterations)?;
        let size = size_of_plane(image)?;
        let queue = Queue::new(&self.backend)?;
        let plan = Plan::new(&self.backend, &queue, size, kernel)?;
        let work = Work { backend: &self.backend, queue: &queue, plan, iterations };
        let from = queue.send(image.data())?;
        let made = work.run(&from, operation)?;
        plane(size, queue.fetch(&made, size[0] * size[1])?)
    }
}
