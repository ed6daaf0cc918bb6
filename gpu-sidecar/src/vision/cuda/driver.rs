//! A GPU, through NVIDIA's driver.
//!
//! Owns the context, the loaded kernels and every call into the driver. The primary context is
//! used, which other CUDA code of this process (candle) shares. Each call makes it current first,
//! so any thread may call. Always: the driver's faults are values; in `Drop` they are ignored,
//! because the process that lost its device can free nothing.
#![allow(unsafe_code, reason = "calls of the driver's C library")]

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::ptr::NonNull;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUresult};

use super::backend::{Address, Backend, Handle, Launch, Step};
use super::error::CudaError;
use super::kernels::{self, Kernel};
use crate::device;

/// What `build.rs` made of each kernel file.
const IMAGES: [(&str, &[u8]); 6] = [
    ("gray", include_bytes!(concat!(env!("OUT_DIR"), "/gray.fatbin"))),
    ("resize", include_bytes!(concat!(env!("OUT_DIR"), "/resize.fatbin"))),
    ("blur", include_bytes!(concat!(env!("OUT_DIR"), "/blur.fatbin"))),
    ("farneback", include_bytes!(concat!(env!("OUT_DIR"), "/farneback.fatbin"))),
    ("canny", include_bytes!(concat!(env!("OUT_DIR"), "/canny.fatbin"))),
    ("morphology", include_bytes!(concat!(env!("OUT_DIR"), "/morphology.fatbin"))),
];

/// The first GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    name: String,
    device: sys::CUdevice,
    context: sys::CUcontext,
    modules: Vec<sys::CUmodule>,
    functions: HashMap<Kernel, sys::CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread; nothing changes after `open`.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

impl Gpu {
    /// Takes the first GPU and loads the kernels.
    pub(crate) fn open() -> Result<Self, CudaError> {
        let found = device::first_gpu().map_err(CudaError::NoDevice)?;
        let device = result::device::get(0).map_err(|e| fault("cuDeviceGet", e))?;
        // SAFETY: `device` is what the driver has just returned.
        let context = unsafe { result::primary_ctx::retain(device) };
        let context = context.map_err(|e| fault("cuDevicePrimaryCtxRetain", e))?;
        let (modules, functions) = (Vec::new(), HashMap::new());
        let mut gpu = Self { name: found.name, device, context, modules, functions };
        gpu.load()?;
        Ok(gpu)
    }

    fn load(&mut self) -> Result<(), CudaError> {
        self.enter()?;
        for (file, image) in IMAGES {
            // Aligned as the driver reads it; `include_bytes!` promises no alignment.
            let mut words = vec![0_u64; image.len().div_ceil(8)];
            let copy = words.iter_mut().zip(image.chunks(8));
            for (word, bytes) in copy {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_ne_bytes(padded);
            }
            // SAFETY: a whole image as nvcc wrote it; the driver copies what it keeps.
            let module = unsafe { result::module::load_data(words.as_ptr().cast()) };
            let module = module.map_err(|e| fault("cuModuleLoadData", e))?;
            self.modules.push(module);
            for kernel in kernels::ALL.iter().filter(|kernel| kernel.file == file) {
                let name = CString::new(kernel.name).expect("kernels have plain names");
                // SAFETY: the module is loaded and stays for as long as `self`.
                let function = unsafe { result::module::get_function(module, name) };
                let function = function.map_err(|e| fault("cuModuleGetFunction", e))?;
                self.functions.insert(*kernel, function);
            }
        }
        Ok(())
    }

    /// Makes the context this thread's.
    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: retained in `open`, released in `drop`.
        unsafe { result::ctx::set_current(self.context) }.map_err(|e| fault("cuCtxSetCurrent", e))
    }

    /// # Safety
    /// As [`Backend::enqueue`].
    unsafe fn launch(&self, stream: sys::CUstream, launch: &Launch) -> Result<(), CudaError> {
        let function = self.functions.get(&launch.kernel).copied();
        let function = function.expect("`load` resolved every kernel of the list");
        let mut words: Vec<u64> = launch.arguments.iter().map(|argument| argument.word).collect();
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let [x, y, z] = launch.grid;
        let [columns, rows, planes] = launch.block;
        // SAFETY: the emulation's tests compare these arguments with the kernel's parameters; the
        // driver copies them before it returns. Memory is the caller's promise.
        let launched = unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (columns, rows, planes),
                launch.shared_bytes,
                stream,
                &mut pointers,
            )
        };
        launched.map_err(|e| fault("cuLaunchKernel", e))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let _ = self.enter();
        for &module in &self.modules {
            // SAFETY: loaded in `load`; every queue, and so every launch, held this backend.
            let _ = unsafe { result::module::unload(module) };
        }
        // SAFETY: retained once, in `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

fn fault(call: &'static str, DriverError(code): DriverError) -> CudaError {
    CudaError::Device { call, code: format!("{code:?}") }
}

/// A refusal of memory keeps how much it was.
fn memory_fault(call: &'static str, bytes: usize, error: DriverError) -> CudaError {
    match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory { bytes },
        _ => fault(call, error),
    }
}

fn stream(queue: Handle) -> sys::CUstream {
    queue as sys::CUstream
}

fn event(handle: Handle) -> sys::CUevent {
    handle as sys::CUevent
}

impl Backend for Gpu {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocate(&self, bytes: usize) -> Result<Address, CudaError> {
        self.enter()?;
        // SAFETY: only the address is taken.
        unsafe { result::malloc_sync(bytes) }.map_err(|e| memory_fault("cuMemAlloc", bytes, e))
    }

    unsafe fn free(&self, address: Address, _bytes: usize) {
        let _ = self.enter();
        // SAFETY: the caller's promise.
        let _ = unsafe { result::free_sync(address) };
    }

    fn allocate_host(&self, bytes: usize) -> Result<NonNull<u8>, CudaError> {
        self.enter()?;
        // SAFETY: only the address is taken.
        let memory = unsafe { result::malloc_host(bytes, 0) };
        let memory = memory.map_err(|e| memory_fault("cuMemHostAlloc", bytes, e))?;
        // SAFETY: `bytes` bytes that the driver has just given us.
        unsafe { std::ptr::write_bytes(memory.cast::<u8>(), 0, bytes) };
        Ok(NonNull::new(memory.cast()).expect("a success has an address"))
    }

    unsafe fn free_host(&self, memory: NonNull<u8>, _bytes: usize) {
        let _ = self.enter();
        // SAFETY: the caller's promise.
        let _ = unsafe { result::free_host(memory.as_ptr().cast()) };
    }

    fn create_queue(&self) -> Result<Handle, CudaError> {
        self.enter()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
        Ok(stream.map_err(|e| fault("cuStreamCreate", e))? as Handle)
    }

    unsafe fn destroy_queue(&self, queue: Handle) {
        let _ = self.enter();
        // SAFETY: the caller's promise.
        let _ = unsafe { result::stream::destroy(stream(queue)) };
    }

    fn create_event(&self) -> Result<Handle, CudaError> {
        self.enter()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        Ok(event.map_err(|e| fault("cuEventCreate", e))? as Handle)
    }

    unsafe fn destroy_event(&self, handle: Handle) {
        let _ = self.enter();
        // SAFETY: the caller's promise.
        let _ = unsafe { result::event::destroy(event(handle)) };
    }

    unsafe fn enqueue(&self, queue: Handle, step: &Step) -> Result<(), CudaError> {
        self.enter()?;
        let stream = stream(queue);
        // SAFETY: handles and memory are the caller's promise; each call only enqueues.
        unsafe {
            match *step {
                Step::Upload { to, from, bytes } => {
                    let from = std::slice::from_raw_parts(from.as_ptr(), bytes);
                    result::memcpy_htod_async(to, from, stream)
                        .map_err(|e| fault("cuMemcpyHtoDAsync", e))
                }
                Step::Download { to, from, bytes } => {
                    let to = std::slice::from_raw_parts_mut(to.as_ptr(), bytes);
                    result::memcpy_dtoh_async(to, from, stream)
                        .map_err(|e| fault("cuMemcpyDtoHAsync", e))
                }
                Step::Copy { to, from, bytes } => {
                    result::memcpy_dtod_async(to, from, bytes, stream)
                        .map_err(|e| fault("cuMemcpyDtoDAsync", e))
                }
                Step::Clear { to, bytes } => result::memset_d8_async(to, 0, bytes, stream)
                    .map_err(|e| fault("cuMemsetD8Async", e)),
                Step::Launch(ref launch) => self.launch(stream, launch),
                Step::Record(handle) => result::event::record(event(handle), stream)
                    .map_err(|e| fault("cuEventRecord", e)),
                Step::Wait(handle) => {
                    let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
                    result::stream::wait_event(stream, event(handle), flags)
                        .map_err(|e| fault("cuStreamWaitEvent", e))
                }
            }
        }
    }

    unsafe fn finish(&self, queue: Handle) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: the caller's promise.
        let finished = unsafe { result::stream::synchronize(stream(queue)) };
        finished.map_err(|e| fault("cuStreamSynchronize", e))
    }

    unsafe fn begin_capture(&self, queue: Handle) -> Result<(), CudaError> {
        self.enter()?;
        // Other threads may allocate meanwhile; this one does not.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the caller's promise.
        let begun = unsafe { result::stream::begin_capture(stream(queue), mode) };
        begun.map_err(|e| fault("cuStreamBeginCapture", e))
    }

    unsafe fn end_capture(&self, queue: Handle) -> Result<Handle, CudaError> {
        self.enter()?;
        // SAFETY: the caller's promise.
        let graph = unsafe { result::stream::end_capture(stream(queue)) };
        let graph = graph.map_err(|e| fault("cuStreamEndCapture", e))?;
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the graph is the one just made; what is instantiated is a copy.
        let made = unsafe { result::graph::instantiate(graph, flags) };
        // SAFETY: made above and used no more.
        let _ = unsafe { result::graph::destroy(graph) };
        Ok(made.map_err(|e| fault("cuGraphInstantiate", e))? as Handle)
    }

    unsafe fn replay(&self, queue: Handle, graph: Handle) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: the caller's promise.
        let launched = unsafe { result::graph::launch(graph as sys::CUgraphExec, stream(queue)) };
        launched.map_err(|e| fault("cuGraphLaunch", e))
    }

    unsafe fn destroy_graph(&self, graph: Handle) {
        let _ = self.enter();
        // SAFETY: the caller's promise.
        let _ = unsafe { result::graph::exec_destroy(graph as sys::CUgraphExec) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_the_list_has_an_image() {
        for kernel in kernels::ALL {
            let image = IMAGES.iter().find(|(file, _)| *file == kernel.file);
            assert!(image.is_some_and(|(_, bytes)| !bytes.is_empty()), "{}", kernel.file);
        }
    }
}
