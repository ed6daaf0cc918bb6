//! A queue of steps, the marks between queues, and graphs.
//!
//! Owns how steps are written down; says nothing of which. Steps run later: what they read must
//! be there and stay, what they write is there after [`Queue::finish`]. A queue that is dropped
//! finishes first.
#![allow(unsafe_code, reason = "hands addresses to the backend")]

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::backend::{ARGUMENTS_MAX, Argument, Backend, Handle, Launch, Step};
use super::error::CudaError;
use super::kernels::{Kernel, Shape};
use super::memory::{HostMemory, Memory, Sample};

/// Steps that run in order.
#[derive(Debug)]
pub(crate) struct Queue {
    backend: Arc<dyn Backend>,
    handle: Handle,
    /// Steps come from one thread at a time.
    alone: PhantomData<Cell<()>>,
}

impl Queue {
    pub(crate) fn new(backend: &Arc<dyn Backend>) -> Result<Self, CudaError> {
        let handle = backend.create_queue()?;
        Ok(Self { backend: Arc::clone(backend), handle, alone: PhantomData })
    }

    fn enqueue(&self, step: &Step) -> Result<(), CudaError> {
        // SAFETY: `Memory` and `HostMemory` checked the lengths; their header says why they stay.
        unsafe { self.backend.enqueue(self.handle, step) }
    }

    /// The first `count` samples.
    pub(crate) fn upload<T: Sample>(
        &self,
        from: &HostMemory<T>,
        to: &Memory<T>,
        count: usize,
    ) -> Result<(), CudaError> {
        let bytes = count * size_of::<T>();
        self.enqueue(&Step::Upload { to: to.address(0, count), from: from.pointer(count), bytes })
    }

    /// The first `count` samples.
    pub(crate) fn download<T: Sample>(
        &self,
        from: &Memory<T>,
        to: &HostMemory<T>,
        count: usize,
    ) -> Result<(), CudaError> {
        let bytes = count * size_of::<T>();
        self.enqueue(&Step::Download { to: to.pointer(count), from: from.address(0, count), bytes })
    }

    /// Moves `count` samples that begin at `from` to the beginning of the same memory.
    pub(crate) fn copy_to_front<T: Sample>(
        &self,
        memory: &Memory<T>,
        from: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        assert!(count <= from, "the two parts do not overlap");
        let bytes = count * size_of::<T>();
        let (to, from) = (memory.address(0, count), memory.address(from, count));
        self.enqueue(&Step::Copy { to, from, bytes })
    }

    /// Sets the first `count` samples to 0.
    pub(crate) fn clear<T: Sample>(
        &self,
        memory: &Memory<T>,
        count: usize,
    ) -> Result<(), CudaError> {
        let bytes = count * size_of::<T>();
        self.enqueue(&Step::Clear { to: memory.address(0, count), bytes })
    }

    pub(crate) fn launch(&self, call: Call) -> Result<(), CudaError> {
        assert!(call.0.arguments.len() <= ARGUMENTS_MAX, "no kernel has so many parameters");
        self.enqueue(&Step::Launch(call.0))
    }

    pub(crate) fn record(&self, mark: &Mark) -> Result<(), CudaError> {
        self.enqueue(&Step::Record(mark.handle))
    }

    pub(crate) fn wait(&self, mark: &Mark) -> Result<(), CudaError> {
        self.enqueue(&Step::Wait(mark.handle))
    }

    /// Waits until every step so far has run.
    pub(crate) fn finish(&self) -> Result<(), CudaError> {
        // SAFETY: our own queue.
        unsafe { self.backend.finish(self.handle) }
    }

    /// Writes down the steps that `steps` enqueues here, without running them.
    pub(crate) fn capture(
        &self,
        steps: impl FnOnce(&Self) -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        // SAFETY: our own queue, which is not `Sync`: no other thread uses it meanwhile.
        unsafe { self.backend.begin_capture(self.handle) }?;
        let written = steps(self);
        // Also after a fault: the queue must leave the state of writing down.
        // SAFETY: as above, and the capture has begun.
        let graph = unsafe { self.backend.end_capture(self.handle) };
        let graph = graph.map(|handle| Graph { backend: Arc::clone(&self.backend), handle });
        written?;
        graph
    }

    /// Runs the steps of a graph, whose memory must still be there.
    pub(crate) fn replay(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: the session that owns the graph owns the memory of its steps.
        unsafe { self.backend.replay(self.handle, graph.handle) }
    }

    /// Samples to new memory, at once.
    pub(crate) fn send<T: Sample>(&self, samples: &[T]) -> Result<Memory<T>, CudaError> {
        let mut host = HostMemory::new(&self.backend, samples.len())?;
        host.samples_mut()[..samples.len()].copy_from_slice(samples);
        let memory = Memory::new(&self.backend, samples.len())?;
        self.upload(&host, &memory, samples.len())?;
        self.finish()?;
        Ok(memory)
    }

    /// The first `count` samples, when everything before has run.
    pub(crate) fn fetch<T: Sample>(
        &self,
        memory: &Memory<T>,
        count: usize,
    ) -> Result<Vec<T>, CudaError> {
        let host = HostMemory::new(&self.backend, count)?;
        self.download(memory, &host, count)?;
        self.finish()?;
        Ok(host.samples()[..count].to_vec())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // An error has been told to whoever waited for the steps, or nobody cares for them.
        let _ = self.finish();
        // SAFETY: our own queue, which nobody uses any more.
        unsafe { self.backend.destroy_queue(self.handle) };
    }
}

/// A mark that one queue sets and another waits for.
#[derive(Debug)]
pub(crate) struct Mark {
    backend: Arc<dyn Backend>,
    handle: Handle,
}

impl Mark {
    pub(crate) fn new(backend: &Arc<dyn Backend>) -> Result<Self, CudaError> {
        Ok(Self { handle: backend.create_event()?, backend: Arc::clone(backend) })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: our own event; the driver keeps it until steps that use it have run.
        unsafe { self.backend.destroy_event(self.handle) };
    }
}

/// Steps that were written down; about the price of one launch, however many they are.
#[derive(Debug)]
pub(crate) struct Graph {
    backend: Arc<dyn Backend>,
    handle: Handle,
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: our own graph, which nobody uses any more.
        unsafe { self.backend.destroy_graph(self.handle) };
    }
}

/// A launch that is being put together: arguments in the kernel's order.
#[derive(Debug)]
#[must_use]
pub(crate) struct Call(Launch);

impl Call {
    pub(crate) fn new(kernel: Kernel, shape: Shape) -> Self {
        let Shape { grid, block } = shape;
        let arguments = Vec::with_capacity(ARGUMENTS_MAX);
        Self(Launch { kernel, grid, block, shared_bytes: 0, arguments })
    }

    pub(crate) fn shared_bytes(mut self, bytes: usize) -> Self {
        self.0.shared_bytes = bytes as u32;
        self
    }

    /// The beginning of memory of which the kernel uses `count` samples.
    pub(crate) fn memory<T: Sample>(self, memory: &Memory<T>, count: usize) -> Self {
        self.part(memory, 0, count)
    }

    /// As `memory`, from sample `at` on.
    pub(crate) fn part<T: Sample>(self, memory: &Memory<T>, at: usize, count: usize) -> Self {
        self.argument(memory.address(at, count), b'p')
    }

    /// A count or a choice; frames are small enough for 31 bits (`GpuVision::check_size`).
    pub(crate) fn int(self, value: usize) -> Self {
        let value = i32::try_from(value).expect("sizes are checked when they come in");
        self.signed(value)
    }

    pub(crate) fn signed(self, value: i32) -> Self {
        self.argument(u64::from(value as u32), b'i')
    }

    pub(crate) fn long(self, value: usize) -> Self {
        self.argument(value as u64, b'l')
    }

    pub(crate) fn double(self, value: f64) -> Self {
        self.argument(value.to_bits(), b'd')
    }

    fn argument(mut self, word: u64, kind: u8) -> Self {
        self.0.arguments.push(Argument { word, kind });
        self
    }
}
