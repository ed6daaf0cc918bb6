//! What a device must be able to do: memory, queues of steps, and graphs of them.
//!
//! Owns the trait between the sessions and a device. Two implement it: `driver.rs`, a GPU, and
//! `emulation.rs`, which runs the same kernels on the CPU in the tests, so that what drives the
//! GPU is what the tests drive. Knows addresses and bytes; `memory.rs` and `queue.rs` make them
//! safe to use and are its only callers.

#![allow(unsafe_code, reason = "promises about addresses")]

use std::fmt::Debug;
use std::ptr::NonNull;

use super::error::CudaError;
use super::kernels::Kernel;

/// An address on the device.
pub(crate) type Address = u64;
/// A queue, an event or a graph of one backend, as the backend counts them.
pub(crate) type Handle = usize;

/// Most parameters of a kernel.
pub(crate) const ARGUMENTS_MAX: usize = 12;

/// One thing for a queue to do. Steps of one queue run in order.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Host to device.
    Upload {
        to: Address,
        from: NonNull<u8>,
        bytes: usize,
    },
    /// Device to host.
    Download {
        to: NonNull<u8>,
        from: Address,
        bytes: usize,
    },
    /// Device to device; the two do not overlap.
    Copy {
        to: Address,
        from: Address,
        bytes: usize,
    },
    /// Sets bytes to 0.
    Clear {
        to: Address,
        bytes: usize,
    },
    Launch(Launch),
    /// Marks that everything before it is done.
    Record(Handle),
    /// Waits for the latest mark that was enqueued before this.
    Wait(Handle),
}

// SAFETY: a step is a description; whoever carries it out answers for the pointer.
unsafe impl Send for Step {}

/// A kernel with its sizes and arguments.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) kernel: Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) arguments: Vec<Argument>,
}

/// One argument: its value in the first bytes of a word, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) word: u64,
    /// `p` pointer, `i` int, `l` long long, `d` double: the emulation compares it with the kernel.
    pub(crate) kind: u8,
}

/// A device, or what stands in for one.
pub(crate) trait Backend: Debug + Send + Sync {
    /// What the device is called.
    fn name(&self) -> &str;

    fn allocate(&self, bytes: usize) -> Result<Address, CudaError>;
    /// # Safety
    /// Both are of one `allocate`; no step that is still to run uses it.
    unsafe fn free(&self, address: Address, bytes: usize);

    /// Memory that the device can read and write by itself; every byte has a value.
    fn allocate_host(&self, bytes: usize) -> Result<NonNull<u8>, CudaError>;
    /// # Safety
    /// As `free`, for `allocate_host`.
    unsafe fn free_host(&self, memory: NonNull<u8>, bytes: usize);

    fn create_queue(&self) -> Result<Handle, CudaError>;
    /// # Safety
    /// The queue is of this backend and is not used again.
    unsafe fn destroy_queue(&self, queue: Handle);
    fn create_event(&self) -> Result<Handle, CudaError>;
    /// # Safety
    /// The event is of this backend and is not used again.
    unsafe fn destroy_event(&self, event: Handle);

    /// Adds a step and returns; it runs when those before it have.
    /// # Safety
    /// Handles are of this backend; memory stays until the step has run and holds what it reads.
    unsafe fn enqueue(&self, queue: Handle, step: &Step) -> Result<(), CudaError>;
    /// Waits until every step so far has run. An error is the first of theirs.
    /// # Safety
    /// The queue is of this backend.
    unsafe fn finish(&self, queue: Handle) -> Result<(), CudaError>;

    /// From here to `end_capture` steps are written down instead of run.
    /// # Safety
    /// The queue is of this backend; no other thread uses it meanwhile.
    unsafe fn begin_capture(&self, queue: Handle) -> Result<(), CudaError>;
    /// # Safety
    /// As `begin_capture`, which came before.
    unsafe fn end_capture(&self, queue: Handle) -> Result<Handle, CudaError>;
    /// Runs what was written down, as one step.
    /// # Safety
    /// As `enqueue`, for every step in the graph.
    unsafe fn replay(&self, queue: Handle, graph: Handle) -> Result<(), CudaError>;
    /// # Safety
    /// The graph is of this backend and is not used again.
    unsafe fn destroy_graph(&self, graph: Handle);
}
