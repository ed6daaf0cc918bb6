//! A device that is the CPU: the kernel files as g++ compiles them, for the tests.
//!
//! Owns the compiled library and the order of steps. What it cannot show is in
//! `kernels/emulation/emulate.cpp`. Steps are run as late as a device may run them (when someone
//! waits), or at once: what is right under both needs no luck with timing. Always: a launch whose
//! arguments are not the kernel's is a fault of the test.
#![allow(unsafe_code, reason = "calls the compiled kernels")]

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use libloading::Library;

use super::backend::{Address, Backend, Handle, Launch, Step};
use super::error::CudaError;

/// When a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When it is enqueued.
    Eager,
    /// When someone waits for it, or for something behind it.
    Lazy,
}

/// The C functions of `emulate.cpp`.
struct Functions {
    find: unsafe extern "C" fn(*const c_char) -> *const c_void,
    kinds: unsafe extern "C" fn(*const c_void) -> *const c_char,
    launch: unsafe extern "C" fn(
        *const c_void,
        *const c_uint,
        *const c_uint,
        c_uint,
        *mut *mut c_void,
    ) -> c_int,
    allocate: unsafe extern "C" fn(usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, usize),
}

/// The kernels on the CPU.
#[derive(Debug)]
pub(crate) struct Emulation {
    pace: Pace,
    /// Device memory refuses to grow past this, as a full GPU does.
    bytes_max: usize,
    bytes: AtomicUsize,
    /// How often device memory was asked for.
    pub(crate) allocations: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_handle: Handle,
    queues: HashMap<Handle, Line>,
    /// The queue of each event's latest mark, and how many steps of that queue it stands behind.
    marks: HashMap<Handle, (Handle, usize)>,
    graphs: HashMap<Handle, Vec<Step>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Pending>,
    enqueued: usize,
    done: usize,
    captured: Option<Vec<Step>>,
}

#[derive(Debug, Clone)]
enum Pending {
    Step(Step),
    /// Until that queue has done so many steps.
    Until(Handle, usize),
}

impl Emulation {
    pub(crate) fn new(pace: Pace, bytes_max: usize) -> Self {
        Self {
            pace,
            bytes_max,
            bytes: AtomicUsize::new(0),
            allocations: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// Device memory that has not been given back.
    pub(crate) fn bytes_in_use(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a test that panicked has failed already")
    }

    fn handle(&self) -> Handle {
        let mut state = self.state();
        state.next_handle += 1;
        state.next_handle
    }
}

impl State {
    fn line(&mut self, queue: Handle) -> &mut Line {
        self.queues.get_mut(&queue).expect("the queue exists")
    }

    fn push(&mut self, queue: Handle, step: &Step) {
        let pending = match *step {
            Step::Wait(event) => match self.marks.get(&event) {
                Some(&(other, count)) => Pending::Until(other, count),
                // A mark that was never set is no reason to wait.
                None => Pending::Until(queue, 0),
            },
            _ => Pending::Step(step.clone()),
        };
        let line = self.line(queue);
        line.waiting.push_back(pending);
        line.enqueued += 1;
        let enqueued = line.enqueued;
        if let Step::Record(event) = *step {
            self.marks.insert(event, (queue, enqueued));
        }
    }

    /// Runs `queue` until it has done `count` steps.
    fn run(&mut self, queue: Handle, count: usize) {
        while self.line(queue).done < count {
            let pending = self.line(queue).waiting.pop_front().expect("they are enqueued");
            match pending {
                Pending::Step(step) => carry_out(&step),
                Pending::Until(other, count) => self.run(other, count),
            }
            self.line(queue).done += 1;
        }
    }

    fn run_all(&mut self, queue: Handle) {
        let count = self.line(queue).enqueued;
        self.run(queue, count);
    }
}

fn carry_out(step: &Step) {
    // SAFETY: addresses of this emulation are the process's own; lengths were checked where the
    // step was made, and a page that cannot be touched ends what a kernel oversteps.
    unsafe {
        match *step {
            Step::Upload { to, from, bytes } => {
                std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, bytes);
            }
            Step::Download { to, from, bytes } => {
                std::ptr::copy_nonoverlapping(from as *const u8, to.as_ptr(), bytes);
            }
            Step::Copy { to, from, bytes } => {
                std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes);
            }
            Step::Clear { to, bytes } => std::ptr::write_bytes(to as *mut u8, 0, bytes),
            Step::Launch(ref launch) => run_kernel(launch),
            Step::Record(_) | Step::Wait(_) => {}
        }
    }
}

fn run_kernel(launch: &Launch) {
    let functions = functions();
    let name = CString::new(launch.kernel.name).expect("kernels have plain names");
    // SAFETY: a C string; the answer is null or stays.
    let kernel = unsafe { (functions.find)(name.as_ptr()) };
    assert!(!kernel.is_null(), "no kernel `{}`", launch.kernel.name);
    // SAFETY: a kernel of this library; its kinds are a C string that stays.
    let kinds = unsafe { CStr::from_ptr((functions.kinds)(kernel)) };
    let given: Vec<u8> = launch.arguments.iter().map(|argument| argument.kind).collect();
    assert_eq!(kinds.to_bytes(), given, "the parameters of {}", launch.kernel.name);
    let mut words: Vec<u64> = launch.arguments.iter().map(|argument| argument.word).collect();
    let mut pointers: Vec<*mut c_void> =
        words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
    let (grid, block) = (launch.grid.as_ptr(), launch.block.as_ptr());
    // SAFETY: the arguments have just been compared with the kernel's parameters.
    let code = unsafe {
        (functions.launch)(kernel, grid, block, launch.shared_bytes, pointers.as_mut_ptr())
    };
    assert_ne!(code, 1, "a GPU refuses these sizes: {launch:?}");
    assert_eq!(code, 0, "threads of a block do not meet: {launch:?}");
}

/// The kernels, compiled once per process.
fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = folder.path().join("kernels.so");
        compile(&library);
        // SAFETY: our own library; its initialisers enter the kernels into a list.
        let library = unsafe { Library::new(&library) }.expect("the kernels can be opened");
        // Stays open: the functions point into it.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the signatures are those of `emulate.cpp`.
        unsafe {
            let expectation = "emulate.cpp exports it";
            Functions {
                find: *library.get(b"postern_emulation_find").expect(expectation),
                kinds: *library.get(b"postern_emulation_kinds").expect(expectation),
                launch: *library.get(b"postern_emulation_launch").expect(expectation),
                allocate: *library.get(b"postern_emulation_allocate").expect(expectation),
                free: *library.get(b"postern_emulation_free").expect(expectation),
            }
        }
    })
}

fn compile(library: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let files = std::fs::read_dir(&folder).expect("gpu-sidecar/kernels is there");
    let mut sources: Vec<_> = files.map(|file| file.expect("can be listed").path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    sources.push(folder.join("emulation/emulate.cpp"));
    let mut compiler = Command::new("g++");
    // As nvcc does with --fmad=false: products and sums are not fused unless they are written so.
    compiler.args(["-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-fPIC", "-shared"]);
    // longjmp between fibres is what its checked version forbids.
    compiler.args(["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE"]);
    compiler.arg("-I").arg(&folder);
    compiler.arg("-include").arg(folder.join("emulation/emulate.hpp"));
    compiler.args(["-x", "c++"]).args(&sources).arg("-o").arg(library);
    let output = compiler.output().expect("the emulation needs g++");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "g++ refuses the kernels: {complaint}");
}

impl Backend for Emulation {
    fn name(&self) -> &str {
        "emulation"
    }

    fn allocate(&self, bytes: usize) -> Result<Address, CudaError> {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(CudaError::OutOfMemory { bytes });
        }
        // SAFETY: only the address is taken.
        let memory = unsafe { (functions().allocate)(bytes) };
        assert!(!memory.is_null(), "the test has memory");
        Ok(memory as Address)
    }

    unsafe fn free(&self, address: Address, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { (functions().free)(address as *mut c_void, bytes) };
    }

    fn allocate_host(&self, bytes: usize) -> Result<NonNull<u8>, CudaError> {
        // SAFETY: only the address is taken.
        let memory = unsafe { (functions().allocate)(bytes) };
        Ok(NonNull::new(memory.cast()).expect("the test has memory"))
    }

    unsafe fn free_host(&self, memory: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { (functions().free)(memory.as_ptr().cast(), bytes) };
    }

    fn create_queue(&self) -> Result<Handle, CudaError> {
        let handle = self.handle();
        self.state().queues.insert(handle, Line::default());
        Ok(handle)
    }

    unsafe fn destroy_queue(&self, queue: Handle) {
        let line = self.state().queues.remove(&queue).expect("the queue exists");
        assert!(line.waiting.is_empty(), "a queue finishes before it goes");
    }

    fn create_event(&self) -> Result<Handle, CudaError> {
        Ok(self.handle())
    }

    unsafe fn destroy_event(&self, event: Handle) {
        self.state().marks.remove(&event);
    }

    unsafe fn enqueue(&self, queue: Handle, step: &Step) -> Result<(), CudaError> {
        let mut state = self.state();
        if let Some(captured) = &mut state.line(queue).captured {
            captured.push(step.clone());
            return Ok(());
        }
        state.push(queue, step);
        if self.pace == Pace::Eager {
            state.run_all(queue);
        }
        Ok(())
    }

    unsafe fn finish(&self, queue: Handle) -> Result<(), CudaError> {
        self.state().run_all(queue);
        Ok(())
    }

    unsafe fn begin_capture(&self, queue: Handle) -> Result<(), CudaError> {
        self.state().line(queue).captured = Some(Vec::new());
        Ok(())
    }

    unsafe fn end_capture(&self, queue: Handle) -> Result<Handle, CudaError> {
        let graph = self.handle();
        let mut state = self.state();
        let steps = state.line(queue).captured.take().expect("a capture has begun");
        state.graphs.insert(graph, steps);
        Ok(graph)
    }

    unsafe fn replay(&self, queue: Handle, graph: Handle) -> Result<(), CudaError> {
        let steps = self.state().graphs.get(&graph).expect("the graph exists").clone();
        for step in &steps {
            // SAFETY: the caller's promise.
            unsafe { self.enqueue(queue, step) }?;
        }
        Ok(())
    }

    unsafe fn destroy_graph(&self, graph: Handle) {
        self.state().graphs.remove(&graph);
    }
}
