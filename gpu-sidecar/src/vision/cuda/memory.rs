//! Memory of a device and of the host, freed when dropped.
//!
//! Owns the two kinds and their lengths. Always: memory outlives the steps that use it: whoever
//! owns a queue and memory finishes the queue first, and after a fault, when that is skipped,
//! the driver itself waits for the device before it frees.
#![allow(unsafe_code, reason = "memory that a device shares with us is raw memory")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use super::backend::{Address, Backend};
use super::error::CudaError;

/// What may lie in device memory: every pattern of bits is a value.
pub(crate) trait Sample: Copy + Default + Send + Sync + 'static {}

impl Sample for u8 {}
impl Sample for i16 {}
impl Sample for i32 {}
impl Sample for u32 {}
impl Sample for i64 {}
impl Sample for f32 {}
impl Sample for f64 {}

/// `length` samples on the device.
#[derive(Debug)]
pub(crate) struct Memory<T> {
    backend: Arc<dyn Backend>,
    address: Address,
    length: usize,
    kind: PhantomData<T>,
}

impl<T: Sample> Memory<T> {
    /// Memory for at least one sample; what it holds means nothing yet.
    pub(crate) fn new(backend: &Arc<dyn Backend>, length: usize) -> Result<Self, CudaError> {
        let length = length.max(1);
        let bytes = length * size_of::<T>();
        let address = backend.allocate(bytes)?;
        Ok(Self { backend: Arc::clone(backend), address, length, kind: PhantomData })
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn bytes(&self) -> usize {
        self.length * size_of::<T>()
    }

    /// The address of sample `at`, with at least `count` samples from there.
    pub(crate) fn address(&self, at: usize, count: usize) -> Address {
        assert!(at + count <= self.length, "a step stays within the memory it is given");
        self.address + (at * size_of::<T>()) as Address
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: made by `new` with this length; the header says why no step uses it any more.
        unsafe { self.backend.free(self.address, self.length * size_of::<T>()) };
    }
}

/// `length` samples of the host's that the device reads and writes by itself.
#[derive(Debug)]
pub(crate) struct HostMemory<T> {
    backend: Arc<dyn Backend>,
    memory: NonNull<u8>,
    length: usize,
    kind: PhantomData<T>,
}

// SAFETY: it owns its memory as a `Vec` does, and `T` may be sent.
unsafe impl<T: Sample> Send for HostMemory<T> {}

impl<T: Sample> HostMemory<T> {
    pub(crate) fn new(backend: &Arc<dyn Backend>, length: usize) -> Result<Self, CudaError> {
        let length = length.max(1);
        let memory = backend.allocate_host(length * size_of::<T>())?;
        Ok(Self { backend: Arc::clone(backend), memory, length, kind: PhantomData })
    }

    /// Only read when the queue that writes it has finished.
    pub(crate) fn samples(&self) -> &[T] {
        // SAFETY: `length` samples that `new` allocated, all with a value, aligned as the driver
        // aligns (512 bytes) and the emulation does (16); any bits are a value.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.length) }
    }

    /// Only written when the queue that reads it has finished.
    pub(crate) fn samples_mut(&mut self) -> &mut [T] {
        // SAFETY: as `samples`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().cast(), self.length) }
    }

    /// Where the samples lie, with at least `count` of them.
    pub(crate) fn pointer(&self, count: usize) -> NonNull<u8> {
        assert!(count <= self.length, "a step stays within the memory it is given");
        self.memory
    }
}

impl<T> Drop for HostMemory<T> {
    fn drop(&mut self) {
        // SAFETY: made by `new` with this length; the header says why no step uses it any more.
        unsafe { self.backend.free_host(self.memory, self.length * size_of::<T>()) };
    }
}
